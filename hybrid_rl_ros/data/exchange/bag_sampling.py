"""Bags of other software, without one stamp a step: every stream sampled at a control rate.

At each tick counts the newest message at or before it, by the time at which it was recorded:

    ticks        |       |       |       |
    joints   o  o  o  o  o  o  o  o  o  o       the newest of each stream becomes the step
    camera     o        o        o      x       none within max_age_s: the segment ends, and a new one begins later
    command   o   o   o   o   o   o   o

An episode is a bag, or what `bag.episode` says; its last step is the last tick at which everything was there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from hybrid_rl_ros.data.exchange.bag_fields import Field, parse_field, read_picture
from hybrid_rl_ros.data.exchange.bag_reader import Bag
from hybrid_rl_ros.data.exchange.bag_specs import nearest
from hybrid_rl_ros.data.exchange.columns import Columns, require_known
from hybrid_rl_ros.data.exchange.dataset import Source
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.message_values import NS_PER_S
from hybrid_rl_ros.data.specs import ActionSpec, ImageSpec, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data.step_assembler import StepAssembler, StreamValues
from hybrid_rl_ros.errors import UserError


@dataclass(frozen=True)
class _Tick:
    """One tick at which everything was there; `after_gap` if the tick before it was not such a one.

    state (S,) and action (A,) are in the order of the mapping, in the units of the bag.
    """

    stamp_ns: int
    episode: tuple[int, float]
    after_gap: bool
    state: list[float]
    action: list[float]
    images: dict[str, np.ndarray]


def open_sampled(bags: list[Bag], specs: Specs | None, mapping: Mapping) -> Source:
    """The bags' steps at `mapping.bag.rate_hz`. Raises UserError, also while the steps are read."""
    where = str(bags[0].path)
    if not mapping.action:
        raise UserError(f'{where}: the mapping names no action; expected one or more under action')
    if mapping.bag.rate_hz is None:
        raise UserError(f'{where}: sampling a bag needs bag.rate_hz in the mapping, the control rate in Hz')
    if mapping.success is None:
        raise UserError(
            f'{where}: the bag does not say how an episode ended; say in the mapping `success: all` or `success: none`'
        )
    samplers = [_Sampler(bag, mapping) for bag in bags]
    wanted_state, wanted_action = (specs.observation.state, specs.action) if specs else (None, None)
    state = Columns.of('state', where, list(mapping.state.values()), wanted_state, mapping)
    action = Columns.of('action', where, list(mapping.action.values()), wanted_action, mapping)
    require_known(mapping.units, state.names + action.names, 'mapping: units')
    state.require_units(where, None, list(mapping.state.values()))
    action.require_units(where, None, list(mapping.action.values()))
    surveys = [[(tick.state, tick.action) for tick in sampler.ticks(with_images=False)] for sampler in samplers]
    if not any(surveys):
        raise UserError(f'{where}: no tick at which every stream of the mapping was there')
    states, actions = (
        [
            columns.take(str(bag.path), np.array([tick[part] for tick in survey]).reshape(len(survey), -1))
            for bag, survey in zip(bags, surveys)
        ]
        for part, columns in enumerate((state, action))
    )
    if specs is None:
        observation = ObservationSpec(
            state=VectorSpec(dimensions=_derived(state, states)), images=samplers[0].image_specs()
        )
        specs = Specs(observation=observation, action=ActionSpec(dimensions=_derived(action, actions)))
    require_known([image.camera for image in specs.observation.images], list(mapping.cameras), 'mapping: cameras:')
    steps = _Steps(specs, mapping.success == 'all')
    return Source(specs, steps.of(samplers, states, actions), sum(map(len, surveys)))


def _derived(columns: Columns, rows: list[np.ndarray]) -> Any:
    values = np.concatenate(rows)
    return columns.derived(values.min(axis=0, initial=np.inf), values.max(axis=0, initial=-np.inf), None)


class _Steps:
    """From ticks to steps, by the rules of the live graph (step_assembler.py)."""

    def __init__(self, specs: Specs, success: bool) -> None:
        self._specs, self._success = specs, success
        self._assembler = StepAssembler(specs, first_episode=0)

    def of(self, samplers: list[_Sampler], states: list[np.ndarray], actions: list[np.ndarray]) -> Iterator[Step]:
        """`states` and `actions` are of each bag (ticks, D), in our names and units."""
        for sampler, bag_states, bag_actions in zip(samplers, states, actions):
            last: _Tick | None = None
            for number, tick in enumerate(sampler.ticks(with_images=True)):
                if last is not None:
                    ends = tick.episode != last.episode
                    yield from self._step(last, bag_states[number - 1], bag_actions[number - 1], ends)
                    if tick.after_gap:
                        self._assembler.break_segment()
                last = tick
            if last is not None:
                yield from self._step(last, bag_states[-1], bag_actions[-1], True)
                self._assembler.break_segment()

    def _step(self, tick: _Tick, state: np.ndarray, action: np.ndarray, ends: bool) -> Iterator[Step]:
        reward = {
            'reward': float(ends and self._success),
            'terminal': float(ends and self._success),
            'truncated': float(ends and not self._success),
            'running': float(not ends),
        }
        spec = self._specs.observation
        images = {image.camera: _fit(tick.images[image.camera], image) for image in spec.images}
        values = StreamValues(
            dict(zip(spec.state.names, state)), dict(zip(self._specs.action.names, action)), reward, images
        )
        step = self._assembler.assemble(tick.stamp_ns, values)
        if step is not None:
            yield step


