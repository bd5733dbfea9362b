"""What every node of the graph has in common: configuration, status, readiness, and how it starts and ends."""

from __future__ import annotations

import ctypes
import difflib
import faulthandler
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.signals import SignalHandlerOptions
from rclpy.timer import Timer
from std_msgs.msg import String

from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import USER_ERROR_EXIT, UserError
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.ros.events import SILENT_PUBLISHER, SILENT_SUBSCRIPTION
from hybrid_rl_ros.ros.executor import PacedLoop, QuietExecutor
from hybrid_rl_ros.ros.qos import LATCHED_MANY, STEP
from hybrid_rl_ros.ros.status import Status, process_age_s

SPIN_S = 0.05
# Services and slow timers of a node that ticks.
HOUSEKEEPING_S = 0.05
# The same of a node on simulated time, whose clock is one of the messages.
SIM_TIME_HOUSEKEEPING_S = 0.01
STATUS_PERIOD_S = 0.5
STOCK_PERIOD_S = 2.0
DIAGNOSTICS_PERIOD_S = 1.0
PARENT_POLL_S = 0.5
STUCK_AFTER_S = 10.0
PR_SET_PDEATHSIG = 1
STEADY = Clock(clock_type=ClockType.STEADY_TIME)
ANYBODY = '*'


