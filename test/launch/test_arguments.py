"""Every launch file: its arguments, and that it starts what bringup.py lists."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from launch import LaunchContext
from launch.utilities import perform_substitutions
from resolving import FILES, command, declared, pretend_installed, processes
from waiting import wait_for

from hybrid_rl_ros.bringup import NodeProcess, nodes_of_run
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.launched_graph import MOST_RESPAWNS, LaunchedGraph

CONFIG = Path(__file__).parents[2] / 'config'
REACH = str(CONFIG / 'sim_reach_state.yaml')
ROBOT = ['sim_node', 'observation_node', 'safety_node']


@pytest.fixture
def simulation_is_up(monkeypatch) -> None:
    """The others are started once the simulation has said something of itself."""
    monkeypatch.setattr('hybrid_rl_ros.launched_graph.is_up', lambda run, simulation: True)


def expected(
    config, run: Path, role: str, nodes: list[NodeProcess], chosen: list[str] | None = None
) -> list[list[str]]:
    peers = [node.name for node in nodes]
    mine = [node for node in nodes if chosen is None or node.name in chosen]
    # launch_ros ends every node's command with room for its own arguments.
    return [[*node.command(run.resolve(), role, peers, config.namespace), '--ros-args'] for node in mine]


@pytest.mark.parametrize('name', [file.name.removesuffix('.launch.py') for file in FILES])
def test_every_argument_is_described_and_its_default_is_one_of_its_choices(name):
    arguments = declared(name)
    assert arguments, 'a launch file without arguments'
    for argument in arguments:
        assert argument.description and argument.description != 'no description given', argument.name
        if argument.choices and argument.default_value is not None:
            assert perform_substitutions(LaunchContext(), argument.default_value) in argument.choices


def test_the_launch_files_are_those_that_the_documentation_names():
    names = {file.name.removesuffix('.launch.py') for file in FILES}
    assert names == {'robot', 'train', 'eval', 'record', 'sim', 'gazebo', 'tools'}


@pytest.mark.parametrize('clock', ['lockstep', 'realtime'])
def test_training_starts_the_processes_of_bringup(tmp_path, simulation_is_up, clock):
    run = tmp_path / 'run'
    started = processes('train', config=REACH, run=str(run), set=f'clock={clock} bag.write=true')
    config = load_config(run / 'config.yaml')
    assert config.clock == clock
    assert [command(p) for p in started] == expected(config, run, 'train', nodes_of_run(config, 'train'))


def test_a_learner_that_died_once_too_often_calls_a_person_and_the_arm_goes_on(tmp_path):
    told = tmp_path / 'told'
    config = load_config(REACH, ['clock=realtime', f'reset.call=[touch, {told}]'])
    graph = LaunchedGraph(config, tmp_path, 'train', [], [])
    died, runs = SimpleNamespace(returncode=-9), SimpleNamespace(is_shutdown=False)
    for _ in range(MOST_RESPAWNS):
        assert graph._on_exit(NodeProcess('learner_node'), died, runs) and not told.exists()
    (said,) = graph._on_exit(NodeProcess('learner_node'), died, runs)
    text = perform_substitutions(LaunchContext(), said.msg)
    assert text.startswith('learner_node was killed by SIGKILL; the arm goes on with the last weights; stop, then')
    wait_for(told.exists)


def test_sim_launch_takes_the_configuration_of_the_task(tmp_path, simulation_is_up):
    for task, name in (('reach', 'sim_reach_state'), ('lift', 'sim_lift')):
        run = tmp_path / task
        started = processes('sim', task=task, run=str(run), headless='true')
        config = load_config(CONFIG / f'{name}.yaml')
        assert [command(p) for p in started] == expected(config, run, 'train', nodes_of_run(config, 'train'))


def test_the_parts_of_two_machines_make_the_whole(tmp_path, simulation_is_up):
    config = load_config(REACH, ['clock=realtime'])
    nodes = nodes_of_run(config, 'train')
    parts = {'no_learner': [n.name for n in nodes if n.name != 'learner_node'], 'learner': ['learner_node']}
    parts |= {'robot': ROBOT, 'no_robot': [n.name for n in nodes if n.name not in ROBOT]}
    for part, names in parts.items():
        run = tmp_path / part
        started = processes('train', config=REACH, run=str(run), set='clock=realtime', part=part)
        assert [command(p) for p in started] == expected(config, run, 'train', nodes, names)


def test_robot_launch_starts_the_cameras_the_observation_and_the_gate(tmp_path):
    settings = 'clock=realtime sim=null observation.state=[ee.x] reward.shaping={} ' + (
        "'observation.cameras={front: {source: {uri: /dev/video0}}, wrist: {}}'"
    )
    run = tmp_path / 'run'
    started = processes('robot', config=REACH, run=str(run), set=settings)
    config = load_config(run / 'config.yaml')
    chosen = ['camera_node_front', 'observation_node', 'safety_node']
    assert [command(p) for p in started] == expected(config, run, 'train', nodes_of_run(config, 'train'), chosen)


def test_an_evaluation_starts_the_processes_of_bringup(tmp_path, simulation_is_up):
    processes('train', config=REACH, run=str(tmp_path))
    (tmp_path / 'policy.safetensors').write_bytes(b'')
    started = processes('eval', run=str(tmp_path), episodes='7', set='seed=3')
    config = load_config(REACH, ['seed=3'])
    nodes = nodes_of_run(config, 'eval', episodes=7)
    assert [command(p) for p in started] == expected(config, tmp_path / 'eval', 'eval', nodes)


def test_a_recording_starts_the_processes_of_bringup(tmp_path, simulation_is_up):
    given = {'episodes': '4', 'expert': 'lift', 'noise': '0.1', 'keep': 'all'}
    started = processes('record', config='sim_lift', out=str(tmp_path / 'demos'), **given)
    config = load_config(CONFIG / 'sim_lift.yaml')
    nodes = nodes_of_run(config, 'record', 4, 'lift', 0.1, 'all')
    assert [command(p) for p in started] == expected(config, tmp_path / 'demos.recording', 'record', nodes)


def test_demonstrations_are_learned_from_before_the_graph_comes_up(tmp_path, simulation_is_up):
    settings = f'demos={tmp_path} observation.cameras={{}}'
    with pytest.raises(UserError, match='holds no|no replay store'):
        processes('train', config=REACH, run=str(tmp_path / 'run'), set=settings)


def test_a_cloned_agent_has_no_parts_and_the_robot_can_be_looked_at(tmp_path, simulation_is_up):
    """By its configuration: base is cloned as bc is."""
    given = {'config': REACH, 'set': 'agent=base base.file=policy.yaml'}
    with pytest.raises(UserError, match='part: agent base is trained without a graph'):
        processes('train', run=str(tmp_path / 'run'), part='no_robot', **given)
    started = [command(process)[2] for process in processes('train', run=str(tmp_path / 'run'), part='all', **given)]
    assert started == ['hybrid_rl_ros.learning.pretrain']
    started = [command(process)[2] for process in processes('robot', run=str(tmp_path / 'run'), **given)]
    assert started == [f'hybrid_rl_ros.nodes.{name}' for name in ROBOT]


def test_the_tools_are_chosen_one_by_one():
    assert [command(p)[-2:] for p in processes('tools', foxglove='false', plotjuggler='false')] == []


def test_a_tool_that_is_not_installed_is_one_line_and_one_that_is_starts(tmp_path, monkeypatch):
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))
    for package in ('rqt_runtime_monitor', 'rqt_image_view', 'rqt_service_caller'):
        pretend_installed(tmp_path, package)
    said = (
        'rqt:=true needs rqt_gui, rqt_plot: apt install ros-.ROS_DISTRO-rqt-gui ros-.ROS_DISTRO-rqt-plot, or leave it'
    )
    with pytest.raises(UserError, match=said):
        processes('tools', foxglove='false', rqt='true')
    pretend_installed(tmp_path, 'rqt_plot')
    program = pretend_installed(tmp_path, 'rqt_gui')
    (window,) = processes('tools', foxglove='false', rqt='true')
    started = command(window)
    assert started[0] == str(program) and started[1] == '--perspective-file' and Path(started[2]).is_file()


@pytest.mark.parametrize(
    ('name', 'given', 'sentence'),
    [
        ('train', {}, 'give the file of a run'),
        ('train', {'config': 'sim_nothing'}, 'no such file'),
        ('train', {'config': REACH, 'set': "seed='2"}, 'No closing quotation'),
        ('train', {'config': REACH, 'set': 'sede=2'}, "the nearest valid key is 'seed'"),
        ('eval', {'run': '/nowhere'}, 'no run here'),
        ('record', {'config': REACH, 'out': 'x'}, 'name who acts'),
        ('train', {'config': REACH, 'set': '"reward.success={source: nowhere:See}"'}, "no module 'nowhere'"),
        ('record', {'config': REACH, 'out': 'x', 'expert': 'reach', 'episodes': 'many'}, 'above 0'),
        ('record', {'config': REACH, 'out': 'x', 'expert': 'reach', 'noise': 'abc'}, "noise: .* 0 to 1, got 'abc'"),
        ('record', {'config': REACH, 'out': 'x', 'expert': 'reach', 'noise': 'nan'}, "noise: .* 0 to 1, got 'nan'"),
        ('tools', {'port': 'x'}, "port: expected a whole number above 0, 65535 at most, got 'x'"),
        ('tools', {'port': '65536'}, '65535 at most'),
    ],
)
def test_a_mistake_is_one_line(name, given, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence) as mistake:
        processes(name, **given)
    assert '\n' not in str(mistake.value)
