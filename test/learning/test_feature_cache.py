"""What is kept of frames whose trunks are frozen: in how many bits, and in which shifted copies."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from test_sac import make_agent
from test_update_loop import CONFIG, SPECS, make_step, run_to, weights

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.feature_cache import FeatureCache
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.policies.shape import shape_of

SHIFTS = Config.model_validate({**CONFIG.model_dump(), 'encoder': {'features': 8, 'cached_shifts': 3}})


@pytest.fixture
def store(tmp_path):
    with ReplayStore.create(tmp_path / 'store', SPECS, 200) as store:
        for number in range(12):
            store.append(make_step(number))
        yield store


def test_a_draw_takes_any_of_the_copies_and_each_is_of_a_shifted_frame(store):
    encoders = make_agent(SPECS).encoders
    cache = FeatureCache(store, encoders, SHIFTS)
    cache.catch_up(12)
    drawn = cache.views(np.full(400, 5), np.random.default_rng(0))['front']
    copies, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(copies) == 4 and counts.min() > 60
    padded = np.pad(make_step(5).observation.images['front'], ((3, 3), (3, 3), (0, 0)), mode='edge')
    shifted = np.stack([padded[y : y + 32, x : x + 32] for y in range(7) for x in range(7)])
    with torch.no_grad():
        possible = encoders.trunks({'front': torch.from_numpy(shifted)})['front'].numpy()
    for copy in copies:
        assert np.abs(possible - copy).max(axis=1).min() < 1e-5
    unshifted = possible[24]
    assert np.abs(copies - unshifted).max(axis=1).min() < 1e-5, 'the frame itself is one of them'


def test_copies_depend_on_the_seed_and_the_steps_number_alone(store):
    encoders = make_agent(SPECS).encoders
    caches = [FeatureCache(store, encoders, SHIFTS) for _ in range(2)]
    other = FeatureCache(store, encoders, SHIFTS.model_copy(update={'seed': 9}))
    for cache, stops in ((caches[0], (12,)), (caches[1], (1, 4, 12)), (other, (12,))):
        for stop in stops:
            cache.catch_up(stop)
    rows = np.repeat(np.arange(12), 8)
    views = [cache.views(rows, np.random.default_rng(0))['front'] for cache in (*caches, other)]
    assert np.array_equal(views[0], views[1]) and not np.array_equal(views[0], views[2])


def test_resuming_with_shifted_copies_brings_back_the_same_weights(tmp_path):
    loop = run_to(tmp_path / 'a', 40, SHIFTS)
    expected = weights(loop)
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    resumed = run_to(tmp_path / 'b', 40, SHIFTS)
    found = weights(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    for ended in (loop, resumed):
        ended.stop()
        ended.store.close()


def test_maps_are_kept_in_16_bits_and_small_features_in_32(store):
    for kind, dtype, shape in (('resnet10', np.float16, (512, 1, 1)), ('small', np.float32, (8,))):
        config = Config.model_validate({'encoder': {'kind': kind, 'features': 8}})
        encoders = Encoders(SPECS.observation.images, shape_of(config, 'sac'))
        cache = FeatureCache(store, encoders, config)
        cache.catch_up(2)
        found = cache.views(np.array([1]), np.random.default_rng(0))['front']
        assert found.dtype == dtype and found.shape == (1, *shape)
        with torch.no_grad():
            direct = encoders.trunks({'front': torch.from_numpy(store.frames(np.array([1]))['front'])})['front']
        assert np.allclose(found, direct, rtol=1e-3, atol=1e-3)


def test_features_that_memory_cannot_hold_are_one_line_that_says_what_to_lower(store):
    cache = FeatureCache(store, make_agent(SPECS).encoders, SHIFTS)
    with pytest.raises(UserError, match='400000000 GB .* lower train.replay_capacity or encoder.cached_shifts'):
        cache._room(torch.empty(10**6, 10**6, 10**3, device='meta'))
