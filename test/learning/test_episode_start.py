"""Acting looks from the observation that the store will have as an episode's first."""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.learning.episode_start import EpisodeStart


def starts(lockstep: bool, seen: list[tuple[float | None, bool]]) -> list[int]:
    """Which one each observation's start was, given its count of resets and whether the arm acted when it came."""
    start, found = EpisodeStart(lockstep), []
    for number, (resets, arm_acts) in enumerate(seen):
        start.arm_acts = arm_acts
        found.append(int(start.of(np.array([number]), {} if resets is None else {'resets': resets})[0]))
    return found


def test_in_lock_step_an_episode_begins_where_the_simulation_was_reset():
    assert starts(True, [(1.0, False), (1.0, False), (1.0, True), (2.0, True), (2.0, False)]) == [0, 0, 0, 3, 3]


def test_in_real_time_it_begins_with_the_last_observation_before_the_arm_acts():
    held, acts = (1.0, False), (1.0, True)
    # The gate says that it acts after the first action, so that observation still counts as one of a held arm.
    assert starts(False, [held, held, acts, acts, held, acts]) == [0, 1, 1, 1, 4, 4]


def test_in_real_time_a_reset_begins_one_though_no_hold_was_heard_of():
    assert starts(False, [(1.0, False), (1.0, True), (2.0, True), (2.0, True)]) == [0, 0, 2, 2]


def test_a_real_arm_counts_no_resets():
    assert starts(False, [(None, False), (None, True), (None, True), (None, False), (None, True)]) == [0, 0, 0, 3, 3]
