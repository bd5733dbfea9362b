"""Base policies: what they are cloned from, that they clone it, and that a killed cloning goes on as if it had not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_sac import make_specs
from torch import nn

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.base_cloning import clone_base, rate_at
from hybrid_rl_ros.learning.chunk_data import ChunkData
from hybrid_rl_ros.learning.networks.ranges import Ranges
from hybrid_rl_ros.learning.policies.base_file import load_base, save_base
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork, base_shape_of

SPECS = make_specs(states=1, actions=2)
STEPS = 21
DENOISERS = {'mlp': [64, 64], 'unet': [16, 32], 'transformer': [16, 16]}
METHODS = ['ddpm', 'flow', 'mean_flow']
both = pytest.mark.parametrize('denoiser', DENOISERS)
all_methods = pytest.mark.parametrize('method', METHODS)


def make_config(**base) -> Config:
    return Config.model_validate({'base': {'updates': 8, 'batch': 16, 'warm_up_updates': 2, **base}, 'seed': 3})


def silent(update: int, updates: int, loss: float) -> None:
    pass


def fill(folder: Path, specs=SPECS, episodes: int = 20, sides: tuple[float, float] = (-1.2, 1.2)) -> Path:
    """Each episode goes to one of `sides` all the way, in turns; its second action counts the steps."""
    rng = np.random.default_rng(0)
    with ReplayStore.create(folder, specs, episodes * STEPS) as store:
        for episode in range(episodes):
            side = sides[episode % 2]
            for step in range(STEPS):
                state = np.full(len(specs.observation.state), step / 10 - 1, np.float32)
                images = {
                    camera.camera: rng.integers(0, 256, camera.shape, np.uint8) for camera in specs.observation.images
                }
                action = np.array([side + 0.02 * rng.standard_normal(), step / 20], np.float32)
                last = step == STEPS - 1
                observation = Observation(state, images)
                store.append(Step(store.sequence + 1, episode, observation, action, terminal=last))
    return folder


@pytest.fixture
def demos(tmp_path):
    with ReplayStore.open(fill(tmp_path / 'demos'), read_only=True) as store:
        yield store


def decoded(network: BaseNetwork, state: float, count: int, width: int = 1) -> np.ndarray:
    """(count, h, A) in the store's units."""
    noise = torch.randn(count, network.noise_width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        actions = network.decode(network.inputs(torch.full((count, width), state), {}), noise)
    return 2.0 * actions.numpy().reshape(count, network.chunk, network.acts)


def test_a_chunk_begins_with_the_action_of_what_is_seen_now(demos):
    """In a window of chunk and history that begins To - 1 steps before, as diffusion policy lays it out, the executed
    slice is [To - 1 : To - 1 + Ta]; ours are the same actions."""
    observations, chunk, executed = 3, 6, 4
    data = ChunkData(demos, None, make_config(observations=observations, chunk=chunk, executed=executed), 'cpu')
    rows = np.array([7, 25])
    actions = data.actions(rows).reshape(2, chunk, 2)[:, :executed]
    window = demos.actions(rows[:, None] - (observations - 1) + np.arange(observations - 1 + chunk)) / 2.0
    np.testing.assert_allclose(actions, window[:, observations - 1 : observations - 1 + executed], atol=1e-6)
    np.testing.assert_allclose(
        data.states(rows), demos.states(rows[:, None] + np.arange(-2, 1))[..., 0] / 2.0, atol=1e-6
    )


def test_at_its_ends_an_episode_repeats_its_first_state_and_its_last_action(demos):
    data = ChunkData(demos, None, make_config(observations=3, chunk=4), 'cpu')
    first, last = np.array([STEPS]), np.array([2 * STEPS - 2])
    np.testing.assert_allclose(data.states(first), [[-0.5, -0.5, -0.5]])
    counts = 2.0 * data.actions(last).reshape(4, 2)[:, 1]
    np.testing.assert_allclose(counts, (STEPS - 2) / 20, atol=1e-6)


def test_whole_episodes_are_held_out(demos):
    data = ChunkData(demos, None, make_config(validation_share=0.25), 'cpu')
    trained, held_out = (set(demos.records(rows)['episode']) for rows in (data.training, data.validation))
    assert len(held_out) == 5 and not trained & held_out and trained | held_out == set(range(20))


@all_methods
@both
def test_the_same_noise_gives_the_same_chunk_and_no_other_sample_of_the_batch_matters(method, denoiser):
    torch.manual_seed(0)
    config = make_config(method=method, denoiser=denoiser, hidden=DENOISERS[denoiser], chunk=5, observations=2)
    network = BaseNetwork(SPECS, base_shape_of(config)).eval()
    noise, state = torch.randn(3, network.noise_width), torch.randn(3, 2)
    with torch.no_grad():
        inputs = network.inputs(state, {})
        whole = network.decode(inputs, noise)
        assert inputs.shape == (3, network.input_width) and whole.shape == (3, 10) == noise.shape
        assert whole.abs().max() <= 1.0
        torch.testing.assert_close(network.decode(inputs[:1], noise[:1]), whole[:1])
        assert torch.equal(network.decode(inputs, noise), whole)
        assert not torch.equal(network.decode(inputs, noise + 0.5), whole)
        assert not torch.equal(network.decode(inputs + 0.5, noise), whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('method', 'whole'), [('ddpm', 0.85), ('flow', 0.85), pytest.param('mean_flow', 0.55, marks=pytest.mark.long)]
)
def test_both_ways_are_cloned_and_hardly_anything_between_them(demos, method, whole):
    config = make_config(method=method, updates=700, batch=64, learning_rate=2e-3, hidden=[64, 64], ema_max=0.99)
    network = clone_base(demos, config, 'cpu', silent)
    chunks = decoded(network, -0.2, 400)
    sides = chunks[:, :, 0]
    assert 0.3 < (sides[:, 0] > 0).mean() < 0.7
    assert (np.abs(sides) > 0.6).all(axis=1).mean() > whole
    assert (np.sign(sides) == np.sign(sides[:, :1])).all(axis=1).mean() > whole
    # The state is 6 / 10 - 1 in units of half the range: step 6 and those after it.
    np.testing.assert_allclose(
        np.median(chunks[:, :, 1], axis=0), (np.arange(4) + 6) / 20, atol=0.05 if whole > 0.6 else 0.1
    )


@pytest.mark.slow
def test_one_euler_step_of_a_flow_is_the_mean_of_both_ways(demos):
    """From time 0, where noise and chunk are strangers, the best velocity is the mean chunk less the noise."""
    config = make_config(steps=1, updates=700, batch=64, learning_rate=2e-3, hidden=[64, 64], ema_max=0.99)
    chunks = decoded(clone_base(demos, config, 'cpu', silent), -0.2, 400)
    assert np.abs(np.median(chunks[:, :, 0])) < 0.3


@pytest.mark.parametrize('normalisation', ['minmax', 'quantile'])
def test_the_ranges_of_the_demonstrations_are_saved_with_the_weights(demos, tmp_path, normalisation):
    network = clone_base(demos, make_config(normalisation=normalisation), 'cpu', silent)
    save_base(network, demos.specs, tmp_path / 'base.safetensors')
    loaded, specs = load_base(tmp_path / 'base.safetensors')
    assert specs == demos.specs and loaded.shape == network.shape
    seen = demos.actions(demos.valid_rows())[:, 1] / 2.0
    low, high = (seen.min(), seen.max()) if normalisation == 'minmax' else np.quantile(seen, [0.01, 0.99])
    assert float(loaded.action_ranges.centre[1]) == pytest.approx((low + high) / 2, abs=0.02)
    np.testing.assert_array_equal(decoded(loaded, 0.1, 5), decoded(network, 0.1, 5))


def test_actions_stay_within_what_was_demonstrated_however_strange_noise_and_state_are(demos):
    network = clone_base(demos, make_config(), 'cpu', silent)
    with torch.no_grad():
        actions = network.decode(network.inputs(torch.full((9, 1), 50.0), {}), 20.0 * torch.randn(9, 8))
    actions = 2.0 * actions.reshape(-1, 2).numpy()
    seen = demos.actions(demos.valid_rows())
    assert (actions >= seen.min(axis=0) - 1e-4).all() and (actions <= seen.max(axis=0) + 1e-4).all()


def test_a_range_maps_its_ends_to_1_and_a_number_that_stands_still_is_not_blown_up():
    ranges = Ranges(2)
    ranges.fit(np.array([[-0.2, 0.5], [0.6, 0.5]]), 'minmax')
    values = torch.tensor([[-0.2, 0.5, 0.6, 0.505]])
    torch.testing.assert_close(ranges(values), torch.tensor([[-1.0, 0.0, 1.0, 0.5]]))
    torch.testing.assert_close(ranges.inverse(ranges(values)), values)


def test_quantiles_leave_an_outlier_out_and_keep_a_rare_second_value():
    values = np.zeros((1000, 2))
    values[:, 0] = np.linspace(-0.1, 0.1, 1000)
    values[0, 0] = 1.0
    values[:5, 1] = 1.0
    ranges = Ranges(2)
    ranges.fit(values, 'quantile')
    assert float(ranges.reach[0]) == pytest.approx(0.098, abs=0.002)
    assert float(ranges.reach[1]) == pytest.approx(0.5), 'a gripper that closes at the very end is not a constant'


def test_no_statistics_of_batches_are_averaged_with_the_weights():
    network = BaseNetwork(SPECS, base_shape_of(make_config(denoiser='unet', hidden=[16, 32])))
    kinds = {type(module) for module in network.modules()}
    assert nn.GroupNorm in kinds and not any('BatchNorm' in kind.__name__ for kind in kinds)


def test_averaged_weights_follow_the_published_rule(demos):
    """With a kept share of 0 they are the newest; with the rule, after one update, 1 - 2^-0.75 of the old ones."""
    config = make_config(updates=1, warm_up_updates=1)
    torch.manual_seed(config.seed)
    first = BaseNetwork(SPECS, base_shape_of(config)).state_dict()['denoiser.layers.0.weight']
    newest, averaged = (
        clone_base(demos, make_config(updates=1, warm_up_updates=1, **average), 'cpu', silent).state_dict()
        for average in ({'ema_max': 0.0}, {})
    )
    newest, averaged = (weights['denoiser.layers.0.weight'] for weights in (newest, averaged))
    kept = 1.0 - 2.0**-0.75
    torch.testing.assert_close(averaged, kept * first + (1.0 - kept) * newest)


def test_the_learning_rate_rises_along_a_line_and_falls_along_a_cosine():
    base = make_config(updates=110, warm_up_updates=10).base
    assert [rate_at(update, base) for update in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert [rate_at(update, base) for update in (10, 60, 110)] == pytest.approx([1.0, 0.5, 0.0])


@pytest.mark.parametrize('denoiser', ['mlp', 'unet'])
def test_a_killed_cloning_goes_on_to_the_same_weights_bit_for_bit(demos, tmp_path, denoiser):
    config = make_config(denoiser=denoiser, hidden=DENOISERS[denoiser], checkpoint_every=3)
    whole = clone_base(demos, config, 'cpu', silent)

    def killed(update: int, updates: int, loss: float) -> None:
        if update == 5:
            raise KeyboardInterrupt

    updates = []
    with pytest.raises(KeyboardInterrupt):
        clone_base(demos, config, 'cpu', killed, checkpoint=tmp_path / 'cloning.safetensors')
    resumed = clone_base(
        demos, config, 'cpu', lambda u, *_: updates.append(u), checkpoint=tmp_path / 'cloning.safetensors'
    )
    assert updates == [4, 5, 6, 7, 8]
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in resumed.state_dict().items())


def test_a_checkpoint_of_another_configuration_is_refused_in_one_line(demos, tmp_path):
    path = tmp_path / 'cloning.safetensors'
    clone_base(demos, make_config(checkpoint_every=3), 'cpu', silent, checkpoint=path)
    with pytest.raises(UserError, match='another configuration or other demonstrations; remove'):
        clone_base(demos, make_config(checkpoint_every=3, batch=8), 'cpu', silent, checkpoint=path)


@pytest.mark.parametrize('sides, spread', [((-1.2, 1.2), 0.3), ((1.2, 1.2), 0.0)], ids=['two ways', 'one way'])
def test_the_spread_says_how_far_apart_the_ways_are_that_noise_can_choose_from(tmp_path, sides, spread):
    """Two ways, .6 to either side in halves of the range, deviate by .6 in one of the two actions."""
    config, reports = make_config(updates=400, validate_every=400, batch=64), {}
    with ReplayStore.open(fill(tmp_path / 'demos', sides=sides), read_only=True) as demos:
        clone_base(demos, config, 'cpu', silent, validated=lambda update, values: reports.update({update: values}))
    assert reports[400]['action_spread'] == pytest.approx(spread, abs=0.05)


def test_the_validation_loss_is_of_held_out_episodes_and_falls(demos):
    reports: dict[int, dict[str, float]] = {}
    config = make_config(updates=300, validate_every=100, batch=64, validation_share=0.2)
    clone_base(demos, config, 'cpu', silent, validated=reports.__setitem__)
    assert list(reports) == [100, 200, 300]
    assert reports[300]['validation_loss'] < 0.9 * reports[100]['validation_loss']


@pytest.mark.parametrize(('pretraining', 'frozen'), [('bc', False), ('given', True)])
def test_the_encoders_learn_with_the_denoiser_unless_they_were_learned_before(tmp_path, pretraining, frozen):
    specs = make_specs(states=1, actions=2, cameras=('front',))
    config = Config.model_validate(
        {
            'base': {'updates': 2, 'batch': 8, 'hidden': [16]},
            'encoder': {'features': 8, 'random_shift_px': 1},
            'observation': {'cameras': {'front': {'width': 32, 'height': 32}}},
        }
    )
    torch.manual_seed(7)
    given = BaseNetwork(specs, base_shape_of(config)).encoders
    before = {name: value.clone() for name, value in given.state_dict().items()}
    with ReplayStore.open(fill(tmp_path / 'demos', specs, episodes=3), read_only=True) as demos:
        network = clone_base(demos, config, 'cpu', silent, learned=given if frozen else None)
    after = network.encoders.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items()) == frozen
    assert network.input_width == 1 + 8


