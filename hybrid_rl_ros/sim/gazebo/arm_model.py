"""The arm as an SDF model, from its URDF: the same joints, limits, masses, shapes and cameras as MuJoCo's."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any, Literal

import numpy as np
import pinocchio

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig, urdf_path
from hybrid_rl_ros.sim.gazebo.topics import JOINT_STATE, MODEL, WRENCH, command_topic
from hybrid_rl_ros.sim.gazebo.xml import (
    Element,
    add,
    add_box,
    add_friction,
    add_inertial,
    add_material,
    add_plugin,
    add_pose,
    box_inertia,
    matrix_of,
    rpy_of,
)
from hybrid_rl_ros.sim.layout import FLANGE, CameraView, camera_views
from hybrid_rl_ros.sim.objects import ORANGE, PEG_BELOW_TOOL_M, PEG_FRICTION, PEG_KG, PEG_LENGTH_M, PEG_WIDTH_M
from hybrid_rl_ros.sim.tasks import Task

Control = Literal['gz', 'ros2_control']

CAMERA_PIXELS = 64
CAMERA_HZ = 10.0
JOINT_STATES_HZ = 100.0
WRENCH_HZ = 100.0
FINGER_FRICTION = 1.5
# Half of MuJoCo's: here the damping works against the joint's effort limit, and the full speed must still be reached.
LOOP_RAD_S = 40.0
# What a finger's motor adds to its mass: it sets how hard the finger holds.
FINGER_ARMATURE_KG = 1.0
# A sensor looks along its x with z up, a camera's axes here are right, up and backward.
_SENSOR_AXES = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])


class ArmModel:
    """Writes the model `arm` into a world. Links without mass in the URDF become frames: SDF has no such links.

    Gravity does not pull at the arm, as in MuJoCo's scene: the controllers of a real one make up for its weight.
    """

    def __init__(self, robot: RobotConfig) -> None:
        self._robot = robot
        self._urdf = ElementTree.parse(urdf_path(robot)).getroot()
        self._joints = {joint.get('name', ''): joint for joint in self._urdf.findall('joint')}
        self._links = {link.get('name', ''): link for link in self._urdf.findall('link')}
        self._colours = {m.get('name'): _floats(m.find('color'), 'rgba') for m in self._urdf.findall('material')}
        self._by_child = {_link_of(joint, 'child'): joint for joint in self._joints.values()}

    def write(self, world: Element, task: Task, control: Control, controllers: str = '', namespace: str = '') -> None:
        """For ros2_control: the path of the controllers' parameters, and the ROS namespace of its nodes."""
        model = add(world, 'model', name=MODEL)
        root = next(name for name in self._links if name not in self._by_child)
        fixed = add(model, 'joint', name='base_fixed', type='fixed')
        add(fixed, 'parent', 'world')
        add(fixed, 'child', root)
        loops = self.position_loops() if control == 'gz' else {}
        for name in self._links:
            self._write_link(model, name)
        for name, joint in self._joints.items():
            if self._massive(_link_of(joint, 'child')):
                self._write_joint(model, name, joint, loops.get(name, (0.0, 0.0))[1])
        for camera, view in camera_views(self._robot).items():
            if view.frame == self._robot.tool_frame:
                self._write_wrist_camera(model, camera, view)
        if task.holds_peg:
            self._write_peg(model)
        add(model, 'self_collide', False)
        if control == 'gz':
            self._write_controllers(model, task, loops)
        else:
            plugin = ElementTree.SubElement(
                model,
                'plugin',
                {
                    'filename': 'libgz_ros2_control-system.so',
                    'name': 'gz_ros2_control::GazeboSimROS2ControlPlugin',
                },
            )
            add(plugin, 'parameters', controllers)
            if namespace:
                add(add(plugin, 'ros'), 'namespace', f'/{namespace.strip("/")}')

    def start_positions(self, task: Task) -> dict[str, float]:
        """Where every joint stands when the world begins."""
        robot = self._robot
        finger = max(robot.gripper.closed, task.closed_on_m) if task.gripper_starts_closed else robot.gripper.open
        fingers = dict.fromkeys(robot.gripper.joints, finger)
        return {**dict(zip(robot.arm_joints, robot.home_rad, strict=True)), **fingers}

    def position_loops(self) -> dict[str, tuple[float, float]]:
        """Stiffness and damping of every joint for gz-sim's controllers: LOOP_RAD_S with the inertia at home.

        The damping belongs to the joint, not to its controller: the physics engine takes it into account within the
        step, and a controller's own, a step late, throws a light wrist on a long arm about.
        """
        inertia = self._inertia_at_home()
        loops = {}
        for name, moved in inertia.items():
            dynamics = self._joints[name].find('dynamics')
            own = float(dynamics.get('damping', '0')) if dynamics is not None else 0.0
            damping = max(2.0 * moved * LOOP_RAD_S, own)
            loops[name] = (_four_digits(moved * LOOP_RAD_S**2), _four_digits(damping))
        return loops

    def _inertia_at_home(self) -> dict[str, float]:
        robot = self._robot
        model = pinocchio.buildModelFromUrdf(str(urdf_path(robot)))
        position = pinocchio.neutral(model)
        for name, home in zip(robot.arm_joints, robot.home_rad, strict=True):
            position[model.joints[model.getJointId(name)].idx_q] = home
        mass = pinocchio.crba(model, model.createData(), position)
        names = [*robot.arm_joints, *robot.gripper.joints]
        moved = {name: float(mass.diagonal()[model.joints[model.getJointId(name)].idx_v]) for name in names}
        return moved | {name: moved[name] + FINGER_ARMATURE_KG for name in robot.gripper.joints}

    def with_ros2_control(self, task: Task) -> str:
        """The URDF with the ros2_control tag that gz_ros2_control reads from robot_state_publisher."""
        urdf = ElementTree.fromstring(ElementTree.tostring(self._urdf))
        system = add(urdf, 'ros2_control', name='GazeboSimSystem', type='system')
        add(add(system, 'hardware'), 'plugin', 'gz_ros2_control/GazeboSimSystem')
        for name, position in self.start_positions(task).items():
            joint = add(system, 'joint', name=name)
            add(joint, 'command_interface', name='position')
            state = add(joint, 'state_interface', name='position')
            add(state, 'param', position, name='initial_value')
            for interface in ('velocity', 'effort'):
                add(joint, 'state_interface', name=interface)
        ElementTree.indent(urdf)
        return ElementTree.tostring(urdf, encoding='unicode')

    def _massive(self, link: str) -> bool:
        return self._links[link].find('inertial') is not None

    def _mount(self, link: str) -> tuple[str, np.ndarray, np.ndarray]:
        """The massive link that `link` is fixed to, or is, with position (3,) and rotation (3, 3) in it."""
        position, rotation = np.zeros(3), np.eye(3)
        while not self._massive(link):
            joint = self._by_child[link]
            if joint.get('type') != 'fixed':
                raise UserError(f'robot {self._robot.name}: link {link!r} moves and has no mass in the URDF')
            xyz, rpy = _origin(joint)
            position, rotation = xyz + matrix_of(rpy) @ position, matrix_of(rpy) @ rotation
            link = _link_of(joint, 'parent')
        return link, position, rotation

    def _placed_in(self, link: str) -> tuple[str, np.ndarray, np.ndarray]:
        """The massive link before `link`, with the pose of `link` in it when all joints are at zero."""
        joint = self._by_child[link]
        xyz, rpy = _origin(joint)
        parent, position, rotation = self._mount(_link_of(joint, 'parent'))
        return parent, position + rotation @ xyz, rotation @ matrix_of(rpy)

    def _write_link(self, model: Element, name: str) -> None:
        if not self._massive(name):
            parent, position, rotation = self._mount(name)
            frame = add(model, 'frame', name=name, attached_to=parent)
            add_pose(frame, position, rpy_of(rotation))
            return
        link = add(model, 'link', name=name)
        if name in self._by_child:
            parent, position, rotation = self._placed_in(name)
            add_pose(link, position, rpy_of(rotation), relative_to=parent)
        add(link, 'gravity', False)
        source = self._links[name]
        _write_inertial(link, source.find('inertial'))
        for kind in ('visual', 'collision'):
            for index, shape in enumerate(source.findall(kind)):
                element = add(link, kind, name=f'{name}_{kind}{index}')
                add_pose(element, *_origin(shape))
                _write_geometry(add(element, 'geometry'), shape.find('geometry'))
                if kind == 'visual' and (material := shape.find('material')) is not None:
                    add_material(element, self._colours[material.get('name')])
                if kind == 'collision' and self._is_finger(name):
                    add_friction(element, FINGER_FRICTION)

    def _is_finger(self, link: str) -> bool:
        return link in self._by_child and self._by_child[link].get('name') in self._robot.gripper.joints

    def _write_joint(self, model: Element, name: str, source: Element, damping: float) -> None:
        kind = source.get('type', 'fixed')
        joint = add(model, 'joint', name=name, type=kind)
        parent, child = _link_of(source, 'parent'), _link_of(source, 'child')
        add(joint, 'parent', self._mount(parent)[0])
        add(joint, 'child', child)
        if kind != 'fixed':
            axis = add(joint, 'axis')
            add(axis, 'xyz', _floats(source.find('axis'), 'xyz'))
            limit, given = add(axis, 'limit'), source.find('limit')
            for key in ('lower', 'upper', 'velocity', 'effort'):
                add(limit, key, float(given.get(key, 'nan')) if given is not None else 0.0)
            dynamics = source.find('dynamics')
            own = float(dynamics.get('damping', '0')) if dynamics is not None else 0.0
            add(add(axis, 'dynamics'), 'damping', damping or own)
        if parent == FLANGE or child == FLANGE:
            self._write_wrench(joint)

    def _write_wrench(self, joint: Element) -> None:
        """What the hand does to the wrist, as at the flange of a real arm."""
        sensor = add(joint, 'sensor', name='wrench', type='force_torque')
        add(sensor, 'always_on', True)
        add(sensor, 'update_rate', WRENCH_HZ)
        add(sensor, 'topic', WRENCH)
        add(sensor, 'gz_frame_id', FLANGE)
        force = add(sensor, 'force_torque')
        add(force, 'frame', 'child')
        add(force, 'measure_direction', 'child_to_parent')

    def _write_wrist_camera(self, model: Element, name: str, view: CameraView) -> None:
        link, position, rotation = self._mount(view.frame)
        parent = next(element for element in model.findall('link') if element.get('name') == link)
        write_camera(parent, name, view, position, rotation)
        optical = add(model, 'frame', name=f'{name}_optical_frame', attached_to=link)
        add_pose(optical, position + rotation @ view.eye_m, rpy_of(rotation @ optical_axes(view)))

    def _write_peg(self, model: Element) -> None:
        link, position, rotation = self._mount(self._robot.tool_frame)
        size = (PEG_WIDTH_M, PEG_WIDTH_M, PEG_LENGTH_M)
        middle = position + rotation @ np.array([0.0, 0.0, PEG_BELOW_TOOL_M - PEG_LENGTH_M / 2.0])
        peg = add(model, 'link', name='peg')
        add_pose(peg, middle, rpy_of(rotation), relative_to=link)
        add(peg, 'gravity', False)
        add_inertial(peg, PEG_KG, box_inertia(PEG_KG, size))
        for kind in ('visual', 'collision'):
            element = add(peg, kind, name=f'peg_{kind}')
            add_box(add(element, 'geometry'), size)
            add_material(element, ORANGE) if kind == 'visual' else add_friction(element, PEG_FRICTION)
        joint = add(model, 'joint', name='peg_joint', type='fixed')
        add(joint, 'parent', link)
        add(joint, 'child', 'peg')

    def _write_controllers(self, model: Element, task: Task, loops: dict[str, tuple[float, float]]) -> None:
        """gz-sim's own, for a machine without ros2_control."""
        starts = self.start_positions(task)
        for name, start in starts.items():
            limit = self._joints[name].find('limit')
            effort = float(limit.get('effort', '0')) if limit is not None else 0.0
            gains: dict[str, Any] = {
                'p_gain': loops[name][0],
                'i_gain': 0.0,
                'd_gain': 0.0,
                'cmd_max': effort,
                'cmd_min': -effort,
            }
            where: dict[str, Any] = {'joint_name': name, 'topic': command_topic(name), 'initial_position': start}
            add_plugin(model, 'joint-position-controller', **where, **gains)
        settings: dict[str, Any] = {'topic': JOINT_STATE, 'update_rate': JOINT_STATES_HZ, 'joint_name': list(starts)}
        add_plugin(model, 'joint-state-publisher', **settings)


