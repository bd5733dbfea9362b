"""The motion filter: joint set-points at the command rate that stay inside every limit, whatever is asked for.

Its promise rests on one rule: a velocity is taken only if braking at once from it would end inside every region. What
leads out of one is tried along its edge, or the arm would stand wherever a policy pushes against the workspace. If
nothing that leads towards the goal passes, the arm brakes, which the step before has already checked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.control.regions import Region
from hybrid_rl_ros.robot_config import RobotConfig

# Shares of the way from braking to what is wished for that are tried in turn.
TRIED_SHARES = (1.0, 0.5, 0.2)
EDGE = 1e-9
MOST_POSTURES = 12
# In a corner of the workspace three edges meet.
MOST_EDGES = 3
# How far a slide along an edge turns inwards: joints that move evenly do not move the tool along a straight line.
INWARD = 0.05
DIFFERENCE_RAD = 1e-6


@dataclass(frozen=True)
class Motion:
    """The next set-point: position_rad and velocity_rad_s (J,), and the limits that changed what was asked for."""

    position_rad: np.ndarray
    velocity_rad_s: np.ndarray
    limited_by: tuple[str, ...]


@dataclass(frozen=True)
class Push:
    """Directions, in the base frame, of a force and a torque beyond their limits; zero for one that is not."""

    force: np.ndarray
    torque: np.ndarray

    def against(self, twist: np.ndarray) -> float:
        """Negative for a tool twist (6,) that moves or turns against the push."""
        return float(min(twist[:3] @ self.force, twist[3:] @ self.torque))


class MotionFilter:
    """Follows a goal within joint position, speed and acceleration, tool speed, and the regions.

    `start_at` says where the arm stands; each `step` moves on by one period. Vectors are (J,), rad and s.
    """

    def __init__(self, robot: RobotConfig, kinematics: ArmKinematics, regions: list[Region], period_s: float) -> None:
        margin = robot.limits.joint_margin_rad
        self._kinematics, self._regions = kinematics, regions
        self._period_s = period_s
        self._lower, self._upper = kinematics.lower_rad + margin, kinematics.upper_rad - margin
        self._max_speed = np.array(robot.joint_speeds_rad_s)
        self._max_change = np.array(robot.joint_accelerations_rad_s2) * period_s
        self._max_tool_speed = robot.limits.ee_speed_m_s
        self.position = np.array(robot.home_rad, dtype=float)
        self.velocity = np.zeros_like(self.position)

    @property
    def at_rest(self) -> bool:
        return not self.velocity.any()

    def start_at(self, measured_rad: np.ndarray) -> None:
        """Stand still where the arm was measured. Raises ValueError for anything but J finite numbers."""
        self.position = self._checked(measured_rad).copy()
        self.velocity = np.zeros_like(self.position)

    def step(
        self, goal_rad: np.ndarray, left_s: float = 0.0, speed_scale: float = 1.0, push: Push | None = None
    ) -> Motion:
        """One period towards `goal_rad`, to be reached in `left_s` (0 for as soon as the limits let it).

        `push`: how the surroundings push the tool too hard; while it is given, the tool gives way or stands.
        Raises ValueError for a goal that is not J finite numbers.
        """
        goal = self._checked(goal_rad)
        wish, limited_by = self._wish(goal, left_s, speed_scale)
        braking = self._braking()
        wishes = [wish]
        for share in TRIED_SHARES:
            for wished in wishes:
                velocity = braking + share * (wished - braking)
                refusal = self._refusal(velocity, push)
                if refusal is None:
                    return self._move(velocity, limited_by)
                if refusal not in limited_by:
                    limited_by = [*limited_by, refusal]
            if len(wishes) == 1:
                wishes.append(self._along_edges(wish))
        return self._move(braking, limited_by)

    def brake(self) -> Motion:
        """One period of slowing down as fast as the accelerations allow."""
        return self._move(self._braking(), [])

    def _wish(self, goal: np.ndarray, left_s: float, speed_scale: float) -> tuple[np.ndarray, list[str]]:
        limited_by = []
        # From outside of a joint's range it may stay or come back; it is not driven back unasked.
        inside = np.clip(goal, np.minimum(self._lower, self.position), np.maximum(self._upper, self.position))
        if (np.abs(inside - goal) > EDGE).any():
            limited_by.append('joint_position')
        way = inside - self.position
        if left_s > 0.0:
            wish = way / max(left_s, self._period_s)
        else:
            # As fast as it can still stop at the goal.
            wish = np.sign(way) * np.minimum(np.abs(way) / self._period_s, self._stopping_speed(np.abs(way)))
        top = self._max_speed * speed_scale
        fastest = (np.abs(wish) / top).max()
        tool_speed = float(np.linalg.norm(self._kinematics.tool_velocity(self.position, wish)))
        fastest_tool = tool_speed / (self._max_tool_speed * speed_scale)
        if fastest > 1.0 or fastest_tool > 1.0:
            limited_by.append('joint_speed' if fastest >= fastest_tool else 'ee_speed')
            wish = wish / max(fastest, fastest_tool)
        up = self._stopping_speed(np.maximum(self._upper - self.position, 0.0))
        down = self._stopping_speed(np.maximum(self.position - self._lower, 0.0))
        wish = np.clip(wish, -down, up)
        # What is faster than the limits already (a limit was lowered) can only be slowed down.
        return np.clip(wish, self.velocity - self._max_change, self.velocity + self._max_change), limited_by

    def _refusal(self, velocity: np.ndarray, push: Push | None) -> str | None:
        """Why `velocity` must not be taken, or None."""
        twist = self._kinematics.tool_twist(self.position, velocity)
        if push is not None and (push.against(twist) < -EDGE):
            return 'wrench'
        speed = float(np.linalg.norm(twist[:3]))
        if speed > self._max_tool_speed + EDGE:
            # Each joint's acceleration was limited by itself; the tool is not faster for that.
            braking = self._kinematics.tool_velocity(self.position, self._braking())
            if speed > np.linalg.norm(braking) + EDGE:
                return 'ee_speed'
        left = self._left_by(velocity)
        return None if left is None else left[0].name

    def _left_by(self, velocity: np.ndarray) -> tuple[Region, np.ndarray] | None:
        """The first region that braking from `velocity` would end outside of, and the posture (J,) furthest out."""
        postures = self._stopping_postures(velocity)
        for region in self._regions:
            excesses = [region.excess(posture) for posture in postures]
            worst = int(np.argmax(excesses))
            # From outside, back is allowed and further out is not.
            if excesses[worst] > EDGE and excesses[worst] > region.excess(self.position) - EDGE:
                return region, postures[worst]
        return None

    def _along_edges(self, velocity: np.ndarray) -> np.ndarray:
        """`velocity` without what of it leads out of regions, as far as the accelerations allow."""
        slide, edges = velocity, np.empty((0, len(velocity)))
        for _ in range(MOST_EDGES):
            left = self._left_by(slide)
            if left is None:
                break
            region, posture = left
            if region.excess(self.position) > EDGE:
                # Outside there is no edge to follow, only the way back.
                return velocity
            nudges = posture + DIFFERENCE_RAD * np.eye(len(posture))
            rises = np.array([region.excess(nudge) for nudge in nudges]) - region.excess(posture)
            edges = np.vstack([edges, rises / DIFFERENCE_RAD])
            # Off all of them at once: for the joints the edges of a box are not at right angles.
            back = np.linalg.pinv(edges)
            slide = velocity - back @ np.maximum(0.0, edges @ velocity)
            along = float(np.linalg.norm(self._kinematics.tool_velocity(self.position, slide)))
            slide = velocity - back @ np.maximum(0.0, edges @ velocity + INWARD * along)
        return np.clip(slide, self.velocity - self._max_change, self.velocity + self._max_change)

    def _stopping_postures(self, velocity: np.ndarray) -> np.ndarray:
        """(K, J): where the arm is after each period of braking from `velocity`, every joint as fast as it can."""
        speed = np.abs(velocity)
        periods = np.ceil(speed / self._max_change)
        last = math.ceil((speed / self._max_change).max() - EDGE) + 1
        if last <= MOST_POSTURES:
            counts = np.arange(1, last + 1)
        else:
            counts = np.unique(np.linspace(1, last, MOST_POSTURES).round().astype(int))
        moving = np.minimum(periods, counts[:, None])
        way = moving * speed - self._max_change * moving * (moving - 1) / 2.0
        return self.position + np.sign(velocity) * way * self._period_s

    def _stopping_speed(self, way_rad: np.ndarray) -> np.ndarray:
        """The greatest speed with which each joint, braking from the next period on, stops within `way_rad`."""
        units = way_rad / (self._max_change * self._period_s)
        whole = np.floor((np.sqrt(1.0 + 8.0 * units) - 1.0) / 2.0)
        return self._max_change * (whole / 2.0 + units / (whole + 1.0))

    def _braking(self) -> np.ndarray:
        return np.sign(self.velocity) * np.maximum(np.abs(self.velocity) - self._max_change, 0.0)

    def _move(self, velocity: np.ndarray, limited_by: list[str]) -> Motion:
        self.position = self.position + velocity * self._period_s
        self.velocity = velocity
        return Motion(self.position, velocity, tuple(limited_by))

    def _checked(self, joints_rad: np.ndarray) -> np.ndarray:
        joints = np.asarray(joints_rad, dtype=float)
        if joints.shape != self._lower.shape or not np.isfinite(joints).all():
            raise ValueError(f'expected {len(self._lower)} finite joint positions, got {joints.tolist()}')
        return joints
