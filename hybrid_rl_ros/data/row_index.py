"""Which rows of the ring hold a step, which of them begin a transition, and which go when the ring comes round."""

from __future__ import annotations

import numpy as np

from hybrid_rl_ros.data.store_files import ROW


class RowIndex:
    """The records of all rows, zeros where none is held, and what follows from them.

    Whole episodes go: the step that overwrites an episode's first row drops all of that episode, so nothing computed
    over an episode ever begins in its middle. An episode that fills the ring by itself is the exception: its oldest
    steps go one by one, and the rest stays in use.
    """

    def __init__(self, records: np.ndarray) -> None:
        self.records = records
        self.capacity = len(records)
        numbers = records['sequence']
        self.sequence = int(numbers.max())
        # Left behind where a row was lost: older than the ring reaches back.
        records[numbers <= max(0, self.sequence - self.capacity)] = np.zeros((), ROW)
        held, following, preceding = numbers > 0, np.roll(records, -1), np.roll(records, 1)
        same_episode = following['episode'] == records['episode']
        ends = (records['terminal'] | records['truncated']).astype(bool)
        self.valid = held & (following['sequence'] == numbers + np.uint64(1)) & same_episode & ~ends
        # Stores from before the flag: it follows from the row before, but for the oldest of all.
        after_another = (preceding['sequence'] + np.uint64(1) == numbers) & (preceding['episode'] != records['episode'])
        records['first'] |= held & (after_another | (numbers == 1))
        self.transitions, self.steps = int(self.valid.sum()), int(held.sum())
        self.last_episode = int(records['episode'][held].max(initial=-1))
        by_hand = numbers[self.valid & (records['intervention'] > 0)].astype(np.int64) - 1
        self._interventions = _AscendingNumbers(np.sort(by_hand))

    def newest(self) -> int | None:
        """The row of the newest step, None if there is none."""
        return (self.sequence - 1) % self.capacity if self.sequence else None

    def displaced_by(self, episode: int) -> np.ndarray:
        """The rows, oldest first, that the next step makes go, a step of `episode`."""
        row, newest = self.sequence % self.capacity, self.newest()
        record = self.records[row]
        if not record['sequence']:
            return np.zeros(0, np.int64)
        if not record['first'] or record['episode'] in (episode, self.records['episode'][newest]):
            return np.array([row])
        rows = (row + np.arange(self.capacity)) % self.capacity
        held = self.records['sequence'][rows] > 0
        others = held & (self.records['episode'][rows] != record['episode'])
        end = int(np.argmax(others))  # the newest step, at least, is of another episode
        return rows[:end][held[:end]]

    def forget(self, rows: np.ndarray) -> None:
        """Drop the oldest rows, in order."""
        if not len(rows):
            return
        self._interventions.drop_to(int(self.records['sequence'][rows[-1]]) - 1)
        self.transitions -= int(self.valid[rows].sum())
        self.steps -= len(rows)
        self.valid[rows] = False
        self.records['sequence'][rows] = 0

    def add(self, record: np.ndarray) -> None:
        """Take in the record () of ROW of the step after the newest; its row must be free."""
        before = self.newest()
        self.records[self.sequence % self.capacity] = record
        if before is not None and not record['first']:
            previous = self.records[before]
            if not (previous['terminal'] or previous['truncated']):
                self.valid[before] = True
                self.transitions += 1
                if previous['intervention']:
                    self._interventions.append(self.sequence - 1)
        self.sequence += 1
        self.steps += 1
        self.last_episode = max(self.last_episode, int(record['episode']))

    def interventions(self, before_sequence: int | None) -> np.ndarray:
        """Numbers of the steps, in order, whose transition was a person's and ends before `before_sequence`."""
        return self._interventions.below(self.sequence if before_sequence is None else before_sequence - 1)


class _AscendingNumbers:
    """Numbers added at the top and dropped from the bottom, each in constant time on average."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = numbers
        self._start, self._end = 0, len(numbers)

    def append(self, number: int) -> None:
        if self._end == len(self._numbers):
            kept = self._numbers[self._start : self._end]
            self._numbers = np.concatenate([kept, np.zeros(len(kept) + 64, np.int64)])
            self._start, self._end = 0, len(kept)
        self._numbers[self._end] = number
        self._end += 1

    def drop_to(self, number: int) -> None:
        """Drop all up to and with `number`."""
        self._start += int(np.searchsorted(self._numbers[self._start : self._end], number, side='right'))

    def below(self, number: int) -> np.ndarray:
        held = self._numbers[self._start : self._end]
        return held[: np.searchsorted(held, number)]
