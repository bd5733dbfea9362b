#!/usr/bin/env python3
"""Does success fall when learning goes on online from what was learned offline? On `lift`, each seed by itself.

    benchmarks/offline_start.py --seeds 1 2 3    writes results/lift-sac-offline_bc.json and ...-offline_wsrl.json
    benchmarks/offline_start.py tables           rewrites the table of README.md from results/

20 demonstrations and, for calibrated Q-learning, 100 episodes of a noisy expert, failures included. The offline policy
is evaluated over 100 fresh episodes; then 2,000 control steps of online learning, of which the worst window of 50
episodes is compared with that.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from learning import README, RESULTS, ROOT, hybrid_rl, keep

BEGIN, END = '<!-- offline start: written by offline_start.py -->', '<!-- end of offline start -->'
CONFIG = 'config/sim_lift.yaml'
EVAL_EPISODES, WINDOW, ONLINE_STEPS = 100, 50, 2000
VARIANTS = {
    'offline_bc': ['sac.actor_init=bc'],
    'offline_wsrl': ['offline.method=cal_ql', 'offline.online=wsrl', 'offline.data=[{noisy}]'],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', nargs='?', choices=['tables'])
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3])
    parser.add_argument('--only', nargs='+', choices=list(VARIANTS), default=list(VARIANTS))
    options = parser.parse_args()
    if options.name is None:
        for seed in options.seeds:
            for variant in options.only:
                command = f'benchmarks/offline_start.py --only {variant}'
                head = {'task': 'lift', 'agent': 'sac', 'variant': variant, 'command': command}
                keep(path_of(variant), head, run_seed(variant, seed))
    write_table()


def run_seed(variant: str, seed: int) -> dict[str, Any]:
    folder = ROOT / 'runs' / 'benchmarks' / f'offline-seed{seed}'
    demos, noisy = folder / 'demos', folder / 'noisy'
    common = ['--config', CONFIG, '--set', f'seed={seed}']
    if not demos.exists():
        hybrid_rl('record', *common, '--episodes', '20', '--expert', 'lift', '--noise', '0.1', '--out', str(demos))
    if not noisy.exists() and variant == 'offline_wsrl':
        expert = ['--expert', 'lift', '--noise', '0.5', '--keep', 'all']
        hybrid_rl('record', *common, '--episodes', '100', *expert, '--out', str(noisy))
    settings = [part for s in VARIANTS[variant] for part in ('--set', s.format(noisy=noisy.relative_to(ROOT)))]
    offline, online = folder / f'{variant}-offline', folder / f'{variant}-online'
    for run in (offline, online):
        shutil.rmtree(run, ignore_errors=True)
    where = str(demos.relative_to(ROOT))
    hybrid_rl('pretrain', *common, *settings, '--demos', where, '--run', str(offline.relative_to(ROOT)))
    shutil.copy(offline / 'pretrained' / 'policy.safetensors', offline / 'policy.safetensors')
    hybrid_rl('eval', '--run', str(offline.relative_to(ROOT)), '--episodes', str(EVAL_EPISODES))
    online.mkdir()
    shutil.copytree(offline / 'pretrained', online / 'pretrained')
    steps = ['--set', f'train.env_steps={ONLINE_STEPS}', '--set', 'eval.episodes=0', '--set', f'demos={where}']
    hybrid_rl('train', *common, *settings, *steps, '--run', str(online.relative_to(ROOT)))
    episodes = [json.loads(line) for line in (online / 'episodes.jsonl').read_text().splitlines()]
    successes = [episode['outcome'] == 'succeeded' for episode in episodes]
    windows = [sum(successes[end - WINDOW : end]) / WINDOW for end in range(WINDOW, len(successes) + 1)]
    summary = json.loads((offline / 'summary.json').read_text())
    return {
        'seed': seed,
        'success_rate_offline': summary['success_rate_eval'],
        'eval_episodes': summary['eval_episodes'],
        'worst_window': min(windows),
        'env_steps': episodes[-1]['env_steps'],
        'episodes': len(episodes),
        'curve': [[episodes[WINDOW - 1 + i]['env_steps'], rate] for i, rate in enumerate(windows)],
    }


def path_of(variant: str) -> Path:
    return RESULTS / f'lift-sac-{variant}.json'


def write_table() -> None:
    rows = [
        f'| start | seed | offline, of {EVAL_EPISODES} | worst {WINDOW} episodes of {ONLINE_STEPS} steps | fall |',
        '|---|---|---|---|---|',
    ]
    names = {'offline_bc': 'actor cloned', 'offline_wsrl': 'Cal-QL, then WSRL'}
    for variant in VARIANTS:
        for seed in json.loads(path_of(variant).read_text())['seeds'] if path_of(variant).exists() else ():
            before, worst = seed['success_rate_offline'], seed['worst_window']
            fall = max(0.0, before - worst)
            cells = [names[variant], seed['seed'], f'{before:.2f}', f'{worst:.2f}', f'{fall:.2f}']
            rows.append('| ' + ' | '.join(map(str, cells)) + ' |')
    text = README.read_text()
    before_it, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    README.write_text(before_it + '\n\n' + '\n'.join(rows) + '\n\n' + after)


if __name__ == '__main__':
    main()
