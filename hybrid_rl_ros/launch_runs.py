"""What the launch files of launch/ share: their arguments, and the run that each makes of them."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from launch import LaunchContext
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration

from hybrid_rl_ros.bringup import PARTS, RunFailedError, nodes_of_part, nodes_of_run
from hybrid_rl_ros.config import Config
from hybrid_rl_ros.config_file import share_folder
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.launched_graph import Actions, LaunchedGraph
from hybrid_rl_ros.process_environment import node_environment, profile_variables
from hybrid_rl_ros.recording import begin_recording, finish_recording, take_recording
from hybrid_rl_ros.runs import (
    begin_evaluation,
    begin_training,
    done_without_steps,
    finish_evaluation,
    needs_pretraining,
    pretraining_command,
    write_summary,
)

BOOLEAN = ['true', 'false']
TASKS = ['reach', 'push', 'lift', 'peg_insert']
TRANSPORT = ('RMW_IMPLEMENTATION', 'ROS_AUTOMATIC_DISCOVERY_RANGE')
STOP_EVALUATION_WITHIN_S = 30


def argument(name: str, description: str, default: str | None = '', choices: list[str] | None = None) -> Any:
    """A launch argument; `default` None makes it one that must be given."""
    return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)


def headless_argument() -> Any:
    default = 'false' if os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY') else 'true'
    return argument('headless', 'no windows; the default where there is no display', default, BOOLEAN)


def set_argument() -> Any:
    return argument('set', 'changes to the configuration, such as "seed=2 \'sac.hidden=[64, 64]\'"')


def config_argument(default: str | None = None) -> Any:
    return argument('config', 'the run: a path, or a file of config/ by its name', default)


def training_arguments() -> list[Any]:
    return [
        argument('run', 'run folder (default: runs/<task>-<agent>-seed<n>)'),
        argument('resume', 'go on with the run in `run`', 'false', BOOLEAN),
        set_argument(),
        part_argument(),
    ]


def part_argument(default: str = 'all', choices: list[str] | None = None) -> Any:
    what = 'which nodes to start here: all; robot (simulation, cameras, observation, safety) and no_robot; '
    return argument('part', what + 'no_learner and learner, for two machines', default, choices or list(PARTS))


def value(context: LaunchContext, name: str) -> str:
    return str(LaunchConfiguration(name).perform(context))


def ros_environment() -> dict[str, str]:
    """What a ROS program that is not ours needs to find the nodes; what the user has set stays.

    Not all that a node gets: our Python path may hide the modules of a program of the system.
    """
    whole = node_environment(share_folder('config') / 'fastdds.xml', threads=1)
    return {name: whole[name] for name in (*profile_variables(), *TRANSPORT)}


def is_true(context: LaunchContext, name: str) -> bool:
    return value(context, name) == 'true'


def config_path(name_or_path: str) -> Path:
    """A path as it is, or a file of config/ by its name. Raises UserError."""
    if not name_or_path:
        raise UserError('config: give the file of a run, such as config:=sim_reach_state')
    path = Path(name_or_path)
    if path.suffix in ('.yaml', '.yml'):
        return path
    return share_folder('config') / f'{name_or_path}.yaml'


def overrides(context: LaunchContext) -> list[str]:
    try:
        return shlex.split(value(context, 'set'))
    except ValueError as error:
        raise UserError(f'set: {value(context, "set")!r}: {error}') from None


def train(context: LaunchContext, part: str | None = None) -> Actions:
    """Pretrain where that is needed, train, evaluate."""
    return training(context, part)[1]


def training(context: LaunchContext, part: str | None = None) -> tuple[LaunchedGraph, Actions]:
    """The graph of a run, and what brings it up: with what has to be learned before it, and the evaluation after it."""
    resume, run = is_true(context, 'resume'), Path(value(context, 'run')) if value(context, 'run') else None
    path = None if resume else config_path(value(context, 'config'))
    config, run, _ = begin_training(path, overrides(context), run, resume)
    part = part or value(context, 'part')
    if config.is_cloned and part not in ('all', 'robot'):
        raise UserError(f'part: agent {config.agent} is trained without a graph, so there are no parts; leave it out')
    peers = nodes_of_run(config, 'train')

    def after() -> Actions:
        if config.eval.episodes and part == 'all':
            return [_evaluation(run, config.eval.episodes)]
        write_summary(config, run)
        return [*_why_not_evaluated(config, run, part), Shutdown(reason='the run is done')]

    def learn() -> Actions:
        return after() if done_without_steps(config, run) else graph.actions()

    graph = LaunchedGraph(config, run, 'train', nodes_of_part(peers, part), peers, after)
    if part == 'robot':
        return graph, graph.actions()
    if part != 'no_learner' and needs_pretraining(config, run):
        return graph, [_pretraining(config, run, learn)]
    return graph, learn()


def _why_not_evaluated(config: Config, run: Path, part: str) -> Actions:
    if not config.eval.episodes:
        return []
    command = f'ros2 launch hybrid_rl_ros eval.launch.py run:={run} episodes:={config.eval.episodes}'
    return [LogInfo(msg=f'not evaluated, because part:={part} is not all of it; stop the other part, then: {command}')]


def _pretraining(config: Config, run: Path, then: Callable[[], Actions]) -> ExecuteProcess:
    def on_exit(event: ProcessExited, context: LaunchContext) -> Actions | None:
        if context.is_shutdown:
            return None
        return then() if event.returncode == 0 else [failure('pretraining failed')]

    command, environment = pretraining_command(config, run)
    return ExecuteProcess(cmd=command, name='pretrain', output='both', additional_env=environment, on_exit=on_exit)


def _evaluation(run: Path, episodes: int) -> ExecuteProcess:
    def on_exit(event: ProcessExited, context: LaunchContext) -> Actions | None:
        if context.is_shutdown:
            return None
        return [failure('the evaluation failed') if event.returncode else Shutdown(reason='the run is done')]

    command = [sys.executable, '-m', 'hybrid_rl_ros.cli', 'eval', '--run', str(run), '--episodes', str(episodes)]
    stop_within = str(STOP_EVALUATION_WITHIN_S)
    return ExecuteProcess(cmd=command, name='eval', output='both', sigterm_timeout=stop_within, on_exit=on_exit)


def failure(what: str) -> OpaqueFunction:
    """Ends the launch with status 1."""

    def fail(_: LaunchContext) -> None:
        raise RunFailedError(what)

    return OpaqueFunction(function=fail)


def evaluate(context: LaunchContext) -> Actions:
    """Fresh episodes with a run's policy."""
    run, episodes, best = Path(value(context, 'run')), whole_number(context, 'episodes'), is_true(context, 'best')
    config, folder = begin_evaluation(run, overrides(context), best)
    peers = nodes_of_run(config, 'eval', episodes=episodes)

    def after() -> Actions:
        finish_evaluation(config, run, folder, best)
        return [Shutdown(reason='the evaluation is done')]

    nodes = nodes_of_part(peers, value(context, 'part'))
    return LaunchedGraph(config, folder, 'eval', nodes, peers, after).actions()


