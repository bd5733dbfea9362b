"""`python -m hybrid_rl_ros.learning.export_base RUN OUT`: a run's base policy in the form that others' are steered in.

Writes OUT/base.yaml and beside it base.onnx, or with --format torch base.pt2, which need nothing of this package.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from hybrid_rl_ros.data.specs import VectorSpec
from hybrid_rl_ros.errors import USER_ERROR_EXIT, UserError
from hybrid_rl_ros.learning.engines.onnx_runtime import OPSET
from hybrid_rl_ros.learning.policies.base_file import load_base
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork


class Exportable(nn.Module):
    """state (B, S) and noise (B, h, A), normalised as the specs have it, to chunk (B, h, A)."""

    def __init__(self, network: BaseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, state: Tensor, noise: Tensor) -> Tensor:
        chunk = self.network.decode(self.network.inputs(state, {}), noise.flatten(1))
        return chunk.reshape(noise.shape)


def export_base(policy: Path, out: Path, kind: str) -> Path:
    """The description's path. Raises UserError for a policy that needs more than one state, or sees images."""
    network, specs = load_base(policy)
    if network.observations > 1 or specs.observation.images:
        raise UserError(f'{policy}: only a base policy that sees one state, and no image, can be exported')
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'{out}: cannot be a folder: {error.strerror}') from None
    module = Exportable(network).eval()
    example = torch.zeros(2, len(specs.observation.state)), torch.zeros(2, network.chunk, network.acts)
    model = out / ('base.onnx' if kind == 'onnx' else 'base.pt2')
    if kind == 'onnx':
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            axes = {name: {0: 'batch'} for name in ('state', 'noise', 'chunk')}
            torch.onnx.export(
                module,
                example,
                str(model),
                input_names=['state', 'noise'],
                output_names=['chunk'],
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
    else:
        batch = torch.export.Dim('batch', min=1, max=4096)
        torch.export.save(torch.export.export(module, example, dynamic_shapes=({0: batch}, {0: batch})), str(model))
    described = {
        'version': 1,
        'model': model.name,
        'state': _ranges(specs.observation.state),
        'actions': _ranges(specs.action),
        'chunk': network.chunk,
    }
    path = out / 'base.yaml'
    path.write_text(yaml.safe_dump(described, sort_keys=False))
    return path


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
