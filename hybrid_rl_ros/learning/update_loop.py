"""The update loop: a thread that learns from the store, step for step or freely, and can repeat itself.

Lock-step: every stored step becomes one job, and a job's updates depend only on the checkpoint, the steps before it
and the random state. After a kill the jobs since the last checkpoint are repeated from the store, which brings back
the same weights. Real time: updates run freely up to their ratio to the stored transitions, and every publication is
also a checkpoint.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import Specs
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.checkpoint import load_newest_checkpoint, save_checkpoint
from hybrid_rl_ros.learning.policies.policy import write_atomically
from hybrid_rl_ros.learning.pretrained import begin_pretrained
from hybrid_rl_ros.learning.sampler import Source, SymmetricSampler

IDLE_POLL_S = 0.02


@dataclass(frozen=True)
class Job:
    """The updates owed to one stored step, sampling only steps before `before_sequence`."""

    before_sequence: int
    env_steps: int
    updates: int
    publish: bool
    checkpoint: bool


@dataclass(frozen=True)
class Done:
    """A finished job, its metrics, and the policy if it is to be published now."""

    job: Job
    total_updates: int
    metrics: dict[str, float]
    policy: bytes | None


class UpdateLoop:
    """Owns the agent, its sampling and its checkpoints. `on_done` is called from the loop's thread."""

    def __init__(
        self,
        config: Config,
        specs: Specs,
        run: Path,
        demos: ReplayStore | None,
        store: ReplayStore,
        on_done: Callable[[Done], None],
    ) -> None:
        self._config, self._store, self._on_done = config, store, on_done
        self._free = config.clock == 'realtime'
        self._folder = run / 'checkpoints'
        self._policy_path = run / 'policy.safetensors'
        torch.set_num_threads(config.train.torch_threads)
        self._device = resolve_device(config)
        self.agent = SacAgent(specs, config, self._device)
        begin_pretrained(self.agent, config, run / 'pretrained')
        online = Source(store, self.agent.encoders, config)
        demo_source = Source(demos, self.agent.encoders, config) if demos else None
        self._sampler = SymmetricSampler(online, demo_source, config.sac.batch, config.demo_ratio)
        self._rng = np.random.default_rng(config.seed)
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._scheduled = 0  # steps of the store that have had their job
        self._version = 0
        self._failure: BaseException | None = None
        self.env_steps = 0
        self._restore()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name='updates')

    def start(self) -> None:
        """Repeat what the store holds beyond the checkpoint, then take jobs."""
        restored = self.env_steps
        self.schedule()
        if restored == self.env_steps and restored >= max(1, self._config.warm_up_steps):
            self._jobs.put(Job(self._store.sequence, self.env_steps, 0, publish=True, checkpoint=False))
        self._thread.start()

    def schedule(self) -> bool:
        """Queue a job for each step stored since the last call; False if the last completed no transition."""
        completes = False
        while self._scheduled < self._store.sequence:
            self._scheduled += 1
            completes = self._store.completes_transition(self._scheduled - 1)
            self.env_steps += completes
            if not self._free:
                self._jobs.put(self._job(completes))
        return completes

    def stop(self) -> None:
        """Finish the queued jobs, save a checkpoint and end the thread."""
        self._stopping.set()
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self.raise_if_failed()
        self._save(self._scheduled, self.env_steps)

    def raise_if_failed(self) -> None:
        if self._failure is not None:
            raise self._failure

    @property
    def updates(self) -> int:
        return self.agent.updates

    def _job(self, completes: bool) -> Job:
        train, steps = self._config.train, self.env_steps
        learning = completes and steps >= max(1, self._config.warm_up_steps)
        return Job(
            before_sequence=self._scheduled,
            env_steps=steps,
            updates=self._config.sac.updates_per_step if learning else 0,
            publish=learning and (steps - self._config.warm_up_steps) % train.publish_every_steps == 0,
            checkpoint=completes and steps % train.checkpoint_every_steps == 0,
        )

    def _run(self) -> None:
        try:
            while (job := self._next_job()) is not None:
                self._do(job)
        except BaseException as error:
            # The owner's thread raises it: raise_if_failed.
            self._failure = error
            self._on_done(Done(Job(0, 0, 0, False, False), self.updates, {}, None))

    def _next_job(self) -> Job | None:
        if not self._free:
            return self._jobs.get()
        train, ratio = self._config.train, self._config.sac.updates_per_step
        while not self._stopping.is_set():
            try:
                return self._jobs.get_nowait()
            except queue.Empty:
                pass
            owed = (self.env_steps - self._config.warm_up_steps) * ratio - self.updates
            # A small ring may just have dropped its only whole episode.
            some = self._store.transitions > 0
            if some and self.env_steps >= max(1, self._config.warm_up_steps) and owed >= ratio:
                publish = (self.updates // ratio) % train.publish_every_steps == 0
                return Job(self._store.sequence, self.env_steps, ratio, publish, checkpoint=publish)
            self._stopping.wait(IDLE_POLL_S)
        return None

    def _do(self, job: Job) -> None:
        metrics = {}
        if job.updates:
            batch = self._sampler.sample(job.updates, job.before_sequence, self._rng, self._device)
            metrics = self.agent.update(batch, job.updates)
        if job.checkpoint:
            self._save(job.before_sequence, job.env_steps)
        policy = None
        if job.publish:
            self._version += 1
            policy = self.agent.policy().to_bytes(self._version)
        self._on_done(Done(job, self.updates, metrics, policy))

    def _save(self, before_sequence: int, env_steps: int) -> None:
        head = {
            'before_sequence': before_sequence,
            'env_steps': env_steps,
            'version': self._version,
            'numpy_rng': self._rng.bit_generator.state,
        }
        save_checkpoint(self._folder, env_steps, self.agent.state_dict(), json.loads(json.dumps(head)))
        write_atomically(self._policy_path, self.agent.policy().to_bytes(self._version))

    def _restore(self) -> None:
        checkpoint = load_newest_checkpoint(self._folder)
        if checkpoint is None:
            return
        tensors, head = checkpoint
        self.agent.load_state_dict(tensors)
        self.env_steps = head['env_steps']
        self._version = head['version']
        self._rng.bit_generator.state = head['numpy_rng']
        # A truncated store may hold fewer steps than the checkpoint had seen.
        self._scheduled = min(head['before_sequence'], self._store.sequence)


def resolve_device(config: Config) -> str:
    if config.train.device != 'auto':
        return config.train.device
    return 'cuda' if torch.cuda.is_available() else 'cpu'
