"""The nodes are lifecycle nodes: motion only while the gate is active, and everything again after a clean-up."""

from __future__ import annotations

import time

import numpy as np
import pytest
import rclpy
from lifecycle_msgs.srv import ChangeState, GetState
from rig import Rig

from hybrid_rl_ros.bringup import NodeProcess

pytestmark = [pytest.mark.slow, pytest.mark.real_time]


class ManagedRig(Rig):
    """The gate waits for a lifecycle manager, which the test is."""

    def _matched(self) -> bool:
        return True

    def _listen(self) -> None:
        self.seen.states.append((time.monotonic(), 'nothing said'))
        super()._listen()

    def change(self, label: str) -> bool:
        request = ChangeState.Request()
        request.transition.label = label
        return self._answer(ChangeState, 'change_state', request).success

    def lifecycle(self) -> str:
        return self._answer(GetState, 'get_state', GetState.Request()).current_state.label

    def _answer(self, service: type, name: str, request: object):
        client = self.node.create_client(service, f'safety_node/{name}')
        self.wait_for(client.service_is_ready)
        future = client.call_async(request)
        rclpy.spin_until_future_complete(self.node, future, timeout_sec=10.0)
        return future.result()

    def moves(self) -> bool:
        before = self.seen.joints[-1][1]
        self.drive(0.8)
        return bool(np.abs(self.seen.joints[-1][1] - before).max() > 0.02)


@pytest.fixture
def rig(tmp_path):
    gate = NodeProcess('safety_node', {'autostart': False})
    with ManagedRig(tmp_path, nodes=(NodeProcess('sim_node'), gate)) as rig:
        yield rig


def test_27_the_gate_moves_the_arm_only_while_it_is_active(rig, report):
    assert rig.lifecycle() == 'unconfigured' and not rig.moves()
    assert rig.change('configure') and rig.lifecycle() == 'inactive'
    rig.wait_for(lambda: Rig._matched(rig))
    assert not rig.moves() and rig.state == 'hold: the node is not active'
    assert rig.change('activate')
    rig.wait_for(rig.moves)
    rig.move()
    stopped = time.monotonic()
    assert rig.change('deactivate')
    rig.drive(0.5)
    reaction = rig.require_stop(stopped)
    assert not rig.moves()
    report(27, 'the gate is deactivated while moving', 'brakes; no output until activated', reaction)
    assert rig.change('cleanup') and rig.lifecycle() == 'unconfigured'
    assert rig.change('configure') and rig.change('activate')
    rig.wait_for(lambda: Rig._matched(rig))
    rig.action = lambda _: {'ee.dx': 0.0, 'ee.dy': -0.012, 'ee.dz': 0.0}
    rig.wait_for(lambda: (rig.call('safety_node/clear_fault'), rig.moves())[1])


def test_29_a_gate_that_cannot_be_configured_ends_with_its_line(tmp_path):
    gate = NodeProcess('safety_node', {'autostart': False, 'speed_scael': 0.5})
    with ManagedRig(tmp_path, nodes=(NodeProcess('sim_node'), gate)) as rig:
        assert not rig.change('configure')
        rig.wait_for(lambda: rig.bringup.process('safety_node').poll() is not None)
        assert rig.bringup.process('safety_node').returncode == 2
        assert "unknown parameter 'speed_scael'; the nearest is 'speed_scale'" in rig.log('safety_node')
