"""What the files of results/ look like to a reader: tables and training curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('svg')
import matplotlib.pyplot as plt

# The same figures make the same file.
matplotlib.rcParams['svg.hashsalt'] = 'hybrid-rl'

TABLE_HEAD = (
    '| agent | seed | control steps | success (eval) | mean success, s | mean episode, s | steps to 90% | wall, s |\n'
    '|---|---|---|---|---|---|---|---|\n'
)


def section(name: str, title: str, results: list[dict[str, Any]]) -> str:
    """A benchmark's heading, a row for each seed of each result, and the plot beside them."""
    rows = [row(name_of(result), seed) for result in results for seed in result['seeds']]
    return f'## {title}\n\n{TABLE_HEAD}' + '\n'.join(rows) + f'\n\n![{title}](results/{name}.svg)\n'


def name_of(result: dict[str, Any]) -> str:
    return ', '.join(filter(None, (result['agent'], result['variant'])))


def row(agent: str, seed: dict[str, Any]) -> str:
    rate = seed['success_rate_eval']
    alone = ', '.join(f'{task} {share:.2f}' for task, share in seed.get('success_by_task', {}).items())
    success = alone or '–' if rate is None else f'{rate:.2f} of {seed["eval_episodes"]}'
    steps, steps_to_90 = (seed[key] or '–' for key in ('env_steps', 'steps_to_90'))
    lengths = [seed[key] or '–' for key in ('mean_cycle_s', 'mean_episode_s')]
    cells = [agent, seed['seed'], steps, success, *lengths, steps_to_90, f'{seed["wall_s"]:.0f}']
    return '| ' + ' | '.join(map(str, cells)) + ' |'


def plot(path: Path, results: list[dict[str, Any]], window: int) -> None:
    """Training curves of every seed; an agent that does not train online is a line at its evaluation."""
    figure, axes = plt.subplots(figsize=(8, 3.5), layout='constrained')
    for number, result in enumerate(results):
        for place, seed in enumerate(result['seeds']):
            label = None if place else name_of(result)
            style = ('-', '--', ':')[(seed['seed'] - 1) % 3]
            if seed['curve']:
                axes.plot(*zip(*seed['curve']), style, color=f'C{number}', label=label)
            else:
                axes.axhline(seed['success_rate_eval'], linestyle=style, color=f'C{number}', label=label)
    axes.set(xlabel='control steps', ylabel=f'success, last {window} episodes', ylim=(-0.02, 1.02))
    figure.legend(loc='outside right upper', fontsize=8, title='seeds 1 - 2 -- 3 :', title_fontsize=8)
    figure.savefig(path, metadata={'Date': None})
    plt.close(figure)
