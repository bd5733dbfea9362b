"""A killed learner comes back with the same weights."""

from __future__ import annotations

import queue
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_sac import make_agent, make_specs

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.base import Sampling
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.sampler import Source, SymmetricSampler
from hybrid_rl_ros.learning.update_loop import UpdateLoop

SPECS = make_specs(cameras=('front',))
CONFIG = Config.model_validate(
    {
        'sac': {'hidden': [16, 16], 'batch': 16, 'updates_per_step': 2},
        'encoder': {'features': 8},
        'train': {'warm_up_steps': 10, 'publish_every_steps': 5, 'checkpoint_every_steps': 15, 'replay_capacity': 200}
        | {'compile': 'off'},
    }
)


def make_step(number: int, reward: float = 0.0) -> Step:
    rng = np.random.default_rng(number)
    image = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
    observation = Observation(rng.uniform(-1, 1, 2).astype(np.float32), {'front': image})
    last = number % 10 == 9
    return Step(number + 1, number // 10, observation, rng.uniform(-1, 1, 1).astype(np.float32), reward, truncated=last)


def run_to(folder, steps: int, config: Config = CONFIG) -> UpdateLoop:
    """Store steps up to number `steps` and learn from each; returns the loop with its thread still up."""
    exists = (folder / 'replay' / 'specs.json').exists()
    store = ReplayStore.open(folder / 'replay') if exists else ReplayStore.create(folder / 'replay', SPECS, 200)
    done: queue.Queue = queue.Queue()
    loop = UpdateLoop(config, SPECS, folder, None, store, done.put)
    loop.start()
    for number in range(store.sequence, steps):
        store.append(make_step(number))
        loop.schedule()
    while done.get(timeout=30).job.before_sequence < steps:
        loop.raise_if_failed()
    loop.store = store
    return loop


def weights(loop: UpdateLoop) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in loop.agent.state_dict().items()}


def test_resuming_after_a_kill_brings_back_the_same_weights_and_optimiser(tmp_path):
    loop = run_to(tmp_path / 'a', 40)
    expected = weights(loop)
    # What a kill leaves: the store and the last periodic checkpoint, without the one that stop() writes.
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    loop.stop()
    loop.store.close()
    resumed = run_to(tmp_path / 'b', 40)
    found = weights(resumed)
    assert resumed.env_steps == loop.env_steps == 36
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    resumed.stop()
    resumed.store.close()


def test_updates_keep_their_exact_ratio_to_the_steps(tmp_path):
    loop = run_to(tmp_path, 40)
    # 36 of 40 steps complete a transition; updates begin with the tenth.
    assert loop.updates == (36 - 10 + 1) * 2
    loop.stop()
    loop.store.close()


