"""The success classifier: it tells episodes apart that it never saw, and says what is wrong in one line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hybrid_rl_ros.bringup import resolve_specs
from hybrid_rl_ros.cli import run
from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import ActionSpec, Dimension, ImageSpec, Observation, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.encoder_config import EncoderConfig
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.checkpoint import save_tensors
from hybrid_rl_ros.learning.networks.resnet import ChannelAffine, ResNet
from hybrid_rl_ros.learning.policies.shape import PolicyShape
from hybrid_rl_ros.rewards.classifier import SuccessClassifier
from hybrid_rl_ros.rewards.classifier_training import train_classifier
from hybrid_rl_ros.rewards.disputes import Disputes
from hybrid_rl_ros.rewards.presence import CLASSIFIER_FILE
from hybrid_rl_ros.rewards.pretrain_classifier import pretrain_classifier, report_lines
from hybrid_rl_ros.rewards.source import Seen
from hybrid_rl_ros.rewards.success_gate import SuccessGate, refusals

SIZE = 32
STEPS = 10


def make_specs(*cameras: str, states: tuple[str, ...] = ('ee.x', 'gripper.opening'), size: int = SIZE) -> Specs:
    def dimensions(names: tuple[str, ...]) -> tuple[Dimension, ...]:
        return tuple(Dimension(name=name, unit='1', low=-1, high=1) for name in names)

    images = tuple(ImageSpec(camera=camera, height=size, width=size) for camera in cameras)
    observation = ObservationSpec(state=VectorSpec(dimensions=dimensions(states)), images=images)
    return Specs(observation=observation, action=ActionSpec(dimensions=dimensions(('dx',))))


SPECS = make_specs('front', 'wrist')


def make_config(**classifier) -> Config:
    camera = {'width': SIZE, 'height': SIZE}
    settings = {'updates': 60, 'batch': 32, 'hidden': 32, **classifier}
    return Config.model_validate(
        {
            'observation': {'cameras': {'front': camera, 'wrist': camera}},
            'encoder': {'features': 16, 'random_shift_px': 1},
            'classifier': settings,
            'train': {'device': 'cpu'},
        }
    )


def picture(rng: np.random.Generator, with_square: bool) -> np.ndarray:
    image = rng.integers(0, 120, (SIZE, SIZE, 3)).astype(np.uint8)
    if with_square:
        top, left = rng.integers(0, SIZE - 12, 2)
        image[top : top + 12, left : left + 12] = 250
    return image


def append_episode(store: ReplayStore, episode: int, successes: int, rng: np.random.Generator) -> None:
    """The last `successes` steps are rewarded; there the front camera shows a square, and ee.x is above a half."""
    for index in range(STEPS):
        success = index >= STEPS - successes
        state = np.array([rng.uniform(0.5, 0.9) if success else rng.uniform(-1, 0.9), 0.0], np.float32)
        images = {'front': picture(rng, success), 'wrist': picture(rng, False)}
        step = Step(store.sequence + 1, episode, Observation(state, images), np.zeros(1, np.float32), float(success))
        step.truncated = index == STEPS - 1
        store.append(step)


def make_store(folder, successes: list[int]) -> ReplayStore:
    rng = np.random.default_rng(0)
    store = ReplayStore.create(folder, SPECS, 1000)
    for episode, count in enumerate(successes):
        append_episode(store, episode, count, rng)
    return store


@pytest.fixture
def demos(tmp_path):
    with make_store(tmp_path / 'demos', [3, 3, 1, 0] * 8) as store:
        yield store


def untrained(gate: SuccessGate | None = None) -> SuccessClassifier:
    torch.manual_seed(0)
    classifier = SuccessClassifier(SPECS.observation.images, PolicyShape(features=8, hidden=[16]), dropout=0.5).eval()
    classifier.threshold, classifier.gate = 0.25, gate or SuccessGate()
    return classifier


def an_observation(seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {'front': picture(rng, True), 'wrist': picture(rng, False)}


def silent(*_: object) -> None:
    pass


def published_weights() -> dict[str, torch.Tensor]:
    """A ResNet-10 with the names of torchvision's."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, module in ResNet('resnet10', fixed_norm=True).named_modules():
        if isinstance(module, torch.nn.Conv2d):
            fan_in = module.weight[0].numel()
            weights[f'{name}.weight'] = torch.randn(module.weight.shape, generator=generator) / fan_in**0.5
        elif isinstance(module, ChannelAffine) and name != 'pixels':
            for part in ('weight', 'bias', 'running_mean', 'running_var'):
                weights[f'{name}.{part}'] = torch.rand(module.bias.shape, generator=generator) + 0.5
    return weights


