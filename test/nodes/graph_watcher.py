"""Kills a process and watches the graph: which steps were executed until then, and how the arm moves 0.2 s later.

Prints one JSON object. The only argument is the process to kill.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState

from hybrid_rl_ros.ros.messages import stamp_ns
from hybrid_rl_ros.ros.qos import LATCHED, SENSOR, STEP

HOLD_WITHIN_S = 0.2
ARM_JOINTS = 7


def main() -> None:
    rclpy.init()
    node = rclpy.create_node('graph_watcher')
    readings: list[tuple[float, float]] = []
    states: list[str] = []
    stamps: list[int] = []

    def on_joints(message: JointState) -> None:
        readings.append((time.monotonic(), float(np.abs(message.velocity[:ARM_JOINTS]).max())))

    def on_executed(message: JointState) -> None:
        if 'by/policy' in message.name:
            stamps.append(stamp_ns(message.header.stamp))

    node.create_subscription(JointState, 'joint_states', on_joints, SENSOR)
    node.create_subscription(JointState, 'action/executed', on_executed, STEP)
    node.create_subscription(DiagnosticArray, 'safety/state', lambda m: states.append(m.status[0].message), LATCHED)

    def spin(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.02)

    deadline = time.monotonic() + 20.0
    while not (readings and states and stamps) and time.monotonic() < deadline:
        spin(0.1)
    spin(2.0)
    os.kill(int(sys.argv[1]), signal.SIGKILL)
    killed = time.monotonic()
    stamps_before = list(stamps)
    spin(1.5)
    result = {
        'speed_before_rad_s': max(speed for at, speed in readings if at < killed),
        'speed_after_rad_s': max(speed for at, speed in readings if at > killed + HOLD_WITHIN_S),
        'safety_states': states,
        'stamps_before': stamps_before,
    }
    sys.stdout.write(json.dumps(result) + '\n')
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
