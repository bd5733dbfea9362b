"""rosbag2: recordings of the graph, or of other software, into a store; and a store as a recording of the graph."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from hybrid_rl_ros.data.exchange.bag_reader import Bag, open_bags
from hybrid_rl_ros.data.exchange.bag_sampling import open_sampled
from hybrid_rl_ros.data.exchange.bag_specs import VectorRange, nearest, require_finite, require_names
from hybrid_rl_ros.data.exchange.bag_store import export as export
from hybrid_rl_ros.data.exchange.dataset import Source
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.message_values import NS_PER_S, read_image, read_named_vector
from hybrid_rl_ros.data.specs import ActionSpec, ImageSpec, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data.step_builder import IMAGE, StepBuilder, step_topics
from hybrid_rl_ros.errors import UserError

STATE = 'observation/state'
ENDED = 'graph/ended'
# What safety_node adds to the action on action/executed.
NOT_ACTION = ('by/', 'moved/', 'limited/', 'latent/')


def open_source(path: Path, specs: Specs | None, mapping: Mapping) -> Source:
    """The bag, or the folder of bags, at `path`. Raises UserError, also while the steps are read.

    With names in the mapping the bag is sampled (bag_sampling.py); otherwise it is a recording of our own graph, and
    gives the steps that the graph itself stored.
    """
    for key in ('quaternions', 'filter_key'):
        _refuse_key(mapping, key, 'bags have no such thing')
    bags = open_bags(path)
    if mapping.state or mapping.action or mapping.cameras:
        return open_sampled(bags, specs, mapping)
    for key in ('units', 'ranges', 'action_scale', 'success'):
        _refuse_key(
            mapping, key, f'{path} says that itself; a bag that is to be sampled needs state, action or cameras'
        )
    recordings = [_Recording(bag, mapping.bag.namespace) for bag in bags]
    specs = specs or recordings[0].specs()
    count = sum(recording.count(specs) for recording in recordings)
    return Source(specs, _all_steps(recordings, specs), count)


def _refuse_key(mapping: Mapping, key: str, why: str) -> None:
    if getattr(mapping, key) != Mapping.model_fields[key].default:
        raise UserError(f'mapping: {key}: {why}')


def _all_steps(recordings: list[_Recording], specs: Specs) -> Iterator[Step]:
    """Each bag's own steps: a new bag is a new start of the graph, whose clock may begin again."""
    last = -1
    for recording in recordings:
        first = last + 1
        for step in recording.steps(specs):
            step.episode += first
            last = max(last, step.episode)
            yield step


