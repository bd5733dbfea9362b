"""The nodes use nothing that came into rclpy after Humble."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rclpy
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rig import Rig

from hybrid_rl_ros.bringup import NodeProcess

AS_ON_HUMBLE = Path(__file__).with_name('as_on_humble.py')
NODES = [path.stem for path in (Path(__file__).parents[2] / 'hybrid_rl_ros' / 'nodes').glob('*_node.py')]


class OnHumble(NodeProcess):
    def command(self, run: Path, role: str, peers: list[str], namespace: str) -> list[str]:
        python, _, module, *arguments = super().command(run, role, peers, namespace)
        return [python, str(AS_ON_HUMBLE), module, *arguments]


def test_every_node_is_imported():
    imports = '; '.join(f'import hybrid_rl_ros.nodes.{name}' for name in NODES)
    script = f'from as_on_humble import take_away; take_away(); {imports}'
    result = subprocess.run(
        [sys.executable, '-c', script], cwd=AS_ON_HUMBLE.parent, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.real_time
def test_the_arm_moves_and_its_speed_can_be_set(tmp_path):
    with Rig(tmp_path, nodes=(OnHumble('sim_node'), OnHumble('safety_node'))) as rig:
        client = rig.node.create_client(SetParameters, 'safety_node/set_parameters')
        rig.wait_for(client.service_is_ready)
        slow = Parameter('speed_scale', Parameter.Type.DOUBLE, 0.1).to_parameter_msg()
        future = client.call_async(SetParameters.Request(parameters=[slow]))
        rclpy.spin_until_future_complete(rig.node, future, timeout_sec=10.0)
        assert future.result().results[0].successful
        commands = rig.hear_commands()
        rig.drive_until(lambda: len(commands) > 50)
        # A step of `sway` takes more than this at the full speed (test_29 of test_gate_faults.py).
        assert 0.0 < rig.commanded_speed(commands) <= 0.1 * max(rig.robot.joint_speeds_rad_s) * 1.001
