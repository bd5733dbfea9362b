"""Endpoints that wait for no events of the middleware: a spin costs half."""

from __future__ import annotations

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:
    # Humble's name for it.
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

# rclpy waits for two events of every endpoint; GraphNode looks for incompatible publishers itself instead.
SILENT_PUBLISHER = PublisherEventCallbacks(use_default_callbacks=False)
SILENT_SUBSCRIPTION = SubscriptionEventCallbacks(use_default_callbacks=False)
