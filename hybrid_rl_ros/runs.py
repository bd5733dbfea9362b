"""What the commands do: train, evaluate, record; each a graph or two, and a summary at the end."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hybrid_rl_ros.bringup import (
    nodes_of_run,
    prepare_run,
    require_teleop_fits,
    resolve_specs,
    run_graph,
)
from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.config_file import differences, read_yaml, share_folder
from hybrid_rl_ros.data.merging import merge_stores
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs, require_same_specs
from hybrid_rl_ros.display import display
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.process_environment import node_environment
from hybrid_rl_ros.rewards.presence import require_sources
from hybrid_rl_ros.run_folder import by_task, exploring, read_json, read_json_lines, require_run, success_rate

WINDOW = 20
TASK_WINDOW = 50
# Of a configuration, what is in the weights; and of `base` what is not.
LEARNED = {'agent', 'agent_settings', 'demos', 'symmetry', 'encoder', 'bc', 'dynamo', 'offline', 'sac', 'base', 'dsrl'}
ACTS_OF_BASE = ('noise', 'executed', 'blend')
PRETRAINING = {
    'policy': 'hybrid_rl_ros.learning.pretrain',
    'classifier': 'hybrid_rl_ros.rewards.pretrain_classifier',
}


def train(config_path: Path | None, overrides: list[str], run: Path | None, resume: bool) -> None:
    """Pretrain the encoders, train through the graph, evaluate, and write summary.json. Raises UserError."""
    config, run, specs = begin_training(config_path, overrides, run, resume)
    began = time.monotonic() - _wall_s_before(run)
    if needs_pretraining(config, run):
        _pretrain(config, run)
    if not done_without_steps(config, run):
        with display(run, config, 'train') as show:
            run_graph(config, run, 'train', nodes_of_run(config, 'train'), show)
    if config.eval.episodes:
        _run_evaluation(config, _prepare_evaluation(config, specs, run), config.eval.episodes)
    write_summary(config, run, time.monotonic() - began)


def begin_training(
    config_path: Path | None, overrides: list[str], run: Path | None, resume: bool
) -> tuple[Config, Path, Specs]:
    """A run's configuration, checked, and its folder, ready for the nodes. Raises UserError."""
    config, run = _begin(config_path, overrides, run, resume)
    require_sources(config)
    specs = resolve_specs(config)
    require_teleop_fits(config, specs)
    _check_demos(config, specs)
    prepare_run(run, config, specs)
    return config, run, specs


def evaluate(run: Path, episodes: int, overrides: list[str], best: bool = False) -> None:
    """Fresh episodes with the run's policy; updates summary.json. `best`: with its best one, told on stdout alone.

    Raises UserError.
    """
    config, folder = begin_evaluation(run, overrides, best)
    _run_evaluation(config, folder, episodes)
    finish_evaluation(config, run, folder, best)


def finish_evaluation(config: Config, run: Path, folder: Path, best: bool) -> None:
    """What the episodes in `folder` say of the run: its summary.json or, of its best policy, on stdout alone."""
    if best:
        lines = read_json_lines(folder / 'episodes.jsonl')
        figures = {'success_rate_best': success_rate(lines), 'eval_episodes': len(lines)}
        figures |= read_json(run / 'best_policy.json')
        sys.stdout.write(json.dumps(figures, indent=1) + '\n')
    else:
        write_summary(config, run)


def begin_evaluation(run: Path, overrides: list[str], best: bool = False) -> tuple[Config, Path]:
    """The configuration of an evaluation of `run`, and its folder, ready for the nodes. Raises UserError."""
    require_run(run)
    config = load_config(run / 'config.yaml', overrides)
    _refuse_to_change_what_was_learned(load_config(run / 'config.yaml'), config)
    require_sources(config)
    return config, _prepare_evaluation(config, resolve_specs(config), run, best)


def _refuse_to_change_what_was_learned(learned: Config, config: Config) -> None:
    """Of an evaluation: it would be as without, or of a policy that nobody learned. Raises UserError."""
    before, after = (c.model_dump(mode='json', include=LEARNED) for c in (learned, config))
    acts = [f'base.{key}' for key in ACTS_OF_BASE if key != 'noise' or learned.agent == 'base']
    for key, (was, wanted) in differences(before, after).items():
        if key not in acts:
            raise UserError(
                f'eval: {key} is {was} in what was learned, and cannot be {wanted} in an evaluation of it; '
                'train another run with that'
            )


def pretrain_only(
    config_path: Path, overrides: list[str], demos: Path, run: Path, what: str = 'policy', refit: Path | None = None
) -> None:
    """What is learned from `demos` before the first step, into the run folder, for a later `train --run` of it.

    `what`: `policy`, or `classifier` for one of success. `refit`: a run in whose course a person disagreed with the
    classifier; it learns from these frames too, and `run` has all of them in learned_from. Raises UserError.
    """
    _refuse_other_run(run)
    together = run / 'learned_from'
    config = load_config(config_path, [*overrides, f'demos={together if refit else demos}'])
    specs = resolve_specs(config)
    if refit is not None:
        if (run / 'classifier.safetensors').exists():
            raise UserError(f'{run}: holds a classifier; name another --run')
        if not (refit / 'disputed' / 'specs.json').exists():
            raise UserError(f'--refit {refit}: in no episode of it did a person disagree (there is no disputed/)')
        if together.exists():
            shutil.rmtree(together)
        merge_stores([demos, refit / 'disputed'], specs, together)
    _check_demos(config, specs)
    prepare_run(run, config, specs)
    _pretrain(config, run, what)


