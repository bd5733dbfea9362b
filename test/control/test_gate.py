"""Who may move the arm, and when: the modes, the watchdogs and the latched faults."""

from __future__ import annotations

import pytest

from hybrid_rl_ros.config import SafetyConfig
from hybrid_rl_ros.control.gate import Gate

CONFIG = SafetyConfig(action_timeout_s=0.15, latch_after_s=1.0, joint_state_timeout_s=0.15, estop_heartbeat_s=0.5)


class Clocked:
    """A gate with joint states and the e-stop's heartbeat every 10 ms, unless they are switched off."""

    def __init__(self) -> None:
        self.now = 100.0
        self.gate = Gate(CONFIG, self.now)
        self.joints = self.heartbeat = True
        self.pressed = False
        self.running = False
        self.episode_heard = True

    def run(self, seconds: float, *sources: str) -> str:
        """Let time pass with an action of every source at 20 Hz; the mode at the end."""
        for tick in range(round(seconds * 100)):
            self.now += 0.01
            if self.joints:
                self.gate.on_joints(self.now)
            if self.heartbeat:
                self.gate.on_estop(self.pressed, self.now)
            if self.episode_heard:
                self.gate.on_running(self.running, self.now)
            if tick % 5 == 0:
                for source in sources:
                    self.gate.admits(source, self.now)
            self.gate.update(self.now)
        return self.gate.mode


@pytest.fixture
def clocked() -> Clocked:
    return Clocked()


@pytest.fixture
def acting(clocked) -> Clocked:
    clocked.running = True
    assert clocked.run(0.2, 'policy') == 'policy'
    return clocked


def test_the_policy_moves_the_arm_only_in_an_episode(clocked):
    assert clocked.run(0.2, 'policy') == 'hold'
    assert clocked.gate.cause == 'no episode'
    clocked.running = True
    assert clocked.run(0.2, 'policy') == 'policy'
    clocked.running = False
    assert clocked.run(0.01) == 'hold'


def test_a_person_has_the_last_word_and_hands_back(acting):
    assert acting.run(0.2, 'policy', 'reset', 'teleop') == 'teleop'
    acting.gate.release('teleop')
    assert acting.run(0.3, 'policy', 'reset') == 'reset'
    assert acting.run(0.3, 'policy') == 'policy'


def test_a_person_who_falls_silent_does_not_hand_back_to_the_policy(acting):
    """They took over because the policy was about to do harm."""
    assert acting.run(0.2, 'policy', 'teleop') == 'teleop'
    assert acting.run(0.3, 'policy') == 'hold'
    assert acting.gate.cause == 'no action of the person who steers'
    assert acting.run(1.0, 'policy') == 'hold'
    assert acting.gate.cause == 'teleop_lost'
    assert acting.gate.clear(acting.now) is None
    assert acting.run(0.1, 'policy') == 'policy'


def test_a_short_silence_holds_and_passes_by_itself(acting):
    assert acting.run(0.3) == 'hold'
    assert acting.gate.cause == 'no action'
    assert acting.run(0.1, 'policy') == 'policy'


def test_a_long_silence_must_be_cleared_by_a_person(acting):
    assert acting.run(1.2) == 'hold'
    assert acting.run(0.5, 'policy') == 'hold'
    assert acting.gate.cause == 'action_lost'
    assert acting.gate.clear(acting.now) is None
    assert acting.run(0.1, 'policy') == 'policy'


def test_lost_joint_states_hold_then_latch_and_cannot_be_cleared_away(acting):
    acting.joints = False
    assert acting.run(0.2, 'policy') == 'hold'
    assert acting.gate.cause == 'no joint state'
    assert acting.run(1.0, 'policy') == 'hold'
    assert acting.gate.cause == 'joint_states_lost'
    assert 'persists' in acting.gate.clear(acting.now)
    acting.joints = True
    assert acting.run(0.2, 'policy') == 'hold'
    assert acting.gate.clear(acting.now) is None
    assert acting.run(0.1, 'policy') == 'policy'


def test_the_e_stop_latches_and_is_not_cleared_while_it_is_pressed(acting):
    acting.pressed = True
    assert acting.run(0.05, 'policy', 'teleop') == 'estop'
    assert 'persists' in acting.gate.clear(acting.now)
    acting.pressed = False
    assert acting.run(0.2, 'policy') == 'estop'
    assert acting.gate.clear(acting.now) is None
    assert acting.run(0.2, 'policy') == 'policy'


def test_a_silent_e_stop_is_a_pressed_one(acting):
    acting.heartbeat = False
    assert acting.run(0.6, 'policy') == 'estop'
    assert 'estop_silent' in acting.gate.clear(acting.now)


def test_actions_from_before_clearing_move_nothing(acting):
    acting.pressed = True
    acting.run(0.05, 'policy')
    acting.pressed = False
    acting.run(0.05, 'policy')
    acting.gate.clear(acting.now)
    assert acting.gate.update(acting.now) == 'hold'


def test_a_service_and_a_button_must_both_be_gone(acting):
    """The button cannot be cleared away because the service had stopped the arm before."""
    acting.gate.latch('estop', 'stopped by the service')
    acting.pressed = True
    acting.run(0.05, 'policy')
    assert 'persists' in acting.gate.clear(acting.now)
    acting.pressed = False
    acting.run(0.05, 'policy')
    assert acting.gate.clear(acting.now) is None


def test_an_e_stop_that_was_never_heard_keeps_the_gate_closed():
    clocked = Clocked()
    clocked.heartbeat, clocked.running = False, True
    assert clocked.run(0.3, 'policy') == 'hold'
    assert clocked.gate.cause == 'waiting for the e-stop'


def test_nobody_moves_an_arm_that_does_not_say_where_it_is():
    clocked = Clocked()
    clocked.joints, clocked.running = False, True
    assert clocked.run(0.3, 'policy', 'teleop') == 'hold'
    assert clocked.gate.cause == 'no joint state yet'


def test_a_mute_owner_of_the_episode_ends_the_policys_turn(acting):
    acting.episode_heard = False
    assert acting.run(1.5, 'policy') == 'hold'
    assert acting.gate.cause == 'nothing heard of the episode'


def test_a_silent_policy_is_no_fault_while_a_person_acts(acting):
    assert acting.run(3.0, 'teleop') == 'teleop'


def test_in_lock_step_silence_is_only_waiting():
    gate = Gate(SafetyConfig(), 0.0, timed=False)
    gate.on_joints(0.0)
    gate.on_running(True, 0.0)
    assert gate.admits('policy', 0.0)
    assert gate.update(60.0) == 'policy'
