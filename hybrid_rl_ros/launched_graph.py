"""The nodes of one run as launch actions: started, watched and brought down as bringup.py does it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescriptionEntity
from launch.actions import EmitEvent, LogInfo, OpaqueFunction, Shutdown, TimerAction
from launch.events import matches_action
from launch.events.process import ProcessExited, SignalProcess
from launch_ros.actions import Node

from hybrid_rl_ros.bringup import (
    POLL_S,
    SIM_READY_WITHIN_S,
    SIMULATIONS,
    STOP_WITHIN_S,
    NodeProcess,
    RunFailedError,
    call_about,
    environment_of,
    forget_status,
    how_it_died,
    how_learner_was_lost,
    is_up,
    node_status,
    outcome_of,
)
from hybrid_rl_ros.config import Config
from hybrid_rl_ros.display import Rates, progress, progress_line
from hybrid_rl_ros.errors import USER_ERROR_EXIT
from hybrid_rl_ros.shared_memory import free_abandoned

PROGRESS_EVERY_S = 5.0
RESPAWN_AFTER_S = 2.0
MOST_RESPAWNS = 3

Actions = list[LaunchDescriptionEntity]


class LaunchedGraph:
    """`nodes` of a run, of which `peers` are all, wherever they are started.

    `after`: what follows a run's good end. `after_failure` and `after_stop` are called once the last node is down,
    after a failure and where launch is shut down (Ctrl-C) before the end.

    The simulation comes up before the others. A node that ends for good ends them all: SIGTERM in the reverse order, so
    that the gate tells the arm to hold while its driver listens, and launch then ends with status 1. Only the learner
    of a real-time run is started again (MOST_RESPAWNS times): it goes on from its store, and meanwhile the arm acts on
    the last weights. A gate that died is never restarted: why it died is for a person to find out.

    `launch` has a respawn of its own, but that also restarts what has ended well.
    """

    def __init__(
        self,
        config: Config,
        run: Path,
        role: str,
        nodes: list[NodeProcess],
        peers: list[NodeProcess],
        after: Callable[[], Actions] = lambda: [Shutdown(reason='the run is done')],
        after_failure: Callable[[], None] = lambda: None,
        after_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._config, self._run, self._role, self._nodes = config, run, role, nodes
        self._peers = [peer.name for peer in peers]
        self._after, self._after_failure, self._after_stop = after, after_failure, after_stop
        self._alive: dict[str, Node] = {}
        self._lost: set[str] = set()
        self._respawns = 0
        self._ending = False
        self._failure = ''
        self._rates = Rates()

    @property
    def learner_lost(self) -> bool:
        return 'learner_node' in self._lost

    @property
    def bag_lost(self) -> bool:
        return 'bag_node' in self._lost

    def actions(self) -> Actions:
        """What brings the graph up."""
        forget_status(self._run, self._nodes)
        free_abandoned()
        first, rest = self._nodes[:1], self._nodes[1:]
        if not (first and first[0].name in SIMULATIONS and rest):
            return [*map(self._start, self._nodes), self._tell()]
        deadline = time.monotonic() + SIM_READY_WITHIN_S
        return [
            self._start(first[0]),
            self._soon(partial(self._start_rest, first[0].name, rest, deadline)),
            self._tell(),
        ]

    def required(self, name: str) -> Callable[[ProcessExited, LaunchContext], Actions | None]:
        """For on_exit of a process beside the nodes without which they are nothing: its end is that of the run."""
        return partial(self._on_required_exit, name)

    def _on_required_exit(self, name: str, event: ProcessExited, context: LaunchContext) -> Actions | None:
        if context.is_shutdown:
            return None
        failure = how_it_died(name, event.returncode, self._run, self._role)
        if self._ending and self._alive:
            # What follows a good end, such as the evaluation, needs it too.
            self._failure = self._failure or failure
            return [LogInfo(msg=failure)]
        return self._end(failure + call_about(failure, self._config, self._role))

    def _start(self, node: NodeProcess) -> Node:
        command = node.command(self._run.resolve(), self._role, self._peers, self._config.namespace)
        action = Node(
            executable=command[0],
            arguments=command[1:],
            exec_name=node.name,
            output='both',
            additional_env=environment_of(node.name, self._config),
            sigterm_timeout=str(STOP_WITHIN_S),
            on_exit=partial(self._on_exit, node),
        )
        self._alive[node.name] = action
        self._lost.discard(node.name)
        return action

    def _start_rest(self, simulation: str, rest: list[NodeProcess], deadline: float, context: LaunchContext) -> Actions:
        # launch starts nothing any more, and nothing may wait for the exit of what was never started.
        if self._ending or context.is_shutdown:
            return []
        if is_up(self._run, simulation):
            return [*map(self._start, rest)]
        if time.monotonic() > deadline:
            why = node_status(self._run, simulation).get('warning', '')
            return self._end(f'{simulation} was not up within {SIM_READY_WITHIN_S:g} s; {why}')
        return [self._soon(partial(self._start_rest, simulation, rest, deadline))]

    def _on_exit(self, node: NodeProcess, event: ProcessExited, context: LaunchContext) -> Actions | None:
        self._alive.pop(node.name, None)
        if context.is_shutdown:
            return self._stop_if_down()
        if self._ending:
            return self._finish_if_down()
        outcome = outcome_of(node.name, event.returncode, self._config, self._run, self._role)
        if outcome == 'run done':
            return self._end('')
        if outcome == 'run failed':
            how = how_it_died(node.name, event.returncode, self._run, self._role)
            if event.returncode != USER_ERROR_EXIT:
                how += call_about(how, self._config, self._role)
            return self._end(how)
        self._lost.add(node.name)
        if node.name == 'learner_node' and self._respawns < MOST_RESPAWNS:
            self._respawns += 1
            again = OpaqueFunction(function=lambda now: [] if self._ending or now.is_shutdown else [self._start(node)])
            return [TimerAction(period=RESPAWN_AFTER_S, actions=[again])]
        if node.name == 'learner_node':
            how = how_learner_was_lost(event.returncode, self._run)
            return [LogInfo(msg=how + call_about(how, self._config, self._role))]
        return None

    def _end(self, failure: str) -> Actions:
        """Bring down what is up, in order; `failure` is why, or '' for a run that is done."""
        self._ending, self._failure = True, failure
        kill = OpaqueFunction(function=lambda _: self._signal(signal.SIGKILL))
        return [
            *([LogInfo(msg=f'{failure}; bringing the rest down')] if failure else []),
            *self._signal(signal.SIGTERM),
            TimerAction(period=STOP_WITHIN_S, actions=[kill]),
            *self._finish_if_down(),
        ]

    def _signal(self, number: signal.Signals) -> Actions:
        actions = reversed(self._alive.values())
        return [EmitEvent(event=_signal_to(action, number)) for action in actions]

    def _finish_if_down(self) -> Actions:
        if self._alive:
            return []
        if not self._failure:
            return self._after()
        self._after_failure()
        return [OpaqueFunction(function=self._fail)]

    def _stop_if_down(self) -> Actions:
        """Launch is shut down: every node has been told to end, and what they leave behind is taken after the last."""
        if self._alive:
            return []
        if self._failure:
            return self._finish_if_down()
        self._after_stop()
        return []

    def _fail(self, _: LaunchContext) -> None:
        """launch's exit status is 1 only if something raises."""
        raise RunFailedError(self._failure)

    def _tell(self) -> TimerAction:
        """A line on how the run does, every few seconds."""

        def tell(_: LaunchContext) -> Actions:
            facts = progress(self._run, self._config, self._role, self._rates, self)
            return [] if self._ending else [LogInfo(msg=progress_line(self._role, facts)), self._tell()]

        return TimerAction(period=PROGRESS_EVERY_S, actions=[OpaqueFunction(function=tell)])

    @staticmethod
    def _soon(act: Callable[[LaunchContext], Actions]) -> TimerAction:
        return TimerAction(period=POLL_S, actions=[OpaqueFunction(function=act)])


def _signal_to(action: Node, number: signal.Signals) -> Any:
    return SignalProcess(signal_number=number, process_matcher=matches_action(action))
