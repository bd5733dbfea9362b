"""Datasets in foreign formats: what importing and exporting have in common."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from hybrid_rl_ros.data.exchange.files import reason
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.errors import UserError

# Each is a module of this package with `open_source` and `export` as below.
FORMATS = ('lerobot', 'robomimic', 'rosbag')
Progress = Callable[[int, int], None]


@dataclass
class Source:
    """A dataset opened for reading: its steps in order, as they come from the files, and how many there will be.

    A format's `open_source(path, specs, mapping) -> Source` reads what `specs` names, or, with None, everything that
    the dataset has, under specs made from it. Raises UserError, also while the steps are read.
    """

    specs: Specs
    steps: Iterator[Step]
    count: int


def import_dataset(
    source: Path, out: Path, format_name: str, specs: Specs | None, mapping: Mapping, on_progress: Progress
) -> ReplayStore:
    """Write the dataset `source` into a new store `out`, whole or not at all. Raises UserError."""
    with made_whole(out) as unfinished:
        dataset = _module(format_name).open_source(source, specs, mapping)
        with ReplayStore.create(unfinished, dataset.specs, max(2, dataset.count)) as store:
            for number, step in enumerate(dataset.steps, 1):
                _append(store, step, source)
                on_progress(number, dataset.count)
            store.flush()
    return ReplayStore.open(out, read_only=True)


def export_dataset(store: Path, out: Path, format_name: str, on_progress: Progress) -> None:
    """Write the store into a new dataset `out`, whole or not at all. Raises UserError."""
    with ReplayStore.open(store, read_only=True) as opened, made_whole(out) as unfinished:
        _module(format_name).export(opened, unfinished, on_progress)


@contextmanager
def made_whole(out: Path) -> Iterator[Path]:
    """A path beside `out` to write to, a file or a folder; it becomes `out` when the block ends well, else it goes."""
    unfinished = out.with_name(f'.{out.name}.unfinished')
    try:
        if out.exists():
            raise UserError(f'{out}: exists already; name another, or remove it')
        _remove(unfinished)
        out.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        os.replace(unfinished, out)
    except OSError as error:
        _drop(unfinished)
        raise UserError(f'{out}: cannot be written: {reason(error)}') from None
    except UserError as error:
        _drop(unfinished)
        raise UserError(str(error).replace(str(unfinished), str(out))) from None
    except BaseException:
        _drop(unfinished)
        raise


def _append(store: ReplayStore, step: Step, source: Path) -> None:
    try:
        store.append(step)
    except ValueError as error:
        raise UserError(f'{source}: episode {step.episode}: {reason(error)}') from None


def _drop(path: Path) -> None:
    """What cannot be removed is said by nobody: the error that led here matters more, and the next try starts anew."""
    with suppress(OSError):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _module(format_name: str) -> ModuleType:
    try:
        return import_module(f'hybrid_rl_ros.data.exchange.{format_name}')
    except ModuleNotFoundError as error:
        raise UserError(
            f"{format_name}: needs {error.name}; install it with pip install 'hybrid_rl_ros[data]'"
        ) from None
