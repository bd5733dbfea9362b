"""The nodes that make up a run, from one configuration; started as processes, and none of them outlives this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.config_file import save_config, share_folder
from hybrid_rl_ros.control.arm_specs import arm_specs
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.teleop import make_teleop
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import USER_ERROR_EXIT, UserError
from hybrid_rl_ros.person_caller import PersonCaller
from hybrid_rl_ros.process_environment import STATIC_PEERS, node_environment
from hybrid_rl_ros.robot_config import load_robot
from hybrid_rl_ros.run_folder import read_json
from hybrid_rl_ros.shared_memory import free_abandoned
from hybrid_rl_ros.teleop_config import load_teleop

POLL_S = 0.1
STOP_WITHIN_S = 15.0
SIM_READY_WITHIN_S = 60.0
# Started before everything else, because the others give up on missing topics.
SIMULATIONS = ('sim_node', 'gazebo_node')
# robot: simulation, cameras, observation, safety gate. Two machines share a run as `no_learner` and `learner`: an arm
# whose policy runs beside it goes on when the link is cut.
PARTS = ('all', 'robot', 'no_robot', 'learner', 'no_learner')


@dataclass(frozen=True)
class NodeProcess:
    """One node of a run: its parameters, and its executable (hybrid_rl_ros.nodes.<it>) where that is not its name."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)
    executable: str = ''

    def command(self, run: Path, role: str, peers: list[str], namespace: str) -> list[str]:
        """The process's whole command line; by the module, so that it is the same however the package was installed."""
        executable = f'hybrid_rl_ros.nodes.{self.executable or self.name}'
        return [sys.executable, '-m', executable, *self.arguments(run, role, peers, namespace)]

    def arguments(self, run: Path, role: str, peers: list[str], namespace: str) -> list[str]:
        """The ROS arguments, as they stand on the process's command line."""
        parameters = {'run_dir': str(run), 'role': role, 'peers': f'[{", ".join(peers)}]', **self.parameters}
        arguments = ['--ros-args']
        for name, value in parameters.items():
            arguments += ['-p', f'{name}:={value}']
        if self.executable:
            arguments += ['-r', f'__node:={self.name}']
        if namespace:
            arguments += ['-r', f'__ns:=/{namespace.strip("/")}']
        return arguments


def nodes_of_run(
    config: Config,
    role: str,
    episodes: int = 0,
    expert: str | None = None,
    expert_noise: float = 0.0,
    keep: str = 'success',
    label: bool = False,
) -> list[NodeProcess]:
    """The one list of what runs together, in the order of starting. The last node that is `leading` ends the run.

    Recording without an expert, a person is the only one who acts; `keep` says which episodes are recorded, `label`
    that success ends none of them.
    """
    nodes = [NodeProcess('gazebo_node' if config.in_gazebo else 'sim_node')] if config.sim else []
    for name, camera in config.observation.cameras.items():
        if camera.source is not None:
            nodes.append(NodeProcess(f'camera_node_{name}', {'camera': name}, executable='camera_node'))
    if config.bag.write:
        _require_bag_libraries()
        nodes.append(NodeProcess('bag_node'))
    if role == 'train':
        nodes.append(NodeProcess('learner_node'))
    if role != 'record' or expert:
        source = 'expert' if expert else 'learner' if role == 'train' else 'file'
        noise = {'expert_noise': float(expert_noise)} if expert else {}
        nodes.append(NodeProcess('inference_node', {'source': source, **noise}))
    if config.teleop.device is not None and role != 'eval' and not expert:
        terminal = _terminal()
        nodes.append(NodeProcess('teleop_node', {'terminal': terminal} if terminal else {}))
    recording = {'keep': keep} if role == 'record' else {}
    nodes += [
        NodeProcess('observation_node'),
        NodeProcess('safety_node'),
        NodeProcess('recorder_node', {**({'episodes': episodes} if episodes else {}), **recording}),
        NodeProcess('reward_reset_node', {'label': 'true'} if label else {}),
    ]
    return [replace(node, parameters={**node.parameters, **_clock(config)}) for node in nodes]


def _clock(config: Config) -> dict[str, str]:
    """Gazebo's sensors carry its own time."""
    return {'use_sim_time': 'true'} if config.in_gazebo else {}


def nodes_of_part(nodes: list[NodeProcess], part: str) -> list[NodeProcess]:
    """Those of a run's nodes that this machine, or this launch file, starts; see PARTS."""
    robot = (*SIMULATIONS, 'camera_node', 'observation_node', 'safety_node')
    chosen = {
        'all': lambda name: True,
        'robot': lambda name: name in robot,
        'no_robot': lambda name: name not in robot,
        'learner': lambda name: name == 'learner_node',
        'no_learner': lambda name: name != 'learner_node',
    }[part]
    return [node for node in nodes if chosen(node.executable or node.name)]


