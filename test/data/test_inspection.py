"""Defects planted in a store are found, counted and told in one line; a sound store has nothing to tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybrid_rl_ros.data.frame_facts import FrameFacts
from hybrid_rl_ros.data.inspection import BINS, DimensionFacts, StoreFacts, inspect_store
from hybrid_rl_ros.data.inspection_warnings import warnings_of
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data.store_files import ROW

PERIOD_NS = 100_000_000
CAMERAS = ('front', 'wrist')
SPECS = Specs(
    observation=ObservationSpec(
        state=VectorSpec(
            dimensions=(
                Dimension(name='x', unit='m', low=-1, high=1),
                Dimension(name='y', unit='m', low=-1, high=1),
            )
        ),
        images=tuple(ImageSpec(camera=camera, height=8, width=12) for camera in CAMERAS),
    ),
    action=ActionSpec(
        dimensions=(
            Dimension(name='dx', unit='m', low=-0.5, high=0.5),
            Dimension(name='gripper', unit='1', low=-1, high=1),
        )
    ),
)


def sound_episode(episode: int, steps: int = 21, seed: int = 0) -> list[Step]:
    """A success at 10 Hz with noise on the images, inside all bounds, the gripper open or closed."""
    rng = np.random.default_rng([seed, episode])
    made = []
    for number in range(steps):
        images = {camera: rng.integers(40, 200, (8, 12, 3), np.uint8) for camera in CAMERAS}
        state, action = rng.uniform(-0.9, 0.9, 2), np.array([rng.uniform(-0.4, 0.4), rng.choice([-1.0, 1.0])])
        observation = Observation(state.astype(np.float32), images)
        made.append(Step(number * PERIOD_NS + 1, episode, observation, action.astype(np.float32)))
    made[-1] = replace(made[-1], reward=1.0, terminal=True, action=np.zeros(2, np.float32))
    return made


def write(folder: Path, *episodes: list[Step]) -> ReplayStore:
    with ReplayStore.create(folder, SPECS, 2000) as store:
        for step in (step for episode in episodes for step in episode):
            store.append(step)
    return ReplayStore.open(folder, read_only=True)


def inspect(folder: Path, *episodes: list[Step]) -> StoreFacts:
    with write(folder, *episodes) as store:
        return inspect_store(store, lambda done, total: None)


def dimension(facts: tuple[DimensionFacts, ...], name: str) -> DimensionFacts:
    return next(each for each in facts if each.name == name)


def test_a_sound_store_has_its_plain_facts_and_nothing_to_look_at(tmp_path):
    facts = inspect(tmp_path / 's', sound_episode(3), sound_episode(4, steps=11))
    first, second = facts.episodes
    assert (facts.steps, facts.transitions) == (32, 30)
    assert facts.period_s == pytest.approx(0.1)
    assert facts.outcomes == {'success': 2, 'failure': 0, 'truncated': 0, 'cut': 0}
    assert (first.episode, first.steps, first.transitions, first.return_) == (3, 21, 20, 1.0)
    assert (first.duration_s, first.rate_hz) == (pytest.approx(2.0), pytest.approx(10.0))
    assert (second.episode, second.duration_s, second.gaps) == (4, pytest.approx(1.0), 0)
    assert warnings_of(facts) == []


def test_every_outcome_is_told_from_the_last_step(tmp_path):
    success, failure, truncated, cut = (sound_episode(number) for number in range(4))
    failure[-1] = replace(failure[-1], reward=0.0)
    truncated[-1] = replace(truncated[-1], reward=0.0, terminal=False, truncated=True)
    facts = inspect(tmp_path / 's', success, failure, truncated, cut[:-1])
    assert [episode.outcome for episode in facts.episodes] == ['success', 'failure', 'truncated', 'cut']
    assert [episode.idle_end for episode in facts.episodes] == [True, True, True, None]
    assert warnings_of(facts) == ['episode 3: cut off: its last step is neither terminal nor truncated']


def test_duplicated_frames_are_counted_by_camera_with_their_longest_run(tmp_path):
    """14 duplicates: 3 after step 2, 11 after step 8; step 12 of the front camera is like step 10, but not in a row."""
    planted = sound_episode(1)
    for number in (3, 4, 5, *range(9, 20)):
        planted[number].observation.images['wrist'] = planted[number - 1].observation.images['wrist']
    planted[12].observation.images['front'] = planted[10].observation.images['front']
    facts = inspect(tmp_path / 's', sound_episode(0), planted)
    assert facts.episodes[1].cameras['wrist'] == FrameFacts(21, 14, 11, 0, 0)
    assert facts.episodes[1].cameras['front'] == FrameFacts(21, 0, 0, 0, 0)
    assert facts.cameras['wrist'] == FrameFacts(42, 14, 11, 0, 0)
    assert warnings_of(facts) == ['episode 1: 14 duplicated frames of camera wrist, 11 in a row']


def test_frames_that_differ_in_one_value_are_no_duplicates(tmp_path):
    planted = sound_episode(0)
    for number in range(1, 21):
        frame = planted[0].observation.images['wrist'].copy()
        frame[7, 11, 2] = number
        planted[number].observation.images['wrist'] = frame
    assert inspect(tmp_path / 's', planted).episodes[0].cameras['wrist'].duplicated == 0


def test_duplicates_are_seen_across_the_chunks_that_frames_are_read_in(tmp_path, monkeypatch):
    planted = sound_episode(0)
    for number in range(1, 20):
        planted[number].observation.images['wrist'] = planted[0].observation.images['wrist']
    monkeypatch.setattr('hybrid_rl_ros.data.frame_facts.CHUNK_BYTES', 4 * 8 * 12 * 3)
    assert inspect(tmp_path / 's', planted).episodes[0].cameras['wrist'] == FrameFacts(21, 19, 19, 0, 0)


def test_the_same_frame_at_an_end_and_the_next_start_is_no_duplicate(tmp_path):
    before, after = sound_episode(0), sound_episode(1)
    after[0].observation.images['front'] = before[-1].observation.images['front']
    assert inspect(tmp_path / 's', before, after).cameras['front'].duplicated == 0


def test_black_and_overexposed_frames_are_counted(tmp_path):
    planted = sound_episode(0)
    for number, value in ((4, 0), (9, 3), (12, 255), (13, 251), (15, 252)):
        planted[number].observation.images['front'] = np.full((8, 12, 3), value, np.uint8)
    facts = inspect(tmp_path / 's', planted)
    assert facts.cameras['front'] == FrameFacts(21, 0, 0, black=2, overexposed=3)
    assert warnings_of(facts) == [
        'episode 0: 2 black frames of camera front',
        'episode 0: 3 overexposed frames of camera front',
    ]


def test_a_gap_is_a_wait_of_more_than_one_and_a_half_periods(tmp_path):
    """Step 5 comes 0.14 s after step 4, which is none; step 10 comes 0.75 s after step 9."""
    planted = sound_episode(2)
    for step in planted[5:]:
        step.stamp_ns += 40_000_000
    for step in planted[10:]:
        step.stamp_ns += 650_000_000
    facts = inspect(tmp_path / 's', sound_episode(1), planted)
    assert [episode.gaps for episode in facts.episodes] == [0, 1]
    assert facts.episodes[1].longest_gap_s == pytest.approx(0.75)
    assert facts.episodes[1].duration_s == pytest.approx(2.69)
    assert warnings_of(facts) == ['episode 2: 1 gap in time, up to 0.75 s']


def test_saturation_is_the_share_of_executed_actions_at_the_bounds(tmp_path):
    """Of 20 actions (the last step's zero is none) 6 are at the low and 2 at the high bound, as float32 has them."""
    planted = sound_episode(0)
    for number in range(6):
        planted[number].action[0] = -0.5
    for number in range(10, 12):
        planted[number].action[0] = 0.5
    facts = inspect(tmp_path / 's', planted)
    dx = dimension(facts.action, 'dx')
    assert (dx.at_low, dx.at_high, dx.saturated, dx.outside) == pytest.approx((0.3, 0.1, 0.4, 0.0))
    assert (dx.least, dx.most) == (-0.5, 0.5)
    assert len(dx.histogram) == BINS
    assert sum(dx.histogram) == pytest.approx(1.0)
    assert dx.histogram[0] >= 0.3
    assert warnings_of(facts) == ['action dx: at its bounds in 40% of the steps']


def test_an_open_or_closed_gripper_is_at_its_bounds_by_nature(tmp_path):
    facts = inspect(tmp_path / 's', sound_episode(0))
    assert dimension(facts.action, 'gripper').saturated == 1.0
    assert warnings_of(facts) == []


def test_states_outside_their_range_and_constant_ones_are_named(tmp_path):
    planted = sound_episode(0, steps=20)
    for number, step in enumerate(planted):
        step.observation.state[0] = 1.5 if number < 5 else step.observation.state[0]
        step.observation.state[1] = 0.25
    facts = inspect(tmp_path / 's', planted)
    assert dimension(facts.state, 'x').outside == pytest.approx(0.25)
    assert dimension(facts.state, 'y').constant
    assert [line for line in warnings_of(facts) if line.startswith('state')] == [
        f'state x: outside -1 to 1 m in 25.0% of the steps ({dimension(facts.state, "x").least:g} to 1.5)',
        'state y: constant at 0.25 m',
    ]


def test_states_that_stand_still_are_counted(tmp_path):
    planted = sound_episode(0)
    for number in range(10, 18):
        planted[number].observation.state[:] = planted[9].observation.state
    facts = inspect(tmp_path / 's', planted)
    assert facts.episodes[0].still_states == 8
    assert warnings_of(facts) == ['episode 0: 8 of 21 steps with the very state of the step before']


def test_ends_rewards_and_actions_where_none_belong_are_named(tmp_path):
    early, first, paid, acting = (sound_episode(number) for number in range(4))
    early[7] = replace(early[7], terminal=True)
    first[0] = replace(first[0], reward=0.5)
    paid[4] = replace(paid[4], reward=1.0)
    acting[-1] = replace(acting[-1], action=np.array([0.1, 0.0], np.float32))
    facts = inspect(tmp_path / 's', early, first, paid, acting, sound_episode(4), sound_episode(5))
    assert [line for line in warnings_of(facts) if line.startswith('episode')] == [
        'episode 0: 1 step before its last marked terminal or truncated',
        'episode 1: reward 0.5 at the first step, at which nothing arrives: it is not learned from',
        'episode 3: an action at its last step, from which nothing is executed',
        'episode 2: 1 step before its last with a reward, unlike most episodes',
    ]


def test_rewards_at_every_step_are_normal_where_most_episodes_have_them(tmp_path):
    dense = [[replace(step, reward=1.0 if number else 0.0) for number, step in enumerate(sound_episode(0))]]
    assert warnings_of(inspect(tmp_path / 's', *dense)) == []


def test_steps_that_a_damaged_file_lost_are_counted(tmp_path):
    write(tmp_path / 's', sound_episode(0)).close()
    with open(tmp_path / 's' / 'state.bin', 'r+b') as file:
        file.seek(7 * 8)
        file.write(b'\xff' * 16)
    with ReplayStore.open(tmp_path / 's', read_only=True) as store:
        facts = inspect_store(store, lambda done, total: None)
    assert facts.episodes[0].lost_steps == 2
    assert 'episode 0: 2 steps lost inside' in warnings_of(facts)


def test_rows_that_are_not_what_was_written_are_counted_and_named(tmp_path):
    write(tmp_path / 'store', sound_episode(0), sound_episode(1)).close()
    with open(tmp_path / 'store' / 'rows.bin', 'r+b') as file:
        # The stamps of the second episode's first three steps.
        for row in (21, 22, 23):
            file.seek(row * ROW.itemsize + ROW.fields['stamp_ns'][1])
            file.write(b'\xa5\x5a')
    with ReplayStore.open(tmp_path / 'store', read_only=True) as store:
        facts = inspect_store(store, lambda done, count: None)
    assert facts.damaged_rows == 3
    assert facts.steps == 42 - 3
    assert warnings_of(facts)[0] == '3 damaged rows are left out; whole again from a copy only'


def test_interventions_are_counted_by_episode(tmp_path):
    helped = [replace(step, intervention=number in (3, 4, 5)) for number, step in enumerate(sound_episode(1))]
    facts = inspect(tmp_path / 's', sound_episode(0), helped)
    assert [episode.interventions for episode in facts.episodes] == [0, 3]


def test_the_same_defect_in_many_episodes_is_told_in_few_lines(tmp_path):
    facts = inspect(tmp_path / 's', *(sound_episode(number)[:-1] for number in range(2, 12)))
    assert warnings_of(facts)[5:] == ['5 more episodes with no end: 7-11']


def test_an_episode_of_noise_among_steady_ones_stands_out_by_its_divergence(tmp_path):
    episodes = [sound_episode(number, steps=41) for number in range(8)]
    for number, steps in enumerate(episodes):
        for step in steps[:-1]:
            spread = 1.0 if number == 5 else 0.02
            step.action[:] = [0.3 * step.observation.state[0] + spread * step.action[0], 0.0]
    lines = [line for line in warnings_of(inspect(tmp_path / 's', *episodes)) if line.startswith('episode')]
    assert len(lines) == 1
    assert lines[0].startswith('episode 5: action divergence')


def test_progress_ends_at_all_steps(tmp_path):
    seen: list[tuple[int, int]] = []
    with write(tmp_path / 's', sound_episode(0), sound_episode(1)) as store:
        inspect_store(store, lambda done, total: seen.append((done, total)))
    assert seen == [(21, 42), (42, 42)]
