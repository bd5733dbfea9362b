"""How long the gate takes from a fault to the hold, over many trials; the table shows the percentiles.

HYBRID_RL_TRIALS sets the number of trials (10; the published figures are of 120). Nothing here fails for being slow.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from rig import RATE_HZ, Rig
from std_msgs.msg import Bool

from hybrid_rl_ros.ros.qos import LATCHED

pytestmark = [pytest.mark.slow, pytest.mark.real_time]

TRIALS = int(os.environ.get('HYBRID_RL_TRIALS', '10'))


@pytest.fixture
def rig(tmp_path):
    with Rig(tmp_path) as rig:
        yield rig


def percentiles(reactions: list[float]) -> str:
    p50, p99 = np.percentile(np.array(reactions) * 1e3, [50, 99])
    return f'{len(reactions)} trials: p50 {p50:.1f}, p99 {p99:.1f}, max {max(reactions) * 1e3:.1f} ms'


def until_held(rig: Rig, since: float) -> float:
    rig.wait_for(lambda: rig.mode in ('hold', 'estop') and rig.seen.states[-1][0] > since, within_s=5.0)
    return rig.seen.states[-1][0] - since


def get_going(rig: Rig) -> None:
    """Sway to and fro, so that hundreds of trials stay inside the workspace."""
    rig.action = lambda tick: {'ee.dx': 0.0, 'ee.dy': 0.01 if tick // 10 % 2 else -0.01, 'ee.dz': 0.0}
    rig.wait_for(lambda: (rig.act(), rig.spin(1 / RATE_HZ), rig.mode == 'policy')[-1])


def test_from_silence_to_hold(rig, report):
    reactions = []
    for _ in range(TRIALS):
        get_going(rig)
        rig.act()
        reactions.append(until_held(rig, time.monotonic()))
    timeout_ms = rig.config.safety.action_timeout_s * 1e3
    report(101, f'silence to hold (watchdog {timeout_ms:.0f} ms)', percentiles(reactions))


def test_from_estop_to_hold(rig, report):
    switch = rig.node.create_publisher(Bool, 'estop', LATCHED)
    rig.wait_for(lambda: switch.get_subscription_count() > 0)
    reactions = []
    for _ in range(TRIALS):
        get_going(rig)
        switch.publish(Bool(data=True))
        reactions.append(until_held(rig, time.monotonic()))
        switch.publish(Bool(data=False))
        rig.wait_for(lambda: rig.call('safety_node/clear_fault').success)
    report(102, 'e-stop to hold', percentiles(reactions))