def _terminal() -> str:
    """The terminal that this command was typed in, for keys; '' if there is none."""
    try:
        return os.ttyname(sys.stdin.fileno())
    except (OSError, ValueError):
        return ''


def require_teleop_fits(config: Config, specs: Specs) -> None:
    """Raises UserError for a device that is not known, or that does not go with the run."""
    if config.teleop.device is None:
        return
    mapping = load_teleop(config.teleop.device)
    why = ''
    if mapping.device == 'expert':
        why = '' if config.sim else 'its script knows a simulation only, and sim is null'
    elif config.clock == 'lockstep':
        why = 'a person needs real time; add --set clock=realtime'
    elif mapping.device == 'keyboard' and not _terminal():
        why = 'needs a terminal to type in, and this is none; use a gamepad'
    else:
        try:
            make_teleop(mapping, specs.action, config.action)
        except UserError as error:
            why = str(error)
    if why:
        raise UserError(f'teleop device {config.teleop.device}: {why}')


def _require_bag_libraries() -> None:
    for name in ('mcap', 'rosbags'):
        if find_spec(name) is None:
            raise UserError(f"bag.write: needs {name}; install it with pip install 'hybrid_rl_ros[data]'")


def resolve_specs(config: Config) -> Specs:
    """Specs of the configuration's robot, or of its gymnasium environment. Raises UserError."""
    if config.sim is not None and config.sim.backend == 'gymnasium':
        from hybrid_rl_ros.sim.gymnasium_backend import gymnasium_specs

        specs = gymnasium_specs(config)
    else:
        robot = load_robot(config.robot)
        specs = arm_specs(config, robot, ArmKinematics(robot))
    return specs.model_copy(update={'noise_steps': config.noise_steps})


def prepare_run(run: Path, config: Config, specs: Specs) -> None:
    """Write config.yaml and specs.json, which every node reads. Raises UserError."""
    try:
        run.mkdir(parents=True, exist_ok=True)
        save_config(config, run / 'config.yaml')
        (run / 'specs.json').write_text(specs.model_dump_json(indent=1))
    except OSError as error:
        raise UserError(f'{run}: cannot be written: {error.strerror}') from None