class GraphNode(LifecycleNode):
    """A node of one run. `consumers` names, for each topic it publishes, the nodes that must not miss a message,
    or ANYBODY.

    Parameters (read only): run_dir, the folder with config.yaml and specs.json; role, what the run is for (train, eval
    or record); peers, the nodes of this run; autostart. It is ready once it is active and every consumer among its
    peers is matched, says so on `graph/ready`, and writes `status/<name>.json` beside the configuration.

    A lifecycle node: `set_up` makes everything when it is configured, and what `publisher` made is silent until it is
    active. With autostart, the default, it does both by itself; without, a lifecycle manager does.

    A node that sets `tick_s` in set_up is called by the clock, not by messages: `tick` every tick_s of steady time, for
    which it reads its PolledSubscriptions. A wait of rclpy costs 0.8 ms, whatever it waits for.
    """

    consumers: dict[str, tuple[str, ...]] = {}
    tick_s: float | None = None

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.run_dir = Path(self.parameter('run_dir', '', 'folder with config.yaml and specs.json of this run'))
        if not (self.run_dir / 'config.yaml').is_file():
            raise UserError(f'{name}: parameter run_dir is {str(self.run_dir)!r}, which has no config.yaml')
        self.config = load_config(self.run_dir / 'config.yaml')
        self.specs = Specs.model_validate_json((self.run_dir / 'specs.json').read_text())
        self.robot = load_robot(self.config.robot)
        self.role: str = self.parameter('role', 'train', 'train, eval or record')
        self.peers: list[str] = [peer for peer in self.parameter('peers', [''], 'nodes of this run') if peer]
        self.lockstep = self.config.clock == 'lockstep'
        self.autostart: bool = self.parameter('autostart', True, 'configure and activate without a lifecycle manager')
        self.status = Status(self.get_name(), self.run_dir / 'status')
        self.exit_code: int | None = None
        self.failure: Exception | None = None
        self.configured = self.active = self.ready = False
        self._awaited: dict[Publisher, set[str]] = {}
        self._ready_publisher = self.create_publisher(String, 'graph/ready', LATCHED_MANY)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', STEP)
        self.every(STATUS_PERIOD_S, self.status.write)
        self.every(STOCK_PERIOD_S, self.status.take_stock)
        self.every(DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)
        self._incompatible: set[tuple[int, ...]] = set()
        self.every(DIAGNOSTICS_PERIOD_S, self._find_incompatible)
        self._readiness = self.every(0.05, self._look_around)

    def set_up(self) -> None:
        """Make the streams, open the files, load the networks. Raises UserError."""

    def start(self) -> None:
        """The node has become active."""

    def tick(self) -> None:
        """The node is configured, and another tick_s has passed."""

    def stop(self) -> None:
        """The node will not be active any more: a last hold."""

    def close(self) -> None:
        """The last act of a node that was set up, with ROS still up: a checkpoint, closed files."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._own = [entity for entity, _ in self._entities()]

        def configure() -> None:
            self.set_up()
            self.configured = True
            _refuse_unknown_parameters(self)

        return self._transition(configure, super().on_configure, state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        self.active = True
        self.status.values.setdefault('active_after_s', process_age_s())
        return self._transition(self.start, lambda _: result, state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = self.ready = False
        self._readiness.reset()
        return self._transition(self.stop, super().on_deactivate, state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(self._tear_down, super().on_cleanup, state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.finish()
        return super().on_shutdown(state)

    def _transition(
        self,
        act: Callable[[], None],
        then: Callable[[LifecycleState], TransitionCallbackReturn],
        state: LifecycleState,
    ) -> TransitionCallbackReturn:
        """rclpy swallows what a transition raises; here it is kept for the process to end with."""
        try:
            act()
        except Exception as error:
            self.failure = error
            return TransitionCallbackReturn.FAILURE
        return then(state)

    def _entities(self) -> list[tuple[Any, Callable[[Any], Any]]]:
        """Everything that the executor knows of this node, with what destroys it."""
        kinds: list[tuple[Iterable[Any], Callable[[Any], Any]]] = [
            (self.subscriptions, self.destroy_subscription),
            (self.publishers, self.destroy_lifecycle_publisher),
            (self.timers, self.destroy_timer),
            (self.services, self.destroy_service),
            (self.clients, self.destroy_client),
            (self.guards, self.destroy_guard_condition),
        ]
        return [(entity, destroy) for entities, destroy in kinds for entity in list(entities)]

    def _tear_down(self) -> None:
        self.end()
        for entity, destroy in self._entities():
            if entity not in self._own:
                destroy(entity)
        self._awaited.clear()

    def end(self) -> None:
        """Stop and close, as far as it is running."""
        was_active, was_configured = self.active, self.configured
        self.active = self.configured = False
        try:
            if was_active:
                self.stop()
        finally:
            if was_configured:
                self.close()

    def parameter(self, name: str, default: Any, description: str) -> Any:
        if self.has_parameter(name):
            return self.get_parameter(name).value
        return self.declare_parameter(name, default, ParameterDescriptor(description=description, read_only=True)).value

    def when_set(self, callback: Callable[[list[Any]], Any]) -> None:
        """Call `callback(parameters)` when some have been set; Humble only asks beforehand, once it found them good."""
        if hasattr(self, 'add_post_set_parameters_callback'):
            self.add_post_set_parameters_callback(callback)
        else:
            self.add_on_set_parameters_callback(callback)

    def every(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """A timer on steady time, so that a stopped /clock does not stop it."""
        return self.create_timer(period_s, callback, clock=STEADY)

    def publisher(self, message: type, topic: str, qos: Any) -> Publisher:
        """A publisher that counts towards readiness, and is silent while the node is not active."""
        publisher = self.create_lifecycle_publisher(message, topic, qos, event_callbacks=SILENT_PUBLISHER)
        awaited = {consumer for consumer in self.consumers.get(topic, ()) if consumer in (ANYBODY, *self.peers)}
        if awaited:
            self._awaited[publisher] = awaited
        return publisher

    def create_publisher(self, message: type, topic: str, qos: Any, **options: Any) -> Publisher:
        options.setdefault('event_callbacks', SILENT_PUBLISHER)
        return super().create_publisher(message, topic, qos, **options)

    def create_subscription(self, message: type, topic: str, callback: Any, qos: Any, **options: Any) -> Any:
        options.setdefault('event_callbacks', SILENT_SUBSCRIPTION)
        return super().create_subscription(message, topic, callback, qos, **options)

    def _find_incompatible(self) -> None:
        """Say so, and count it, when a publisher's quality of service keeps this node from hearing it."""
        offered: dict[str, list[Any]] = {}
        for subscription in self.subscriptions:
            offered.setdefault(subscription.topic_name, []).append(subscription.qos_profile)
        for topic, wanted in offered.items():
            for publisher in self.get_publishers_info_by_topic(topic):
                gid = tuple(publisher.endpoint_gid)
                deaf = all(_incompatible(publisher.qos_profile, qos) for qos in wanted)
                if deaf and gid not in self._incompatible:
                    self._incompatible.add(gid)
                    self.status.count('incompatible_publishers')
                    self.get_logger().error(
                        f'{publisher.node_name} offers another quality of service on {topic}: nothing of it arrives'
                    )

    def finish(self, exit_code: int = 0) -> None:
        """End the process after the current callback."""
        self.exit_code = exit_code

    def _look_around(self) -> None:
        if self.active and not self.ready:
            self._check_ready()
        if self.ready:
            self._readiness.cancel()

    def _check_ready(self) -> None:
        if not all(self._is_heard_by(publisher, awaited) for publisher, awaited in self._awaited.items()):
            return
        self.ready = True
        self.status.values['ready'] = True
        self.status.write()
        self._ready_publisher.publish(String(data=self.get_name()))

    def _is_heard_by(self, publisher: Publisher, awaited: set[str]) -> bool:
        """By name, because in a count who only listens stands for who is awaited; as matched, which no name tells."""
        if publisher.get_subscription_count() < len(awaited):
            return False
        listening = self.get_subscriptions_info_by_topic(publisher.topic_name)
        names = {info.node_name for info in listening if info.node_namespace == self.get_namespace()}
        return awaited <= names | {ANYBODY}

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray(status=[self.status.diagnostics(self.robot.name)])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def node_main(make_node: Callable[[], GraphNode]) -> NoReturn:
    """A node's process: spin it until it finishes, a signal comes or its parent is gone.

    The exit status is the node's own; a user's mistake is one line and status 2, and any other exception ends the
    process with its traceback, so that a broken callback is never a silent one.
    """
    try:
        code = _run_node(make_node)
    except UserError as error:
        sys.stderr.write(f'error: {error}\n')
        code = USER_ERROR_EXIT
    except Exception:
        traceback.print_exc()
        code = 1
    # What is left of the node keeps its participant, which leaves its shared memory behind if it is not destroyed.
    gc.unfreeze()
    gc.collect()
    sys.stdout.flush()
    sys.stderr.flush()
    # The interpreter's own ending stops for ever where a thread of Fast DDS or of a camera's driver is stuck.
    os._exit(code)