def test_a_classifier_whose_logit_is_zero_never_fires():
    classifier = untrained()
    torch.nn.init.zeros_(classifier.head[-1].weight)
    torch.nn.init.zeros_(classifier.head[-1].bias)
    classifier.threshold = 0.5
    assert classifier.probability(an_observation()) == 0.5
    assert not classifier.succeeded({}, an_observation())


def test_held_out_episodes_are_told_apart_without_a_false_positive(demos):
    classifier, learned_from, scores = train_classifier(demos, make_config(), 'cpu', silent)
    success = scores.frames.success
    assert success.sum() >= 7 and (~success).sum() >= 40
    assert not set(learned_from.episodes) & set(scores.frames.episodes)
    fired = scores.probability > classifier.threshold
    assert not fired[~success].any() and fired[success].all()
    outside = {'ee.x': -0.9, 'gripper.opening': 0.0}
    inside = {'ee.x': 0.7, 'gripper.opening': 0.0}
    frame = demos.frames(scores.frames.rows[success])
    seen = {camera: frames[0] for camera, frames in frame.items()}
    assert classifier.succeeded(inside, seen) and not classifier.succeeded(outside, seen)


def test_the_same_seed_makes_the_same_weights(demos):
    config = make_config(updates=5)
    first, second = (train_classifier(demos, config, 'cpu', silent)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], tensor) for name, tensor in second.items())


def test_a_trunk_from_a_file_stays_as_it_is_unless_it_is_to_learn(tmp_path):
    path = tmp_path / 'resnet10.safetensors'
    save_file(published_weights(), path)
    with make_store(tmp_path / 'demos', [3, 3]) as store:
        for mode, stays in (('frozen', True), ('end_to_end', False)):
            config = make_config(updates=2, cameras=['front'])
            encoder = EncoderConfig(kind='resnet10', weights=str(path), features=8, mode=mode)
            classifier, _, _ = train_classifier(store, config.model_copy(update={'encoder': encoder}), 'cpu', silent)
            kept = classifier.state_dict()['encoders.cameras.front.resnet.conv1.weight']
            assert torch.equal(kept, published_weights()['conv1.weight']) == stays
            classifier.save(tmp_path)
            loaded = SuccessClassifier.load(tmp_path, SPECS)
            assert loaded.probability(an_observation()) == classifier.probability(an_observation())


def test_what_is_loaded_gives_the_same_probability_bit_for_bit(tmp_path):
    classifier = untrained(SuccessGate(ranges={'ee.x': (-0.1, 1 / 3)}))
    classifier.save(tmp_path)
    loaded = SuccessClassifier.load(tmp_path, SPECS)
    assert loaded.probability(an_observation()) == classifier.probability(an_observation())
    assert (loaded.threshold, loaded.gate) == (classifier.threshold, classifier.gate)
    assert loaded.succeeded({'ee.x': 1 / 3}, an_observation()) and not loaded.succeeded({'ee.x': 0.4}, an_observation())


def test_frames_that_cannot_be_written_to_are_looked_at_without_a_warning(recwarn):
    images = an_observation()
    for image in images.values():
        image.setflags(write=False)
    untrained().probability(images)
    assert not list(recwarn)


@pytest.mark.parametrize(
    ('specs', 'complaint'),
    [
        (make_specs('wrist'), r"expected camera 'front', which it looks through; observation.cameras: wrist"),
        (make_specs(), r"expected camera 'front', .* observation.cameras: none"),
        (make_specs('front', 'wrist', size=64), "camera 'front' has 64x64 pixels, expected 32x32"),
        (make_specs('front', 'wrist', states=('ee.y',)), "expected state 'ee.x', which its gate needs"),
    ],
)
def test_observations_that_do_not_fit_are_named(tmp_path, specs, complaint):
    untrained(SuccessGate(ranges={'ee.x': (0.0, 1.0)})).save(tmp_path)
    with pytest.raises(UserError, match=f'^reward classifier {tmp_path}: {complaint}[^\n]*$'):
        SuccessClassifier.load(tmp_path, specs)


