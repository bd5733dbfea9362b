"""The update loop: a thread that learns from the store, step for step or freely, and can repeat itself.

Lock-step: every stored step becomes one job, and a job's updates depend only on the checkpoint, the steps before it
and the random state. After a kill the jobs since the last checkpoint are repeated from the store, which brings back
the same weights. Real time: updates run freely up to their ratio to the stored transitions, and every publication is
also a checkpoint. Weights that went bad are put back (health.py) before they are published or saved.
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
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.agents.base import Metrics
from hybrid_rl_ros.learning.agents.choice import make_agent
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.checkpoint import load_newest_checkpoint, save_checkpoint
from hybrid_rl_ros.learning.health import Health
from hybrid_rl_ros.learning.measures import dead_unit_fraction, intervention_rate
from hybrid_rl_ros.learning.networks.value import ValueNetwork
from hybrid_rl_ros.learning.out_of_memory import batch_that_fits, is_out_of_memory
from hybrid_rl_ros.learning.policies.policy import write_atomically
from hybrid_rl_ros.learning.pretrained import begin_pretrained
from hybrid_rl_ros.learning.sampler import Source, SymmetricSampler, drawn_from

IDLE_POLL_S = 0.02
MEASURE_EVERY_STEPS = 20


@dataclass(frozen=True)
class Job:
    """The updates owed to one stored step, sampling only steps before `before_sequence`."""

    before_sequence: int
    env_steps: int
    updates: int
    publish: bool
    checkpoint: bool
    measure: bool = False
    """Whether metrics are wanted that cost something."""


@dataclass(frozen=True)
class Done:
    """A finished job, its metrics, and the policy if it is to be published now."""

    job: Job
    total_updates: int
    metrics: Metrics
    policy: bytes | None
    rollbacks: int = 0
    complaint: str = ''
    """Why the weights were put back; '' when all is well again."""


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
        self.agent = make_agent(specs, config, self._device)
        begin_pretrained(self.agent, config, run / 'pretrained')
        sampling = self.agent.sampling
        self._online = Source(store, self.agent.encoders, config, sampling)
        self._demos = Source(demos, self.agent.encoders, config, sampling) if demos else None
        if self._demos and isinstance(self.agent, SacAgent) and self.agent.lacks_ranges:
            self.agent.standardise(drawn_from(self._demos, config.seed, self._device))
        self._sampler = self._sampler_of(sampling.batch)
        self._health = Health(self.agent, config)
        self._rng = np.random.default_rng(config.seed)
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._scheduled = 0  # steps of the store that have had their job
        self._version = 0
        self._failure: BaseException | None = None
        self.env_steps = 0
        self._restore()
        self._health.begin()
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
        self._health.sound({}, thorough=True)
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
            updates=self._updates_owed(steps) if learning else 0,
            publish=learning and (steps - self._config.warm_up_steps) % train.publish_every_steps == 0,
            checkpoint=completes and steps % train.checkpoint_every_steps == 0,
            measure=learning and steps % MEASURE_EVERY_STEPS == 0,
        )

    def _updates_owed(self, steps: int) -> int:
        """To the step that made them so many."""
        sampling = self.agent.sampling
        first = sampling.first_updates if steps == max(1, self._config.warm_up_steps) else 0
        return first + sampling.updates_per_step

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
        train, ratio = self._config.train, self.agent.sampling.updates_per_step
        while not self._stopping.is_set():
            try:
                return self._jobs.get_nowait()
            except queue.Empty:
                pass
            owed = (self.env_steps - self._config.warm_up_steps) * ratio - self.updates
            owed += self.agent.sampling.first_updates
            # A small ring may just have dropped its only whole episode.
            some = self._store.transitions > 0
            if some and self.env_steps >= max(1, self._config.warm_up_steps) and owed >= ratio:
                publish = (self.updates // ratio) % train.publish_every_steps == 0
                measure = (self.updates // ratio) % MEASURE_EVERY_STEPS == 0
                return Job(self._store.sequence, self.env_steps, ratio, publish, checkpoint=publish, measure=measure)
            self._stopping.wait(IDLE_POLL_S)
        return None

    def _do(self, job: Job) -> None:
        metrics = self._learn_within_memory(job) if job.updates else {}
        sound = self._health.sound(metrics, thorough=job.publish or job.checkpoint)
        # With a checkpoint behind it, a resumed run does not come by what went wrong again.
        if job.checkpoint or not sound:
            self._save(job.before_sequence, job.env_steps)
        policy = None
        if job.publish:
            self._version += 1
            policy = self.agent.policy().to_bytes(self._version)
        metrics = metrics if sound else {}
        self._on_done(Done(job, self.updates, metrics, policy, self._health.rollbacks, self._health.complaint))

    def _learn_within_memory(self, job: Job) -> Metrics:
        """Raises UserError with the batch that fits where the configured one does not."""
        try:
            return self._learn(job, self._sampler)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        batch = self.agent.sampling.batch
        fits = batch_that_fits(lambda smaller: self._learn(job, self._sampler_of(smaller)), batch)
        mend = 'no smaller one fits either; make sac.hidden or the encoder smaller'
        if fits:
            mend = f'sac.batch={fits} fits; go on with --resume --set sac.batch={fits}'
        raise UserError(f'out of memory on {self._device} with sac.batch={batch}; {mend}')

    def _learn(self, job: Job, sampler: SymmetricSampler) -> Metrics:
        batch = sampler.sample(job.updates, job.before_sequence, self._rng, self._device)
        metrics = self.agent.update(batch, job.updates)
        metrics['demo_ratio'] = sampler.demo_ratio
        if job.measure:
            # Agents of other people may have critics of another kind.
            if isinstance(value := getattr(self.agent, 'value', None), ValueNetwork):
                metrics['dead_unit_fraction'] = dead_unit_fraction(value, batch.slices(job.updates)[0])
            metrics['intervention_rate'] = intervention_rate(self._store, job.before_sequence)
        return metrics

    def _sampler_of(self, batch: int) -> SymmetricSampler:
        return SymmetricSampler(self._online, self._demos, batch, self.agent.sampling.demo_ratio)

    def _save(self, before_sequence: int, env_steps: int) -> None:
        head = {
            'before_sequence': before_sequence,
            'env_steps': env_steps,
            'version': self._version,
            'numpy_rng': self._rng.bit_generator.state,
            'health': self._health.head(),
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
        self._health.restore(head.get('health', {}))
        # A truncated store may hold fewer steps than the checkpoint had seen.
        self._scheduled = min(head['before_sequence'], self._store.sequence)


def resolve_device(config: Config) -> str:
    if config.train.device != 'auto':
        return config.train.device
    return 'cuda' if torch.cuda.is_available() else 'cpu'
