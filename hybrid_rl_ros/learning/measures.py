"""What is looked at now and then only, for it costs something."""

from __future__ import annotations

import numpy as np
import torch

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.learning.batch import Batch
from hybrid_rl_ros.learning.networks.value import ValueNetwork

# Of a unit's output, whose usual range is of the order of 1 behind a layer normalisation or a tanh.
LEAST_RANGE = 0.01
# Control steps: about two minutes at 10 Hz, some twenty episodes.
INTERVENTION_WINDOW = 1000


@torch.no_grad()
def dead_unit_fraction(value: ValueNetwork, batch: Batch) -> float:
    """The share of all critics' hidden units whose output is the same, to 0.01, for every transition of `batch`.

    A ReLU that is never above 0 is one, and a tanh that is always at the same end of its range.
    """
    layers = value.critics.hidden(value.inputs(batch.state, batch.views), batch.action)
    dead = torch.cat([(layer.amax(1) - layer.amin(1) < LEAST_RANGE).flatten() for layer in layers])
    return float(dead.float().mean())


def intervention_rate(store: ReplayStore, before_sequence: int) -> float:
    """The share of a person's among the last control steps before `before_sequence`."""
    oldest = max(0, before_sequence - INTERVENTION_WINDOW, store.sequence - store.capacity)
    records = store.records(np.arange(oldest, before_sequence) % store.capacity)
    held = records[records['sequence'] > 0]
    return float(held['intervention'].mean()) if len(held) else 0.0