def test_a_failure_in_the_thread_reaches_its_owner(tmp_path, monkeypatch):
    monkeypatch.setattr('hybrid_rl_ros.learning.agents.sac.SacAgent.update', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_to(tmp_path, 40)


def test_every_update_slice_is_half_demonstrations_and_cached_features_equal_direct_ones(tmp_path):
    agent = make_agent(SPECS)
    with (
        ReplayStore.create(tmp_path / 'o', SPECS, 30) as online,
        ReplayStore.create(tmp_path / 'd', SPECS, 50) as demos,
    ):
        for number in range(45):
            online.append(make_step(number, reward=1.0))
            demos.append(make_step(number, reward=-1.0))
        sources = [Source(store, agent.encoders, CONFIG, Sampling()) for store in (online, demos)]
        sampler = SymmetricSampler(*sources, batch=16, demo_ratio=0.5)
        batch = sampler.sample(4, online.sequence, np.random.default_rng(0), 'cpu')
        assert all((part.reward < 0).sum() == 8 and len(part) == 16 for part in batch.slices(4))
        rows = online.valid_rows()
        images = {'front': torch.from_numpy(online.frames(rows)['front'])}
        with torch.no_grad():
            direct = agent.encoders(images, len(rows)).numpy()
        assert np.allclose(sources[0].cache.views(rows, np.random.default_rng(0))['front'], direct, atol=1e-6)


def test_what_a_person_did_is_drawn_as_a_demonstration_too(tmp_path):
    """Half of each slice comes from demonstrations and interventions, in proportion to how many there are of each."""
    agent = make_agent(SPECS)
    with (
        ReplayStore.create(tmp_path / 'o', SPECS, 100) as online,
        ReplayStore.create(tmp_path / 'd', SPECS, 50) as demos,
    ):
        for number in range(90):
            by_hand = 40 <= number < 60
            online.append(replace(make_step(number, reward=3.0 if by_hand else 1.0), intervention=by_hand))
        for number in range(45):
            demos.append(make_step(number, reward=-1.0))
        sources = [Source(store, agent.encoders, CONFIG, Sampling()) for store in (online, demos)]
        given = {}
        for name, (demonstrations, before) in {
            'both': (sources[1], 90),
            'person': (None, 90),
            'early': (None, 30),
        }.items():
            sampler = SymmetricSampler(sources[0], demonstrations, batch=64, demo_ratio=0.75)
            given[name] = sampler.sample(50, before, np.random.default_rng(0), 'cpu')
        by_hand = online.intervention_transitions()
        # 48 of 64 are demonstrated; the other 16 hold the person's as often as the experience does.
        online_share = by_hand / online.transitions
        share = by_hand / (by_hand + demos.transitions)
        assert all((part.reward < 0).sum() <= 48 for part in given['both'].slices(50))
        found = (given['both'].reward > 2).float().mean().item()
        assert found == pytest.approx(0.75 * share + 0.25 * online_share, abs=0.03)
        assert (given['both'].reward < 0).float().mean().item() == pytest.approx(0.75 * (1 - share), abs=0.03)
        first, last = given['both'].slices(50)[0], given['both'].slices(50)[-1]
        assert (first.reward > 2).any() and (last.reward > 2).any(), 'spread over the updates'
        assert (given['person'].reward > 2).float().mean().item() == pytest.approx(0.75 + 0.25 * online_share, abs=0.03)
        assert (given['early'].reward == 1.0).all() and len(given['early']) == 64 * 50


@pytest.mark.parametrize('shift_px', [0, 1])
def test_each_image_of_a_batch_is_of_its_own_transition(tmp_path, shift_px):
    """One source is read twice for a batch, for experience and for a person's share of the demonstrations."""
    agent = make_agent(SPECS)
    config = Config.model_validate({'encoder': {'mode': 'end_to_end', 'random_shift_px': shift_px}})
    with ReplayStore.create(tmp_path / 'o', SPECS, 100) as online:
        for number in range(90):
            online.append(replace(make_step(number, reward=number), intervention=number % 3 == 0))
        source = Source(online, agent.encoders, config, Sampling())
        sampler = SymmetricSampler(source, None, batch=16, demo_ratio=0.5)
        batch = sampler.sample(4, 90, np.random.default_rng(0), 'cpu')
    inner = slice(shift_px, 32 - shift_px)
    for arrival, image, next_image in zip(batch.reward, batch.views['front'], batch.next_views['front']):
        for found, number in ((image, int(arrival) - 1), (next_image, int(arrival))):
            stored = make_step(number).observation.images['front']
            offsets = [(y, x) for y in range(2 * shift_px + 1) for x in range(2 * shift_px + 1)]
            size = 32 - 2 * shift_px
            shown = found[inner, inner].numpy()
            assert any(np.array_equal(stored[y : y + size, x : x + size], shown) for y, x in offsets)


def test_spoilt_weights_are_refused_with_one_line():
    policy = make_agent(SPECS).policy()
    with pytest.raises(UserError, match='weights: not a policy'):
        Policy.from_bytes(policy.to_bytes()[:500], 'weights')
    next(policy.network.parameters()).data[0] = float('nan')
    with pytest.raises(UserError, match='are not finite'):
        Policy.from_bytes(policy.to_bytes(), 'weights')