def _fit(image: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """As observation_node does with a camera's pictures."""
    if image.shape == spec.shape:
        return image
    return cv2.resize(image, (spec.width, spec.height), interpolation=cv2.INTER_AREA)


class _Sampler:
    """One bag's ticks."""

    def __init__(self, bag: Bag, mapping: Mapping) -> None:
        self._bag = bag
        self._state = [parse_field(text, f'state.{name}') for name, text in mapping.state.items()]
        self._action = [parse_field(text, f'action.{name}') for name, text in mapping.action.items()]
        self._cameras = mapping.cameras
        self._episode = parse_field(mapping.bag.episode, 'bag.episode') if mapping.bag.episode else None
        assert mapping.bag.rate_hz is not None
        self._period_ns = round(NS_PER_S / mapping.bag.rate_hz)
        self._max_age_ns = round(mapping.bag.max_age_s * NS_PER_S)
        self._streams = {field.topic for field in (*self._state, *self._action)} | set(self._cameras.values())
        # A flag is often said once, when it changes.
        self._pauses, self._gap = 0, False
        self._lasting = {self._episode.topic} - self._streams if self._episode else set()
        for topic in sorted(self._streams | self._lasting):
            if topic not in bag.topics:
                raise UserError(f'{bag.path}: no topic {topic}{nearest(topic, bag.topics)}')

    def image_specs(self) -> tuple[ImageSpec, ...]:
        """Specs of the cameras, as large as their first pictures."""
        specs: dict[str, ImageSpec] = {}
        cameras = {topic: camera for camera, topic in self._cameras.items()}
        for topic, _, data in self._bag.messages(cameras):
            if cameras[topic] not in specs:
                height, width, _ = self._picture(topic, data).shape
                specs[cameras[topic]] = ImageSpec(camera=cameras[topic], height=height, width=width)
            if len(specs) == len(cameras):
                break
        return tuple(specs[camera] for camera in self._cameras if camera in specs)

    def ticks(self, with_images: bool) -> Iterator[_Tick]:
        """Every tick at which everything was there, in order."""
        newest: dict[str, tuple[int, bytes]] = {}
        due: int | None = None
        self._pauses, self._gap = 0, False
        for topic, at_ns, data in self._bag.messages(self._streams | self._lasting):
            while due is not None and due < at_ns:
                yield from self._tick(due, newest, with_images)
                due += self._period_ns
            newest[topic] = (at_ns, data)
            if due is None and self._streams <= newest.keys():
                due = at_ns
        if due is not None and due <= max(at_ns for at_ns, _ in newest.values()):
            yield from self._tick(due, newest, with_images)

    def _tick(self, due: int, newest: dict[str, tuple[int, bytes]], with_images: bool) -> Iterator[_Tick]:
        decoded: dict[str, Any] = {}

        def message(topic: str) -> Any:
            if topic not in decoded:
                decoded[topic] = self._bag.decode(topic, newest[topic][1])
            return decoded[topic]

        def number(field: Field) -> float:
            return field.read(message(field.topic), f'{self._bag.path}: {field.topic}')

        flag = self._episode
        episode: float | None = 0.0
        if flag is not None:
            said = flag.topic in newest
            episode = flag.read_episode(message(flag.topic), f'{self._bag.path}: {flag.topic}') if said else None
        if episode is None:
            self._pauses += 1
        elif due - min(newest[topic][0] for topic in self._streams) > self._max_age_ns:
            self._gap = True
        else:
            state, action = ([number(field) for field in fields] for fields in (self._state, self._action))
            images = {}
            if with_images:
                images = {camera: self._picture(topic, newest[topic][1]) for camera, topic in self._cameras.items()}
            yield _Tick(due, (self._pauses, episode), self._gap, state, action, images)
            self._gap = False

    def _picture(self, topic: str, data: bytes) -> np.ndarray:
        return read_picture(self._bag.topics[topic], self._bag.decode(topic, data), f'{self._bag.path}: {topic}')