def record(context: LaunchContext) -> Actions:
    """Demonstrations of a scripted expert or of a person."""
    expert, teleop = value(context, 'expert'), value(context, 'teleop')
    if bool(expert) == bool(teleop):
        raise UserError('name who acts: expert:=TASK for a scripted expert, or teleop:=DEVICE for a person')
    changes = overrides(context) + ([f'teleop.device={teleop}'] if teleop else [])
    out, label = Path(value(context, 'out')), is_true(context, 'label')
    keep = 'all' if label else value(context, 'keep')
    episodes, noise = whole_number(context, 'episodes'), _fraction(context, 'noise')
    config, work = begin_recording(config_path(value(context, 'config')), changes, out, expert or None)
    nodes = nodes_of_run(config, 'record', episodes, expert or None, noise, keep, label)

    def after() -> Actions:
        finish_recording(work, out, keep)
        return [Shutdown(reason='the recording is done')]

    # After a failure the folder stays: its message names a log there.
    after_failure, after_stop = partial(take_recording, work, out, keep), partial(finish_recording, work, out, keep)
    return LaunchedGraph(config, work, 'record', nodes, nodes, after, after_failure, after_stop).actions()


def whole_number(context: LaunchContext, name: str, most: int | None = None) -> int:
    """The argument `name`, if that is what it is. Raises UserError."""
    text = value(context, name)
    if not text.isdecimal() or int(text) < 1 or (most is not None and int(text) > most):
        upto = f', {most} at most' if most is not None else ''
        raise UserError(f'{name}: expected a whole number above 0{upto}, got {text!r}')
    return int(text)


def _fraction(context: LaunchContext, name: str) -> float:
    text = value(context, name)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 <= number <= 1.0:
        raise UserError(f'{name}: expected a fraction of the action range, 0 to 1, got {text!r}')
    return number


def simulate(context: LaunchContext) -> Actions:
    """Train in MuJoCo: the configuration of the task where none is named."""
    if not value(context, 'config') and not is_true(context, 'resume'):
        context.launch_configurations['config'] = sim_config(value(context, 'task'))
    return train(context)


def sim_config(task: str) -> str:
    return 'sim_reach_state' if task == 'reach' else f'sim_{task}'
