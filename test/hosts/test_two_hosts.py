"""Robot and learner on two machines: network namespaces with a cable between them, which is then cut.

Each has its own /dev/shm, as two machines have: shared memory would otherwise go round the cable.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from graph_runs import executed
from waiting import wait_for

from hybrid_rl_ros.bringup import node_status
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.run_folder import read_json_lines

CONFIG = Path(__file__).parents[2] / 'config' / 'sim_reach_state.yaml'
ONE_SIDE = Path(__file__).with_name('one_side.py')
ADDRESSES = {'robot': '10.213.77.1', 'learner': '10.213.77.2'}
STRANGER = '10.213.77.3'
PARTS = {'robot': 'no_learner', 'learner': 'learner'}
CUT_S = 10.0
RATE_HZ = 20.0
SETTINGS = [
    'clock=realtime',
    f'control_rate_hz={RATE_HZ:g}',
    'train.env_steps=100000',
    'train.warm_up_steps=20',
    'episode.time_limit_steps=20',
    'sac.hidden=[32, 32]',
]
# At the configuration's own rate its steps take six minutes.
LEARNED_WITHIN_S = 900.0

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(1000)]


def ip(*arguments: str) -> None:
    subprocess.run(['ip', *arguments], check=True, capture_output=True, text=True)


class Hosts:
    """Two namespaces on a bridge-less cable: a veth pair."""

    def __init__(self) -> None:
        mark = str(os.getpid())
        self.names = {side: f'hrl-{side}-{mark}' for side in ADDRESSES}
        self.cables = {'robot': f'hr{mark}', 'learner': f'hl{mark}'}
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> None:
        for name in self.names.values():
            ip('netns', 'add', name)
        ip('link', 'add', self.cables['robot'], 'type', 'veth', 'peer', 'name', self.cables['learner'])
        for side, name in self.names.items():
            ip('link', 'set', self.cables[side], 'netns', name)
            ip('-n', name, 'addr', 'add', f'{ADDRESSES[side]}/24', 'dev', self.cables[side])
            ip('-n', name, 'link', 'set', 'lo', 'up')
            ip('-n', name, 'link', 'set', self.cables[side], 'up')

    def start(self, side: str, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
        (other,) = set(ADDRESSES) - {side}
        peers = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'ROS_STATIC_PEERS': ADDRESSES[other]}
        shell = 'mount -t tmpfs -o size=1g tmpfs /dev/shm && exec "$@"'
        inside = ['ip', 'netns', 'exec', self.names[side], 'unshare', '--mount', 'sh', '-c', shell, 'sh', *command]
        process = subprocess.Popen(inside, env={**os.environ, **peers, **environment})
        self._processes.append(process)
        return process

    def cut(self) -> None:
        ip('-n', self.names['robot'], 'link', 'set', self.cables['robot'], 'down')

    def mend(self) -> None:
        ip('-n', self.names['robot'], 'link', 'set', self.cables['robot'], 'up')

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
        for name in self.names.values():
            subprocess.run(['ip', 'netns', 'del', name], capture_output=True)
        # Only there if it could not be given to a namespace, with which it would be gone.
        subprocess.run(['ip', 'link', 'del', self.cables['robot']], capture_output=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    if shutil.which('ip') is None or shutil.which('unshare') is None or os.geteuid() != 0:
        pytest.skip('network namespaces need root, iproute2 and unshare')
    try:
        two = Hosts()
    except subprocess.CalledProcessError as error:
        pytest.skip(f'network namespaces cannot be made here: {error.stderr}')
    yield two
    two.close()


def test_what_could_not_be_connected_is_not_left_behind(hosts):
    """The cable's name is taken, after the namespaces have been made."""
    hosts.close()
    taken = hosts.cables['learner']
    ip('link', 'add', taken, 'type', 'veth', 'peer', 'name', f'{taken}x')
    try:
        with pytest.raises(subprocess.CalledProcessError):
            Hosts()
    finally:
        ip('link', 'del', taken)
    left = subprocess.run(['ip', 'netns', 'list'], capture_output=True, text=True, check=True).stdout
    assert not [name for name in hosts.names.values() if name in left]


