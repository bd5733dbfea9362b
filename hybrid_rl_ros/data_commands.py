"""`hybrid-rl data import | export | inspect | curate | merge`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from hybrid_rl_ros.bringup import resolve_specs
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.data.choice import Choice, Split
from hybrid_rl_ros.data.curation import curate
from hybrid_rl_ros.data.exchange.dataset import FORMATS, export_dataset, import_dataset
from hybrid_rl_ros.data.exchange.mapping import Mapping, load_mapping
from hybrid_rl_ros.data.inspection import OUTCOMES, inspect_store
from hybrid_rl_ros.data.merging import merge_stores
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.option_values import fraction_in, numbers_in, parts_in, whole_in, words_in

FRACTIONS = {
    'worst-divergence': 'the episodes with the highest action divergence',
    'least-diverse': 'those with the lowest transition diversity',
    'most-diverse': 'those with the highest transition diversity',
}


def add_data_commands(commands: Any) -> None:
    """Add `data` and what is below it to the subparsers of `hybrid-rl`."""
    data = commands.add_parser('data', help='import, export, inspect, curate and merge datasets')
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

    look = below.add_parser('inspect', help='what is in a store, and what to look at')
    look.add_argument('store', type=Path)
    look.add_argument('--html', type=Path, help='a page with charts and frames, too')
    look.add_argument('--json', action='store_true', help='one JSON object instead of text')
    look.set_defaults(call=_inspect)

    choose = below.add_parser('curate', help="some of a store's episodes into a new store, or into several")
    choose.add_argument('store', type=Path)
    choose.add_argument('--out', type=Path, required=True, help='folder of the new store')
    choose.add_argument('--drop', default='', metavar='3,7-9', help='episodes by number')
    choose.add_argument('--keep', default='', metavar='OUTCOMES', help=f'only these of {",".join(OUTCOMES)}')
    choose.add_argument('--min-steps', default='0', metavar='N', help='drop shorter episodes')
    for name, what in FRACTIONS.items():
        choose.add_argument(f'--{name}', default='0', metavar='0.1', help=f'drop this fraction: {what}')
    choose.add_argument('--split', metavar='train=0.9,val=0.1', help='a store for each, in folders below --out')
    choose.add_argument('--seed', default='0', help='of the split')
    choose.set_defaults(call=_curate)

    join = below.add_parser('merge', help='the episodes of several stores into a new one')
    join.add_argument('stores', type=Path, nargs='+', metavar='store')
    join.add_argument('--out', type=Path, required=True, help='folder of the new store')
    join.set_defaults(call=_merge)


def _import(options: argparse.Namespace) -> int:
    specs = resolve_specs(load_config(options.config)) if options.config else None
    mapping = load_mapping(options.mapping) if options.mapping else Mapping()
    with _progress('import') as on_progress:
        import_dataset(options.source, options.out, options.format, specs, mapping, on_progress).close()
    _say_what_is_in(options.out, options.out)
    return 0


def _export(options: argparse.Namespace) -> int:
    with _progress('export') as on_progress:
        export_dataset(options.store, options.out, options.format, on_progress)
    _say_what_is_in(options.store, options.out)
    return 0


def _say_what_is_in(store: Path, out: Path) -> None:
    with ReplayStore.open(store, read_only=True) as opened:
        sys.stdout.write(f'{len(opened.episodes())} episodes, {opened.transitions} transitions in {out}\n')


def _inspect(options: argparse.Namespace) -> int:
    from hybrid_rl_ros.data_text import as_json, write_text

    with ReplayStore.open(options.store, read_only=True) as store:
        with _progress('inspect') as on_progress:
            facts = inspect_store(store, on_progress)
        if options.html:
            from hybrid_rl_ros.data_page import write_page

            write_page(store, facts, options.html)
    if options.json:
        sys.stdout.write(as_json(facts) + '\n')
    else:
        write_text(facts, sys.stdout)
        if options.html:
            sys.stdout.write(f'\n{options.html}\n')
    return 0


def _curate(options: argparse.Namespace) -> int:
    choice = Choice(
        drop=numbers_in('--drop', options.drop),
        keep=words_in('--keep', options.keep, OUTCOMES),
        min_steps=whole_in('--min-steps', options.min_steps),
        worst_divergence=fraction_in('--worst-divergence', options.worst_divergence),
        least_diverse=fraction_in('--least-diverse', options.least_diverse),
        most_diverse=fraction_in('--most-diverse', options.most_diverse),
    )
    split = _split(options)
    with _progress('curate') as on_progress:
        curated = curate(options.store, options.out, choice, split, on_progress)
    for number, reason in curated.dropped.items():
        sys.stdout.write(f'dropped episode {number}: {reason}\n')
    for name, numbers in curated.parts.items():
        sys.stdout.write(f'{len(numbers)} episodes in {options.out / name}\n')
    return 0


def _merge(options: argparse.Namespace) -> int:
    with ReplayStore.open(options.stores[0], read_only=True) as first:
        specs = first.specs
    merge_stores(options.stores, specs, options.out)
    _say_what_is_in(options.out, options.out)
    return 0


def _split(options: argparse.Namespace) -> Split | None:
    seed = whole_in('--seed', options.seed)
    return Split(parts_in('--split', options.split), seed) if options.split is not None else None


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    console = Console(stderr=True)  # what a command prints to stdout stays clean
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
