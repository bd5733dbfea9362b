"""What a killed cloning goes on from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.checkpoint import flatten, load_flat, load_tensors, save_tensors
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork


class BaseCheckpoint:
    """Weights, their averages and the optimiser's state in one file.

    Good only for the configuration and demonstrations that it was made with.
    """

    def __init__(self, path: Path, config: Config, demos: ReplayStore) -> None:
        self._path = path
        learned_by = {'base', 'encoder', 'seed', 'observation', 'action', 'sac'}
        self._made_with = {
            'config': config.model_dump(mode='json', include=learned_by),
            'specs': demos.specs.model_dump(mode='json'),
            'demonstrations': [[episode.episode, episode.steps] for episode in demos.episodes()],
        }

    @property
    def exists(self) -> bool:
        return self._path.exists()

    def save(self, update: int, network: BaseNetwork, averaged: BaseNetwork, optimiser: torch.optim.Optimizer) -> None:
        tensors = flatten({'network': network, 'averaged': averaged})
        for index, state in optimiser.state_dict()['state'].items():
            tensors |= {f'optimiser/{index}/{name}': value for name, value in state.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(self._path, tensors, {'update': update, 'made_with': self._made_with})

    def load(self, network: BaseNetwork, averaged: BaseNetwork, optimiser: torch.optim.Optimizer) -> int:
        """How many updates it holds. Raises UserError for one that was made otherwise."""
        mend = f'remove {self._path.parent} to begin anew'
        tensors, head = load_tensors(self._path, mend)
        if head.get('made_with') != self._made_with:
            raise UserError(f'{self._path}: was made with another configuration or other demonstrations; {mend}')
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, _, rest = name.partition('/')
            if part == 'optimiser':
                index, _, key = rest.partition('/')
                state.setdefault(int(index), {})[key] = value
        load_flat({'network': network, 'averaged': averaged}, tensors)
        optimiser.load_state_dict({**optimiser.state_dict(), 'state': state})
        return int(head['update'])
