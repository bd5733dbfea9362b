#!/usr/bin/env python3
"""Our SAC against Stable-Baselines3's, on Gymnasium tasks without demonstrations, for equally many environment steps.

    benchmarks/against_sb3.py Pendulum-v1 --seeds 1 2 3    runs them and writes results/pendulum-*.json
    benchmarks/against_sb3.py tables                        rewrites the table of README.md from results/

Ours goes through the ROS graph with the `hybrid-rl` command, once at the peer's one update a step and once at four.
Both sides have the discount, learning rate, batch, random steps, network widths and target entropy of the peer's
defaults.
Needs: pip install stable-baselines3 'gymnasium[mujoco]'.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learning import README, RESULTS, ROOT, hybrid_rl, keep

BEGIN, END = '<!-- against sb3: written by against_sb3.py -->', '<!-- end of against sb3 -->'
WARM_UP_STEPS = 500
EVAL_EPISODES = 20
PEER = 'sb3'
UPDATES = {'utd1': 1, 'utd4': 4}


@dataclass(frozen=True)
class GymTask:
    env_id: str
    name: str
    steps: int
    episode_steps: int


TASKS = {
    'Pendulum-v1': GymTask('Pendulum-v1', 'pendulum', 5_000, 200),
    'HalfCheetah-v5': GymTask('HalfCheetah-v5', 'half_cheetah', 15_000, 1000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name', choices=[*TASKS, 'tables'])
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 2, 3])
    parser.add_argument('--sides', nargs='+', choices=[*UPDATES, PEER], default=[*UPDATES, PEER])
    options = parser.parse_args()
    for seed in options.seeds if options.name != 'tables' else ():
        task = TASKS[options.name]
        for side in options.sides:
            result = run_peer(task, seed) if side == PEER else run_ours(task, side, seed)
            keep(path_of(task, side), head_of(task, side), result)
    write_table()


def run_ours(task: GymTask, side: str, seed: int) -> dict[str, Any]:
    run = ROOT / 'runs' / 'benchmarks' / f'{task.name}-{side}-seed{seed}'
    shutil.rmtree(run, ignore_errors=True)
    settings = {
        'seed': seed,
        'sim.env_id': task.env_id,
        'episode.time_limit_steps': task.episode_steps,
        'sac.updates_per_step': UPDATES[side],
        'train.env_steps': task.steps,
        'train.warm_up_steps': WARM_UP_STEPS,
        'eval.episodes': EVAL_EPISODES,
    }
    flags = [part for key, value in settings.items() for part in ('--set', f'{key}={value}')]
    hybrid_rl('train', '--config', 'config/sim_gymnasium.yaml', *flags, '--run', str(run.relative_to(ROOT)))
    summary = json.loads((run / 'summary.json').read_text())
    episodes = [json.loads(line) for line in (run / 'episodes.jsonl').read_text().splitlines()]
    return {
        'seed': seed,
        **{key: summary[key] for key in ('env_steps', 'episodes', 'wall_s', 'return_eval', 'eval_episodes')},
        'curve': [[episode['env_steps'], round(episode['return'], 1)] for episode in episodes],
    }


def run_peer(task: GymTask, seed: int) -> dict[str, Any]:
    """Its defaults, which are one update a step on batches of 256, after as many random steps as ours."""
    import gymnasium
    import torch
    from stable_baselines3 import SAC
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    torch.set_num_threads(1)
    began = time.monotonic()
    environment = Monitor(gymnasium.make(task.env_id))
    model = SAC('MlpPolicy', environment, learning_starts=WARM_UP_STEPS, seed=seed, device='cpu')
    model.learn(task.steps)
    fresh = Monitor(gymnasium.make(task.env_id))
    fresh.reset(seed=1000 + seed)
    mean, _ = evaluate_policy(model, fresh, n_eval_episodes=EVAL_EPISODES, deterministic=True)
    lengths, returns = environment.get_episode_lengths(), environment.get_episode_rewards()
    ends = [sum(lengths[: index + 1]) for index in range(len(lengths))]
    return {
        'seed': seed,
        'env_steps': model.num_timesteps,
        'episodes': len(returns),
        'wall_s': round(time.monotonic() - began, 1),
        'return_eval': round(float(mean), 3),
        'eval_episodes': EVAL_EPISODES,
        'curve': [[end, round(value, 1)] for end, value in zip(ends, returns)],
    }


def head_of(task: GymTask, side: str) -> dict[str, Any]:
    agent, variant = ('sb3-sac', None) if side == PEER else ('sac', side)
    command = f'benchmarks/against_sb3.py {task.env_id} --sides {side}'
    return {'task': task.name, 'agent': agent, 'variant': variant, 'command': command}


def path_of(task: GymTask, side: str) -> Path:
    return RESULTS / f'{task.name}-{"sb3" if side == PEER else f"sac-{side}"}.json'


def write_table() -> None:
    names = {'utd1': 'ours, 1 update a step', 'utd4': 'ours, 4 a step', PEER: 'Stable-Baselines3, 1 a step'}
    rows = ['| task | steps | learner | return of each seed | mean |', '|---|---|---|---|---|']
    for task in TASKS.values():
        for side, name in names.items():
            if not path_of(task, side).exists():
                continue
            returns = [seed['return_eval'] for seed in json.loads(path_of(task, side).read_text())['seeds']]
            each = ', '.join(f'{value:.0f}' for value in returns)
            rows.append(f'| {task.env_id} | {task.steps} | {name} | {each} | {statistics.mean(returns):.0f} |')
    text = README.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    README.write_text(before + '\n\n' + '\n'.join(rows) + '\n\n' + after)


if __name__ == '__main__':
    sys.exit(main())
