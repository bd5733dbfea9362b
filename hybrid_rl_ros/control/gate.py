"""Who may move the arm: the modes, the watchdogs and the latched faults. Knows nothing of ROS or of joints.

hold ──action of the active source while an episode runs──► policy | teleop | reset
  ▲                                                              │
  └────silence, no episode, a fault─────────────────────────────┘        estop from anywhere, until cleared
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hybrid_rl_ros.config import SafetyConfig
from hybrid_rl_ros.control.faults import FaultLatch
from hybrid_rl_ros.control.watchdog import Watchdog

# Who wins when several speak: a person over a routine over the policy.
SOURCES = ('teleop', 'reset', 'policy')


class Gate:
    """Decides the mode. Every method takes the steady time `now_s`.

    `mode`: hold, policy, teleop, reset or estop. `cause`: why the arm is held, or ''. `blocked`: set from outside, a
    reason to hold that passes by itself. `needs_joints`: nobody may move before a joint state has come. In lock-step
    (`timed` false) silence is only waiting, and no watchdog but the e-stop's looks at the time.
    """

    def __init__(self, config: SafetyConfig, now_s: float, needs_joints: bool = True, timed: bool = True) -> None:
        self._config = config
        self._needs_joints, self._timed = needs_joints, timed
        self._now_s = now_s
        self.faults = FaultLatch()
        self._actions = {source: Watchdog(config.action_timeout_s, now_s) for source in SOURCES}
        self._joints = Watchdog(config.joint_state_timeout_s, now_s)
        self._episode = Watchdog(config.episode_timeout_s, now_s)
        self._heartbeat = Watchdog(config.estop_heartbeat_s or 0.0, now_s)
        self._pressed = False
        self._running = False
        self._acting = False
        self.blocked = ''
        self.mode = 'hold'
        self.cause = 'no action yet'

    def on_joints(self, now_s: float) -> None:
        self._joints.fed(now_s)

    def on_estop(self, pressed: bool, now_s: float) -> None:
        self._heartbeat.fed(now_s)
        self._pressed = pressed

    def on_running(self, running: bool, now_s: float) -> None:
        """Whether an episode is under way; the policy is heard only then."""
        self._episode.fed(now_s)
        if running and not self._running:
            self._acting = False
        self._running = running

    def admits(self, source: str, now_s: float) -> bool:
        """An action of `source` has come: feed its watchdog, and say whether it may move the arm."""
        self._actions[source].fed(now_s)
        if source == 'policy':
            self._acting = True
        self.update(now_s)
        return self.mode == source

    def update(self, now_s: float) -> str:
        """Look at every watchdog, and return the mode."""
        self._now_s = now_s
        self._latch_what_is_wrong(now_s)
        if self.faults:
            codes = [fault.code for fault in self.faults.faults]
            self.mode = 'estop' if {'estop', 'estop_silent'} & set(codes) else 'hold'
            self.cause = ', '.join(codes)
        else:
            speaking = next(iter(self._speaking(now_s)), None)
            self.mode = speaking or 'hold'
            self.cause = '' if speaking else self._why_held(now_s)
        return self.mode

    def latch(self, code: str, sentence: str, persists: Callable[[], bool] | None = None, cause: str = '') -> bool:
        """Latch a fault from outside: a second publisher, a driver's state, a wrench. True if it is new."""
        return self.faults.latch(code, sentence, persists, cause)

    def clear(self, now_s: float) -> str | None:
        """Clear the faults; why not, or None."""
        self._now_s = now_s
        refusal = self.faults.clear()
        if refusal is None:
            # What was said before the fault is not what anybody wants now.
            for watchdog in self._actions.values():
                watchdog.ever = False
            self._acting = False
            self.update(now_s)
        return refusal

    def release(self, source: str) -> None:
        """`source` says that it does not steer any more, and those after it may."""
        self._actions[source].ever = False

    def _speaking(self, now_s: float) -> Iterable[str]:
        if self._not_ready(now_s):
            return
        for source in SOURCES:
            watchdog = self._actions[source]
            if not watchdog.ever or (source == 'policy' and not self._in_episode(now_s)):
                continue
            if not (self._timed and watchdog.expired(now_s)):
                yield source
            elif source == 'teleop':
                # A person took over for a reason; whoever falls silent in the middle does not hand back by that.
                return

    def _in_episode(self, now_s: float) -> bool:
        return self._running and not (self._timed and self._episode.expired(now_s))

    def _not_ready(self, now_s: float) -> str:
        """Why nobody at all may move the arm, or ''."""
        if self.blocked:
            return self.blocked
        if self._config.estop_heartbeat_s is not None and not self._heartbeat.ever:
            return 'waiting for the e-stop'
        if self._needs_joints and not self._joints.ever:
            return 'no joint state yet'
        if self._needs_joints and self._timed and self._joints.expired(now_s):
            return 'no joint state'
        return ''

    def _why_held(self, now_s: float) -> str:
        if why := self._not_ready(now_s):
            return why
        if self._silent_person_s(now_s) > 0.0:
            return 'no action of the person who steers'
        if not self._running:
            return 'no episode'
        if not self._in_episode(now_s):
            return 'nothing heard of the episode'
        return 'no action' if self._acting else 'no action yet'

    def _silent_person_s(self, now_s: float) -> float:
        """How long nothing came of a person who did not hand back; 0 while they speak, or do not steer."""
        teleop = self._actions['teleop']
        return teleop.silent_s(now_s) if self._timed and teleop.ever and teleop.expired(now_s) else 0.0

    def _latch_what_is_wrong(self, now_s: float) -> None:
        after, beat = self._config.latch_after_s, self._config.estop_heartbeat_s
        if self._pressed:
            sentence = 'the e-stop was pressed; release it and clear the fault'
            self.faults.latch('estop', sentence, lambda: self._pressed, cause='switch')
        if beat is not None and self._heartbeat.ever and self._heartbeat.expired(now_s):
            sentence = f'the e-stop was silent for {beat:g} s; look at its publisher'
            self.faults.latch('estop_silent', sentence, lambda: self._heartbeat.silent_s(self._now_s) > beat)
        if self._silent_person_s(now_s) > after:
            self.faults.latch('teleop_lost', f'no action of the person for {after:g} s; look at the device')
        if self.faults or not self._running or not self._timed:
            return
        if self._joints.ever and self._joints.silent_s(now_s) > after:
            sentence = f'no joint state for {after:g} s; look at the robot driver'
            self.faults.latch('joint_states_lost', sentence, lambda: self._joints.expired(self._now_s))
        elif self.mode not in ('teleop', 'reset') and self._acting:
            if self._actions['policy'].silent_s(now_s) > after:
                self.faults.latch('action_lost', f'no action for {after:g} s; look at inference_node')
