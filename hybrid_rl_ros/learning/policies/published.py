"""The bytes in which a policy crosses to inference_node, or rests in a file: safetensors, summed as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.policies.kinds import kind_of, shape_in

FORMAT = 3
# What reading and building from bytes of any content may raise.
BAD_BYTES = (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, SafetensorError)


@dataclass(frozen=True)
class PublishedPolicy:
    """A policy as its bytes carry it, checked but not built. `sha256` is that of the weights alone.

    `architecture` is equal for policies that differ in nothing but their weights and version.
    """

    head: dict[str, Any]
    specs: Specs
    version: int
    weights: dict[str, Tensor]
    sha256: str
    architecture: str

    @classmethod
    def read(cls, data: bytes, where: str) -> PublishedPolicy:
        """Raises UserError for anything that is not whole, as it was written, and finite."""
        try:
            weights = safetensors.torch.load(data)
            head = json.loads(_metadata(data)['policy'])
            if head['format'] != FORMAT:
                raise ValueError(f'format {head["format"]}, expected {FORMAT}')
            sha256 = weights_sha256(weights)
            if head.pop('sha256') != _sum_of(head, sha256):
                raise ValueError('its SHA-256 is not the one it was written with')
            specs, version = Specs.model_validate(head['specs']), int(head['version'])
            if not 0 <= version < 2**32 or any(tensor.dtype != torch.float32 for tensor in weights.values()):
                raise ValueError('its version or the type of its weights is not of this format')
            architecture = architecture_of(head, specs)
        except BAD_BYTES as error:
            raise not_a_policy(where, error) from None
        spoilt = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
        if spoilt:
            raise UserError(f'{where}: the weights {spoilt[0]!r} are not finite')
        return cls(head, specs, version, weights, sha256, architecture)


def write_published(head: Mapping[str, Any], weights: Mapping[str, Tensor]) -> bytes:
    """`head`: kind, shape, version and specs, as JSON has them."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in weights.items()}
    summed = {**head, 'format': FORMAT}
    summed['sha256'] = _sum_of(summed, weights_sha256(tensors))
    return safetensors.torch.save(tensors, {'policy': json.dumps(summed)})


def architecture_of(head: Mapping[str, Any], specs: Specs) -> str:
    return json.dumps(
        [kind_of(head['kind']).family, shape_in(head).model_dump(mode='json'), specs.model_dump(mode='json')]
    )


def not_a_policy(where: str, error: object) -> UserError:
    return UserError(f'{where}: not a policy of hybrid_rl_ros: {" ".join(str(error).split())}')


def weights_sha256(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _sum_of(head: Mapping[str, Any], weights: str) -> str:
    """Over what the head says and over the weights' own sum."""
    return hashlib.sha256(json.dumps([head, weights], sort_keys=True).encode()).hexdigest()


def _metadata(data: bytes) -> dict[str, str]:
    length = int.from_bytes(data[:8], 'little')
    return json.loads(data[8 : 8 + length])['__metadata__']
