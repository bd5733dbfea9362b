"""Gazebo's worlds say what the URDF and MuJoCo's scene say, found by reading all of them."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import mujoco
import numpy as np
import pinocchio
import pytest
import yaml

from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.doctor_simulation import STATE_RATE_HZ
from hybrid_rl_ros.nodes.gazebo_node import LEAD_S, TICK_S
from hybrid_rl_ros.robot_config import load_robot, urdf_path
from hybrid_rl_ros.sim.arm import ArmSimulation
from hybrid_rl_ros.sim.gazebo.arm_model import ArmModel
from hybrid_rl_ros.sim.gazebo.worlds import TASKS_HERE, TIMESTEP_S, generated_files, world_text
from hybrid_rl_ros.sim.gazebo.xml import matrix_of, rpy_of
from hybrid_rl_ros.sim.scene import build_scene
from hybrid_rl_ros.sim.setpoints import SetPoints
from hybrid_rl_ros.sim.tasks import make_task

ROOT = Path(__file__).parents[2]
ROBOT = load_robot('sim_arm')
JOINTS = [*ROBOT.arm_joints, *ROBOT.gripper.joints]
LIBSDFORMAT = Path('/usr/share/ignition')

# ROS type to Gazebo type as the README of ros_gz_bridge lists them (github.com/gazebosim/ros_gz, branch jazzy,
# ros_gz_bridge/README.md), those of its rows that are used here.
ROS_GZ_PAIRS = {
    'rosgraph_msgs/msg/Clock': 'gz.msgs.Clock',
    'geometry_msgs/msg/WrenchStamped': 'gz.msgs.Wrench',
    'geometry_msgs/msg/PoseStamped': 'gz.msgs.Pose',
    'sensor_msgs/msg/JointState': 'gz.msgs.Model',
    'sensor_msgs/msg/Image': 'gz.msgs.Image',
    'sensor_msgs/msg/CameraInfo': 'gz.msgs.CameraInfo',
    'std_msgs/msg/Float64': 'gz.msgs.Double',
}
Element = ElementTree.Element


@pytest.fixture(params=TASKS_HERE)
def task(request) -> str:
    return request.param


@pytest.fixture
def world(task) -> Element:
    return ElementTree.parse(ROOT / 'worlds' / f'{task}.sdf').getroot().find('world')


@pytest.fixture
def arm(world) -> Element:
    return world.find('model[@name="arm"]')


@pytest.fixture
def scene(task) -> mujoco.MjModel:
    return build_scene(ROBOT, make_task(task, ROBOT))


def pose(element: Element) -> np.ndarray:
    """4x4 of an element's <pose>."""
    values = [float(text) for text in (element.findtext('pose') or '0 0 0 0 0 0').split()]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = matrix_of(values[3:]), values[:3]
    return matrix


def frames(model: Element) -> dict[str, np.ndarray]:
    """Where every link and frame of a model is in it, with all joints at zero."""
    found = {}
    waiting = [*model.findall('link'), *model.findall('frame')]
    while waiting:
        element = waiting.pop(0)
        own = element.find('pose')
        parent = element.get('attached_to') or (own.get('relative_to') if own is not None else None)
        if parent is not None and parent not in found:
            waiting.append(element)
            continue
        found[element.get('name')] = (found[parent] if parent else np.eye(4)) @ pose(element)
    return found


def body_at(scene: mujoco.MjModel, name: str) -> np.ndarray:
    data = mujoco.MjData(scene)
    mujoco.mj_kinematics(scene, data)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = data.body(name).xmat.reshape(3, 3), data.body(name).xpos
    return matrix


def test_the_files_in_the_repository_are_what_the_generator_writes():
    for name, text in generated_files(ROBOT).items():
        assert (ROOT / name).read_text() == text, f'{name}: run python -m hybrid_rl_ros.sim.gazebo.worlds .'


