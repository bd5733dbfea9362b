"""`hybrid-rl data import | export | inspect | curate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import Progress

from hybrid_rl_ros.bringup import resolve_specs
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.data.exchange.dataset import FORMATS, export_dataset, import_dataset
from hybrid_rl_ros.data.exchange.mapping import Mapping, load_mapping


def add_data_commands(commands: Any) -> None:
    """Add `data` and what is below it to the subparsers of `hybrid-rl`."""
    data = commands.add_parser('data', help='import, export, inspect and curate datasets')
    below = data.add_subparsers(required=True, metavar='COMMAND')

    bring = below.add_parser('import', help='a dataset of another format into a store')
    bring.add_argument('source', type=Path)
    bring.add_argument('--format', choices=FORMATS, required=True)
    bring.add_argument('--out', type=Path, required=True, help='folder of the new store')
    bring.add_argument('--config', type=Path, help='the run whose observations and actions are wanted')
    bring.add_argument('--mapping', type=Path, help='YAML: our names to theirs')
    bring.set_defaults(call=_import)

    take = below.add_parser('export', help='a store into another format')
    take.add_argument('store', type=Path)
    take.add_argument('--format', choices=FORMATS, required=True)
    take.add_argument('--out', type=Path, required=True)
    take.set_defaults(call=_export)


def _import(options: argparse.Namespace) -> int:
    specs = resolve_specs(load_config(options.config)) if options.config else None
    mapping = load_mapping(options.mapping) if options.mapping else Mapping()
    with _progress('import') as on_progress:
        import_dataset(options.source, options.out, options.format, specs, mapping, on_progress).close()
    return 0


def _export(options: argparse.Namespace) -> int:
    with _progress('export') as on_progress:
        export_dataset(options.store, options.out, options.format, on_progress)
    return 0


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    with Progress() as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