def test_a_file_that_is_missing_or_of_something_else_is_named(tmp_path):
    with pytest.raises(
        UserError, match=f'^reward classifier {tmp_path}: no {CLASSIFIER_FILE} here; make one with hybrid-rl pre'
    ):
        SuccessClassifier.load(tmp_path, SPECS)
    for data in (b'', b'\x80\x04not it', untrained().save(tmp_path).read_bytes()[:-9]):
        (tmp_path / CLASSIFIER_FILE).write_bytes(data)
        with pytest.raises(UserError, match=f'^reward classifier {tmp_path}: [^\n]*not a whole checkpoint[^\n]*$'):
            SuccessClassifier.load(tmp_path, SPECS)


def test_weights_of_other_networks_and_weights_gone_bad_are_refused(tmp_path):
    save_file({'conv1.weight': torch.zeros(1)}, tmp_path / CLASSIFIER_FILE)
    with pytest.raises(UserError, match='not a whole checkpoint'):
        SuccessClassifier.load(tmp_path, SPECS)
    save_tensors(tmp_path / CLASSIFIER_FILE, {'weight': torch.zeros(1)}, {'kind': 'gaussian'})
    with pytest.raises(UserError, match=f'{CLASSIFIER_FILE} is not a success classifier; make one'):
        SuccessClassifier.load(tmp_path, SPECS)
    classifier = untrained()
    torch.nn.init.constant_(classifier.head[-1].bias, float('nan'))
    classifier.save(tmp_path)
    with pytest.raises(UserError, match='weights that are not finite'):
        SuccessClassifier.load(tmp_path, SPECS)


@pytest.mark.parametrize(
    ('successes', 'complaint'),
    [
        ([3, 0, 0], '1 episodes have a step with a reward above 0.5, a success; expected 2 at least'),
        ([STEPS, STEPS, 3], '1 episodes have a step with no success; expected 2 at least'),
        ([STEPS, 3, 0], 'no way to learn from some episodes and to be judged by others'),
    ],
)
def test_too_few_episodes_of_a_kind_are_counted(tmp_path, successes, complaint):
    with make_store(tmp_path / 'few', successes) as store:
        with pytest.raises(UserError, match=complaint):
            train_classifier(store, make_config(), 'cpu', silent)


def test_cameras_that_are_not_there_are_named(demos, tmp_path):
    with pytest.raises(UserError, match=r"classifier.cameras: 'side' is not in observation.cameras \(front, wrist\)"):
        train_classifier(demos, make_config(cameras=['side']), 'cpu', silent)
    with ReplayStore.create(tmp_path / 'blind', make_specs(), 10) as store:
        with pytest.raises(UserError, match='classifier: learns from images; observation.cameras names none'):
            train_classifier(store, make_config(), 'cpu', silent)


def test_the_gate_says_whom_it_keeps_out():
    gate = SuccessGate(ranges={'a': (0.0, 1.0), 'b': (-1.0, 1.0), 'c': (0.0, 2.0)})
    states = np.array([[5.0, 0.5, 0.0, 3.0], [5.0, 2.0, 0.0, -1.0], [5.0, 0.0, 1.0, 0.0]])
    assert list(refusals(gate, states, ['other', 'a', 'b', 'c']).items()) == [('c', 2), ('a', 1)]


def test_a_success_that_is_not_rewarded_cannot_be_told(demos):
    config = Config.model_validate({**make_config().model_dump(), 'reward': {'success_reward': 0, 'step_reward': -1}})
    with pytest.raises(UserError, match='reward.success_reward: .* expected one above 0, got 0'):
        train_classifier(demos, config, 'cpu', silent)


