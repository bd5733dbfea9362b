"""One MCAP file: what it holds, and its messages in the order of time; of a damaged one, those of every whole chunk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from mcap.reader import SeekingReader
from mcap.records import Attachment, Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader, breakup_chunk

from hybrid_rl_ros.errors import UserError

MAGIC = b'\x89MCAP0\r\n'
MOST_NAMED = 3


class McapFile:
    """An MCAP file, looked through once as a whole.

    `topics`: name to (type, definition, its format, message encoding). `damage` says in a line what could not be read,
    '' if all could. Raises UserError for what is no MCAP file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.topics: dict[str, tuple[str, str, str, str]] = {}
        self.counts: Counter[str] = Counter()
        self.attachments: dict[str, bytes] = {}
        self.damage = ''
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._in_order = True
        self._look_through()

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        """(topic, log time in ns, serialised message) of `topics`, in the order of the log times. Raises UserError."""
        if self._in_order:
            for record in self._records():
                if isinstance(record, Message) and (topic := self._topic_of(record)) in topics:
                    yield topic, record.log_time, record.data
            return
        if self.damage:
            raise UserError(f'{self.path}: {self.damage}; without its index its messages are in no order of time')
        with open(self.path, 'rb') as file:
            for _, channel, message in SeekingReader(file, validate_crcs=True).iter_messages(topics):
                yield channel.topic, message.log_time, message.data

    def _look_through(self) -> None:
        last_ns = 0
        self._read_summary()
        for record in self._records():
            if isinstance(record, Message):
                self.counts[self._topic_of(record)] += 1
                self._in_order &= record.log_time >= last_ns
                last_ns = record.log_time
            elif isinstance(record, Attachment):
                self.attachments[record.name] = record.data
            elif isinstance(record, Schema):
                self._schemas[record.id] = record
            elif isinstance(record, Channel):
                self._add_channel(record)

    def _topic_of(self, message: Message) -> str:
        """'' where the chunk that says it was damaged, and the summary too."""
        channel = self._channels.get(message.channel_id)
        return channel.topic if channel else ''

    def _read_summary(self) -> None:
        """What a damaged chunk may have said is repeated here."""
        with open(self.path, 'rb') as file, suppress(Exception):
            summary = SeekingReader(file).get_summary()
            if summary is not None:
                self._schemas |= summary.schemas
                for channel in summary.channels.values():
                    self._add_channel(channel)

    def _add_channel(self, channel: Channel) -> None:
        self._channels[channel.id] = channel
        schema = self._schemas.get(channel.schema_id)
        text, encoding = (schema.data.decode(errors='replace'), schema.encoding) if schema else ('', '')
        self.topics[channel.topic] = (schema.name if schema else '', text, encoding, channel.message_encoding)

    def _records(self) -> Iterator[McapRecord]:
        """Every record, those of chunks among them; where one cannot be read, `damage` says so and the rest comes."""
        lost: list[str] = []
        with open(self.path, 'rb') as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise UserError(f'{self.path}: not an MCAP file: it does not begin with the bytes of one')
            size = file.seek(0, 2)
            file.seek(0)
            records = StreamReader(file, emit_chunks=True).records
            whole = len(MAGIC)
            while True:
                try:
                    record = next(records, None)
                except Exception:  # what a damaged length or name makes of the parser can be anything
                    lost.append(f'cut off or damaged at byte {whole} of {size}')
                    break
                if record is None:
                    break
                if isinstance(record, Chunk):
                    try:
                        inner = breakup_chunk(record, validate_crc=True)
                    except Exception:
                        lost.append(f'the chunk at byte {whole} is damaged')
                        inner = []
                    yield from inner
                else:
                    yield record
                whole = file.tell()
        more = [f'{len(lost) - MOST_NAMED} more such places'] if len(lost) > MOST_NAMED else []
        self.damage = '; '.join([*lost[:MOST_NAMED], *more])
