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
from hybrid_rl_ros.data.exchange.bag_specs import VectorRange, nearest, require_names
from hybrid_rl_ros.data.exchange.dataset import Source
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.message_values import NS_PER_S
from hybrid_rl_ros.data.specs import ActionSpec, ImageSpec, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data.step_assembler import StepAssembler, StreamValues
from hybrid_rl_ros.errors import UserError


@dataclass(frozen=True)
class _Tick:
    """One tick at which everything was there; `after_gap` if the tick before it was not such a one."""

    stamp_ns: int
    episode: tuple[int, float]
    after_gap: bool
    state: dict[str, float]
    action: dict[str, float]
    images: dict[str, np.ndarray]


def open_sampled(bags: list[Bag], specs: Specs | None, mapping: Mapping) -> Source:
    """The bags' steps at `mapping.bag.rate_hz`. Raises UserError, also while the steps are read."""
    if mapping.bag.rate_hz is None:
        raise UserError(f'{bags[0].path}: sampling a bag needs bag.rate_hz in the mapping, the control rate in Hz')
    if not mapping.action:
        raise UserError(f'{bags[0].path}: the mapping names no action; expected one or more under action')
    samplers = [_Sampler(bag, mapping) for bag in bags]
    count, state, action = 0, VectorRange(), VectorRange()
    for sampler in samplers:
        for tick in sampler.ticks(with_images=False):
            count += 1
            state.add(tick.state)
            action.add(tick.action)
    if specs is None:
        observation = ObservationSpec(state=VectorSpec(dimensions=state.dimensions()), images=samplers[0].images())
        specs = Specs(observation=observation, action=ActionSpec(dimensions=action.dimensions()))
    where = f'{bags[0].path}: the mapping'
    require_names(mapping.state, specs.observation.state.names, f'{where}, state')
    require_names(mapping.action, specs.action.names, f'{where}, action')
    require_names(mapping.cameras, [image.camera for image in specs.observation.images], f'{where}, cameras')
    return Source(specs, _steps(samplers, specs, mapping.bag.success == 'all'), count)


def _steps(samplers: list[_Sampler], specs: Specs, success: bool) -> Iterator[Step]:
    assembler = StepAssembler(specs, first_episode=0)
    for sampler in samplers:
        last: _Tick | None = None
        for tick in sampler.ticks(with_images=True):
            if last is not None:
                yield from _assemble(assembler, specs, last, tick.episode != last.episode, success)
                if tick.after_gap:
                    assembler.break_segment()
            last = tick
        if last is not None:
            yield from _assemble(assembler, specs, last, True, success)
            assembler.break_segment()


def _assemble(assembler: StepAssembler, specs: Specs, tick: _Tick, ends: bool, success: bool) -> Iterator[Step]:
    reward = {
        'reward': float(ends and success),
        'terminal': float(ends and success),
        'truncated': float(ends and not success),
        'running': float(not ends),
    }
    images = {spec.camera: _fit(tick.images[spec.camera], spec) for spec in specs.observation.images}
    step = assembler.assemble(tick.stamp_ns, StreamValues(tick.state, tick.action, reward, images))
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
        self._state = {name: parse_field(text, f'state.{name}') for name, text in mapping.state.items()}
        self._action = {name: parse_field(text, f'action.{name}') for name, text in mapping.action.items()}
        self._cameras = mapping.cameras
        self._episode = parse_field(mapping.bag.episode, 'bag.episode') if mapping.bag.episode else None
        assert mapping.bag.rate_hz is not None
        self._period_ns = round(NS_PER_S / mapping.bag.rate_hz)
        self._max_age_ns = round(mapping.bag.max_age_s * NS_PER_S)
        fields = [*self._state.values(), *self._action.values()]
        self._streams = {field.topic for field in fields} | set(self._cameras.values())
        # A flag is often said once, when it changes.
        self._pauses, self._gap = 0, False
        self._lasting = {self._episode.topic} - self._streams if self._episode else set()
        for topic in sorted(self._streams | self._lasting):
            if topic not in bag.topics:
                raise UserError(f'{bag.path}: no topic {topic}{nearest(topic, bag.topics)}')

    def images(self) -> tuple[ImageSpec, ...]:
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
            state = {name: number(field) for name, field in self._state.items()}
            action = {name: number(field) for name, field in self._action.items()}
            images = {}
            if with_images:
                images = {camera: self._picture(topic, newest[topic][1]) for camera, topic in self._cameras.items()}
            yield _Tick(due, (self._pauses, episode), self._gap, state, action, images)
            self._gap = False

    def _picture(self, topic: str, data: bytes) -> np.ndarray:
        return read_picture(self._bag.topics[topic], self._bag.decode(topic, data), f'{self._bag.path}: {topic}')