def test_a_run_holds_the_classifier_its_figures_and_a_picture_of_its_mistakes(demos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch, 'set_num_threads', lambda _: None)
    folder = tmp_path / 'run'
    folder.mkdir()
    config = make_config(cameras=['front'], updates=2, gate='off')
    pretrain_classifier(config, SPECS, demos.folder, folder)
    facts = json.loads((folder / 'classifier.json').read_text())
    assert (facts['cameras'], facts['gate'], facts['seed']) == (['front'], {}, config.seed)
    assert facts['learned_from']['episodes'] + facts['held_out']['episodes'] == 32
    assert sum(facts['confusion'].values()) == 10 * facts['held_out']['episodes']
    assert facts['false_positive_rate'] <= config.classifier.max_false_positive_rate
    assert SuccessClassifier.load(folder, make_specs('front', 'other')).threshold == facts['threshold']
    assert cv2.imread(str(folder / 'contact_sheet.png')).shape[1] >= 1000
    assert 'pretrain: no success' in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_trains_a_classifier_and_no_policy(tmp_path, capfd):
    camera = '{front: {width: 32, height: 32}}'
    settings = ['observation.state=[ee.x]', f'observation.cameras={camera}', 'classifier.updates=2']
    arguments = [argument for setting in settings for argument in ('--set', setting)]
    path = Path(__file__).parents[2] / 'config' / 'sim_lift.yaml'
    specs = resolve_specs(load_config(path, settings))
    rng = np.random.default_rng(0)
    with ReplayStore.create(tmp_path / 'demos', specs, 100) as store:
        for number in range(20):
            observation = Observation(np.zeros(1, np.float32), {'front': picture(rng, number % 5 == 4)})
            action = np.zeros(len(specs.action), np.float32)
            store.append(Step(number + 1, number // 5, observation, action, float(number % 5 == 4)))
    command = ['pretrain', '--what', 'classifier', '--config', str(path), '--demos', str(tmp_path / 'demos')]
    assert run([*command, '--run', str(tmp_path / 'run'), *arguments]) == 0
    assert 'held out 1 episodes, 1 frames of success and 4 others' in capfd.readouterr().out
    assert SuccessClassifier.load(tmp_path / 'run', specs).images == specs.observation.images
    assert not (tmp_path / 'run' / 'pretrained').exists()
    assert run([*command, '--run', str(tmp_path / 'run'), *arguments, '--set', 'classifier.cameras=[side]']) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("hybrid-rl: error: classifier.cameras: 'side' is not in observation.cameras (front)")

    disputes = Disputes(tmp_path / 'trained', specs, success_reward=1.0)
    for number in range(6):
        seen = Seen({'ee.x': 0.0}, {'front': picture(rng, number % 2 == 0)})
        disputes.keep([seen], success=number % 2 == 0)
    disputes.close()
    refit = [*command, '--refit', str(tmp_path / 'trained'), '--run', str(tmp_path / 'again'), *arguments]
    assert run(refit) == 0, capfd.readouterr().err
    with ReplayStore.open(tmp_path / 'again' / 'learned_from', read_only=True) as store:
        assert len(store.rows()) == 20 + 6 and len(store.episodes()) == 4 + 6
        assert (store.records(store.rows()[-6:])['reward'] == [1, 0, 1, 0, 1, 0]).all()
    facts = json.loads((tmp_path / 'again' / 'classifier.json').read_text())
    assert facts['learned_from']['episodes'] + facts['held_out']['episodes'] == 10


def test_a_low_recall_is_warned_of_with_what_mends_it():
    facts = {
        'learned_from': {'episodes': 8, 'successes': 8, 'others': 90},
        'held_out': {'episodes': 2, 'successes': 5, 'others': 40},
        'threshold': 0.9,
        'max_false_positive_rate': 0.01,
        'confusion': {'true_positives': 2, 'missed': 3, 'false_positives': 0, 'true_negatives': 40},
        'false_positive_rate': 0.0,
        'false_positive_rate_without_gate': 0.05,
        'recall': 0.4,
        'recall_without_gate': 0.4,
        'gate_keeps_out': {'ee.z': 2, 'ee.x': 1},
    }
    (*_, warning) = report_lines(facts)
    assert warning.startswith('pretrain: warning: misses 60.0% of the successes held out; look at contact_sheet.png')
    assert 'max_false_positive_rate' in warning and 'gate_margin' not in warning
    (*_, warning) = report_lines({**facts, 'threshold': 0.5, 'recall_without_gate': 0.8})
    assert 'max_false_positive_rate' not in warning
    assert warning.endswith('widen classifier.gate_margin, for the gate keeps out 2 by ee.z, 1 by ee.x')
    assert not any('warning' in line for line in report_lines({**facts, 'recall': 0.5}))