def _begin(config_path: Path | None, overrides: list[str], run: Path | None, resume: bool) -> tuple[Config, Path]:
    if resume:
        if run is None:
            raise UserError('--resume: expected --run with the folder of an earlier run')
        require_run(run)
        config = load_config(run / 'config.yaml', overrides)
        _refuse_settings_that_come_too_late(load_config(run / 'config.yaml'), config, run)
        return config, run
    if config_path is None:
        raise UserError('train: --config FILE is needed, or --resume with --run DIR')
    config = load_config(config_path, overrides)
    run = run or Path('runs') / f'{config.task}-{config.agent}-seed{config.seed}'
    _refuse_other_run(run)
    return config, run


def _refuse_settings_that_come_too_late(before: Config, config: Config, run: Path) -> None:
    changed = [key for key in differences(before.model_dump(), config.model_dump()) if not key.startswith('eval.')]
    if changed and _finished(config, run):
        raise UserError(
            f'{run}: has come to its end, and {changed[0]} would change nothing any more; to go on, raise '
            'train.env_steps too, or whichever of train.episodes and train.hours it ended by'
        )


def _refuse_other_run(run: Path) -> None:
    if any((run / name).exists() for name in ('replay', 'checkpoints', 'summary.json', 'episodes.jsonl')):
        raise UserError(f'{run}: already holds a run; go on with --resume, name another --run, or remove it')


def _check_demos(config: Config, specs: Specs) -> None:
    if config.demos is None:
        if config.agent == 'bc' or config.clones_base:
            raise UserError(f'agent {config.agent} learns from demonstrations: set demos to the folder of some')
        if config.encoder.pretraining == 'dynamo':
            raise UserError('encoder.pretraining: dynamo learns from demonstrations: set demos to the folder of some')
        return
    for folder in (config.demos, *config.offline.data):
        with ReplayStore.open(Path(folder), read_only=True) as store:
            require_same_specs(store.specs, specs, folder)
            if not store.transitions:
                raise UserError(f'{folder}: holds no transitions to learn from')


def needs_pretraining(config: Config, run: Path) -> bool:
    """Whether anything is learned from demonstrations before the first step, and has not been yet."""
    expected = ['policy.safetensors', *(['agent.safetensors'] if config.offline.method == 'cal_ql' else [])]
    if all((run / 'pretrained' / name).exists() for name in expected):
        return False
    if config.demos is None and config.base.file is None:
        if config.starts_pretrained:
            what = 'sac.actor_init: bc and offline.method: cal_ql begin'
            what = 'agent: dsrl begins' if config.agent == 'dsrl' else what
            raise UserError(f'{what} with demonstrations: set demos to the folder of some')
        return False
    return config.agent == 'bc' or config.has_base or config.starts_pretrained or bool(config.observation.cameras)


def _pretrain(config: Config, run: Path, what: str = 'policy') -> None:
    command, environment = pretraining_command(config, run, what)
    result = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    # torchrun, if there is one, says more, and ends otherwise.
    mistakes = [line.removeprefix('error: ') for line in result.stderr.splitlines() if line.startswith('error: ')]
    if result.returncode and mistakes:
        raise UserError(mistakes[-1])
    if result.returncode:
        raise RuntimeError(f'pretraining failed:\n{result.stderr}')


def pretraining_command(config: Config, run: Path, what: str = 'policy') -> tuple[list[str], dict[str, str]]:
    """The process that pretrains, and its environment."""
    several = ['torch.distributed.run', '--standalone', f'--nproc-per-node={config.base.processes}', '-m', '--']
    prefix = several if what == 'policy' and config.clones_base and config.base.processes > 1 else []
    command = [sys.executable, '-m', *prefix, PRETRAINING[what]]
    command += ['--run', str(run), *(['--demos', config.demos] if config.demos else [])]
    threads = min(4, len(os.sched_getaffinity(0)))
    return command, node_environment(share_folder('config') / 'fastdds.xml', threads)


def _wall_s_before(run: Path) -> float:
    """What an earlier part of a resumed run took; of a killed part, up to its last whole episode."""
    lines = read_json_lines(run / 'episodes.jsonl')
    return read_json(run / 'summary.json').get('wall_s', lines[-1]['wall_s'] if lines else 0.0)


def done_without_steps(config: Config, run: Path) -> bool:
    """Whether a run whose pretraining is done needs no (more) steps; a cloned policy is now the run's own."""
    if config.is_cloned:
        (run / 'policy.safetensors').write_bytes((run / 'pretrained' / 'policy.safetensors').read_bytes())
        return True
    return _finished(config, run)


