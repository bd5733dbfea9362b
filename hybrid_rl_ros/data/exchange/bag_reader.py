"""Reading bags: rosbag2 folders and single files, MCAP and sqlite3, without ROS."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import yaml
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore

from hybrid_rl_ros.data.exchange.mcap_file import McapFile
from hybrid_rl_ros.errors import UserError

ATTACHED = ('specs.json', 'episodes.json')
_LOG = logging.getLogger(__name__)


class Bag(Protocol):
    """`topics`: name to message type; `counts`: name to how many; `attachments`: what was put in beside messages."""

    path: Path
    topics: dict[str, str]
    counts: Counter[str]
    attachments: dict[str, bytes]

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """(topic, log time in ns, serialised message) in the order of the log times. Raises UserError."""

    def decode(self, topic: str, data: bytes) -> Any:
        """The message, with the attributes that its definition names. Raises UserError."""


def open_bags(path: Path) -> list[Bag]:
    """The bag at `path`, or every bag in that folder in the order of their names. Raises UserError."""
    try:
        places = _places(path)
        if not places:
            raise UserError(f'{path}: no bag here; expected metadata.yaml, or files named *.mcap or *.db3')
        return [_open(place) for place in places]
    except OSError as error:
        raise UserError(f'{error.filename or path}: cannot be read: {error.strerror or error}') from None


def _places(path: Path) -> list[Path]:
    """The folders and files that are a bag each."""
    if not path.exists():
        raise UserError(f'{path}: no such file or folder')
    if not path.is_dir() or _is_one_bag(path):
        return [path]
    found = [child for child in sorted(path.iterdir(), key=_natural_order) if not child.name.startswith('.')]
    return [place for child in found if child.is_dir() or _is_storage(child) for place in _places(child)]


def _is_one_bag(folder: Path) -> bool:
    # A recording of ours that was killed has no metadata.yaml yet.
    return (folder / 'metadata.yaml').exists() or ((folder / 'specs.json').exists() and bool(_storage_files(folder)))


def _storage_files(folder: Path) -> list[Path]:
    return sorted(filter(_is_storage, folder.iterdir()), key=_natural_order)


def _is_storage(path: Path) -> bool:
    return path.suffix in ('.mcap', '.db3')


def _natural_order(path: Path) -> tuple[int, str]:
    """bag_10 after bag_9."""
    return len(path.name), path.name


def _open(place: Path) -> Bag:
    files, described, compressed = _files_of(place)
    beside = place if place.is_dir() else place.parent
    attached = {name: (beside / name).read_bytes() for name in ATTACHED if (beside / name).is_file()}
    if files[0].suffix == '.mcap' and not compressed:
        return McapBag(place, files, described, attached)
    if any(file.suffix not in ('.mcap', '.db3', '.zstd') for file in files):
        raise UserError(f'{files[0]}: not a bag; expected a rosbag2 folder, *.mcap or *.db3')
    return RosbagsBag(place, files, attached)


def _files_of(place: Path) -> tuple[list[Path], int | None, bool]:
    """The storage files, how many messages metadata.yaml says they hold, and whether rosbag2 compressed them."""
    if not place.is_dir():
        return [place], None, False
    description = place / 'metadata.yaml'
    if not description.exists():
        return _storage_files(place), None, False
    try:
        about = yaml.safe_load(description.read_text())['rosbag2_bagfile_information']
        files = [place / Path(name).name for name in about['relative_file_paths']]
        described, compressed = int(about['message_count']), bool(about.get('compression_mode'))
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f'{description}: not the description of a bag: {" ".join(str(error).split())}') from None
    for file in files:
        if not file.exists():
            raise UserError(f'{description}: names {file.name}, which is not there')
    if not files:
        raise UserError(f'{description}: names no file')
    return files, described, compressed and about['compression_mode'].lower() != 'none'


class _Types:
    """Message definitions as the bag has them, or as ROS has them where the bag has none."""

    def __init__(self) -> None:
        self._own = get_typestore(Stores.EMPTY)
        self._ros = get_typestore(Stores.LATEST)

    def add(self, name: str, text: str, is_idl: bool, where: str) -> None:
        try:
            self._own.register(get_types_from_idl(text) if is_idl else get_types_from_msg(text, name))
        except (TypesysError, ValueError, KeyError) as error:
            raise UserError(
                f'{where}: the definition of {name} cannot be read: {" ".join(str(error).split())}'
            ) from None

    def decode(self, name: str, data: bytes, where: str) -> Any:
        store = self._own if name in self._own.fielddefs else self._ros
        if name not in store.fielddefs:
            raise UserError(f'{where}: message type {name} has no definition in the bag')
        try:
            return store.deserialize_cdr(data, name)
        except Exception as error:  # generated code meets bytes that are none of its type
            raise UserError(f'{where}: not a {name}: {error or type(error).__name__}') from None


class McapBag:
    """One or more MCAP files that follow each other."""

    def __init__(self, path: Path, files: list[Path], described: int | None, attachments: dict[str, bytes]) -> None:
        self.path = path
        self._files = [McapFile(file) for file in files]
        self.attachments = dict(attachments)
        self.topics: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self._types = _Types()
        self._foreign: dict[str, str] = {}
        added: set[str] = set()
        for file in self._files:
            self.attachments |= file.attachments
            self.counts += file.counts
            for topic, (name, text, form, encoding) in file.topics.items():
                self.topics[topic] = name
                if encoding != 'cdr' or form not in ('ros2msg', 'ros2idl', ''):
                    self._foreign[topic] = f'{encoding or "of no encoding"} ({form or "without a definition"})'
                elif text and name not in added:
                    added.add(name)
                    self._types.add(name, text, form == 'ros2idl', str(file.path))
        self._say_damage(described)

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        try:
            for file in self._files:
                yield from file.messages(topics)
        except OSError as error:
            raise UserError(f'{self.path}: cannot be read further: {error.strerror or error}') from None

    def decode(self, topic: str, data: bytes) -> Any:
        if topic in self._foreign:
            raise UserError(f'{self.path}: {topic} is {self._foreign[topic]}, expected the cdr of ROS 2')
        return self._types.decode(self.topics[topic], data, f'{self.path}: {topic}')

    def _say_damage(self, described: int | None) -> None:
        read = self.counts.total()
        for file in self._files:
            if file.damage:
                lost = f'{described - read} of {described}' if described else 'an unknown number'
                line = f'{file.path}: {file.damage}; {read} messages of whole chunks are read, {lost} are lost'
                if not read:
                    raise UserError(line)
                _LOG.warning(line)


class RosbagsBag:
    """What the library rosbags reads: sqlite3, and files that rosbag2 compressed."""

    def __init__(self, path: Path, files: list[Path], attachments: dict[str, bytes]) -> None:
        self.path = path
        self.attachments = attachments
        for file in files:
            if file.suffix == '.db3':
                _require_whole_database(file)
        self._types = _Types()
        try:
            self._reader = Reader(path if path.is_dir() else files[0])
            self._reader.open()
        except PermissionError:
            raise
        except Exception as error:
            raise UserError(f'{path}: cannot be read: {" ".join(str(error).split())}') from None
        self.topics = {connection.topic: connection.msgtype for connection in self._reader.connections}
        self.counts = Counter({c.topic: c.msgcount for c in self._reader.connections})
        for name, definition in {c.msgtype: c.msgdef for c in self._reader.connections}.items():
            if definition.format != MessageDefinitionFormat.NONE:
                is_idl = definition.format == MessageDefinitionFormat.IDL
                self._types.add(name, definition.data, is_idl, str(path))

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        wanted = [connection for connection in self._reader.connections if connection.topic in topics]
        if not wanted:
            return
        try:
            for connection, log_ns, data in self._reader.messages(wanted):
                yield connection.topic, log_ns, data
        except UserError:
            raise
        except Exception as error:
            raise UserError(f'{self.path}: cannot be read further: {" ".join(str(error).split())}') from None

    def decode(self, topic: str, data: bytes) -> Any:
        return self._types.decode(self.topics[topic], data, f'{self.path}: {topic}')


def _require_whole_database(path: Path) -> None:
    """rosbags reads past locks, and SQLite past a missing end, as if all were there. Raises UserError."""
    with open(path, 'rb') as file:
        head = file.read(100)
    if head[:16] != b'SQLite format 3\0':
        raise UserError(f'{path}: not a SQLite database: it does not begin with the bytes of one')
    page_bytes = int.from_bytes(head[16:18], 'big')
    expected = (65536 if page_bytes == 1 else page_bytes) * int.from_bytes(head[28:32], 'big')
    found = path.stat().st_size
    if found < expected:
        raise UserError(f'{path}: cut off at byte {found}, expected {expected}')
    for suffix in ('-journal', '-wal'):
        rest = path.with_name(path.name + suffix)
        if rest.exists() and rest.stat().st_size:
            raise UserError(f'{path}: still being written, or its recorder was killed: {rest.name} is beside it')
    try:
        with closing(sqlite3.connect(f'file:{path}?mode=ro', uri=True, timeout=0.2)) as database:
            database.execute('SELECT count(*) FROM sqlite_master').fetchone()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise UserError(f'{path}: cannot be read: {error}') from None