class _Recording:
    """One recording of our graph."""

    def __init__(self, bag: Bag, namespace: str | None) -> None:
        self._bag = bag
        self._prefix = _find_prefix(bag, namespace)
        self._numbers: list[int] | None = None

    def count(self, specs: Specs) -> int:
        """How many steps there will be. Raises UserError for most of what `steps` would meet."""
        count, episodes = 0, 0
        for step in self._steps(specs, with_images=False):
            count, episodes = count + 1, step.episode + 1
        numbers = self._episode_numbers()
        # Of a damaged bag there are other segments than were written.
        self._numbers = numbers if numbers is not None and len(numbers) == episodes else None
        return count

    def steps(self, specs: Specs) -> Iterator[Step]:
        """The steps, to be counted first. Raises UserError."""
        for step in self._steps(specs, with_images=True):
            if self._numbers is not None:
                step.episode = self._numbers[step.episode]
            yield step

    def _steps(self, specs: Specs, with_images: bool) -> Iterator[Step]:
        streams = {self._prefix + topic: stream for stream, topic in step_topics(specs).items()}
        for topic in streams:
            self._require(topic)
        ready: list[Step] = []
        builder = StepBuilder(specs, 0, lambda _, step, __: ready.append(step) if step else None)
        newest: dict[str, int] = {}
        ended = self._ended_ns()
        for topic, _, data in self._bag.messages(streams):
            stream = streams[topic]
            stamp = _header_stamp(data, f'{self._bag.path}: {topic}')
            if stamp < newest.get(stream, stamp):
                builder.restart()
                newest.clear()
            newest[stream] = stamp
            if stamp <= ended:
                builder.offer_value(stream, stamp, self._value(specs, stream, topic, data, with_images))
            yield from ready
            ready.clear()

    def _episode_numbers(self) -> list[int] | None:
        """The numbers of the episodes, where they are not 0, 1, 2 and so on. Raises UserError."""
        text = self._bag.attachments.get('episodes.json')
        if text is None:
            return None
        try:
            numbers = json.loads(text)
        except ValueError:
            numbers = None
        if not isinstance(numbers, list) or not all(isinstance(number, int) and number >= 0 for number in numbers):
            raise UserError(f'{self._bag.path}: episodes.json: expected a list of episode numbers')
        return numbers

    def specs(self) -> Specs:
        """As they were recorded, or made from the messages. Raises UserError."""
        text = self._bag.attachments.get('specs.json')
        if text is None:
            return self._made_specs()
        try:
            return Specs.model_validate_json(text)
        except ValidationError as error:
            raise UserError(f'{self._bag.path}: specs.json: {error.errors()[0]["msg"]}') from None

    def _made_specs(self) -> Specs:
        state, action = VectorRange(), VectorRange()
        topics = {self._prefix + STATE: state, self._prefix + 'action/executed': action}
        for topic in topics:
            self._require(topic)
        for topic, _, data in self._bag.messages(topics):
            values = self._named(topic, data)
            topics[topic].add({name: value for name, value in values.items() if not name.startswith(NOT_ACTION)})
        before = f'{self._prefix}observation/{IMAGE}'
        images = {}
        for topic, _, data in self._bag.messages([topic for topic in self._bag.topics if topic.startswith(before)]):
            if topic not in images:
                height, width, _ = self._image(topic, data).shape
                images[topic] = ImageSpec(camera=topic.removeprefix(before), height=height, width=width)
        observation = ObservationSpec(state=VectorSpec(dimensions=state.dimensions()), images=tuple(images.values()))
        return Specs(observation=observation, action=ActionSpec(dimensions=action.dimensions()))

    def _value(self, specs: Specs, stream: str, topic: str, data: bytes, with_image: bool) -> Any:
        where = f'{self._bag.path}: {topic}'
        if not stream.startswith(IMAGE):
            values = self._named(topic, data)
            names = {'state': specs.observation.state.names, 'executed': specs.action.names}.get(stream, ['reward'])
            require_names(values, names, where)
            if stream == 'reward':
                require_names(values, ['running', 'terminal', 'truncated'], where)
            require_finite(values, names, where)
            return values
        if not with_image:
            return None
        image = self._image(topic, data)
        expected = next(spec.shape for spec in specs.observation.images if IMAGE + spec.camera == stream)
        if image.shape != expected:
            raise UserError(f'{where}: an image of shape {image.shape}, expected {expected}')
        return image

    def _named(self, topic: str, data: bytes) -> dict[str, float]:
        return self._read(topic, data, 'sensor_msgs/msg/JointState', read_named_vector)

    def _image(self, topic: str, data: bytes) -> np.ndarray:
        return self._read(topic, data, 'sensor_msgs/msg/Image', read_image)

    def _read(self, topic: str, data: bytes, expected: str, read: Any) -> Any:
        found = self._bag.topics[topic]
        if found != expected:
            raise UserError(f'{self._bag.path}: {topic} is a {found}, expected a {expected}')
        try:
            return read(self._bag.decode(topic, data))
        except (ValueError, AttributeError) as error:  # the bag's own definition may lack a field
            raise UserError(f'{self._bag.path}: {topic}: {error}') from None

    def _ended_ns(self) -> int:
        """The stamp at which the run ended; what was recorded beyond it belongs to no run."""
        ended = [_header_only_stamp(data) for _, _, data in self._bag.messages([self._prefix + ENDED])]
        return max(ended, default=2**63 - 1)

    def _require(self, topic: str) -> None:
        if topic not in self._bag.topics:
            raise UserError(f'{self._bag.path}: no topic {topic}{nearest(topic, self._bag.topics)}')


def _find_prefix(bag: Bag, namespace: str | None) -> str:
    """What stands before our topics' names: '/' and a namespace. Raises UserError."""
    if namespace is not None:
        return f'/{namespace.strip("/")}/' if namespace.strip('/') else '/'
    prefixes = [topic.removesuffix(STATE) for topic in bag.topics if topic.endswith(f'/{STATE}')]
    if not prefixes:
        near = nearest(f'/{STATE}', bag.topics)
        raise UserError(
            f'{bag.path}: no topic /{STATE}{near}; a bag of other software needs a mapping with state, action and bag'
        )
    if len(prefixes) > 1:
        found = ', '.join(prefix.strip('/') or "''" for prefix in sorted(prefixes))
        raise UserError(f'{bag.path}: topics of {len(prefixes)} robots; name one as bag.namespace: {found}')
    return prefixes[0]


def _header_stamp(data: bytes, where: str) -> int:
    """The stamp of a serialised message that begins with a Header, without reading the rest of it."""
    if len(data) < 12:
        raise UserError(f'{where}: a message of {len(data)} bytes is cut off')
    return _header_only_stamp(data)


def _header_only_stamp(data: bytes) -> int:
    seconds, nanoseconds = struct.unpack_from('<iI' if data[1] & 1 else '>iI', data, 4)
    return seconds * NS_PER_S + nanoseconds
