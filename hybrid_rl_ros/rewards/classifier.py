"""The success classifier: what the cameras show, a threshold, and where the arm has to be."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from hybrid_rl_ros.config_file import Section
from hybrid_rl_ros.data.specs import ImageSpec, Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.checkpoint import load_tensors, save_tensors
from hybrid_rl_ros.learning.networks.encoder import Encoders
from hybrid_rl_ros.learning.policies.shape import PolicyShape
from hybrid_rl_ros.rewards.presence import CLASSIFIER_FILE, CLASSIFIER_MEND, require_classifier
from hybrid_rl_ros.rewards.success_gate import SuccessGate


class ClassifierHead(Section):
    """What is written beside the weights; `shape` says how its encoders look and how wide its one hidden layer is."""

    images: tuple[ImageSpec, ...]
    shape: PolicyShape
    threshold: float
    gate: SuccessGate


class SuccessClassifier(nn.Module):
    """One logit for the newest frame of every camera in `images`; fires above `threshold`, and only inside `gate`."""

    def __init__(self, images: tuple[ImageSpec, ...], shape: PolicyShape, dropout: float = 0.0) -> None:
        super().__init__()
        self.images, self.shape = images, shape
        self.encoders = Encoders(images, shape)
        (hidden,) = shape.hidden
        self.head = nn.Sequential(
            nn.Linear(self.encoders.width, hidden),
            nn.Dropout(dropout),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )
        # One that no probability is above: until another is chosen, it never fires.
        self.threshold = 1.0
        self.gate = SuccessGate()

    def forward(self, views: dict[str, Tensor], batch: int) -> Tensor:
        """(B,) logits for {camera: (B, H, W, 3) uint8, or what the trunks made of it}."""
        return self.head(self.encoders(views, batch)).squeeze(-1)

    @torch.inference_mode()
    def probability(self, images: Mapping[str, np.ndarray]) -> float:
        """That frames {camera: (H, W, 3) uint8} show a success. Raises KeyError for a camera that is not there."""
        # Copied: what comes of a message cannot be written to, and PyTorch warns of that.
        views = {image.camera: torch.from_numpy(np.array(images[image.camera]))[None] for image in self.images}
        return float(torch.sigmoid(self(views, 1)))

    def inside_gate(self, state: Mapping[str, float]) -> bool:
        """Raises KeyError for a name that the gate needs and `state` lacks."""
        return self.gate.holds(state)

    def succeeded(self, state: Mapping[str, float], images: Mapping[str, np.ndarray]) -> bool:
        return self.inside_gate(state) and self.probability(images) > self.threshold

    def save(self, folder: Path) -> Path:
        head = ClassifierHead(images=self.images, shape=self.shape, threshold=self.threshold, gate=self.gate)
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors(folder / CLASSIFIER_FILE, self.state_dict(), head.model_dump(mode='json'))
        return folder / CLASSIFIER_FILE

    @classmethod
    def load(cls, folder: Path, specs: Specs) -> SuccessClassifier:
        """Ready to judge observations of `specs`. Raises UserError for a bad file, or one of other observations."""
        where = f'reward classifier {folder}'
        require_classifier(folder)
        try:
            tensors, head = load_tensors(folder / CLASSIFIER_FILE, CLASSIFIER_MEND)
        except UserError as error:
            raise UserError(f'{where}: {" ".join(str(error).split())}') from None
        classifier = _built(tensors, head, where)
        _require_fits(classifier, specs, where)
        return classifier


def _built(tensors: dict[str, Tensor], head: dict[str, Any], where: str) -> SuccessClassifier:
    try:
        known = ClassifierHead.model_validate(head)
        # On no device and so without the work of drawing first weights.
        with torch.device('meta'):
            classifier = SuccessClassifier(known.images, known.shape)
        # Cloned into aligned memory: a matrix product may round differently from one alignment to another.
        classifier.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()}, assign=True)
    except (ValidationError, ValueError, RuntimeError):
        raise UserError(f'{where}: {CLASSIFIER_FILE} is not a success classifier; {CLASSIFIER_MEND}') from None
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise UserError(f'{where}: {CLASSIFIER_FILE} has weights that are not finite; {CLASSIFIER_MEND}')
    classifier.threshold, classifier.gate = known.threshold, known.gate
    return classifier.requires_grad_(False).eval()


def _require_fits(classifier: SuccessClassifier, specs: Specs, where: str) -> None:
    seen = {image.camera: image for image in specs.observation.images}
    for image in classifier.images:
        camera, found = image.camera, seen.get(image.camera)
        if found is None:
            named = ', '.join(seen) or 'none'
            raise UserError(
                f'{where}: expected camera {camera!r}, which it looks through; observation.cameras: {named}'
            )
        if found.shape != image.shape:
            raise UserError(
                f'{where}: camera {camera!r} has {found.width}x{found.height} pixels, expected '
                f'{image.width}x{image.height} as it was trained with; set observation.cameras.{camera}'
            )
    lacking = [name for name in classifier.gate.ranges if name not in specs.observation.state.names]
    if lacking:
        raise UserError(
            f'{where}: expected state {lacking[0]!r}, which its gate needs; add it to observation.state, '
            'or train with classifier.gate=off'
        )