def _finished(config: Config, run: Path) -> bool:
    """Whether an earlier part of a resumed run had already come to its end."""
    learner = read_json(run / 'status' / 'learner_node.json')
    return config.is_trained(learner.get('env_steps', 0), learner.get('episodes', 0), learner.get('hours', 0.0))


def _prepare_evaluation(config: Config, specs: Specs, run: Path, best: bool = False) -> Path:
    folder = run / ('eval_best' if best else 'eval')
    policy = run / ('best_policy.safetensors' if best else 'policy.safetensors')
    if not policy.exists():
        mend = 'it is kept once 20 training episodes brought a success' if best else 'train first'
        raise UserError(f'{policy}: no policy to evaluate; {mend}')
    if folder.exists():
        shutil.rmtree(folder)
    prepare_run(folder, config, specs)
    (folder / 'policy.safetensors').write_bytes(policy.read_bytes())
    return folder


def _run_evaluation(config: Config, folder: Path, episodes: int) -> None:
    with display(folder, config, 'eval', episodes) as show:
        run_graph(config, folder, 'eval', nodes_of_run(config, 'eval', episodes=episodes), show)


def write_summary(config: Config, run: Path, wall_s: float | None = None) -> None:
    """summary.json of what the run's folder holds; `wall_s` None: as its last summary says."""
    wall_s = _wall_s_before(run) if wall_s is None else wall_s
    episodes, evaluated = read_json_lines(run / 'episodes.jsonl'), read_json_lines(run / 'eval' / 'episodes.jsonl')
    explored = exploring(episodes)
    learner = read_json(run / 'status' / 'learner_node.json')
    loop = _loop_timing(config, run if not config.is_cloned else run / 'eval')
    successes = [episode for episode in evaluated if episode['outcome'] == 'succeeded']
    policy = read_json(run / 'eval' / 'status' / 'inference_node.json')
    weights = policy.get('weights_sha256') or _file_sha256(run / 'policy.safetensors')
    summary = {
        'task': config.task,
        'agent': config.agent,
        'seed': config.seed,
        'env_steps': learner.get('env_steps', 0),
        'episodes': len(episodes),
        'updates': learner.get('updates', config.cloning_updates if config.is_cloned else 0),
        'wall_s': round(wall_s, 1),
        'success_rate': success_rate(explored, WINDOW),
        'success_rate_by_task': {name: success_rate(own, TASK_WINDOW) for name, own in by_task(explored).items()},
        'success_rate_eval': success_rate(evaluated),
        # Where the simulation is not the judge: how often it agrees that it was one.
        'true_success_rate_eval': _true_success_rate(evaluated),
        'return_eval': _mean([episode['return'] for episode in evaluated]),
        'eval_episodes': len(evaluated),
        'eval_overrides': _overridden(run / 'config.yaml', run / 'eval' / 'config.yaml'),
        # Of the successes; and of all, so that failing where it is difficult does not look quick.
        'mean_cycle_s': _mean([episode['steps'] * config.control_period_s for episode in successes]),
        'mean_episode_s': _mean([episode['steps'] * config.control_period_s for episode in evaluated]),
        'steps_to_90': steps_to_90(explored),
        'interventions': sum(episode['interventions'] for episode in episodes),
        'dropped_steps': learner.get('counters', {}).get('dropped_steps', 0),
        'transitions_stored': learner.get('transitions', 0),
        'loop_p50_ms': loop.get('p50_ms'),
        'loop_p99_ms': loop.get('p99_ms'),
        'weights_sha256': weights,
    }
    (run / 'summary.json').write_text(json.dumps(summary, indent=1) + '\n')
    sys.stdout.write(json.dumps(summary, indent=1) + '\n')


def _overridden(run: Path, evaluation: Path) -> list[str]:
    """`key=value` of what an evaluation's configuration has otherwise than the run's."""
    if not evaluation.exists():
        return []
    return [f'{key}={value}' for key, (_, value) in differences(read_yaml(run), read_yaml(evaluation)).items()]


def _true_success_rate(episodes: list[dict[str, Any]]) -> float | None:
    return _mean([float(episode['true_success']) for episode in episodes if 'true_success' in episode])


def steps_to_90(episodes: list[dict[str, Any]]) -> int | None:
    """Environment steps until nine tenths of the last 20 training episodes succeeded; None if never."""
    for end in range(WINDOW, len(episodes) + 1):
        if (success_rate(episodes[:end], WINDOW) or 0.0) >= 0.9:
            return int(episodes[end - 1]['env_steps'])
    return None


def _loop_timing(config: Config, run: Path) -> dict[str, Any]:
    """Real time: observation stamp to executed command. Lock-step: one whole step of the graph."""
    node, name = ('sim_node', 'cycle') if config.clock == 'lockstep' else ('safety_node', 'loop')
    return read_json(run / 'status' / f'{node}.json').get('timings', {}).get(name, {})


def _mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None


def _file_sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