def test_the_files_of_others_are_no_base(demos, tmp_path):
    path = tmp_path / 'base.safetensors'
    path.write_bytes(b'nothing of the kind')
    with pytest.raises(UserError, match='not a policy'):
        load_base(path)
    with pytest.raises(UserError, match='cannot be read'):
        load_base(tmp_path / 'missing.safetensors')


@pytest.mark.parametrize(
    ('base', 'complaint'),
    [
        ({'executed': 5}, r'executed \(5\) is more than a chunk has: chunk \(4\)'),
        ({'method': 'ddpm', 'steps': 101}, r'steps \(101\) is more than train_steps \(100\)'),
        ({'denoiser': 'unet', 'hidden': [12]}, 'multiples of 8'),
        ({'denoiser': 'transformer', 'hidden': [64, 32]}, 'one width'),
        ({'chunk': 8, 'executed': 4, 'refine': 10}, 'saves nothing'),
        ({'refine': 2}, 'executed'),
        ({'refine_noise': False}, 'method: ddpm'),
    ],
)
def test_keys_that_do_not_fit_together_are_named(base, complaint):
    with pytest.raises(ValueError, match=complaint):
        make_config(**base)


WORKER = """
import sys
from pathlib import Path
import torch
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.base_cloning import clone_base
from hybrid_rl_ros.learning.policies.base_file import save_base

torch.set_num_threads(1)
folder = Path(sys.argv[1])
with ReplayStore.open(folder / 'demos', read_only=True) as demos:
    network = clone_base(demos, load_config(folder / 'config.yaml'), 'cpu', lambda *_: None)
import os
save_base(network, demos.specs, folder / f'base{os.environ.get("RANK", "")}.safetensors')
"""


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_learn_what_one_learns(tmp_path):
    """Each from its half of every batch, with gradients averaged: the same weights, but for rounding."""
    fill(tmp_path / 'demos')
    (tmp_path / 'config.yaml').write_text('base: {updates: 20, batch: 32, hidden: [32]}\n')
    (tmp_path / 'worker.py').write_text(WORKER)
    arguments = [str(tmp_path / 'worker.py'), str(tmp_path)]
    torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    for command in ([], torchrun):
        subprocess.run([sys.executable, *command, *arguments], env=environment, check=True, timeout=150)
    one, first, second = (load_base(tmp_path / f'base{n}.safetensors')[0].state_dict() for n in ('', '0', '1'))
    for name, value in one.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, atol=2e-4, rtol=1e-3)
