"""The scene: a robot's URDF on a table, with actuators, lights, cameras and a task's bodies."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig, urdf_path
from hybrid_rl_ros.sim.layout import (
    FLANGE,
    FLOOR_RGBA,
    FLOOR_Z_M,
    LAMP_AT_M,
    LAMP_DIRECTION,
    TABLE_AT_M,
    TABLE_FRICTION,
    TABLE_RGBA,
    TABLE_SIZE_M,
    camera_views,
)
from hybrid_rl_ros.sim.objects import OBJECT_CONTACT
from hybrid_rl_ros.sim.tasks import Task

TIMESTEP_S = 0.002

# The inertia of the geared motors as the joint sees it: it sets how stiff a joint can be held at this time step.
ARM_ARMATURE_KG_M2 = 0.1
FINGER_ARMATURE_KG = 0.2
# Natural frequency of every position loop, critically damped; 1/80 s is six time steps.
LOOP_RAD_S = 80.0

# So far inside the workspace that the tool gets behind an object at the foot of a slope, whichever way it is to go.
TRAY_INSIDE_M = 0.045
TRAY_SLOPE_RAD = math.radians(35.0)
TRAY_WIDTH_M = 0.18
TRAY_THICK_M = 0.02
TRAY_WALL_M = 0.25
TRAY_FRICTION = 0.1
TRAY_RGBA = (0.62, 0.64, 0.68, 1.0)

# Stiff contacts: a gripped object must not sink in or creep out of the fingers.
FINGER_CONTACT: dict[str, Any] = {
    'condim': 4,
    'friction': [1.5, 0.05, 0.0005],
    'solref': [0.004, 1.0],
    'solimp': [0.95, 0.99, 0.001, 0.5, 2.0],
}


def build_scene(robot: RobotConfig, task: Task, tray: bool = False) -> mujoco.MjModel:
    """Everything compiled; actuators have the names of their joints. Raises UserError for an unfit URDF.

    `tray`: with slopes around what the tool can reach.
    """
    path = urdf_path(robot)
    try:
        spec = mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise UserError(f'{path}: not a URDF that MuJoCo can read: {" ".join(str(error).split())}') from None
    _require_parts(spec, robot, path)
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # With the elliptic cone and a high ratio of frictional to normal stiffness a held object does not slide slowly.
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    fingers = _prepare_robot(spec, robot)
    _add_sensors(spec)
    _add_surroundings(spec)
    if tray:
        _add_tray(spec, np.array(robot.limits.workspace_low_m), np.array(robot.limits.workspace_high_m))
    _add_cameras(spec, robot)
    task.build(spec, spec.body(robot.tool_frame), fingers)
    model = spec.compile()
    _tune_actuators(model, robot)
    return model


def _require_parts(spec: mujoco.MjSpec, robot: RobotConfig, path: Path) -> None:
    for name in [*robot.arm_joints, *robot.gripper.joints]:
        if spec.joint(name) is None:
            raise UserError(f'{path}: no joint {name!r}, which robot {robot.name} lists')
    if spec.body(robot.tool_frame) is None:
        raise UserError(
            f'{path}: no frame {robot.tool_frame!r}, which robot {robot.name} names as tool_frame; if it is there, '
            'keep fixed frames with <mujoco><compiler fusestatic="false"/></mujoco>'
        )


def _prepare_robot(spec: mujoco.MjSpec, robot: RobotConfig) -> list[Any]:
    """Gravity compensation, actuators and contacts of the robot; returns the fingers' collision geoms, named."""
    has_visuals = any(geom.contype == 0 for geom in spec.geoms)
    for geom in spec.geoms:
        if geom.contype == 0:
            continue
        geom.contype, geom.conaffinity = 1, 2
        if has_visuals:
            geom.group = 3  # collision shapes are not drawn over the visual ones
    for body in spec.bodies:
        body.gravcomp = 1.0
    fingers = []
    for name in [*robot.arm_joints, *robot.gripper.joints]:
        joint = spec.joint(name)
        is_finger = name in robot.gripper.joints
        joint.armature = FINGER_ARMATURE_KG if is_finger else ARM_ARMATURE_KG_M2
        actuator = spec.add_actuator(
            name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, biastype=mujoco.mjtBias.mjBIAS_AFFINE
        )
        actuator.forcerange = joint.actfrcrange
        if is_finger:
            for number, geom in enumerate(g for g in joint.parent.geoms if g.contype):
                geom.name = f'{name}/contact{number}'
                for key, value in FINGER_CONTACT.items():
                    setattr(geom, key, value)
                fingers.append(geom)
    for name in robot.gripper.joints[1:]:
        _couple(spec, robot.gripper.joints[0], name)
    return fingers


def _couple(spec: mujoco.MjSpec, first: str, second: str) -> None:
    """Make two fingers move alike, as a parallel gripper's gear does.

    Each pushes with all its force, so without a gear nothing would hold a gripped object sideways.
    """
    gear = spec.add_equality(name=f'{first}={second}', type=mujoco.mjtEq.mjEQ_JOINT)
    gear.objtype = mujoco.mjtObj.mjOBJ_JOINT
    gear.name1, gear.name2 = second, first
    gear.data[:5] = [0.0, 1.0, 0.0, 0.0, 0.0]
    gear.solref = [0.004, 1.0]


