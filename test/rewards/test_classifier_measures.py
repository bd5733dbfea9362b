"""A threshold, a split and a table of counts, against values known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid_rl_ros.data.specs import Dimension, VectorSpec
from hybrid_rl_ros.rewards.classifier_measures import (
    Confusion,
    LabelledFrames,
    Scores,
    choose_threshold,
    held_out_frames,
    worst_mistakes,
)
from hybrid_rl_ros.rewards.success_gate import SuccessGate, gate_around


def frames_of(*labels: str) -> LabelledFrames:
    """One episode for each text, whose letters are its frames: + for a success."""
    success = np.array([letter == '+' for label in labels for letter in label])
    episodes = np.repeat(np.arange(len(labels)), [len(label) for label in labels])
    return LabelledFrames(np.arange(len(success)), episodes, success)


@pytest.mark.parametrize(
    ('max_rate', 'threshold'),
    [(0.0, 0.9), (0.2, 0.8), (0.39, 0.8), (0.4, 0.6), (0.6, 0.5), (0.9, 0.5)],
)
def test_the_threshold_is_the_least_that_keeps_the_rate(max_rate, threshold):
    assert choose_threshold(np.array([0.6, 0.1, 0.9, 0.8, 0.5]), max_rate) == threshold


def test_negatives_of_equal_probability_fire_together_or_not_at_all():
    assert choose_threshold(np.array([0.7, 0.7, 0.7, 0.1]), 0.5) == 0.7


def test_the_counts_are_those_above_the_threshold_and_not_at_it():
    success = np.array([True, True, True, False, False])
    confusion = Confusion.of(success, np.array([0.9, 0.6, 0.5, 0.6, 0.7]), threshold=0.6)
    assert confusion == Confusion(true_positives=1, missed=2, false_positives=1, true_negatives=1)
    assert confusion.recall == pytest.approx(1 / 3) and confusion.false_positive_rate == 0.5


@pytest.mark.parametrize('seed', range(20))
def test_an_episode_is_never_on_both_sides(seed):
    frames = frames_of(*['--+'] * 9, *['----'] * 6, '++', '++')
    held_out = held_out_frames(frames, 0.3, np.random.default_rng(seed))
    assert not set(frames.episodes[held_out]) & set(frames.episodes[~held_out])
    counts = [len({*frames.episodes[held_out]} & {*numbers}) for numbers in (range(9), range(9, 15), range(15, 17))]
    assert counts == [3, 2, 1], 'the share of each kind'


@pytest.mark.parametrize('share', [0.01, 0.2, 0.99])
def test_two_episodes_of_a_kind_are_one_on_either_side(share):
    frames = frames_of('-+', '--+')
    held_out = held_out_frames(frames, share, np.random.default_rng(0))
    assert not frames[held_out].lacks_one_kind and not frames[~held_out].lacks_one_kind


def test_the_worst_mistakes_come_first_and_without_any_the_least_certain():
    frames, inside = frames_of('++--'), np.array([True, False, True, True])
    scores = Scores(frames, np.array([0.4, 0.9, 0.8, 0.1]), inside)
    indices, mistaken = worst_mistakes(scores, 0.5, most=2)
    assert indices.tolist() == [1, 2] and mistaken, 'what the gate refuses counts as 0'
    scores = Scores(frames, np.array([0.9, 0.7, 0.1, 0.4]), inside | True)
    indices, mistaken = worst_mistakes(scores, 0.5, most=3)
    assert indices.tolist() == [3, 1, 0] and not mistaken


def test_the_gate_is_the_range_of_the_successes_and_its_margin():
    names = ('ee.x', 'ee.y', 'ee.vx', 'a.velocity', 'task.cube.x')
    spec = VectorSpec(dimensions=tuple(Dimension(name=name, unit='1', low=-1, high=1) for name in names))
    states = np.array([[0.0, 0.5, 0, 0, 0], [1.0, 0.5, 0, 0, 0]])
    gate = gate_around(states, spec, margin=0.1)
    assert list(gate.ranges) == ['ee.x', 'ee.y'], 'who rests there has succeeded too'
    assert gate.ranges['ee.x'] == pytest.approx((-0.1, 1.1))
    assert gate.ranges['ee.y'] == pytest.approx((0.48, 0.52)), 'a hundredth of what it may be, though it stood still'
    assert gate.holds({'ee.x': 1.09, 'ee.y': 0.5, 'ee.vx': 9.0})
    assert not gate.holds({'ee.x': 1.11, 'ee.y': 0.5})
    assert not gate.holds({'ee.x': float('nan'), 'ee.y': 0.5})
    inside = gate.holds_each(np.array([[0.5, 0.5, 0, 0, 0], [0.5, 0.6, 0, 0, 0]]), names)
    assert inside.tolist() == [True, False]
    assert SuccessGate().holds({})