@pytest.mark.skipif(
    not (shutil.which('ign') and LIBSDFORMAT.is_dir()), reason='apt install sdformat-sdf libsdformat-dev'
)
def test_libsdformat_finds_the_worlds_valid_and_warns_of_nothing(task, tmp_path):
    with_plugin = tmp_path / 'ros2_control.sdf'
    with_plugin.write_text(world_text(task, ROBOT, 'ros2_control', '/controllers.yaml', 'left'))
    environment = {**os.environ, 'IGN_CONFIG_PATH': str(LIBSDFORMAT)}
    for path in (ROOT / 'worlds' / f'{task}.sdf', with_plugin):
        result = subprocess.run(['ign', 'sdf', '-k', str(path)], capture_output=True, text=True, env=environment)
        said = [line for line in (result.stdout + result.stderr).splitlines() if 'backward.so' not in line]
        assert (result.returncode, said) == (0, ['Valid.'])


def test_joints_have_the_names_and_limits_of_the_urdf_and_of_mujoco(arm, scene):
    urdf = {joint.get('name'): joint for joint in ElementTree.parse(urdf_path(ROBOT)).getroot().findall('joint')}
    moving = {joint.get('name'): joint for joint in arm.findall('joint') if joint.get('type') != 'fixed'}
    assert list(moving) == JOINTS
    for name, joint in moving.items():
        limit, given = joint.find('axis/limit'), urdf[name].find('limit')
        for key in ('lower', 'upper', 'velocity', 'effort'):
            assert float(limit.findtext(key)) == float(given.get(key))
        assert joint.get('type') == urdf[name].get('type')
        assert np.allclose([float(limit.findtext(key)) for key in ('lower', 'upper')], scene.joint(name).range)
        assert joint.findtext('axis/xyz').split() == urdf[name].find('axis').get('xyz').split()


def test_masses_and_inertias_are_those_of_mujoco(arm, scene):
    links = {link.get('name'): link for link in arm.findall('link')}
    massive = {scene.body(i).name for i in range(scene.nbody) if scene.body(i).mass[0] > 0.0} & set(links)
    # MuJoCo melts the base, which does not move, into the world.
    assert massive | {'base_link'} == set(links) - ({'peg'} - massive)
    for name in massive:
        assert float(links[name].findtext('inertial/mass')) == pytest.approx(scene.body(name).mass[0])
        ours = sorted(float(links[name].findtext(f'inertial/inertia/{key}')) for key in ('ixx', 'iyy', 'izz'))
        assert np.allclose(ours, sorted(scene.body(name).inertia), rtol=1e-4)


def test_every_frame_of_the_urdf_is_where_mujoco_has_it(arm, scene):
    ours = frames(arm)
    urdf = ElementTree.parse(urdf_path(ROBOT)).getroot()
    names = [link.get('name') for link in urdf.findall('link') if link.get('name') != 'base_link']
    assert {ROBOT.tool_frame, 'flange'} <= set(names)
    for name in names:
        assert np.allclose(ours[name], body_at(scene, name), atol=1e-6), name