def _add_sensors(spec: mujoco.MjSpec) -> None:
    flange = spec.body(FLANGE)
    if flange is None:
        return
    flange.add_site(name=FLANGE)
    for name, kind in (('force', mujoco.mjtSensor.mjSENS_FORCE), ('torque', mujoco.mjtSensor.mjSENS_TORQUE)):
        spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=FLANGE)


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    """Table and lights. No shadows and no reflections: they are what makes software rendering slow."""
    spec.worldbody.add_geom(
        name='table',
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=TABLE_AT_M,
        size=[side / 2.0 for side in TABLE_SIZE_M],
        rgba=TABLE_RGBA,
        friction=[TABLE_FRICTION, 0.005, 0.0001],
        **OBJECT_CONTACT,
    )
    spec.worldbody.add_geom(
        name='floor',
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[0, 0, FLOOR_Z_M],
        size=[0, 0, 0.1],
        rgba=FLOOR_RGBA,
        **OBJECT_CONTACT,
    )
    # What policies look at is small: fewer facets and samples cost nothing to see and a third of the time to draw.
    spec.visual.quality.numslices, spec.visual.quality.numstacks, spec.visual.quality.numquads = 16, 8, 1
    spec.visual.quality.offsamples = 2
    spec.visual.headlight.ambient = [0.45, 0.45, 0.45]
    spec.visual.headlight.diffuse = [0.35, 0.35, 0.35]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    light = spec.worldbody.add_light(name='lamp', pos=LAMP_AT_M, dir=LAMP_DIRECTION)
    light.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    light.diffuse = [0.5, 0.5, 0.5]
    light.specular = [0.1, 0.1, 0.1]
    light.castshadow = False


def _add_tray(spec: mujoco.MjSpec, low_m: np.ndarray, high_m: np.ndarray) -> None:
    """Four slopes that rise from just inside the workspace: the tool still gets behind an object at their foot.

    A wall around them keeps what was flung, as a tool flings what it presses on the edge of.
    """
    middle, half = (low_m + high_m) / 2.0, (high_m - low_m) / 2.0 - TRAY_INSIDE_M
    for axis, sign in ((0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)):
        # A thick plate, its upper face through the foot.
        turn = np.zeros(3)
        turn[1 - axis] = (-1.0 if axis == 0 else 1.0) * sign * TRAY_SLOPE_RAD
        up, out = math.cos(TRAY_SLOPE_RAD), math.sin(TRAY_SLOPE_RAD)
        foot = np.array([middle[0], middle[1], 0.0])
        foot[axis] += sign * half[axis]
        along = np.array([0.0, 0.0, out])
        along[axis] = sign * up
        inwards = np.array([0.0, 0.0, -up])
        inwards[axis] = sign * out
        size = np.array([TRAY_WIDTH_M / 2.0, TRAY_WIDTH_M / 2.0, TRAY_THICK_M / 2.0])
        size[1 - axis] = half[1 - axis] + TRAY_WIDTH_M
        quaternion = np.zeros(4)
        mujoco.mju_axisAngle2Quat(quaternion, turn / np.linalg.norm(turn), float(np.linalg.norm(turn)))
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=foot + along * TRAY_WIDTH_M / 2.0 + inwards * TRAY_THICK_M / 2.0,
            quat=quaternion,
            size=size,
            rgba=TRAY_RGBA,
            friction=[TRAY_FRICTION, 0.001, 0.0001],
            # Its friction counts, whatever lies on it.
            priority=1,
            **OBJECT_CONTACT,
        )
        wall = np.array([TRAY_THICK_M / 2.0, TRAY_THICK_M / 2.0, TRAY_WALL_M / 2.0])
        wall[1 - axis] = half[1 - axis] + TRAY_WIDTH_M
        at = foot + along * TRAY_WIDTH_M
        at[2] = TRAY_WALL_M / 2.0
        spec.worldbody.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=at,
            size=wall,
            rgba=TRAY_RGBA,
            friction=[TRAY_FRICTION, 0.001, 0.0001],
            priority=1,
            **OBJECT_CONTACT,
        )


def _add_cameras(spec: mujoco.MjSpec, robot: RobotConfig) -> None:
    for name, view in camera_views(robot).items():
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, view.axes.ravel())
        body = spec.worldbody if view.frame == robot.base_frame else spec.body(view.frame)
        body.add_camera(name=name, pos=view.eye_m, quat=quaternion, fovy=view.fovy_deg)


def _tune_actuators(model: mujoco.MjModel, robot: RobotConfig) -> None:
    """Give every position loop the same bandwidth: stiffness in proportion to the inertia that it moves at home."""
    data = mujoco.MjData(model)
    for name, angle in zip(robot.arm_joints, robot.home_rad, strict=True):
        data.joint(name).qpos[0] = angle
    mujoco.mj_forward(model, data)
    column = np.zeros(model.nv)
    for name in [*robot.arm_joints, *robot.gripper.joints]:
        dof = model.joint(name).dofadr[0]
        mujoco.mj_mulM(model, data, column, np.eye(model.nv)[dof])
        inertia = column[dof]
        stiffness = inertia * LOOP_RAD_S**2
        damping = 2.0 * inertia * LOOP_RAD_S
        actuator = model.actuator(name)
        actuator.gainprm[0] = stiffness
        actuator.biasprm[:3] = [0.0, -stiffness, -damping]
