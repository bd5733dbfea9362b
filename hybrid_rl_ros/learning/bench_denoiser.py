"""The denoiser's rows of `hybrid-rl bench inference`: a whole sampling loop as one graph, against loops in Python."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from hybrid_rl_ros.learning.bench_export import AGREEMENT, Exported
from hybrid_rl_ros.learning.networks.denoiser import MlpDenoiser
from hybrid_rl_ros.learning.networks.methods import Ddpm, Sampler
from hybrid_rl_ros.learning.timing import interleaved, percentile_rows

CHUNK, CONDITION = 16 * 4, 7 + 2 * 64
HIDDEN = [256, 256, 256]
TRAIN_STEPS = 100
STEPS = (1, 5, 10)

Sample = Callable[[np.ndarray, np.ndarray], np.ndarray]


def denoiser_rows() -> list[dict[str, Any]]:
    torch.manual_seed(0)
    denoiser = MlpDenoiser(CHUNK, CONDITION, HIDDEN).eval()
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((1, CHUNK)).astype(np.float32)
    condition = rng.uniform(-1, 1, (1, CONDITION)).astype(np.float32)
    rows = []
    for steps in STEPS:
        sampler = Sampler(denoiser, Ddpm(TRAIN_STEPS, steps)).eval()
        ours = Exported(sampler, noise=noise, condition=condition)
        peers: dict[str, Sample] = {'PyTorch eager': eager(sampler)}
        if importlib.util.find_spec('diffusers'):
            peers['diffusers'] = with_diffusers(denoiser, steps)
        for peer, sample in peers.items():
            np.testing.assert_allclose(ours(noise, condition), sample(noise, condition), atol=AGREEMENT)
            times = interleaved(partial(ours, noise, condition), partial(sample, noise, condition))
            rows += percentile_rows(f'MLP denoiser, {steps} DDIM steps', times[0], peer, times[1], engine='onnxruntime')
    return rows


def eager(sampler: Sampler) -> Sample:
    @torch.inference_mode()
    def sample(noise: np.ndarray, condition: np.ndarray) -> np.ndarray:
        return sampler(torch.from_numpy(noise), torch.from_numpy(condition)).numpy()

    return sample


def with_diffusers(denoiser: MlpDenoiser, steps: int) -> Sample:
    """The loop as its documentation shows it."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(num_train_timesteps=TRAIN_STEPS, beta_schedule='squaredcos_cap_v2')

    @torch.inference_mode()
    def sample(noise: np.ndarray, condition: np.ndarray) -> np.ndarray:
        chunk, given = torch.from_numpy(noise), torch.from_numpy(condition)
        scheduler.set_timesteps(steps)
        for timestep in scheduler.timesteps:
            predicted = denoiser(chunk, timestep.expand(len(chunk)), given)
            chunk = scheduler.step(predicted, timestep, chunk).prev_sample
        return chunk.numpy()

    return sample
