"""Ten thousand hostile action messages: whatever comes in, what goes out stays inside the limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.control.action_check import NS_PER_S, ActionCheck
from hybrid_rl_ros.control.arm_motion import ArmMotion
from hybrid_rl_ros.control.kinematics import ArmKinematics
from hybrid_rl_ros.robot_config import load_robot

ROBOT = load_robot('sim_arm')
CONFIG = Config(task='reach', control_rate_hz=20.0)
KINEMATICS = ArmKinematics(ROBOT)
NAMES = ('ee.dx', 'ee.dy', 'ee.dz', 'gripper')
MESSAGES_AN_EXAMPLE, EXAMPLES = 100, 110
PERIOD_NS = NS_PER_S // 20

numbers = st.one_of(
    st.floats(-0.03, 0.03), st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1e308, 1e9, 5e-324]), st.floats()
)
plain = st.fixed_dictionaries({name: st.floats(-0.03, 0.03) for name in NAMES})
odd = st.dictionaries(st.sampled_from([*NAMES, 'ee.dw', '', 'latent/0']), numbers, max_size=6)
# Sender 0 and 1 are two publishers with clocks of their own.
messages = st.tuples(
    st.one_of(plain, odd, st.permutations(NAMES).map(lambda names: dict.fromkeys(names, 0.02))),
    st.one_of(st.just(0), st.integers(-NS_PER_S, NS_PER_S)),
    st.sampled_from(['base_link', 'base_link', 'base_link', 'tool', '']),
    st.integers(0, 1),
)


class Gate:
    """Check and motion as in safety_node, on a clock that the test turns."""

    def __init__(self) -> None:
        self.check = ActionCheck(NAMES, ROBOT.base_frame, CONFIG.safety.max_action_age_s)
        self.motion = ArmMotion(CONFIG, ROBOT)
        self.motion.start_at(np.array(ROBOT.home_rad))
        self.position, self.velocity = np.array(ROBOT.home_rad), np.zeros(len(ROBOT.arm_joints))
        self.now = 100 * NS_PER_S
        self.taken = 0

    def offer(self, action: dict[str, float], late_ns: int, frame: str) -> None:
        try:
            self.check.require_fit('policy', action, self.now - late_ns, frame, self.now)
            self.motion.act(np.array([action[name] for name in NAMES]), self.position)
            self.taken += 1
        except ValueError:
            pass

    def step(self) -> None:
        for _ in range(5):
            setpoint = self.motion.tick(self.position)
            period = setpoint.duration_s
            assert np.isfinite(setpoint.position_rad).all()
            velocity = (setpoint.position_rad - self.position) / period
            assert (np.abs(velocity) <= np.array(ROBOT.joint_speeds_rad_s) + 1e-9).all()
            change = np.abs(velocity - self.velocity)
            assert (change <= np.array(ROBOT.joint_accelerations_rad_s2) * period + 1e-6).all()
            assert (setpoint.position_rad >= KINEMATICS.lower_rad - 1e-9).all()
            assert (setpoint.position_rad <= KINEMATICS.upper_rad + 1e-9).all()
            self.position, self.velocity = setpoint.position_rad, velocity
        self.now += PERIOD_NS


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(messages, min_size=MESSAGES_AN_EXAMPLE, max_size=MESSAGES_AN_EXAMPLE))
def test_no_message_makes_the_gate_leave_its_limits(stream):
    gate = Gate()
    for action, late_ns, frame, sender in stream:
        gate.offer(action, late_ns + sender * PERIOD_NS // 3, frame)
        gate.step()
    low, high = np.array(ROBOT.limits.workspace_low_m), np.array(ROBOT.limits.workspace_high_m)
    tool = KINEMATICS.tool_pose(gate.position).translation
    assert (tool >= low - 2e-3).all() and (tool <= high + 2e-3).all()


def test_ordinary_messages_do_get_through():
    """The fuzz above would prove nothing about a gate that takes nothing."""
    gate = Gate()
    for _ in range(50):
        gate.offer(dict.fromkeys(NAMES, 0.01), 0, 'base_link')
        gate.step()
    assert gate.taken == 50
