"""A store as a bag: the same topics and named vectors as a live recording, from which the same store comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_rl_ros.data.exchange.bag_types import TYPES
from hybrid_rl_ros.data.exchange.bag_writer import BagTopic, BagWriter
from hybrid_rl_ros.data.exchange.dataset import Progress
from hybrid_rl_ros.data.exchange.segments import segments
from hybrid_rl_ros.data.message_values import NS_PER_S
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.data.step import Step

JOINT_STATE, IMAGE = 'sensor_msgs/msg/JointState', 'sensor_msgs/msg/Image'
DIAGNOSTICS = 'diagnostic_msgs/msg/DiagnosticArray'
STATE = BagTopic('/observation/state', JOINT_STATE, depth=100)
EXECUTED = BagTopic('/action/executed', JOINT_STATE, depth=100)
REWARD = BagTopic('/reward', JOINT_STATE, depth=100)
EPISODE = BagTopic('/episode', DIAGNOSTICS, depth=1, latched=True)


def export(store: ReplayStore, out: Path, on_progress: Progress) -> None:
    """Write the store into a new bag, the folder `out`. A last step whose episode is gone is left out."""
    pieces = [piece for piece in segments(store) if not store.step_at(piece.rows[0]).ends_episode]
    numbers = [piece.number for piece in pieces]
    attachments = {'specs.json': store.specs.model_dump_json(indent=1).encode()}
    if numbers != list(range(len(numbers))):
        # Reading numbers the episodes from 0 on.
        attachments['episodes.json'] = json.dumps(numbers).encode()
    writer = BagWriter(out, attachments)
    cameras = [_image_topic(image.camera) for image in store.specs.observation.images]
    for topic in (STATE, EXECUTED, REWARD, EPISODE, *cameras):
        writer.add_topic(topic)
    recording = _Recording(writer, store.specs)
    done = 0
    total = sum(len(piece.rows) for piece in pieces)
    for piece in pieces:
        recording.begin_segment()
        for row in piece.rows:
            recording.write(store.step_at(row))
            done += 1
            on_progress(done, total)
    writer.close()


class _Recording:
    """What the graph would have published, step by step."""

    def __init__(self, writer: BagWriter, specs: Specs) -> None:
        self._writer, self._specs = writer, specs
        self._shift_ns = 0
        self._last: Step | None = None
        self._new_segment = False
        self._step = 0

    def begin_segment(self) -> None:
        self._new_segment = True

    def write(self, step: Step) -> None:
        """Publish one step; between segments, where nothing else tells them apart, a stamp without an action."""
        last = self._last
        if last is not None and self._new_segment and (not last.ends_episode or step.stamp_ns <= last.stamp_ns):
            between = last.stamp_ns + 1
            if between >= step.stamp_ns:
                # A stamp that goes back tells as much; the clock began again, as that of a resumed run does.
                between = max(last.stamp_ns, step.stamp_ns) + 1
            self._publish(between, last, acted=False, arrived=False)
            # The log goes on all the same.
            self._shift_ns += max(0, between - step.stamp_ns)
        if self._new_segment:
            self._step = 0
            self._publish_episode(step, 'running')
        self._publish(step.stamp_ns, step, acted=not step.ends_episode, arrived=True)
        if step.ends_episode:
            ended = ('succeeded' if step.reward > 0 else 'failed') if step.terminal else 'timed_out'
            self._publish_episode(step, ended)
        self._last, self._new_segment = step, False
        self._step += 1

    def _publish(self, stamp: int, step: Step, acted: bool, arrived: bool) -> None:
        """Every stream of one stamp; an image is what the policy saw of its camera."""
        header = _header(stamp)
        for camera, image in step.observation.images.items():
            height, width, _ = image.shape
            message = _message(IMAGE, header, height, width, 'rgb8', 0, 3 * width, np.ravel(image))
            self._write(_image_topic(camera), stamp, message)
        state = dict(zip(self._specs.observation.state.names, step.observation.state))
        self._write(STATE, stamp, _named(header, state))
        by = 'by/teleop' if step.intervention else 'by/policy' if acted else 'by/hold'
        self._write(EXECUTED, stamp, _named(header, {**dict(zip(self._specs.action.names, step.action)), by: 1.0}))
        reward = {
            'reward': step.reward if arrived else 0.0,
            'terminal': float(arrived and step.terminal),
            'truncated': float(arrived and step.truncated),
            'running': float(acted),
            'episode': float(step.episode),
            'step': float(self._step),
        }
        self._write(REWARD, stamp, _named(header, reward))

    def _publish_episode(self, step: Step, state: str) -> None:
        values = {'episode': step.episode, 'steps': self._step}
        pairs = [_message('diagnostic_msgs/msg/KeyValue', key, str(value)) for key, value in values.items()]
        status = _message('diagnostic_msgs/msg/DiagnosticStatus', 0, 'reward_reset_node: episode', state, '', pairs)
        self._write(EPISODE, step.stamp_ns, _message(DIAGNOSTICS, _header(step.stamp_ns), [status]))

    def _write(self, topic: BagTopic, stamp: int, message: Any) -> None:
        log_ns = stamp + self._shift_ns
        self._writer.write(topic, log_ns, log_ns, bytes(TYPES.serialize_cdr(message, topic.type)))


def _image_topic(camera: str) -> BagTopic:
    return BagTopic(f'/observation/image/{camera}', IMAGE, depth=100)


def _message(type_name: str, *values: Any) -> Any:
    return TYPES.types[type_name](*values)


def _header(stamp: int) -> Any:
    time = _message('builtin_interfaces/msg/Time', stamp // NS_PER_S, stamp % NS_PER_S)
    return _message('std_msgs/msg/Header', time, '')


def _named(header: Any, values: dict[str, Any]) -> Any:
    nothing = np.zeros(0)
    return _message(JOINT_STATE, header, list(values), np.array(list(values.values()), float), nothing, nothing)