def test_cameras_have_mujocos_place_intrinsics_rate_and_optical_frames(task, world, arm, scene):
    config = load_config(ROOT / 'config' / f'gazebo_{task}.yaml')
    sizes = {name: (camera.height, camera.width) for name, camera in config.observation.cameras.items()}
    sizes = sizes or dict.fromkeys(('front', 'wrist'), (64, 64))
    simulation = ArmSimulation(ROBOT, make_task(task, ROBOT), 1, sizes, 'off')
    data = mujoco.MjData(scene)
    mujoco.mj_kinematics(scene, data)
    mujoco.mj_camlight(scene, data)
    front = world.find('model[@name="front_camera"]')
    where = {'front': (front, np.eye(4)), 'wrist': (arm, frames(arm)['hand'])}
    for name, (model, link_at) in where.items():
        sensor = model.find(f'link/sensor[@name="{name}"]')
        image = sensor.find('camera/image')
        assert (int(image.findtext('height')), int(image.findtext('width'))) == sizes[name]
        lens = {key: float(sensor.findtext(f'camera/lens/intrinsics/{key}')) for key in ('fx', 'fy', 'cx', 'cy')}
        matrix = simulation.camera_matrix(name)
        assert np.allclose(
            [lens['fx'], lens['fy'], lens['cx'], lens['cy']], matrix[[0, 1, 0, 1], [0, 1, 2, 2]], rtol=1e-7
        )
        fov = float(sensor.findtext('camera/horizontal_fov'))
        assert fov == pytest.approx(2.0 * math.atan(sizes[name][1] / 2.0 / matrix[0, 0]))
        assert float(sensor.findtext('update_rate')) == config.control_rate_hz
        # A sensor looks along x with z up; MuJoCo's camera along -z with y up; an optical frame along z with y down.
        at, axes = link_at @ pose(sensor), data.camera(name).xmat.reshape(3, 3)
        assert np.allclose(at[:3, 3], data.camera(name).xpos, atol=1e-6)
        assert np.allclose(at[:3, 0], -axes[:, 2], atol=1e-6) and np.allclose(at[:3, 2], axes[:, 1], atol=1e-6)
        optical = frames(model)[f'{name}_optical_frame']
        assert np.allclose(optical[:3, :3], axes @ np.diag([1.0, -1.0, -1.0]), atol=1e-6)
        assert sensor.findtext('camera/optical_frame_id') == f'{name}_optical_frame'
    simulation.close()


def test_the_force_sensor_measures_what_the_hand_does_to_the_wrist_in_the_flange_frame(arm):
    (joint,) = [joint for joint in arm.findall('joint') if joint.find('sensor') is not None]
    sensor = joint.find('sensor')
    assert sensor.findtext('force_torque/measure_direction') == 'child_to_parent'
    assert sensor.findtext('force_torque/frame') == 'child'
    assert np.allclose(frames(arm)[joint.findtext('child')], frames(arm)['flange'])
    assert sensor.findtext('gz_frame_id') == 'flange'


def test_gravity_leaves_the_arm_alone_as_in_mujoco(arm, scene):
    assert all(link.findtext('gravity') == 'false' for link in arm.findall('link'))
    assert scene.body_gravcomp[scene.body('link4').id] == 1.0


def test_objects_have_the_sizes_masses_and_names_of_mujoco(task, world, scene):
    names = make_task(task, ROBOT).draw(np.random.default_rng(0))
    for name in names:
        model = world.find(f'model[@name="{name}"]')
        geoms = [geom for geom in range(scene.ngeom) if scene.geom_bodyid[geom] == scene.body(name).id]
        sizes = [model_size(visual) for visual in model.iter('visual')]
        assert len(sizes) == len(geoms)
        for size, geom in zip(sizes, geoms):
            assert np.allclose(size, scene.geom_size[geom][: len(size)])
    if 'cube' in names:
        mass = float(world.find('model[@name="cube"]/link/inertial').findtext('mass'))
        assert mass == pytest.approx(scene.body('cube').mass[0])


def model_size(visual: Element) -> list[float]:
    """As MuJoCo's geom_size: halves of a box, radius of a sphere, radius and half length of a cylinder."""
    shape = visual.find('geometry')[0]
    if shape.tag == 'box':
        return [float(side) / 2.0 for side in shape.findtext('size').split()]
    length = shape.findtext('length')
    return [float(shape.findtext('radius')), *([float(length) / 2.0] if length else [])]


def topics_of(world: Element) -> set[str]:
    """What a server with this world offers and takes on its own transport."""
    topics = {'/clock'}
    for element in [*world.iter('sensor'), *world.iter('plugin'), *world.iter('camera')]:
        for key in ('topic', 'camera_info_topic'):
            if element.findtext(key):
                topics.add(element.findtext(key))
    for model in world.findall('model'):
        if any('PosePublisher' in plugin.get('name') for plugin in model.findall('plugin')):
            topics.add(f'/model/{model.get("name")}/pose')
    return topics


