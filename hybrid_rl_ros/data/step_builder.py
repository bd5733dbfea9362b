"""From the messages of a step's topics to stored steps: one class for the live graph and for recordings of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hybrid_rl_ros.data.message_values import read_image, read_named_vector, stamp_ns
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.data.stamp_join import StampJoin
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.data.step_assembler import StepAssembler, StreamValues

IMAGE = 'image/'
OnStamp = Callable[[int, 'Step | None', dict[str, float]], None]


def step_topics(specs: Specs) -> dict[str, str]:
    """Stream to topic, of everything that a step is made of."""
    topics = {'state': 'observation/state', 'executed': 'action/executed', 'reward': 'reward'}
    images = [f'{IMAGE}{image.camera}' for image in specs.observation.images]
    return topics | {stream: f'observation/{stream}' for stream in images}


class StepBuilder:
    """Calls `on_stamp(stamp_ns, step or None, reward values)` for every complete stamp, in order.

    `steps` counts steps, `dropped_steps` the stamps given up since the first of them; each begins a new segment.
    """

    def __init__(self, specs: Specs, first_episode: int, on_stamp: OnStamp) -> None:
        self._on_stamp = on_stamp
        self._assembler = StepAssembler(specs, first_episode)
        self._streams = frozenset(step_topics(specs))
        self._join = StampJoin(self._streams, self._on_complete)
        self._dropped_before = 0
        self.steps = 0
        self.dropped_steps = 0

    def offer(self, stream: str, message: Any) -> None:
        """Add one message of a stream of `step_topics`. Raises ValueError for one that cannot be read."""
        value = read_image(message) if stream.startswith(IMAGE) else read_named_vector(message)
        self.offer_value(stream, stamp_ns(message.header.stamp), value)

    def offer_value(self, stream: str, stamp: int, value: Any) -> None:
        """Add one message's content: an image, or numbers by name."""
        self._join.offer(stream, stamp, value)

    def restart(self) -> None:
        """The clock was set back: what follows has nothing to do with what came before."""
        self._join = StampJoin(self._streams, self._on_complete)
        self._dropped_before = 0
        self._assembler.break_segment()

    def _on_complete(self, stamp: int, values: dict[str, Any]) -> None:
        if self._join.dropped > self._dropped_before:
            # Stamps given up before the first episode are start-up, not loss.
            if self.steps:
                self.dropped_steps += self._join.dropped - self._dropped_before
            self._dropped_before = self._join.dropped
            self._assembler.break_segment()
        images = {name.removeprefix(IMAGE): image for name, image in values.items() if name.startswith(IMAGE)}
        streams = StreamValues(values['state'], values['executed'], values['reward'], images)
        step = self._assembler.assemble(stamp, streams)
        self.steps += step is not None
        self._on_stamp(stamp, step, values['reward'])