def write_camera(link: Element, name: str, view: CameraView, position: np.ndarray, rotation: np.ndarray) -> None:
    """A camera sensor in `link`, in which `view.frame` has this pose."""
    sensor = add(link, 'sensor', name=name, type='camera')
    add_pose(sensor, position + rotation @ view.eye_m, rpy_of(rotation @ view.axes @ _SENSOR_AXES))
    add(sensor, 'always_on', True)
    add(sensor, 'update_rate', CAMERA_HZ)
    add(sensor, 'topic', f'/{name}/image_raw')
    camera = add(sensor, 'camera')
    matrix = view.matrix(CAMERA_PIXELS, CAMERA_PIXELS)
    add(camera, 'camera_info_topic', f'/{name}/camera_info')
    add(camera, 'optical_frame_id', f'{name}_optical_frame')
    add(camera, 'horizontal_fov', 2.0 * np.arctan(CAMERA_PIXELS / 2.0 / matrix[0, 0]))
    image = add(camera, 'image')
    add(image, 'width', str(CAMERA_PIXELS))
    add(image, 'height', str(CAMERA_PIXELS))
    add(image, 'format', 'R8G8B8')
    clip = add(camera, 'clip')
    add(clip, 'near', 0.01)
    add(clip, 'far', 10.0)
    # As MuJoCo's node says it: the middle of the first pixel is (0, 0), half a pixel off from gz-sim's own default.
    intrinsics = add(add(camera, 'lens'), 'intrinsics')
    for key, value in (('fx', matrix[0, 0]), ('fy', matrix[1, 1]), ('cx', matrix[0, 2]), ('cy', matrix[1, 2])):
        add(intrinsics, key, value)
    add(intrinsics, 's', 0.0)