def test_every_bridged_topic_is_in_the_world_and_has_a_pair_of_types_that_ros_gz_documents(task, world):
    files = sorted((ROOT / 'config').glob('gz_bridge*.yaml'))
    assert [file.stem for file in files] == ['gz_bridge', 'gz_bridge_control', 'gz_bridge_cube', 'gz_bridge_images']
    bridged = set()
    for file in files:
        for entry in yaml.safe_load(file.read_text()):
            assert ROS_GZ_PAIRS[entry['ros_type_name']] == entry['gz_type_name']
            # ROS refuses a part of a name that begins with a digit.
            assert re.fullmatch(r'[a-z_]\w*(/[a-z_]\w*)*', entry['ros_topic_name'])
            if file.stem != 'gz_bridge_cube' or task in ('push', 'lift'):
                bridged.add(entry['gz_topic_name'])
                assert entry['gz_topic_name'] in topics_of(world), (file.name, entry)
    assert bridged == topics_of(world), 'the world offers what nobody bridges'


def test_the_joint_controllers_are_stable_wherever_the_arm_can_be():
    """The physics engine takes damping into account within a step, and the controllers' force a step late."""
    loops = ArmModel(ROBOT).position_loops()
    stiffness, damping = np.array([loops[name] for name in JOINTS]).T
    model = pinocchio.buildModelFromUrdf(str(urdf_path(ROBOT)))
    data, size = model.createData(), len(JOINTS)
    rng = np.random.default_rng(0)
    poses = [pinocchio.neutral(model), *rng.uniform(model.lowerPositionLimit, model.upperPositionLimit, (200, size))]
    for joints in poses:
        mass = pinocchio.crba(model, data, joints)
        mass = np.triu(mass) + np.triu(mass, 1).T
        react = np.linalg.inv(mass + TIMESTEP_S * np.diag(damping))
        pull, keep = -react @ (TIMESTEP_S * np.diag(stiffness)), react @ mass
        step = np.block([[np.eye(size) + TIMESTEP_S * pull, TIMESTEP_S * keep], [pull, keep]])
        assert np.abs(np.linalg.eigvals(step)).max() < 1.0


def test_the_joints_reach_the_speeds_that_the_robot_is_allowed_within_their_effort():
    loops = ArmModel(ROBOT).position_loops()
    urdf = {joint.get('name'): joint for joint in ElementTree.parse(urdf_path(ROBOT)).getroot().findall('joint')}
    for name, speed in zip(ROBOT.arm_joints, ROBOT.joint_speeds_rad_s, strict=True):
        assert float(urdf[name].find('limit').get('effort')) / loops[name][1] >= speed


def test_a_task_judges_gazebos_numbers_as_it_judges_mujocos(task):
    """state_of, from where objects stand and the tool is, is what state says of the same scene."""
    simulation = ArmSimulation(ROBOT, make_task(task, ROBOT), 7, {}, 'off')
    simulation.reset(3)
    ours = simulation.task_state()
    rules = make_task(task, ROBOT)
    rng = np.random.default_rng([7, 3])
    rng.uniform(-np.array(rules.start_offset_m), np.array(rules.start_offset_m))
    theirs = rules.state_of(rules.draw(rng), ours)
    assert theirs
    for name, value in theirs.items():
        assert value == pytest.approx(ours[name], abs=2e-4), name


def test_a_rotation_comes_back_from_its_angles():
    rng = np.random.default_rng(0)
    for rpy in rng.uniform([-3.1, -1.5, -3.1], [3.1, 1.5, 3.1], (20, 3)):
        assert np.allclose(rpy_of(matrix_of(rpy)), rpy)


def test_the_description_for_ros2_control_starts_every_joint_where_the_task_does(task):
    urdf = ElementTree.fromstring(ArmModel(ROBOT).with_ros2_control(make_task(task, ROBOT)))
    joints = {joint.get('name'): joint for joint in urdf.find('ros2_control').findall('joint')}
    assert list(joints) == JOINTS
    starts = [float(joints[name].findtext('state_interface/param')) for name in ROBOT.arm_joints]
    assert starts == pytest.approx(ROBOT.home_rad)
    assert all(joint.find('command_interface').get('name') == 'position' for joint in joints.values())


