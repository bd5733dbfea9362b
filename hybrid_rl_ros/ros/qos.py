"""The kinds of quality of service in the graph."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

# Real sensors: only the newest counts, whatever the driver offers.
SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
# What is taken ten or twenty at a time: arm and gripper come in joint states one right after the other, and a spike of
# force is one message of many.
BURST = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
# Our own cameras: a reliable subscriber, such as RViz, hears nothing from a best-effort publisher.
CAMERA = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
# Steps of an episode: every one counts.
STEP = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
# Commands to the robot: the newest, delivered.
COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
# States and weights: a late joiner gets the last one.
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# One latched message from each of many publishers.
LATCHED_MANY = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
