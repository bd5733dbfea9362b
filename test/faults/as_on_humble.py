"""Runs a module of the package with what Humble's rclpy (3.3.15, its branch read) has not taken away.

`python as_on_humble.py hybrid_rl_ros.nodes.safety_node ...` is `python -m hybrid_rl_ros.nodes.safety_node ...`.
"""

from __future__ import annotations

import importlib
import runpy
import sys

from rclpy.client import Client
from rclpy.node import Node
from rclpy.service import Service
from rclpy.subscription import Subscription

# Public names that came after Humble and that rclpy itself can do without.
NEWER = {
    Node: (
        'add_post_set_parameters_callback',
        'add_pre_set_parameters_callback',
        'count_clients',
        'count_services',
        'get_fully_qualified_node_names',
        'wait_for_node',
    ),
    Client: ('service_name', 'configure_introspection'),
    Service: ('service_name', 'configure_introspection'),
    Subscription: ('get_publisher_count',),
}


def take_away() -> None:
    # What of rclpy itself imports it under the later name.
    for module in ('rclpy.action', 'rclpy.lifecycle'):
        importlib.import_module(module)
    # The module as Humble calls it, and not as everybody after it does.
    sys.modules['rclpy.qos_event'] = sys.modules.pop('rclpy.event_handler')
    sys.modules['rclpy.event_handler'] = None  # type: ignore[assignment]
    for kind, names in NEWER.items():
        for name in names:
            delattr(kind, name)


if __name__ == '__main__':
    take_away()
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name='__main__', alter_sys=True)
