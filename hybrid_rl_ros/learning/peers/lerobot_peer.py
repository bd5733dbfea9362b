"""LeRobot's SAC, from its checkout: its policy, algorithm, replay buffer and trainer, with HIL-SERL's settings."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from hybrid_rl_ros.learning.peers.serve import Case

EPISODE = 200


def make(case: Case) -> Callable[[int], None]:
    torch.set_num_threads(case['threads'])
    torch.manual_seed(0)
    _make_importable(Path(case['checkout']) / 'src')
    from lerobot.configs.types import FeatureType, PolicyFeature
    from lerobot.policies.gaussian_actor.configuration_gaussian_actor import GaussianActorConfig
    from lerobot.policies.gaussian_actor.modeling_gaussian_actor import GaussianActorPolicy, PretrainedImageEncoder
    from lerobot.rl.algorithms.sac import SACAlgorithm, SACAlgorithmConfig
    from lerobot.rl.buffer import ReplayBuffer
    from lerobot.rl.data_sources.data_mixer import OnlineOfflineMixer
    from lerobot.rl.trainer import RLTrainer

    # Its encoder comes over the network, as code and weights; speed asks for the same layers only.
    PretrainedImageEncoder._load_pretrained_vision_encoder = lambda self, config: (ResNet10(), ResNet10.WIDTHS[-1])
    shapes: dict[str, tuple[int, ...]] = {'observation.state': (case['states'],)}
    shapes |= {f'observation.images.{camera}': (3, case['size'], case['size']) for camera in case['cameras']}
    kinds = {True: FeatureType.STATE, False: FeatureType.VISUAL}
    features = {key: PolicyFeature(kinds[key == 'observation.state'], shape) for key, shape in shapes.items()}
    config = GaussianActorConfig(
        input_features=features,
        output_features={'action': PolicyFeature(FeatureType.ACTION, (case['actions'],))},
        device='cpu',
        vision_encoder_name='lerobot/resnet10' if case['cameras'] else None,
        freeze_vision_encoder=case['observation'] == 'frozen',
    )
    policy = GaussianActorPolicy(config).train()
    algorithm_config = SACAlgorithmConfig.from_policy_config(config)
    algorithm_config.num_critics, algorithm_config.num_subsample_critics = case['critics'], 2
    algorithm_config.critic_network_kwargs.hidden_dims = case['hidden']
    algorithm_config.utd_ratio = case['utd']
    algorithm = SACAlgorithm(policy, algorithm_config)
    buffer = ReplayBuffer(case['steps'], 'cpu', list(shapes), optimize_memory=True)
    for number in range(case['steps']):
        state = {key: torch.rand(1, *shape) for key, shape in shapes.items()}
        done = number % EPISODE == EPISODE - 1
        buffer.add(state, torch.rand(1, case['actions']) * 2 - 1, float(torch.rand(1)), state, done, False)
    trainer = RLTrainer(algorithm, OnlineOfflineMixer(buffer), case['batch'])

    def update(updates: int) -> None:
        for _ in range(updates // case['utd']):
            trainer.training_step()

    return update


def _make_importable(source: Path) -> None:
    """Only what its SAC needs: data sets, transforms and processors ask for much more, and for a newer Python."""
    sys.path.insert(0, str(source))

    def without_init(name: str, **names: Any) -> None:
        module = types.ModuleType(name)
        module.__path__ = [str(source.joinpath(*name.split('.')))]
        module.__dict__.update(names)
        sys.modules[name] = module

    for package in ('policies', 'policies.gaussian_actor', 'rl'):
        without_init(f'lerobot.{package}')
    without_init('lerobot.datasets', LeRobotDataset=object)
    without_init('lerobot.transforms', ImageTransformsConfig=type('ImageTransformsConfig', (), {}))
    optimisers = ('OptimizerConfig', 'LRSchedulerConfig', 'MultiAdamConfig')
    without_init('lerobot.optim', **{name: type(name, (), {}) for name in optimisers})


class ResNet10(nn.Module):
    """The layers of lerobot/resnet10 (SERL's): (B, 3, H, W) to (B, 512, H/32, W/32), one block a stage, GroupNorm."""

    WIDTHS = (64, 128, 256, 512)

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        layers: list[nn.Module] = [stem, nn.GroupNorm(4, 64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        for before, width in zip((64, *self.WIDTHS), self.WIDTHS):
            layers.append(Block(before, width))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> types.SimpleNamespace:
        return types.SimpleNamespace(last_hidden_state=self.layers(images))


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the first of them halves the image where the width grows."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        stride = 1 if before == width else 2
        self.residual = nn.Sequential(
            nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(4, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(4, width),
        )
        shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride=stride, bias=False), nn.GroupNorm(4, width))
        self.shortcut = nn.Identity() if before == width else shortcut

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.residual(x) + self.shortcut(x))