def test_the_controllers_rates_divide_the_physics_rate_and_the_joint_states_come_as_the_doctor_wants_them():
    """A broadcaster speaks at every whole number of updates: at 250 Hz one of 100 Hz spoke 125 times a second."""
    controllers = yaml.safe_load((ROOT / 'config' / 'gazebo_controllers.yaml').read_text())
    rates = {name: each['ros__parameters'].get('update_rate') for name, each in controllers.items()}
    manager, states = rates['/**/controller_manager'], rates['/**/joint_state_broadcaster']
    assert round(1.0 / TIMESTEP_S) % manager == 0
    assert manager % states == 0 and states == STATE_RATE_HZ


class JointLoops:
    """The arm by pinocchio, driven as the world's joint controllers drive it: force in proportion, damping implicit."""

    def __init__(self) -> None:
        loops = ArmModel(ROBOT).position_loops()
        self._stiffness, self._damping = np.array([loops[name] for name in JOINTS]).T
        urdf = {joint.get('name'): joint for joint in ElementTree.parse(urdf_path(ROBOT)).getroot().findall('joint')}
        self._effort = np.array([float(urdf[name].find('limit').get('effort')) for name in JOINTS])
        self._model = pinocchio.buildModelFromUrdf(str(urdf_path(ROBOT)))
        self._model.gravity.linear = np.zeros(3)
        self._data = self._model.createData()
        self.position, self.velocity = np.zeros(len(JOINTS)), np.zeros(len(JOINTS))

    def step(self, command: np.ndarray) -> None:
        force = np.clip(self._stiffness * (command - self.position), -self._effort, self._effort)
        mass = pinocchio.crba(self._model, self._data, self.position)
        mass = np.triu(mass) + np.triu(mass, 1).T
        drift = pinocchio.nonLinearEffects(self._model, self._data, self.position, self.velocity)
        damped = mass + TIMESTEP_S * np.diag(self._damping)
        self.velocity = np.linalg.solve(damped, mass @ self.velocity + TIMESTEP_S * (force - drift))
        self.position = self.position + TIMESTEP_S * self.velocity


def test_the_joint_controllers_bring_a_stretched_arm_home_and_follow_a_line_within_a_centimetre():
    loops, kinematics = JointLoops(), ArmKinematics(ROBOT)
    home = np.array([*ROBOT.home_rad, *[ROBOT.gripper.open] * len(ROBOT.gripper.joints)])
    for _ in range(round(1.5 / TIMESTEP_S)):
        loops.step(home)
    assert np.abs(loops.position - home).max() < 1e-3 and np.abs(loops.velocity).max() < 1e-2
    limits = [kinematics.lower_rad, kinematics.upper_rad]
    fingers = [ROBOT.gripper.closed, ROBOT.gripper.open]
    lower, upper = (np.append(limit, [finger] * 2) for limit, finger in zip(limits, fingers))
    setpoints = SetPoints(lower, upper, TICK_S)
    setpoints.start_at(home)
    start, goal, worst_m = kinematics.tool_pose(home[:7]), home[:7], 0.0
    # 20 cm sideways at 0.25 m/s, as the gate sends it: a point every 10 ms, to be reached in 20.
    for tick in range(100):
        way = min(0.2, 0.25 * TICK_S * tick)
        wanted = start.translation + [0.0, way, 0.0]
        goal = kinematics.solve(goal, pinocchio.SE3(start.rotation, wanted))
        setpoints.move(list(range(7)), goal, 0.02)
        position, velocity = setpoints.step()
        for _ in range(round(TICK_S / TIMESTEP_S)):
            loops.step(position + LEAD_S * velocity)
        worst_m = max(worst_m, float(np.linalg.norm(kinematics.tool_pose(loops.position[:7]).translation - wanted)))
    assert worst_m < 0.01
    assert np.linalg.norm(kinematics.tool_pose(loops.position[:7]).translation - wanted) < 1e-3
