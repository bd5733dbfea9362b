"""`python -m hybrid_rl_ros.learning.export_base RUN OUT`: a run's base policy in the form that others' are steered in.

Writes OUT/base.yaml and beside it base.onnx, and <camera>_encoder.onnx for each camera that it sees; --format torch
makes them .pt2. They need nothing of this package.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from hybrid_rl_ros.data.specs import VectorSpec
from hybrid_rl_ros.errors import USER_ERROR_EXIT, UserError
from hybrid_rl_ros.learning.engines.onnx_runtime import OPSET
from hybrid_rl_ros.learning.networks.encoder import Encoder
from hybrid_rl_ros.learning.policies.base_file import load_base
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork


class ExportablePolicy(nn.Module):
    """state (B, S) or (B, To, S), noise (B, h, A), features (B, F) to chunk (B, h, A), normalised as in the specs."""

    def __init__(self, network: BaseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, state: Tensor, noise: Tensor, features: Tensor | None = None) -> Tensor:
        chunk = self.network.decode(self.network.joined(state.flatten(1), features), noise.flatten(1))
        return chunk.reshape(noise.shape)


class ExportableEncoder(nn.Module):
    """Pictures (B, 3, H, W) float32 in [0, 1] to features (B, F)."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder((image * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1))


def export_base(policy: Path, out: Path, kind: str) -> Path:
    """The description's path. Raises UserError."""
    network, specs = load_base(policy)
    if network.shape.relative_frame:
        raise UserError(f'{policy}: it acts as seen from where an episode began, which no description says')
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'{out}: cannot be a folder: {error.strerror}') from None
    # The exporters say of it what they like.
    if not os.access(out, os.W_OK | os.X_OK):
        raise UserError(f'{out}: cannot be written: Permission denied')
    suffix = '.onnx' if kind == 'onnx' else '.pt2'
    seen = network.observations, len(specs.observation.state)
    example = {
        'state': torch.zeros(2, *(seen if network.observations > 1 else seen[1:])),
        'noise': torch.zeros(2, network.chunk, network.acts),
    }
    if network.encoders.width:
        example['features'] = torch.zeros(2, network.encoders.width)
    _export(ExportablePolicy(network), example, 'chunk', out / f'base{suffix}')
    cameras, encoders = {}, dict(network.encoders.each())
    for image in specs.observation.images:
        encoder = ExportableEncoder(encoders[image.camera])
        picture = torch.zeros(2, 3, image.height, image.width)
        model = f'{image.camera}_encoder{suffix}'
        _export(encoder, {'image': picture}, 'features', out / model)
        cameras[image.camera] = {'model': model, 'features': encoder(picture).shape[1]}
    described = {
        'version': 1,
        'model': f'base{suffix}',
        'state': _ranges(specs.observation.state),
        'observations': network.observations,
        'cameras': cameras,
        'actions': _ranges(specs.action),
        'chunk': network.chunk,
    }
    path = out / 'base.yaml'
    path.write_text(yaml.safe_dump(described, sort_keys=False))
    return path


def _export(module: nn.Module, example: dict[str, Tensor], output: str, model: Path) -> None:
    """For batches of any size."""
    module.eval()
    if model.suffix == '.pt2':
        batch = torch.export.Dim('batch', min=1, max=4096)
        shapes = {name: {0: batch} for name in example}
        torch.export.save(torch.export.export(module, (), example, dynamic_shapes=shapes), str(model))
        return
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            module,
            tuple(example.values()),
            str(model),
            input_names=list(example),
            output_names=[output],
            dynamic_axes={name: {0: 'batch'} for name in (*example, output)},
            opset_version=OPSET,
            dynamo=False,
        )


def _ranges(vector: VectorSpec) -> list[dict[str, object]]:
    return [{'name': d.name, 'low': d.low, 'high': d.high} for d in vector.dimensions]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', type=Path, help='a run whose base policy was cloned')
    parser.add_argument('out', type=Path, help='a folder')
    parser.add_argument('--format', choices=['onnx', 'torch'], default='onnx')
    arguments = parser.parse_args()
    try:
        path = export_base(arguments.run / 'pretrained' / 'policy.safetensors', arguments.out, arguments.format)
    except UserError as error:
        sys.stderr.write(f'error: {error}\n')
        return USER_ERROR_EXIT
    sys.stdout.write(f'{path}\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