class Bringup:
    """Starts the nodes of one run, watches them, and brings them down in the reverse order.

    `peers`: all nodes of the run, where some of them are started on another machine.
    """

    def __init__(
        self, config: Config, run: Path, role: str, nodes: list[NodeProcess], peers: list[NodeProcess] | None = None
    ) -> None:
        self._config, self._run, self._role, self._nodes = config, run, role, nodes
        self._peers = [peer.name for peer in peers or nodes]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._told_of_learner = False

    def start(self) -> None:
        """Start every node, and wait for the simulation before the others."""
        (self._run / 'logs').mkdir(exist_ok=True)
        forget_status(self._run, self._nodes)
        free_abandoned()
        for node in self._nodes:
            self._start(node)
            if node.name in SIMULATIONS:
                self._wait_for_status(node.name)

    def _start(self, node: NodeProcess) -> None:
        command = node.command(self._run.resolve(), self._role, self._peers, self._config.namespace)
        environment = environment_of(node.name, self._config)
        with open(self._run / 'logs' / f'{node.name}.log', 'ab') as log:
            # A session of its own: Ctrl-C reaches only this process, which then stops the nodes in order.
            self._processes[node.name] = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
            )

    def _wait_for_status(self, name: str) -> None:
        deadline = time.monotonic() + SIM_READY_WITHIN_S
        while not is_up(self._run, name):
            self.check()
            if time.monotonic() > deadline:
                why = node_status(self._run, name).get('warning') or f'see {self._run}/logs/{name}.log'
                raise UserError(f'{name} was not up within {SIM_READY_WITHIN_S:g} s: {why}')
            time.sleep(POLL_S / 2)

    def process(self, name: str) -> subprocess.Popen[bytes]:
        return self._processes[name]

    def check(self) -> bool:
        """True once the run's leading node has ended well.

        Raises UserError with a node's own line if it stopped for the user's mistake, or with where to look if it died.
        """
        for name, process in self._processes.items():
            code = process.poll()
            if code is None:
                continue
            outcome = outcome_of(name, code, self._config, self._run, self._role)
            if outcome == 'run done':
                return True
            if outcome == 'run goes on':
                self._tell_of_learner(name, code)
                continue
            log = self._run / 'logs' / f'{name}.log'
            if code == USER_ERROR_EXIT:
                raise UserError(_last_error(log))
            how = how_it_died(name, code, self._run, self._role)
            raise RunFailedError(f'{how}. Its log: {log}{call_about(how, self._config, self._role)}')
        return False

    def _tell_of_learner(self, name: str, code: int) -> None:
        """The arm goes on, but nothing is learned any more: a night may be lost by it."""
        if name == 'learner_node' and not self._told_of_learner:
            self._told_of_learner = True
            how = how_learner_was_lost(code, self._run)
            print(how + call_about(how, self._config, self._role), file=sys.stderr)

    @property
    def learner_lost(self) -> bool:
        return self._lost('learner_node')

    @property
    def bag_lost(self) -> bool:
        return self._lost('bag_node')

    def _lost(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and process.poll() not in (None, 0)

    def stop(self) -> None:
        """SIGTERM in the reverse order of starting, so that the arm is told to hold while its driver still listens."""
        alive = [p for p in reversed(self._processes.values()) if p.poll() is None]
        for process in alive:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        deadline = time.monotonic() + STOP_WITHIN_S
        for process in alive:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment_of(node: str, config: Config) -> dict[str, str]:
    """Of its process. Shared memory is for images alone (config/fastdds_udp.xml says why); a bag may have any."""
    images = (bool(config.observation.cameras) and node != 'teleop_node') or node == 'bag_node'
    # Whom rmw_fastrtps tells of other machines it gives shared memory too. They all speak to the gate by themselves.
    shared_memory = node != 'safety_node' and (images or bool(os.environ.get(STATIC_PEERS)))
    return node_environment(share_folder('config') / 'fastdds.xml', config.train.torch_threads, shared_memory)


def forget_status(run: Path, nodes: list[NodeProcess]) -> None:
    """What these nodes said of themselves in an earlier graph must not be read as of this one."""
    for node in nodes:
        (run / 'status' / f'{node.name}.json').unlink(missing_ok=True)


def is_up(run: Path, simulation: str) -> bool:
    """Whether the simulation publishes what the others listen to."""
    status = node_status(run, simulation)
    return bool(status) and bool(status.get('up', True))


def outcome_of(
    name: str, code: int, config: Config, run: Path, role: str
) -> Literal['run done', 'run goes on', 'run failed']:
    """What it means for the run that the process of node `name` has ended with `code`.

    In real time a dead learner is no reason to stop: the arm goes on with the last weights. Nor is a bag_node that
    dies on the way: nothing depends on it.
    """
    if code == 0 and name == ('learner_node' if role == 'train' else 'recorder_node'):
        return 'run done'
    if code != USER_ERROR_EXIT and name == 'learner_node' and config.clock == 'realtime':
        return 'run goes on'
    if code != USER_ERROR_EXIT and name == 'bag_node' and node_status(run, name).get('ready'):
        return 'run goes on'
    return 'run failed'


def how_it_ended(name: str, code: int) -> str:
    return f'{name} was killed by {signal.Signals(-code).name}' if code < 0 else f'{name} ended with status {code}'


def how_it_died(name: str, code: int, run: Path, role: str) -> str:
    go_on = f'; go on with: hybrid-rl train --resume --run {run}' if role == 'train' else ''
    return f'{how_it_ended(name, code)}; the arm holds{go_on}'


def how_learner_was_lost(code: int, run: Path) -> str:
    mend = f'stop, then: hybrid-rl train --resume --run {run}'
    return f'{how_it_ended("learner_node", code)}; the arm goes on with the last weights; {mend}'


def call_about(how: str, config: Config, role: str) -> str:
    """Call a person where a node of a training died; why the command could not be started, or ''."""
    if role != 'train':
        return ''
    caller = PersonCaller(config.reset.call, 0.0)
    caller.call(how)
    complaint = caller.complaint()
    return f'. {complaint}' if complaint else ''


class RunFailedError(Exception):
    """A node died; the run ended early and can be resumed. Exit status 1."""


@contextmanager
def running(bringup: Bringup) -> Iterator[Bringup]:
    """The graph is up inside the block and down after it, whatever happens in between."""
    try:
        bringup.start()
        yield bringup
    finally:
        bringup.stop()


def run_graph(
    config: Config, run: Path, role: str, nodes: list[NodeProcess], on_poll: Callable[[Bringup], None]
) -> None:
    """Run one graph to its end; `on_poll` is called several times a second. Raises UserError or RunFailedError."""
    with running(Bringup(config, run, role, nodes)) as bringup:
        while not bringup.check():
            on_poll(bringup)
            time.sleep(POLL_S)


def node_status(run: Path, name: str) -> dict[str, Any]:
    return read_json(run / 'status' / f'{name}.json')


def _last_error(log: Path) -> str:
    lines = [line for line in log.read_text(errors='replace').splitlines() if line.startswith('error: ')]
    return lines[-1].removeprefix('error: ') if lines else f'a node stopped; see {log}'
