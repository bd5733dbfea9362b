"""Adam (Kingma and Ba 2015) as tensor operations, so that a compiled update can hold it together with its gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Parameters = dict[str, Tensor]


class Adam(nn.Module):
    """Steps parameters in place; the moments are its buffers. The same numbers as torch.optim.Adam, to rounding."""

    def __init__(self, parameters: Parameters, learning_rate: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        super().__init__()
        self._learning_rate, self._betas = learning_rate, betas
        device = next(iter(parameters.values())).device
        self.steps: Tensor
        self.register_buffer('steps', torch.zeros((), device=device))
        for index, value in enumerate(parameters.values()):
            self.register_buffer(f'first_{index}', torch.zeros_like(value))
            self.register_buffer(f'second_{index}', torch.zeros_like(value))

    @torch.no_grad()
    def step(self, parameters: Parameters, gradients: Parameters) -> None:
        decay_first, decay_second = self._betas
        self.steps.add_(1.0)
        step_size = self._learning_rate / (1.0 - decay_first**self.steps)
        correction_second = (1.0 - decay_second**self.steps).rsqrt()
        for index, (name, value) in enumerate(parameters.items()):
            first, second = getattr(self, f'first_{index}'), getattr(self, f'second_{index}')
            gradient = gradients[name]
            first.lerp_(gradient, 1.0 - decay_first)
            second.mul_(decay_second).addcmul_(gradient, gradient, value=1.0 - decay_second)
            value.sub_(step_size * first / (second.sqrt() * correction_second + 1e-8))
