#!/usr/bin/env python3
"""Base policies compared: success, which way they go, and how often the denoiser ran. In the simulation, without ROS.

    benchmarks/base_policies.py detour --seeds 1 2 3        writes results/detour-base_policies.json
    benchmarks/base_policies.py peg_insert --seeds 1 2 3

detour with seed 1 also draws docs/detour.svg.
Each seed has demonstrations and starts of its own. A seed that is in the results already is run again and replaced.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch

matplotlib.use('svg')
import matplotlib.pyplot as plt

from hybrid_rl_ros.bringup import resolve_specs
from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.learning.base_cloning import clone_base
from hybrid_rl_ros.learning.behaviour_cloning import clone_behaviour
from hybrid_rl_ros.learning.policies.base_actor import BaseActor
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork
from hybrid_rl_ros.learning.rollouts import Episode, Rollouts
from hybrid_rl_ros.sim.direct_loop import DirectLoop
from hybrid_rl_ros.sim.experts import make_expert
from hybrid_rl_ros.sim.objects import POST_RADIUS_M
from hybrid_rl_ros.sim.tasks import FINGERS_REACH_M

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
DEMONSTRATIONS, NOISE = 200, 0.1
EPISODES = 100
CONFIGS = {'detour': 'sim_detour_state.yaml', 'peg_insert': 'sim_peg_insert_state.yaml'}
BASE = ('agent=base', 'base={hidden: [256, 256, 256], chunk: 8, validate_every: 4000}')
METHODS = ('ddpm', 'flow', 'mean_flow')
# What the same weights do otherwise; every row that replans at each step has the full sampler's row beside it.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    'ddpm': {
        '10 steps': {},
        '10 steps, replanned every step': {'executed': 1},
        'real-time iteration, 2 steps': {'executed': 1, 'refine': 2},
        'real-time iteration as published, 2 steps': {'executed': 1, 'refine': 2, 'refine_noise': False},
    },
    'flow': {
        '1 step, the mean': {'steps': 1},
        '10 steps': {},
        '10 steps, replanned every step': {'executed': 1},
        'real-time iteration, 2 steps': {'executed': 1, 'refine': 2},
        'real-time iteration, 1 step': {'executed': 1, 'refine': 1},
    },
    'mean_flow': {'1 step': {}, '1 step, replanned every step': {'executed': 1}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=CONFIGS)
    parser.add_argument('--seeds', type=int, nargs='+', default=[1])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in options.seeds:
        keep(options.what, run_seed(options.what, seed))


def run_seed(task: str, seed: int) -> dict[str, Any]:
    config = load(task, seed)
    specs = resolve_specs(config)
    with tempfile.TemporaryDirectory() as folder, record(config, specs, Path(folder) / 'demos') as demos:
        rollouts = Rollouts(config, specs)
        cloned = clone_behaviour(demos, config, 'cpu', silent)
        shown: dict[str, list[Episode]] = {}
        done = rollouts.episodes(lambda seen: cloned.act(seen)[0], lambda: None, EPISODES)
        rows = [row('bc, an action at a time', done)]
        for method in METHODS:
            began = time.perf_counter()
            network = clone_base(demos, load(task, seed, f'base.method={method}'), 'cpu', silent)
            clone_s = round(time.perf_counter() - began, 1)
            for name, changes in VARIANTS[method].items():
                actor = BaseActor(changed(network, changes), specs, seed)
                done = rollouts.episodes(actor.act, actor.reset, EPISODES)
                shown[f'{method}, {name}'] = done
                rows.append(row(f'{method}, {name}', done, actor.calls, clone_s))
                print(seed, rows[-1], flush=True)
        rollouts.close()
    if (task, seed) == ('detour', 1):
        draw_figure({name: shown[name] for name in ('flow, 1 step, the mean', 'ddpm, 10 steps', 'flow, 10 steps')})
    return {'seed': seed, 'episodes': EPISODES, 'demonstrations': DEMONSTRATIONS, 'rows': rows}


def load(task: str, seed: int, *settings: str) -> Config:
    overrides = [*BASE, f'seed={seed}', 'bc.updates=2000', *settings]
    return load_config(ROOT / 'config' / CONFIGS[task], overrides)


def record(config: Config, specs: Specs, folder: Path) -> ReplayStore:
    """Successful episodes of the expert, from starts that are not evaluated on."""
    limit, action = config.episode.time_limit_steps, config.action
    store = ReplayStore.create(folder, specs, DEMONSTRATIONS * (limit + 1))
    expert = make_expert(config.task, NOISE, config.seed, action.max_step_m, action.gripper)
    loop = DirectLoop(config, specs, config.seed)
    index = kept = 0
    while kept < DEMONSTRATIONS:
        expert.reset()
        observation, steps = loop.reset(index), []
        index += 1
        while len(steps) < limit and not loop.ended:
            act = expert.act(loop.task).astype(np.float32)
            steps.append((observation, act))
            observation = loop.step(act)
        if loop.task['success']:
            for seen, act in steps:
                store.append(Step(store.sequence + 1, kept, seen, act))
            nothing = np.zeros(len(specs.action), np.float32)
            store.append(Step(store.sequence + 1, kept, observation, nothing, reward=1.0, terminal=True))
            kept += 1
    return store


def changed(network: BaseNetwork, changes: dict[str, Any]) -> BaseNetwork:
    """The same weights, sampled otherwise."""
    other = copy.deepcopy(network)
    other.sample_as(network.shape.model_copy(update=changes))
    return other


def row(name: str, done: list[Episode], calls: int | None = None, clone_s: float | None = None) -> dict[str, Any]:
    steps = sum(len(episode.steps) - 1 for episode in done)
    result: dict[str, Any] = {'name': name, 'success_rate': float(np.mean([episode.succeeded for episode in done]))}
    if 'post.x' in done[0].steps[0]:
        result |= {way: float(np.mean([way_of(episode) == way for episode in done])) for way in ('near', 'far')}
    if calls is not None:
        result |= {'calls_per_step': round(calls / steps, 2), 'clone_s': clone_s}
    return result


def way_of(episode: Episode) -> str | None:
    """Round which side of the post, as seen from the arm's base; None for what did not come round."""
    if not episode.succeeded:
        return None
    beside = min(episode.steps, key=lambda state: abs(state['ee.y'] - state['post.y']))
    return 'far' if beside['ee.x'] > beside['post.x'] else 'near'