def _run_node(make_node: Callable[[], GraphNode]) -> int:
    die_with_parent()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # With rclpy's own handlers the context is gone before the last hold can be published.
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make_node()
        if node.autostart:
            node.trigger_configure()
            _raise(node.failure)
            node.trigger_activate()
        # What there is by now stays; a collector that looks through it again and again stops the loop for it.
        gc.collect()
        gc.freeze()
        try:
            _spin(node, stop)
        finally:
            node.end()
            node.status.take_stock()
            node.status.write()
            node.status.flush()
            _exit_if_stuck()
            # The others hear now that it has left, not when its lease ends.
            node.destroy_node()
        return node.exit_code or 0
    finally:
        _exit_if_stuck()
        rclpy.try_shutdown()


def _spin(node: GraphNode, stop: threading.Event) -> None:
    executor = QuietExecutor()
    executor.add_node(node)
    paced: PacedLoop | None = None
    sim_time = node.get_parameter('use_sim_time').value
    housekeeping_s = SIM_TIME_HOUSEKEEPING_S if sim_time else HOUSEKEEPING_S
    ticks = 0
    while not stop.is_set() and node.exit_code is None:
        _raise(node.failure)
        if node.tick_s is None or not node.configured:
            paced = None
            executor.spin_once(timeout_sec=SPIN_S)
            continue
        if paced is None:
            paced = PacedLoop(node.tick, node.tick_s)
        paced.step()
        ticks += 1
        if ticks * node.tick_s >= housekeeping_s:
            ticks = 0
            executor.spin_ready()


def _raise(failure: Exception | None) -> None:
    if failure is not None:
        raise failure


def _refuse_unknown_parameters(node: GraphNode) -> None:
    """rclpy passes over a misspelt parameter in silence, and a limit that was never set looks like one that was."""
    known = list(node._parameters)
    for name in node._parameter_overrides:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UserError(f'{node.get_name()}: unknown parameter {name!r}; the nearest is {nearest!r}')


def _incompatible(offered: QoSProfile, wanted: QoSProfile) -> bool:
    return qos_check_compatible(offered, wanted)[0] == QoSCompatibility.ERROR


def die_with_parent() -> None:
    """End with the command that started the graph, even if that was killed without warning."""
    expected = os.environ.get('HYBRID_RL_PARENT')
    if expected is None:
        return
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    parent = int(expected)

    def watch() -> None:
        # Where Python is stuck for good, no handler of its own runs. The kernel sends this thread's signal as well,
        # whose handler is alarm(2) itself: called with the signal's number, 12, it ends the process 12 s later.
        libc.signal(signal.SIGUSR2, ctypes.cast(libc.alarm, ctypes.c_void_p))
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGUSR2)
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_S)
        _exit_if_stuck()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _exit_if_stuck() -> None:
    """The process is gone STUCK_AFTER_S from now; its log says where it stood. A C thread, without Python's lock."""
    faulthandler.dump_traceback_later(STUCK_AFTER_S, exit=True)
