"""Which stamps become steps, and where segments end."""

from __future__ import annotations

import pytest
from test_replay_store import make_specs

from hybrid_rl_ros.data.step_assembler import StepAssembler, StreamValues

RUNNING = {'reward': 0.0, 'terminal': 0.0, 'truncated': 0.0, 'running': 1.0}
SUCCEEDED = {'reward': 1.0, 'terminal': 1.0, 'truncated': 0.0, 'running': 0.0}
IDLE = {'reward': 0.0, 'terminal': 0.0, 'truncated': 0.0, 'running': 0.0}


@pytest.fixture
def assembler():
    return StepAssembler(make_specs(cameras=()), first_episode=7)


def offer(assembler: StepAssembler, stamp: int, reward: dict[str, float], by: str = 'policy'):
    streams = StreamValues({'x': 0.5}, {'dx': 0.1, f'by/{by}': 1.0}, reward, {})
    return assembler.assemble(stamp, streams)


def test_an_episode_is_its_executed_steps_and_the_observation_that_ended_it(assembler):
    steps = [offer(assembler, k, r) for k, r in enumerate([IDLE, RUNNING, RUNNING, SUCCEEDED, SUCCEEDED, RUNNING])]
    assert [step is not None for step in steps] == [False, True, True, True, False, True]
    assert [step.episode for step in steps if step] == [7, 7, 7, 8]
    assert steps[3].terminal and steps[3].reward == 1.0 and steps[3].action[0] == 0.0
    assert steps[1].action[0] == pytest.approx(0.1)


def test_a_held_step_in_the_middle_begins_a_new_segment(assembler):
    assert offer(assembler, 1, RUNNING).episode == 7
    assert offer(assembler, 2, RUNNING, by='hold') is None
    assert offer(assembler, 3, RUNNING).episode == 8


def test_a_missing_stamp_begins_a_new_segment(assembler):
    assert offer(assembler, 1, RUNNING).episode == 7
    assembler.break_segment()
    assert offer(assembler, 3, RUNNING).episode == 8


def test_an_aborted_episode_adds_no_last_observation(assembler):
    offer(assembler, 1, RUNNING)
    assert offer(assembler, 2, IDLE) is None
