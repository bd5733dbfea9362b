"""New stores of some of a store's episodes, bit for bit as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hybrid_rl_ros.data.choice import Choice, Split, choose, split_episodes
from hybrid_rl_ros.data.exchange.dataset import made_whole
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError


@dataclass(frozen=True)
class Curated:
    """Episode numbers: `dropped` with the reason; `parts` by the folder below the new one, '.' without a split."""

    dropped: dict[int, str]
    parts: dict[str, list[int]]


def curate(
    source: Path, out: Path, choice: Choice, split: Split | None, on_progress: Callable[[int, int], None]
) -> Curated:
    """Write the chosen episodes into the new store `out`, or with a split into a store out/<name> for each part.

    All is written or nothing. The source is only read; episodes keep their numbers. curated.json in `out` says what
    was dropped and why. `on_progress(steps done, steps)`. Raises UserError.
    """
    with ReplayStore.open(source, read_only=True) as store:
        if out.resolve().is_relative_to(source.resolve()) and out.resolve() != source.resolve():
            raise UserError(f'{out}: inside {source}, which stays as it is; expected a folder elsewhere')
        dropped = choose(store, choice)
        kept = [episode.episode for episode in store.episodes() if episode.episode not in dropped]
        if not kept:
            raise UserError(f'{source}: none of its {len(dropped)} episodes would be left; expected at least one')
        for number in kept:
            _require_whole(store, number)
        parts = split_episodes(kept, split) if split else {'.': kept}
        total, done = sum(len(store.episode_rows(number)) for number in kept), 0
        with made_whole(out) as unfinished:
            for name, numbers in parts.items():
                for _ in _copied(store, numbers, unfinished / name):
                    done += 1
                    on_progress(done, total)
            record = {
                'source': str(source),
                'choice': _plain(choice),
                'split': asdict(split) if split else None,
                'dropped': dropped,
                'parts': parts,
            }
            (unfinished / 'curated.json').write_text(json.dumps(record, indent=1) + '\n')
    return Curated(dropped, parts)


def _copied(store: ReplayStore, numbers: list[int], folder: Path) -> Iterator[Step]:
    count = sum(len(store.episode_rows(number)) for number in numbers)
    with ReplayStore.create(folder, store.specs, max(2, count)) as new:
        for number in numbers:
            for step in map(store.step_at, store.episode_rows(number)):
                new.append(step)
                yield step
        new.flush()


def _require_whole(store: ReplayStore, number: int) -> None:
    """A copy has no place for a missing step: its neighbours would become a transition that never was."""
    sequence = store.sequence_at(store.episode_rows(number))
    if (missing := int((np.diff(sequence) - 1).sum())) > 0:
        where = f'{store.folder}: episode {number}'
        raise UserError(f'{where}: {missing} of its steps are lost inside it; leave it out with --drop {number}')


def _plain(choice: Choice) -> dict[str, object]:
    return asdict(choice) | {'drop': sorted(choice.drop), 'keep': sorted(choice.keep)}
