#!/usr/bin/env python3
"""Learning results: every seed recorded, trained and evaluated with the `hybrid-rl` command, as a user would.

    benchmarks/learning.py lift --seeds 1 2 3      runs them and writes results/lift-sac.json, lift-bc.json and so on
    benchmarks/learning.py lift --only sac bc      these rows alone
    benchmarks/learning.py tables                  rewrites the tables and plots of README.md from results/

A seed that is in the results already is run again and replaced. Runs and demonstrations stay in runs/benchmarks/;
remove them to record anew.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from learning_rows import BENCHMARKS, RESULTS, Benchmark, Variant
from learning_tables import plot, section

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.run_folder import by_task, read_json_lines, succeeded_alone, success_rate

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / 'benchmarks' / 'README.md'
BEGIN, END = '<!-- tables: written by learning.py -->', '<!-- end of tables -->'
WINDOW = 20
LAST = 50


SAME_CLONE = {'bc': ['sac'], 'base': ['base', 'dsrl-na'], 'dsrl': ['base', 'dsrl-na']}
# What a success classifier learns from: as many frames before success as after it, and what looks like it.
LABELLED, LABELLED_NOISE, JUDGE = ('--set', 'episode.time_limit_steps=32'), '0.3', 'judge'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=[*BENCHMARKS, 'tables'])
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3])
    parser.add_argument('--only', nargs='+', metavar='ROW', help='of these rows alone, such as: sac bc sac-no_demos')
    options = parser.parse_args()
    if options.name != 'tables':
        for seed in options.seeds:
            run_seed(BENCHMARKS[options.name], seed, options.only)
    write_tables()


def run_seed(benchmark: Benchmark, seed: int, only: list[str] | None) -> None:
    """All rows, or those of `only`, each from the same demonstrations, which are recorded if they are not there yet."""
    folder = ROOT / 'runs' / 'benchmarks' / f'{benchmark.name}-seed{seed}'
    config = ['--config', f'config/{benchmark.config}', '--set', f'seed={seed}']
    if benchmark.labelled:
        teach_judges(benchmark, folder, config)
    for agent, variant in benchmark.compared():
        row_name = '-'.join(filter(None, (agent, variant.name)))
        if only and row_name not in only:
            continue
        run = folder / row_name
        shutil.rmtree(run, ignore_errors=True)
        if agent in SAME_CLONE:
            # The very clone of another row: it would be learned again, bit for bit.
            for other in (folder / name / 'pretrained' for name in SAME_CLONE[agent]):
                if (other / 'policy.safetensors').exists():
                    shutil.copytree(other, run / 'pretrained')
                    break
        judge = str((folder / JUDGE).relative_to(ROOT))
        given = (*benchmark.settings, *variant.settings, *variant.recorded)
        chosen = [setting.replace('{judge}', judge) for setting in given]
        settings = [part for setting in chosen for part in ('--set', setting)]
        demos = demonstrations(benchmark, variant, folder, config)
        train = ['train', *config, '--set', f'agent={agent}', *demos, *settings]
        hybrid_rl(*train, '--run', str(run.relative_to(ROOT)))
        if benchmark.labelled:
            hybrid_rl('eval', '--run', str(run.relative_to(ROOT)), '--episodes', '100', '--set', 'reward.success=null')
        hybrid_rl('report', '--run', str(run.relative_to(ROOT)))
        command = 'hybrid-rl ' + shlex.join(train)
        head = {'task': benchmark.task, 'agent': agent, 'variant': variant.name, 'command': command}
        keep(benchmark.results(agent, variant), head, result_of(run, seed))


def demonstrations(benchmark: Benchmark, variant: Variant, folder: Path, config: list[str]) -> list[str]:
    """The option that names them, after they were recorded if they are not there yet."""
    if not benchmark.demos:
        return []
    store = folder / (f'demos-{variant.name}' if variant.recorded else 'demos')
    expert = ['--expert', benchmark.task, '--noise', benchmark.demo_noise]
    if not store.exists():
        record = ['record', *config, *(part for setting in variant.recorded for part in ('--set', setting))]
        part = folder / 'shown' if benchmark.also_shown else store
        hybrid_rl(*record, '--episodes', str(benchmark.demos), *expert, '--out', str(part))
        parts = [part]
        for number, setting in enumerate(benchmark.also_shown):
            parts.append(folder / f'shown{number}')
            hybrid_rl(*record, '--set', setting, '--episodes', '3', *expert, '--out', str(parts[-1]))
        if benchmark.also_shown:
            hybrid_rl('data', 'merge', *map(str, parts), '--out', str(store))
    return ['--set', f'demos={store.relative_to(ROOT)}']


def teach_judges(benchmark: Benchmark, folder: Path, config: list[str]) -> None:
    """A success classifier, and one without its gate, from the same labelled episodes."""
    store = folder / 'labelled'
    expert = ['--expert', benchmark.task, '--noise', LABELLED_NOISE, '--label', *LABELLED]
    if not store.exists():
        hybrid_rl('record', *config, '--episodes', str(benchmark.labelled), *expert, '--out', str(store))
    for name, settings in ((JUDGE, []), (f'{JUDGE}-without_gate', ['--set', 'classifier.gate=off'])):
        if not (folder / name).exists():
            data = ['--demos', str(store), '--run', str(folder / name)]
            hybrid_rl('pretrain', '--what', 'classifier', *config, *settings, *data)


def hybrid_rl(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name('hybrid-rl')), *arguments]
    print('+', shlex.join(['hybrid-rl', *arguments]), flush=True)
    subprocess.run(command, cwd=ROOT, check=True)


def result_of(run: Path, seed: int) -> dict[str, Any]:
    """One entry of "seeds": the summary's figures, the training curve of the trailing success rate, and that of each
    LAST episodes in turn."""
    summary = json.loads((run / 'summary.json').read_text())
    kept = (
        'env_steps',
        'episodes',
        'wall_s',
        'success_rate_eval',
        'eval_episodes',
        'steps_to_90',
        'mean_cycle_s',
        'mean_episode_s',
        'interventions',
    )
    lines = run / 'episodes.jsonl'
    episodes = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
    whole = [episode for episode in episodes if episode['outcome'] != 'aborted']
    successes = [succeeded_alone(episode) for episode in episodes]
    curve = [
        [episode['env_steps'], round(sum(successes[max(0, i + 1 - WINDOW) : i + 1]) / min(i + 1, WINDOW), 3)]
        for i, episode in enumerate(episodes)
    ]
    windows = [round(sum(successes[i : i + LAST]) / LAST, 2) for i in range(0, len(successes) - LAST + 1, LAST)]
    # Where the simulation was not the judge: how many training episodes ended as it would have judged them.
    judged = [
        (episode['outcome'] == 'succeeded') == episode['true_success'] for episode in whole if 'true_success' in episode
    ]
    agreed = {'judged_right': round(sum(judged) / len(judged), 4), 'judged': len(judged)} if judged else {}
    return {
        'seed': seed,
        **{key: summary[key] for key in kept},
        **agreed,
        **(by_itself(run, practised) if (practised := by_task(episodes)) else {}),
        'cores': len(os.sched_getaffinity(0)),
        'windows': windows,
        'curve': curve,
    }


def by_itself(run: Path, practised: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Of a run that changed tasks instead of being reset, by its episodes of each."""
    return {
        'success_by_task': {name: round(success_rate(own, LAST) or 0.0, 3) for name, own in practised.items()},
        'episodes_by_task': {name: len(own) for name, own in practised.items()},
        'calls_for_a_person': sum(
            event['cause'].startswith('needs a person') for event in read_json_lines(run / 'events.jsonl')
        ),
        'simulated_hours': round(simulated_hours(run), 2),
    }


def simulated_hours(run: Path) -> float:
    """From the first step to the last of a run that was not resumed, with all that was between episodes."""
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        first, last = store.stamps(np.array([0, store.sequence - 1]))
    return float(last - first) / 3.6e12


def keep(path: Path, head: dict[str, Any], result: dict[str, Any]) -> None:
    """Put one seed's result into a file of results, which holds the latest run of every seed."""
    seeds = json.loads(path.read_text())['seeds'] if path.exists() else []
    seeds = sorted([s for s in seeds if s['seed'] != result['seed']] + [result], key=lambda s: s['seed'])
    path.write_text(json.dumps({**head, 'commit': commit(), 'seeds': seeds}) + '\n')


def commit() -> str:
    done = subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write_tables() -> None:
    sections = []
    for name, benchmark in BENCHMARKS.items():
        paths = [benchmark.results(agent, variant) for agent, variant in benchmark.compared()]
        if results := [json.loads(path.read_text()) for path in paths if path.exists()]:
            plot(RESULTS / f'{name}.svg', results, WINDOW)
            sections.append(section(name, benchmark.title, results))
    text = README.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    README.write_text(before + '\n\n' + '\n'.join(sections) + '\n' + after)


if __name__ == '__main__':
    main()
