"""What reward_reset_node says of an episode: the reward of each step, and each change of its state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from hybrid_rl_ros.control.episode import Episode
from hybrid_rl_ros.ros.messages import to_header


def reward_values(episode: Episode, reward: float, evaluates: bool | None) -> dict[str, float]:
    """The numbers of `reward`, which are of the arrival at this step; `evaluates` None where no episode ever does."""
    arrived = episode.steps > 0 or episode.running
    values = {
        'reward': reward,
        'terminal': float(episode.terminal and arrived),
        'truncated': float(episode.truncated and arrived),
        'succeeded': float(episode.state == 'succeeded' and arrived),
        'running': float(episode.running),
        'episode': float(episode.number),
        'step': float(episode.steps),
    }
    return values if evaluates is None else {**values, 'evaluation': float(evaluates)}


def episode_message(episode: Episode, stamp: int, robot: str, values: Mapping[str, Any]) -> DiagnosticArray:
    """A message of `episode`: the state that began at `stamp` (ns), and `values`, its cause among them."""
    status = DiagnosticStatus(name='reward_reset_node: episode', message=episode.state, hardware_id=robot)
    status.level = DiagnosticStatus.WARN if episode.state == 'aborted' else DiagnosticStatus.OK
    counted = {'episode': episode.number, 'steps': episode.steps, 'return': episode.return_}
    status.values = [KeyValue(key=key, value=str(value)) for key, value in {**counted, **values}.items()]
    return DiagnosticArray(header=to_header(stamp), status=[status])
