"""Writing a rosbag2 folder of MCAP files, of which a kill loses no more than the last moment."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from mcap.writer import Writer

from hybrid_rl_ros.data.exchange.bag_types import TYPES

# What a cut or a damaged byte costs.
CHUNK_BYTES = 2**18
# The last chunk is in memory only, until it is full or this old.
FLUSH_S = 0.5
# Of metadata.yaml: the newest that every rosbag2 since Humble can read.
METADATA_VERSION = 8
_NEVER = {'sec': 9223372036, 'nsec': 854775807}
_UNKNOWN_START_NS = 2**63 - 1


@dataclass(frozen=True)
class BagTopic:
    """One topic of a bag: its full name, its type (`sensor_msgs/msg/Image`), and how its publisher offers it."""

    name: str
    type: str
    depth: int = 10
    reliable: bool = True
    latched: bool = False


class BagWriter:
    """A new rosbag2 folder at `folder`; `attachments` (name to content) go into every file and beside them.

    Everything that touches the disk raises OSError; the files then hold every whole record before that.
    """

    def __init__(self, folder: Path, attachments: Mapping[str, bytes], split_bytes: int = 0) -> None:
        self._folder = folder
        self._attachments = attachments
        self._split_bytes = split_bytes
        self._files: list[_BagFile] = []
        self._topics: dict[str, BagTopic] = {}
        self._counts: Counter[str] = Counter()
        self._last_ns = 0
        folder.mkdir(parents=True)
        for name, content in attachments.items():
            (folder / name).write_bytes(content)
        self._open_next()

    @property
    def messages(self) -> int:
        return self._counts.total()

    def add_topic(self, topic: BagTopic) -> None:
        """Have it in the bag even if no message comes."""
        self._topics[topic.name] = topic
        self._files[-1].add_channel(topic)

    def write(self, topic: BagTopic, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Add one serialised message. The log times of a bag always grow, whatever the clock does."""
        if self._split_bytes and self._files[-1].size >= self._split_bytes:
            self._files[-1].close(self._metadata())
            self._open_next()
        self._last_ns = max(log_ns, self._last_ns + 1)
        self._topics[topic.name] = topic
        self._counts[topic.name] += 1
        self._files[-1].write(topic, self._last_ns, publish_ns, data)

    def flush_if_due(self) -> None:
        """Have on the disk what is older than FLUSH_S; to be called when there is nothing to write."""
        self._files[-1].flush_if_due()

    def close(self) -> None:
        self._files[-1].close(self._metadata())
        (self._folder / 'metadata.yaml').write_text(self._metadata())

    def abandon(self) -> None:
        """Let go of the file as it is, after an OSError."""
        self._files[-1].abandon()

    def _open_next(self) -> None:
        path = self._folder / f'bag_{len(self._files)}.mcap'
        self._files.append(_BagFile(path, self._attachments))

    def _metadata(self) -> str:
        spans = [file.span for file in self._files]
        topics = [
            {'topic_metadata': _topic_metadata(topic), 'message_count': self._counts[name]}
            for name, topic in self._topics.items()
        ]
        files = [
            {'path': file.path.name, **span, 'message_count': file.messages} for file, span in zip(self._files, spans)
        ]
        information = {
            'version': METADATA_VERSION,
            'storage_identifier': 'mcap',
            **_span([file for file in self._files if file.messages]),
            'message_count': self.messages,
            'topics_with_message_count': topics,
            'compression_format': '',
            'compression_mode': '',
            'relative_file_paths': [file.path.name for file in self._files],
            'files': files,
            'custom_data': None,
            'ros_distro': 'jazzy',
        }
        return yaml.safe_dump({'rosbag2_bagfile_information': information}, sort_keys=False)


class _BagFile:
    """One MCAP file of a bag."""

    def __init__(self, path: Path, attachments: Mapping[str, bytes]) -> None:
        self.path = path
        self.messages = 0
        self.first_ns, self.last_ns = _UNKNOWN_START_NS, 0
        self._file = _WholeRecords(path)
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES)  # type: ignore[arg-type]
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._flushed_s = time.monotonic()
        self._waiting = False
        self._writer.start(profile='ros2', library='hybrid_rl_ros')
        for name, content in attachments.items():
            media = 'application/json' if name.endswith('.json') else 'application/yaml'
            self._writer.add_attachment(0, time.time_ns(), name, media, content)

    @property
    def size(self) -> int:
        return self._file.tell()

    @property
    def span(self) -> dict[str, Any]:
        return _span([self] if self.messages else [])

    def write(self, topic: BagTopic, log_ns: int, publish_ns: int, data: bytes) -> None:
        channel = self._channels.get(topic.name) or self.add_channel(topic)
        self._writer.add_message(channel, log_ns, data, publish_ns, sequence=self.messages)
        self.messages += 1
        self.first_ns, self.last_ns = min(self.first_ns, log_ns), log_ns
        self._waiting = True
        self.flush_if_due()

    def add_channel(self, topic: BagTopic) -> int:
        if topic.type not in self._schemas:
            definition, _ = TYPES.generate_msgdef(topic.type, ros_version=2)
            self._schemas[topic.type] = self._writer.register_schema(topic.type, 'ros2msg', definition.encode())
        about = {'offered_qos_profiles': _qos_text(topic), 'topic_type_hash': TYPES.hash_rihs01(topic.type)}
        self._channels[topic.name] = self._writer.register_channel(topic.name, 'cdr', self._schemas[topic.type], about)
        return self._channels[topic.name]

    def flush_if_due(self) -> None:
        now = time.monotonic()
        if now - self._flushed_s >= FLUSH_S:
            self._flushed_s = now
            if self._waiting:
                self._writer.flush()
            self._waiting = False

    def close(self, metadata: str) -> None:
        try:
            # As rosbag2 itself leaves it: for what opens the file without its folder.
            self._writer.add_metadata('rosbag2', {'serialized_metadata': metadata})
            self._writer.finish()
        finally:
            self._file.close()

    def abandon(self) -> None:
        self._file.close()


class _WholeRecords:
    """The stream below a Writer. A write that the disk does not take whole is taken back, so that only whole records
    are left, and nothing is kept in this process's memory."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._end = 0

    def write(self, data: bytes) -> int:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(data)
        return len(data)

    def tell(self) -> int:
        return self._end

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        os.close(self._descriptor)


def _span(files: list[_BagFile]) -> dict[str, Any]:
    first = min((file.first_ns for file in files), default=_UNKNOWN_START_NS)
    last = max((file.last_ns for file in files), default=first)
    return {'starting_time': {'nanoseconds_since_epoch': first}, 'duration': {'nanoseconds': last - first}}


def _topic_metadata(topic: BagTopic) -> dict[str, Any]:
    return {
        'name': topic.name,
        'type': topic.type,
        'serialization_format': 'cdr',
        'offered_qos_profiles': _qos_text(topic),
        'type_description_hash': TYPES.hash_rihs01(topic.type),
    }


def _qos_text(topic: BagTopic) -> str:
    """In the numbers of rmw: keep last; reliable 1, best effort 2; transient local 1, volatile 2; automatic."""
    profile = {
        'history': 1,
        'depth': topic.depth,
        'reliability': 1 if topic.reliable else 2,
        'durability': 1 if topic.latched else 2,
        'deadline': _NEVER,
        'lifespan': _NEVER,
        'liveliness': 1,
        'liveliness_lease_duration': _NEVER,
        'avoid_ros_namespace_conventions': False,
    }
    # Without anchors, which rosbag2 does not write either.
    return yaml.dump([profile], Dumper=_PlainDumper, sort_keys=False).strip()


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
