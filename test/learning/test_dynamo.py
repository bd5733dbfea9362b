"""Encoders learned from the dynamics of demonstrations: they do not collapse, and they know where things are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_resnet import published_weights, write
from test_sac import make_specs
from torch import nn

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.dynamo import Dynamics, collapse_penalty, dynamics_loss, learn_encoders, whole_windows
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.policies.policy import Policy
from hybrid_rl_ros.learning.policies.shape import shape_of
from hybrid_rl_ros.learning.pretrain import pretrain

SPECS = make_specs(cameras=('front',))
STEPS = 20


def make_config(updates: int, **encoder) -> Config:
    return Config.model_validate(
        {
            'observation': {'cameras': {'front': {'width': 32, 'height': 32}}},
            'encoder': {'pretraining': 'dynamo', 'random_shift_px': 1, **encoder},
            'bc': {'updates': 5, 'batch': 8, 'hidden': [16]},
            'dynamo': {'updates': updates},
            'train': {'device': 'cpu'},
        }
    )


def moving_dot(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(T, 32, 32, 3) frames of a faint dot that crosses a noisy picture, and where it is (T, 2)."""
    background = np.random.default_rng(7).integers(60, 140, (8, 8, 3)).repeat(4, 0).repeat(4, 1)
    position, angle = rng.uniform(4, 28, 2), rng.uniform(0, 2 * np.pi)
    velocity = 2.0 * np.array([np.sin(angle), np.cos(angle)])
    frames, positions = [], []
    for _ in range(STEPS):
        position = position + velocity
        velocity = np.where((position < 3) | (position > 28), -velocity, velocity)
        position = position.clip(3, 28)
        row, column = position.astype(int)
        image = background + rng.integers(-30, 31, background.shape)
        image[row - 2 : row + 3, column - 2 : column + 3] += 60
        frames.append(image.clip(0, 255).astype(np.uint8))
        positions.append(position)
    return np.stack(frames), np.stack(positions)


@pytest.fixture(autouse=True)
def threads_as_they_are(monkeypatch):
    """Pretraining takes the whole machine, and would keep it for the tests after it."""
    monkeypatch.setattr(torch, 'set_num_threads', lambda _: None)


@pytest.fixture
def demos(tmp_path):
    rng = np.random.default_rng(0)
    with ReplayStore.create(tmp_path / 'demos', SPECS, 1000) as store:
        for episode in range(40):
            for index, frame in enumerate(moving_dot(rng)[0]):
                observation = Observation(np.zeros(2, np.float32), {'front': frame})
                last = index == STEPS - 1
                action = np.zeros(1, np.float32)
                store.append(Step(store.sequence + 1, episode, observation, action, 0.0, truncated=last))
        yield store


def explained(encoders: Encoders) -> float:
    """R^2 of the dot's position, read linearly from the features, over episodes that the reading was not fitted to."""
    rng = np.random.default_rng(1)
    pairs = [moving_dot(rng) for _ in range(40)]
    with torch.no_grad():
        images = torch.from_numpy(np.concatenate([frames for frames, _ in pairs]))
        features = encoders({'front': images}, len(images)).numpy()
    positions = np.concatenate([positions for _, positions in pairs])
    inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    half = len(inputs) // 2
    fitted, fit_to = inputs[:half], positions[:half]
    reading = np.linalg.solve(fitted.T @ fitted + 0.01 * np.eye(inputs.shape[1]), fitted.T @ fit_to)
    errors = inputs[half:] @ reading - positions[half:]
    return float(1.0 - np.square(errors).mean() / positions[half:].var(axis=0).mean())


@pytest.mark.slow
def test_the_features_tell_where_the_dot_is_and_random_ones_do_not(demos):
    config = make_config(updates=300)
    losses = []
    learned = learn_encoders(demos, config, 'cpu', lambda update, updates, loss: losses.append(loss))
    torch.manual_seed(config.seed)
    untrained = Encoders(SPECS.observation.images, shape_of(config, 'bc'))
    assert explained(learned) > explained(untrained) + 0.5
    frames = torch.from_numpy(demos.frames(demos.rows()[::10])['front'])
    with torch.no_grad():
        assert learned({'front': frames}, len(frames)).std(0).min() > 0.1, 'none of them stands still'
    assert losses[-1] < losses[0] / 2


def test_features_that_stand_still_or_repeat_each_other_are_penalised():
    spread = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    assert collapse_penalty(spread).item() == pytest.approx(0.0, abs=1e-3)
    # 0.5 is the least spread, less the root of the 1e-6 that keeps its gradient finite.
    assert collapse_penalty(torch.ones(10, 3)).item() == pytest.approx(0.5 - 1e-3, abs=1e-6)
    # One number three times: six covariances of 1 between them, over three dimensions.
    assert collapse_penalty(spread[:, :1].expand(-1, 3)).item() == pytest.approx(0.04 * 6 / 3, rel=0.1)


def test_what_all_steps_share_counts_for_nothing_and_targets_have_no_gradient():
    class Foretells(nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return shared.expand(features.shape)[:, 1:]

    generator = torch.Generator().manual_seed(0)
    shared = torch.tensor([10.0, 10.0, 10.0])
    targets = (shared + torch.randn(400, 5, 3, generator=generator)).requires_grad_(True)
    spread = torch.randn(400, 5, 3, generator=generator, requires_grad=True)
    assert dynamics_loss(Foretells(), spread, targets).item() == pytest.approx(1.0, abs=0.05)
    dynamics_loss(Dynamics(3), spread, targets).backward()
    assert targets.grad is None and spread.grad is not None and spread.grad.abs().sum() > 0


def test_no_window_reaches_over_an_episodes_end(demos):
    windows = whole_windows(demos, 5)
    assert len(windows) == 40 * (STEPS - 4)
    assert all(len({int(row) // STEPS for row in window}) == 1 for window in windows)
    with pytest.raises(UserError, match='no episode has dynamo.window=21 steps'):
        whole_windows(demos, 21)


def test_the_cloned_policy_stands_on_the_learned_encoders(demos, tmp_path):
    config = make_config(updates=2, features=8)
    policy = Policy.load(pretrain(config, SPECS, demos.folder, tmp_path))
    learned = learn_encoders(demos, config, 'cpu', lambda *_: None)
    found = policy.network.encoders.state_dict()
    assert all(torch.equal(found[name], value) for name, value in learned.state_dict().items())


def test_a_trunk_from_a_file_stays_while_its_head_and_actor_are_cloned(demos, tmp_path):
    demos.truncate(40)
    path = write(Path(tmp_path), published_weights())
    encoder = {'kind': 'resnet10', 'weights': str(path), 'features': 8, 'pretraining': 'bc'}
    for mode, stays in (('frozen', True), ('end_to_end', False)):
        config = make_config(1, **encoder, mode=mode)
        network = Policy.load(pretrain(config, SPECS, demos.folder, tmp_path)).network
        resnet = dict(network.encoders.each())['front'].resnet
        assert torch.equal(resnet.conv1.weight, published_weights()['conv1.weight']) == stays
