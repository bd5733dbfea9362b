"""Our side of `hybrid-rl bench learner`: the learner's agent, fed by its sampler from a store on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.bench_stores import noise_specs, noise_store, write_sparse_store
from hybrid_rl_ros.learning.compiling import can_compile
from hybrid_rl_ros.learning.sampler import Source, SymmetricSampler

if TYPE_CHECKING:
    from hybrid_rl_ros.learning.peers.serve import Case


def make_ours(case: Case) -> Callable[[int], None]:
    """What does a number of critic updates, as the update loop does them, drawing the batches included."""
    torch.set_num_threads(case['threads'])
    # The peers' own networks and losses: ReLU, entropy as value, and critics with or without layer normalisation.
    preset = {'preset': 'rlpd' if case['layer_norm'] else 'sac', 'critic_layer_norm': case['layer_norm']}
    config = Config.model_validate(
        {
            'sac': {
                **preset,
                'hidden': case['hidden'],
                'critics': case['critics'],
                'critic_subset': 2,
                'entropy_backup': True,
                'batch': case['batch'],
                'updates_per_step': case['utd'],
                'critic_updates_per_actor_update': case['utd'],
                'demo_ratio': 0.0,
            },
            'encoder': {'kind': 'resnet10', 'mode': 'end_to_end' if case['observation'] == 'trained' else 'frozen'},
            # Not `auto`, which would go on with a figure of uncompiled updates where compiling fails.
            'train': {'precision': case['precision'], 'compile': 'on' if can_compile('cpu') else 'off'},
            'seed': 0,
        }
    )
    store = _store(case)
    agent = SacAgent(store.specs, config, 'cpu')
    source = Source(store, agent.encoders, config, agent.sampling)
    sampler = SymmetricSampler(source, None, config.sac.batch, config.sac.demo_ratio)
    rng = np.random.default_rng(0)
    shapes = [(image.camera, image.shape) for image in store.specs.observation.images]

    def update(updates: int) -> None:
        for _ in range(updates // case['utd']):
            agent.update(sampler.sample(case['utd'], store.sequence, rng, 'cpu'), case['utd'])

    if case['sparse']:
        # 50,000 frames would take the better part of an hour, and what they are does not matter to the memory.
        kept = agent.encoders.trunks({camera: torch.zeros(1, *shape, dtype=torch.uint8) for camera, shape in shapes})
        agent.encoders.trunks = lambda _: kept  # type: ignore[assignment]
    source.cache.catch_up(store.sequence)
    update(case['utd'])  # compiles
    return update


def _store(case: Case) -> ReplayStore:
    specs = noise_specs(case['states'], case['actions'], case['cameras'], case['size'])
    folder = Path(case['folder'])
    if not case['sparse']:
        return noise_store(folder, specs, case['steps'])
    write_sparse_store(folder, specs, case['steps'])
    return ReplayStore.open(folder, read_only=True)
