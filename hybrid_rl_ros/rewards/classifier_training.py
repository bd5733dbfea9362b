"""Training a success classifier from the steps of a replay store, and what episodes held out of that say of it.

A step shows a success where its own reward, that of the arrival at it, is above half of reward.success_reward.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ImageSpec, Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.feature_cache import FeatureCache
from hybrid_rl_ros.learning.mirror import Mirror
from hybrid_rl_ros.learning.networks.augment import random_shift
from hybrid_rl_ros.learning.networks.resnet_weights import load_weights
from hybrid_rl_ros.learning.policies.shape import PolicyShape, what_is_seen
from hybrid_rl_ros.rewards.classifier import SuccessClassifier
from hybrid_rl_ros.rewards.classifier_measures import LabelledFrames, Scores, choose_threshold, held_out_frames
from hybrid_rl_ros.rewards.success_gate import gate_around

Progress = Callable[[int, int, float], None]


def train_classifier(
    store: ReplayStore, config: Config, device: str, progress: Progress
) -> tuple[SuccessClassifier, LabelledFrames, Scores]:
    """The classifier, with its gate and threshold; the frames that it learned from; what it made of those held out.

    `progress(update, updates, loss)` is called after every update. Raises UserError for what cannot be learned from.
    """
    images = classifier_cameras(config, store.specs)
    frames = labelled_frames(store, config.reward.success_reward)
    held_out = held_out_frames(frames, config.classifier.held_out, np.random.default_rng(config.seed))
    learned_from, judged_by = frames[~held_out], frames[held_out]
    if learned_from.lacks_one_kind or judged_by.lacks_one_kind:
        raise UserError(
            f'{store.folder}: no way to learn from some episodes and to be judged by others, with frames of success '
            'and others in both; record more episodes'
        )
    classifier = _trained(store, learned_from, images, config, device, progress)
    if config.classifier.gate == 'learned':
        seen = store.specs.without_state(config.observation.critic_only).observation.state
        columns = [store.specs.observation.state.names.index(name) for name in seen.names]
        successes = learned_from.rows[learned_from.success]
        classifier.gate = gate_around(store.states(successes)[:, columns], seen, config.classifier.gate_margin)
    scores = score(classifier, store, judged_by)
    classifier.threshold = choose_threshold(scores.gated[~judged_by.success], config.classifier.max_false_positive_rate)
    return classifier, learned_from, scores


def classifier_cameras(config: Config, specs: Specs) -> tuple[ImageSpec, ...]:
    """What the classifier looks through. Raises UserError."""
    seen = {image.camera: image for image in specs.observation.images}
    if not seen:
        raise UserError('classifier: learns from images; observation.cameras names none')
    for camera in config.classifier.cameras:
        if camera not in seen:
            raise UserError(f'classifier.cameras: {camera!r} is not in observation.cameras ({", ".join(seen)})')
    return tuple(image for camera, image in seen.items() if camera in (config.classifier.cameras or seen))


def labelled_frames(store: ReplayStore, success_reward: float) -> LabelledFrames:
    """Every step held, oldest first. Raises UserError where too few episodes have a success, or anything else."""
    if success_reward <= 0.0:
        raise UserError(
            f'reward.success_reward: a success is told by a reward above half of it; expected one above 0, '
            f'got {success_reward:g}'
        )
    rows = store.rows()
    records = store.records(rows)
    frames = LabelledFrames(rows, records['episode'], records['reward'] > 0.5 * success_reward)
    for success, what in ((True, f'a reward above {0.5 * success_reward:g}, a success'), (False, 'no success')):
        if (count := frames.episodes_with(success)) < 2:
            raise UserError(
                f'{store.folder}: {count} episodes have a step with {what}; expected 2 at least, '
                'to learn from and to be judged by'
            )
    return frames


def score(classifier: SuccessClassifier, store: ReplayStore, frames: LabelledFrames) -> Scores:
    """What the classifier makes of frames, each by itself as when it is used: a batch's last bits are others."""
    probability = np.empty(len(frames.rows))
    for index, row in enumerate(frames.rows):
        images = {image.camera: store.read_frames(image.camera, np.array([row]))[0] for image in classifier.images}
        probability[index] = classifier.probability(images)
    inside = classifier.gate.holds_each(store.states(frames.rows), store.specs.observation.state.names)
    return Scores(frames, probability, inside)


def _trained(
    store: ReplayStore,
    frames: LabelledFrames,
    images: tuple[ImageSpec, ...],
    config: Config,
    device: str,
    progress: Progress,
) -> SuccessClassifier:
    """On batches that are half successes. Trunks with weights from a file and encoder.mode: frozen stay as they are."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    settings = config.classifier
    shape = PolicyShape(hidden=[settings.hidden], **what_is_seen(config))
    classifier = SuccessClassifier(images, shape, settings.dropout)
    frozen = config.encoder.weights is not None and config.encoder.mode == 'frozen'
    if config.encoder.weights is not None:
        load_weights(classifier.encoders, Path(config.encoder.weights))
    classifier.to(device)
    cache, mirror = None, Mirror(store.specs, config)
    if frozen:
        classifier.encoders.freeze_trunks()
        cache = FeatureCache(store, classifier.encoders, config)
        cache.catch_up(store.sequence)
    trained = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=max(settings.updates, 2)
    )
    successes, others = frames.rows[frames.success], frames.rows[~frames.success]
    half = settings.batch // 2
    label = (torch.arange(settings.batch) < half).float().to(device)
    for update in range(settings.updates):
        rows = np.concatenate([rng.choice(successes, half), rng.choice(others, settings.batch - half)])
        mirrored = mirror.draw(settings.batch, rng)
        if cache:
            seen = cache.views(rows, rng, mirrored)
        else:
            seen = mirror.images(_shifted_frames(store, rows, images, config, rng), mirrored)
        views = {camera: torch.from_numpy(view).to(device) for camera, view in seen.items()}
        loss = F.binary_cross_entropy_with_logits(classifier(views, len(rows)), label)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(update + 1, settings.updates, float(loss.detach()))
    return classifier.to('cpu').requires_grad_(False).eval()


def _shifted_frames(
    store: ReplayStore, rows: np.ndarray, images: tuple[ImageSpec, ...], config: Config, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    streams, pixels = store.frame_streams(), config.encoder.random_shift_px
    return {image.camera: random_shift(streams[image.camera][rows], pixels, rng) for image in images}
