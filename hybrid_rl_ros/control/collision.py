"""Distances between the arm's links, and from them to the boxes around the arm (pinocchio and coal)."""

from __future__ import annotations

import coal
import numpy as np
import pinocchio

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig, urdf_path


class LinkDistance:
    """The chosen pairs of shapes stay at least a margin apart. The fingers are open; other joints stay at zero."""

    def __init__(self, name: str, robot: RobotConfig, margin_m: float) -> None:
        """`name`: 'self' for links that are no neighbours, 'scene' for links against limits.scene. Raises UserError."""
        path = urdf_path(robot)
        self.name = f'{name}_collision'
        self._margin_m = margin_m
        self._model = pinocchio.buildModelFromUrdf(str(path))
        try:
            geometry = pinocchio.buildGeomFromUrdf(self._model, str(path), pinocchio.GeometryType.COLLISION)
        except ValueError as error:
            raise UserError(f'{path}: collision shapes cannot be read: {error}') from None
        if not geometry.ngeoms:
            raise UserError(f'{path}: no collision shapes, which limits.self_distance_m and limits.scene need')
        self._data = self._model.createData()
        self._joints = np.array([self._model.joints[self._model.getJointId(joint)].idx_q for joint in robot.arm_joints])
        self._rest = pinocchio.neutral(self._model)
        for finger in robot.gripper.joints:
            self._rest[self._model.joints[self._model.getJointId(finger)].idx_q] = robot.gripper.open
        for first, second in _scene_pairs(geometry, robot) if name == 'scene' else _self_pairs(geometry, self._model):
            geometry.addCollisionPair(pinocchio.CollisionPair(first, second))
        self._geometry = geometry
        if name == 'self':
            self._drop_pairs_that_are_near_at_home(np.array(robot.home_rad, dtype=float))
        self._results = geometry.createData()

    def excess(self, joints_rad: np.ndarray) -> float:
        if not len(self._geometry.collisionPairs):
            return -self._margin_m
        return self._margin_m - min(self._distances(joints_rad, self._results))

    def _distances(self, joints_rad: np.ndarray, results: pinocchio.GeometryData) -> list[float]:
        posture = self._rest.copy()
        posture[self._joints] = joints_rad
        pinocchio.computeDistances(self._model, self._data, self._geometry, results, posture)
        return [result.min_distance for result in results.distanceResults]

    def _drop_pairs_that_are_near_at_home(self, home_rad: np.ndarray) -> None:
        """Shapes that overlap or nearly touch by construction would close the gate for good."""
        distances = self._distances(home_rad, self._geometry.createData())
        near = [pair for pair, d in zip(list(self._geometry.collisionPairs), distances) if d <= self._margin_m]
        for pair in near:
            self._geometry.removeCollisionPair(pinocchio.CollisionPair(pair.first, pair.second))


def collision_regions(robot: RobotConfig) -> list[LinkDistance]:
    """What the robot's limits ask for. Raises UserError."""
    limits = robot.limits
    regions = []
    if limits.self_distance_m is not None:
        regions.append(LinkDistance('self', robot, limits.self_distance_m))
    if limits.scene:
        regions.append(LinkDistance('scene', robot, limits.scene_distance_m))
    return regions


def _self_pairs(geometry: pinocchio.GeometryModel, model: pinocchio.Model) -> list[tuple[int, int]]:
    """Shapes of links with at least one other joint between them."""
    shapes = geometry.geometryObjects
    return [
        (first, second)
        for first in range(len(shapes))
        for second in range(first + 1, len(shapes))
        if not _neighbours(model, shapes[first].parentJoint, shapes[second].parentJoint)
    ]


def _neighbours(model: pinocchio.Model, first: int, second: int) -> bool:
    siblings = model.parents[first] == model.parents[second]
    return first == second or siblings or model.parents[first] == second or model.parents[second] == first


def _scene_pairs(geometry: pinocchio.GeometryModel, robot: RobotConfig) -> list[tuple[int, int]]:
    """Every moving shape against every box, which is added to the geometry here."""
    moving = [index for index, shape in enumerate(geometry.geometryObjects) if shape.parentJoint != 0]
    pairs = []
    for box in robot.limits.scene:
        place = pinocchio.SE3(np.eye(3), np.array(box.at_m))
        added = geometry.addGeometryObject(pinocchio.GeometryObject(box.name, 0, place, coal.Box(*box.size_m)))
        pairs += [(index, added) for index in moving]
    return pairs