def keep(task: str, result: dict[str, Any]) -> None:
    path = RESULTS / f'{task}-base_policies.json'
    seeds = json.loads(path.read_text())['seeds'] if path.exists() else []
    seeds = sorted([*(s for s in seeds if s['seed'] != result['seed']), result], key=lambda s: s['seed'])
    commit = subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    numbers = ' '.join(str(s['seed']) for s in seeds)
    command = f'benchmarks/base_policies.py {task} --seeds {numbers}'
    whole = {'task': task, 'agent': 'base', 'command': command, 'commit': commit, 'seeds': seeds}
    path.write_text(json.dumps(whole, indent=1) + '\n')


def draw_figure(shown: dict[str, list[Episode]]) -> None:
    """Thirty episodes of each, from above."""
    plt.rcParams['svg.hashsalt'] = 'detour'
    figure, axes = plt.subplots(1, len(shown), figsize=(9, 4), sharex=True, sharey=True, layout='constrained')
    axes[0].set_ylabel('y, m from the post')
    for axis, (title, episodes) in zip(axes, shown.items()):
        draw_paths(axis, title, episodes[:30])
    figure.savefig(ROOT / 'docs' / 'detour.svg', metadata={'Date': None})


def draw_paths(axis: Any, title: str, episodes: list[Episode]) -> None:
    for episode in episodes:
        path = np.array([[s['ee.x'] - s['post.x'], s['ee.y'] - s['post.y']] for s in episode.steps])
        axis.plot(*path.T, color='#2a78d6' if episode.succeeded else '#c2410c', linewidth=1, alpha=0.8)
    axis.add_patch(plt.Circle((0, 0), POST_RADIUS_M + FINGERS_REACH_M, color='0.85'))
    axis.add_patch(plt.Circle((0, 0), POST_RADIUS_M, color='0.5'))
    axis.set(title=title, aspect='equal', xlabel='x, m from the post')
    axis.title.set_fontsize(10)


def silent(update: int, updates: int, loss: float) -> None:
    pass


if __name__ == '__main__':
    main()
