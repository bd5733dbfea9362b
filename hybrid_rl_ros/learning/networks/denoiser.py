"""A denoiser of action chunks, of linear layers. Others: unet.py and transformer.py.

All have one form: (B, D) noised chunk, (B,) time and (B, C) condition to (B, D). What they predict is the method's
affair (methods.py): noise, or a velocity.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybrid_rl_ros.learning.networks.time_features import TIME_FEATURES, TimeFeatures


class MlpDenoiser(nn.Module):
    """Beside the layers, the noised chunk goes straight through, by as much as the time says.

    At high noise what is predicted is nearly what is seen, which normalised layers pass on badly.
    """

    def __init__(self, chunk: int, condition: int, hidden: list[int]) -> None:
        super().__init__()
        self.time = TimeFeatures()
        widths = [chunk + condition + TIME_FEATURES, *hidden]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:]):
            layers += [nn.Linear(before, after), nn.LayerNorm(after), nn.Mish()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], chunk))
        self.straight = nn.Linear(TIME_FEATURES, 1)

    def forward(self, noised: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        waves = self.time(time)
        return self.layers(torch.cat([noised, condition, waves], dim=-1)) + self.straight(waves) * noised
