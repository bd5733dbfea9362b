"""Keeps what happened: a line for every episode and, when asked, every step."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from std_srvs.srv import Trigger

from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.data.specs import require_same_specs
from hybrid_rl_ros.data.step import Step
from hybrid_rl_ros.ros.node import GraphNode, node_main
from hybrid_rl_ros.ros.qos import LATCHED_MANY
from hybrid_rl_ros.ros.step_subscriber import StepSubscriber
from hybrid_rl_ros.run_folder import open_json_lines, read_json_lines

ENDED = ('succeeded', 'failed', 'timed_out', 'aborted')
MOST_STEPS = 200_000


class RecorderNode(GraphNode):
    """Writes episodes.jsonl, a line for each episode, and events.jsonl, one for each change of an episode's state.

    In the roles eval and record also every step, to the store run_dir/replay.

    Parameter episodes: in eval, end the run after that many; in record, after that many kept ones. Recording keeps
    successful episodes only, or with keep:=all every one that ended by itself (offline learning takes failures too);
    ~/discard_last (Trigger) takes the last of them back.
    """

    def __init__(self) -> None:
        super().__init__('recorder_node')

    def set_up(self) -> None:
        self._episodes: int = self.parameter('episodes', 0, 'end the run after this many episodes; 0 for never')
        self._keep: str = self.parameter('keep', 'success', 'record: success or all')
        path = self.run_dir / 'episodes.jsonl'
        # A resumed run counts on from its last whole line, and what was cut off behind it.
        earlier = read_json_lines(path)
        counted = earlier[-1]['env_steps'] if earlier else 0
        self._env_steps: int = max(counted, _transitions_held(self.run_dir / 'replay'))
        self._began = time.monotonic() - (earlier[-1]['wall_s'] if earlier else 0.0)
        self._file = open_json_lines(path)
        self._events = open_json_lines(self.run_dir / 'events.jsonl')
        self._lines: list[dict[str, Any]] = []
        self._whole = self._told = -1.0
        self._last: float | None = None
        self._finished = 0
        self._store = self._open_store() if self.role != 'train' else None
        # Where each kept episode ends; what was there before is never taken back.
        self._kept = [self._store.sequence if self._store else 0]
        self._episode = -1.0
        self._running = False
        self._interventions = 0
        first = self._store.last_episode + 1 if self._store else 0
        self._subscriber = StepSubscriber(self, first, self._on_stamp)
        self.create_subscription(DiagnosticArray, 'episode', self._on_episode, LATCHED_MANY)
        if self.role == 'record':
            self.create_service(Trigger, '~/discard_last', self._on_discard_last)

    def close(self) -> None:
        self._file.close()
        self._events.close()
        if self._store is not None:
            if self.role == 'record':
                self._store.truncate(self._kept[-1])
            self._store.flush()
            self._store.close()

    def _open_store(self) -> ReplayStore:
        folder = self.run_dir / 'replay'
        if not (folder / 'specs.json').exists():
            return ReplayStore.create(folder, self.specs, MOST_STEPS)
        store = ReplayStore.open(folder)
        require_same_specs(store.specs, self.specs, str(folder))
        return store

    def _on_stamp(self, stamp: int, step: Step | None, reward: dict[str, float]) -> None:
        self._running = reward['running'] > 0.5
        if reward['episode'] != self._episode:
            self._write_lines(reward['episode'] - 1)
            self._episode, self._interventions = reward['episode'], 0
            if self.role == 'record' and self._store is not None:
                # What is left of an episode that was aborted.
                self._store.truncate(self._kept[-1])
        if step is None:
            return
        self._interventions += step.intervention
        if self._store is not None:
            self._store.append(step)
        if step.ends_episode:
            self._keep_or_discard(self._keep == 'all' or (reward['succeeded'] > 0.5))
            self._whole = self._episode
            self._write_lines(self._whole)

    def _keep_or_discard(self, keep: bool) -> None:
        if self.role == 'record' and self._store is not None:
            if keep:
                self._kept.append(self._store.sequence)
                self.status.count('kept_episodes')
            else:
                self._store.truncate(self._kept[-1])
                self.status.count('discarded_episodes')
        self._finished += keep if self.role == 'record' else 1
        if self._episodes and self._finished >= self._episodes:
            self._last = self._episode

    def _write_lines(self, until: float) -> None:
        """Those of the episodes up to number `until`. An episode's line comes by another topic than its last step.

        In lock-step, where nothing is lost but this node may be several steps behind, it waits for the step: a run that
        is stopped in between goes on from the steps that were stored, which are one fewer than the line has.
        """
        for line in [line for line in self._lines if line['episode'] <= until]:
            self._file.write(json.dumps({**line, 'interventions': self._interventions}) + '\n')
            self._told = float(line['episode'])
            self._lines.remove(line)
        if self._last is not None and self._told >= self._last:
            self.finish()

    def _on_discard_last(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._running:
            response.message = 'an episode is under way'
        elif len(self._kept) == 1:
            response.message = 'no episode was kept yet'
        response.success = not response.message
        if response.success and self._store is not None:
            self._kept.pop()
            self._store.truncate(self._kept[-1])
            self._finished -= 1
            self.status.counters['kept_episodes'] -= 1
            self.status.count('discarded_episodes')
        return response

    def _on_episode(self, message: DiagnosticArray) -> None:
        status = message.status[0]
        values = {item.key: item.value for item in status.values}
        event = {'episode': int(values['episode']), 'state': status.message, 'cause': values['cause']}
        if 'task' in values:
            event['task'] = values['task']
        now = datetime.now(timezone.utc).isoformat(timespec='seconds')
        self._events.write(json.dumps({'time': now, **event}) + '\n')
        if status.message not in ENDED:
            return
        self._env_steps += int(values['steps'])
        line: dict[str, Any] = {
            'episode': int(values['episode']),
            'steps': int(values['steps']),
            'return': float(values['return']),
            'outcome': status.message,
            'env_steps': self._env_steps,
            'wall_s': round(time.monotonic() - self._began, 2),
        }
        if 'task' in values:
            line['task'] = values['task']
        if 'evaluation' in values:
            line['evaluation'] = True
        if 'true_success' in values:
            line['true_success'] = values['true_success'] == '1'
        self._lines.append(line)
        waits = self.lockstep and line['outcome'] != 'aborted'
        self._write_lines(self._whole if waits else line['episode'])


def _transitions_held(folder: Path) -> int:
    if not (folder / 'specs.json').exists():
        return 0
    with ReplayStore.open(folder, read_only=True) as store:
        return store.transitions


def main() -> None:
    node_main(RecorderNode)


if __name__ == '__main__':
    main()
