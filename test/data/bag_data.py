"""Bags for the tests of bags: of our graph, and as other software writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mcap.reader import SeekingReader
from mcap.writer import Writer
from rosbags import rosbag2
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from test_replay_store import make_specs

from hybrid_rl_ros.data.exchange.dataset import export_dataset, import_dataset
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Observation, Specs
from hybrid_rl_ros.data.step import Step

TYPES = get_typestore(Stores.ROS2_JAZZY)
PERIOD_NS = 100_000_000


def step(stamp: int, episode: int, seed: int = 0, **flags: Any) -> Step:
    """A step of `make_specs()` with random contents; the last of an episode has done nothing."""
    rng = np.random.default_rng([seed, stamp, episode])
    ended = flags.get('terminal') or flags.get('truncated')
    observation = Observation(
        rng.normal(size=1).astype(np.float32), {'front': rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)}
    )
    action = np.zeros(1, np.float32) if ended else rng.normal(size=1).astype(np.float32)
    return Step(stamp, episode, observation, action, reward=float(np.float32(rng.normal())), **flags)


def episode_steps(episode: int, count: int, first_stamp: int = PERIOD_NS, **ending: Any) -> list[Step]:
    """`count` steps at 10 Hz, of which the last ends the episode as `ending` says."""
    stamps = [first_stamp + number * PERIOD_NS for number in range(count)]
    return [step(stamp, episode, **(ending if stamp == stamps[-1] else {})) for stamp in stamps]


def make_store(folder: Path, steps: list[Step], specs: Specs | None = None) -> Path:
    with ReplayStore.create(folder, specs or make_specs(), max(2, len(steps))) as store:
        for each in steps:
            store.append(each)
    return folder


def to_bag(store: Path, bag: Path) -> Path:
    export_dataset(store, bag, 'rosbag', lambda done, total: None)
    return bag


def from_bag(source: Path, out: Path, specs: Specs | None = None, **mapping: Any) -> list[Step]:
    """The steps of the imported bag."""
    with import_dataset(
        source, out, 'rosbag', specs, Mapping.model_validate(mapping), lambda done, total: None
    ) as imported:
        return steps_of(imported)


def steps_of(store: ReplayStore | Path) -> list[Step]:
    if isinstance(store, Path):
        with ReplayStore.open(store, read_only=True) as opened:
            return steps_of(opened)
    return [store.step_at(row) for row in store.rows()]


def assert_same(found: list[Step], expected: list[Step]) -> None:
    """Bit for bit."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        for name in ('stamp_ns', 'episode', 'reward', 'terminal', 'truncated', 'intervention'):
            assert getattr(ours, name) == getattr(theirs, name), (name, ours.stamp_ns)
        assert np.array_equal(ours.action, theirs.action)
        assert np.array_equal(ours.observation.state, theirs.observation.state)
        assert ours.observation.images.keys() == theirs.observation.images.keys()
        for camera, image in ours.observation.images.items():
            assert np.array_equal(image, theirs.observation.images[camera])


def message(type_name: str, *values: Any) -> Any:
    return TYPES.types[type_name](*values)


def header(stamp_ns: int = 0) -> Any:
    time = message('builtin_interfaces/msg/Time', stamp_ns // 10**9, stamp_ns % 10**9)
    return message('std_msgs/msg/Header', time, '')


def joint_state(names: list[str], positions: list[float]) -> Any:
    empty = np.zeros(0)
    return message('sensor_msgs/msg/JointState', header(), names, np.array(positions, float), empty, empty)


def vector3(x: float, y: float, z: float) -> Any:
    return message('geometry_msgs/msg/Vector3', x, y, z)


def picture(value: int, size: int = 8, encoding: str = 'rgb8') -> Any:
    data = np.full((size, size, 3), value, np.uint8).ravel()
    return message('sensor_msgs/msg/Image', header(), size, size, encoding, 0, 3 * size, data)


@contextmanager
def foreign_mcap(path: Path, **options: Any) -> Iterator[Any]:
    """Gives `write(topic, type, message, at_s)`; the file is as the library mcap alone writes it."""
    schemas: dict[str, int] = {}
    channels: dict[str, int] = {}
    with open(path, 'wb') as file:
        writer = Writer(file, **options)
        writer.start()

        def write(topic: str, type_name: str, value: Any, at_s: float) -> None:
            if type_name not in schemas:
                text, _ = TYPES.generate_msgdef(type_name, ros_version=2)
                schemas[type_name] = writer.register_schema(type_name, 'ros2msg', text.encode())
            if topic not in channels:
                channels[topic] = writer.register_channel(topic, 'cdr', schemas[type_name])
            log_ns = round(at_s * 1e9)
            writer.add_message(channels[topic], log_ns, bytes(TYPES.serialize_cdr(value, type_name)), log_ns)

        yield write
        writer.finish()


def in_small_chunks(bag: Path) -> Path:
    """The bag with chunks of 4000 bytes; the file as it was is kept beside it."""
    whole = (bag / 'bag_0.mcap').rename(bag.with_name(f'{bag.name}.whole.mcap'))
    with open(whole, 'rb') as old, open(bag / 'bag_0.mcap', 'wb') as new:
        reader, writer = SeekingReader(old), Writer(new, chunk_size=4000)
        summary = reader.get_summary()
        assert summary is not None
        writer.start(profile='ros2')
        schemas = {s.id: writer.register_schema(s.name, s.encoding, s.data) for s in summary.schemas.values()}
        channels = {
            c.id: writer.register_channel(c.topic, c.message_encoding, schemas[c.schema_id], c.metadata)
            for c in summary.channels.values()
        }
        for _, channel, each in reader.iter_messages():
            writer.add_message(channels[channel.id], each.log_time, each.data, each.publish_time)
        writer.finish()
    return bag


def as_database(bag: Path, out: Path) -> Path:
    """The bag as sqlite3, written by the library rosbags; the file itself."""
    with (
        rosbag2.Writer(out, version=8, storage_plugin=rosbag2.StoragePlugin.SQLITE3) as writer,
        AnyReader([bag]) as reader,
    ):
        for connection in list(reader.connections):
            copy = writer.add_connection(connection.topic, connection.msgtype, typestore=reader.typestore)
            for _, log_ns, data in reader.messages([connection]):
                writer.write(copy, log_ns, data)
    return out / f'{out.name}.db3'