def optical_axes(view: CameraView) -> np.ndarray:
    """(3, 3) of REP 103's optical frame: x right, y down, z forward."""
    right, up, back = view.axes.T
    return np.stack([right, -up, -back], axis=1)


def _write_inertial(link: Element, source: Element | None) -> None:
    assert source is not None
    inertia, mass = source.find('inertia'), source.find('mass')
    assert inertia is not None and mass is not None
    if any(float(inertia.get(key, '0')) for key in ('ixy', 'ixz', 'iyz')):
        raise UserError('the URDF has inertias that are not along the axes of their links; turn their origins')
    diagonal = [float(inertia.get(key, '0')) for key in ('ixx', 'iyy', 'izz')]
    xyz, rpy = _origin(source)
    if rpy.any():
        raise UserError('the URDF has a turned inertial; give it along the axes of its link')
    add_inertial(link, float(mass.get('value', '0')), diagonal, xyz)


def _write_geometry(geometry: Element, source: Element | None) -> None:
    assert source is not None
    shape = source[0]
    if shape.tag == 'box':
        add_box(geometry, _floats(shape, 'size'))
    elif shape.tag in ('cylinder', 'sphere'):
        element = add(geometry, shape.tag)
        for key in ('radius', 'length')[: 2 if shape.tag == 'cylinder' else 1]:
            add(element, key, float(shape.get(key, '0')))
    else:
        raise UserError(f'the worlds are written for boxes, cylinders and spheres; the URDF has a {shape.tag}')


def _origin(element: Element) -> tuple[np.ndarray, np.ndarray]:
    origin = element.find('origin')
    if origin is None:
        return np.zeros(3), np.zeros(3)
    return _floats(origin, 'xyz', '0 0 0'), _floats(origin, 'rpy', '0 0 0')


def _floats(element: Element | None, key: str, default: str = '') -> np.ndarray:
    return np.array([float(text) for text in (element.get(key, default) if element is not None else default).split()])


def _four_digits(value: float) -> float:
    return float(f'{value:.4g}')


def _link_of(joint: Element, end: str) -> str:
    element = joint.find(end)
    return element.get('link', '') if element is not None else ''