def stored_stamps(run: Path) -> list[int]:
    with ReplayStore.open(run / 'replay', read_only=True) as store:
        return store.stamps(np.arange(store.sequence)).tolist()


def test_a_cut_cable_leaves_the_arm_its_last_weights_and_training_goes_on_by_itself(tmp_path, hosts):
    runs = {'robot': tmp_path / 'robot', 'learner': tmp_path / 'learner'}
    for side, run in runs.items():
        hosts.start(side, [sys.executable, str(ONE_SIDE), str(run), str(CONFIG), PARTS[side], *SETTINGS])

    def version() -> int:
        return node_status(runs['robot'], 'inference_node').get('policy_version', 0)

    def stored() -> int:
        return node_status(runs['learner'], 'learner_node').get('transitions', 0)

    wait_for(lambda: version() >= 5 and stored() > 60)
    hosts.cut()
    time.sleep(2.0)  # what is under way arrives or is lost
    before, steps, weights = stored_stamps(runs['learner']), executed(runs['robot']), version()
    time.sleep(CUT_S - 2.0)
    acted, stored_in_the_dark = executed(runs['robot']) - steps, stored() - len(before)
    assert version() == weights
    # Resets take their time too; a policy that had stopped would have executed nothing.
    assert acted > 0.5 * (CUT_S - 2.0) * RATE_HZ
    assert stored_in_the_dark <= 1
    safety = node_status(runs['robot'], 'safety_node')
    assert safety['faults'] == []
    hosts.mend()
    held = stored()
    wait_for(lambda: stored() > held + 40)
    wait_for(lambda: version() > weights + 2)
    after = stored_stamps(runs['learner'])
    assert set(before) <= set(after)
    assert (np.diff(after) > 0).all()


def test_reach_is_learned_across_the_cable(tmp_path, hosts):
    runs = {'robot': tmp_path / 'robot', 'learner': tmp_path / 'learner'}
    sides = {
        side: hosts.start(
            side,
            [sys.executable, str(ONE_SIDE), str(run), str(CONFIG), PARTS[side], 'clock=realtime', 'eval.episodes=0'],
        )
        for side, run in runs.items()
    }
    assert sides['learner'].wait(LEARNED_WITHIN_S) == 0
    outcomes = [episode['outcome'] for episode in read_json_lines(runs['robot'] / 'episodes.jsonl')]
    assert outcomes[:25].count('succeeded') <= 10, 'otherwise there was nothing to learn'
    assert outcomes[-50:].count('succeeded') >= 40


LISTEN = """
import sys, time, rclpy
from sensor_msgs.msg import JointState
rclpy.init()
node = rclpy.create_node('listener')
heard = []
node.create_subscription(JointState, 'joint_states', heard.append, 10)
end = time.monotonic() + 8.0
while time.monotonic() < end:
    rclpy.spin_once(node, timeout_sec=0.1)
print(len(heard))
"""


@pytest.mark.parametrize('peers', [ADDRESSES['robot'], STRANGER], ids=['named', 'not named'])
def test_only_the_named_peer_is_heard(tmp_path, hosts, peers):
    run, out = tmp_path / 'robot', tmp_path / 'heard'
    robot = {'ROS_STATIC_PEERS': ADDRESSES['learner'] if peers == ADDRESSES['robot'] else STRANGER}
    command = [sys.executable, str(ONE_SIDE), str(run), str(CONFIG), 'robot', *SETTINGS]
    hosts.start('robot', command, **robot)
    wait_for(lambda: bool(node_status(run, 'sim_node')))
    listener = ['sh', '-c', f'exec "$0" -c "$1" > {out}', sys.executable, LISTEN]
    assert hosts.start('learner', listener, ROS_STATIC_PEERS=peers).wait(60) == 0
    heard = int(out.read_text())
    assert heard > 100 if peers == ADDRESSES['robot'] else heard == 0
