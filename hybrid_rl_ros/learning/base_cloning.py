"""Cloning of demonstrations into a diffusion or flow policy, the base that `dsrl` steers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hybrid_rl_ros.base_config import BaseConfig
from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.base_checkpoint import BaseCheckpoint
from hybrid_rl_ros.learning.chunk_data import ChunkBatch, ChunkData
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.networks.methods import Draws
from hybrid_rl_ros.learning.networks.resnet_weights import load_weights
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork, base_shape_of
from hybrid_rl_ros.learning.processes import Processes

Progress = Callable[[int, int, float], None]
# (update, {name: value}) at every validation.
Validated = Callable[[int, dict[str, float]], None]
# A network to numbers that say how good it is, such as its success in simulation.
Measure = Callable[[BaseNetwork], dict[str, float]]

MOST_VALIDATED = 1024
SPREAD_STATES, SPREAD_NOISES = 16, 8
BETAS = (0.95, 0.999)
LARGEST_GRADIENT = 1.0


def clone_base(
    demos: ReplayStore,
    config: Config,
    device: str,
    progress: Progress,
    *,
    learned: Encoders | None = None,
    validated: Validated | None = None,
    measure: Measure | None = None,
    checkpoint: Path | None = None,
) -> BaseNetwork:
    """The network with averaged weights, on the CPU. Raises UserError for demonstrations that do not do.

    `learned` encoders, and weights from a file with encoder.mode: frozen, keep their trunks as they are.
    `progress(update, updates, loss)` is called after every update. With `checkpoint`, a file, a cloning that was killed
    goes on from there and comes to the same weights, bit for bit. Under torchrun every process has a share of each
    batch, and all return the same.
    """
    processes = Processes(device)
    torch.manual_seed(config.seed)
    specs = demos.specs.without_state(config.observation.critic_only)
    network = BaseNetwork(specs, base_shape_of(config))
    frozen = _begin_encoders(network.encoders, config, learned)
    network.to(processes.device)
    data = ChunkData(demos, network.encoders if frozen else None, config, processes.device)
    fit_ranges(network, data, config.base)
    cloning = BaseCloning(network, data, config, processes)
    saved = None if checkpoint is None else BaseCheckpoint(checkpoint, config, demos)
    if saved is not None and saved.exists:
        cloning.update = saved.load(cloning.network, cloning.averaged, cloning.optimiser)
    base = config.base
    while cloning.update < base.updates:
        loss = cloning.step()
        if processes.first:
            progress(cloning.update, base.updates, loss)
        last = cloning.update == base.updates
        if cloning.update % base.validate_every == 0 or last:
            cloning.report(validated, measure)
        if saved is not None and processes.first and cloning.update % base.checkpoint_every == 0 and not last:
            saved.save(cloning.update, cloning.network, cloning.averaged, cloning.optimiser)
    processes.wait()
    return cloning.averaged.to('cpu').eval()


class BaseCloning:
    """Everything that changes from update to update. What is random in one depends on its number and the seed alone."""

    def __init__(self, network: BaseNetwork, data: ChunkData, config: Config, processes: Processes) -> None:
        self.network, self.averaged = network, copy.deepcopy(network).requires_grad_(False)
        self.update = 0
        self._data, self._base, self._seed, self._processes = data, config.base, config.seed, processes
        self._trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        rate, decay = config.base.learning_rate, config.base.weight_decay
        self.optimiser = torch.optim.AdamW(self._trained, rate, BETAS, weight_decay=decay)

    def step(self) -> float:
        """One update; the loss over the whole batch."""
        base, processes = self._base, self._processes
        rng = np.random.default_rng([self._seed, self.update])
        rows = self._data.training[rng.integers(len(self._data.training), size=base.batch)]
        draws = self.network.draw(base.batch, rng)
        share = processes.share(base.batch)
        batch = self._data.batch(rows[share], np.random.default_rng([self._seed, self.update, processes.rank]))
        for group in self.optimiser.param_groups:
            group['lr'] = base.learning_rate * rate_at(self.update, base)
        loss = self._loss(self.network, batch, Draws(draws.noise[share], draws.time[share]))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        processes.average_gradients(self._trained)
        torch.nn.utils.clip_grad_norm_(self._trained, LARGEST_GRADIENT)
        self.optimiser.step()
        self.update += 1
        self._average()
        return float(processes.mean(loss.detach()))

    @torch.no_grad()
    def validation_loss(self) -> float | None:
        """Of the averaged weights on what was held out, always with the same noise; None where nothing was."""
        rows = self._data.validation
        if not len(rows):
            return None
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_VALIDATED)).astype(int)]
        draws = self.network.draw(len(rows), np.random.default_rng(self._seed))
        return float(self._loss(self.averaged, self._data.batch(rows, None), draws))

    @torch.no_grad()
    def action_spread(self) -> float:
        """The standard deviation of what the averaged weights make of different noise where there are demonstrations.

        In halves of the actions' ranges, its mean over actions and states. It is what steering has to choose from.
        """
        rows = self._data.training
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), SPREAD_STATES)).astype(int)]
        batch = self._data.batch(np.repeat(rows, SPREAD_NOISES), None)
        rng = np.random.default_rng(self._seed)
        noise = torch.from_numpy(rng.standard_normal((len(batch.state), self.averaged.noise_width), dtype=np.float32))
        inputs = self.averaged.inputs(batch.state, batch.views)
        chunks = self.averaged.decode(inputs, noise.to(inputs.device))
        return float(chunks.reshape(len(rows), SPREAD_NOISES, -1).std(1).mean())

    def report(self, validated: Validated | None, measure: Measure | None) -> None:
        if validated is None or not self._processes.first:
            return
        loss = self.validation_loss()
        values = ({} if loss is None else {'validation_loss': loss}) | {'action_spread': self.action_spread()}
        if measure is not None:
            values |= measure(copy.deepcopy(self.averaged).to('cpu').eval())
        validated(self.update, values)

    def _loss(self, network: BaseNetwork, batch: ChunkBatch, draws: Draws) -> Tensor:
        inputs = network.inputs(batch.state, batch.views)
        there = Draws(draws.noise.to(inputs.device), draws.time.to(inputs.device))
        return network.loss(inputs, batch.action, there)

    @torch.no_grad()
    def _average(self) -> None:
        kept = min(self._base.ema_max, 1.0 - (1.0 + self.update) ** -self._base.ema_power)
        averages: list[Tensor] = list(self.averaged.parameters())
        newest: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(averages, newest, 1.0 - kept)


def rate_at(update: int, base: BaseConfig) -> float:
    """The learning rate's share at an update: up along a line, then down to 0 along a cosine."""
    if update < base.warm_up_updates:
        return (update + 1) / base.warm_up_updates
    past = (update - base.warm_up_updates) / max(1, base.updates - base.warm_up_updates)
    return 0.5 * (1.0 + math.cos(math.pi * past))


def fit_ranges(network: BaseNetwork, data: ChunkData, base: BaseConfig) -> None:
    """To the states and actions that are learned from."""
    if not len(data.training):
        raise UserError('base.validation_share: nothing is left to learn from; lower it, or record more episodes')
    states = data.states(data.training)
    network.state_ranges.fit(states.reshape(-1, len(network.state_ranges.centre)), base.normalisation)
    network.action_ranges.fit(data.actions(data.training).reshape(-1, network.acts), base.normalisation)


def _begin_encoders(encoders: Encoders, config: Config, learned: Encoders | None) -> bool:
    """Whether their trunks stay as they are."""
    if learned is not None:
        encoders.load_state_dict(learned.state_dict())
    elif config.encoder.weights is not None and encoders.width:
        load_weights(encoders, Path(config.encoder.weights))
    frozen = learned is not None or (config.encoder.weights is not None and config.encoder.mode == 'frozen')
    if frozen:
        encoders.freeze_trunks()
    return frozen
