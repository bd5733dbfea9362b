"""How far each node is heard, and by which profile of Fast DDS."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from graph_runs import CAMERA, CONFIG, REACH

from hybrid_rl_ros.bringup import environment_of
from hybrid_rl_ros.config import load_config
from hybrid_rl_ros.process_environment import STATIC_PEERS, profile_variables

RANGE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in (*profile_variables(), RANGE, STATIC_PEERS, 'RMW_IMPLEMENTATION'):
        monkeypatch.delenv(name, raising=False)


def transport_of(node: str, *settings: str) -> tuple[Path, str]:
    """The profile, and the range of discovery."""
    environment = environment_of(node, load_config(REACH, list(settings)))
    (profile,) = {environment[name] for name in profile_variables()}
    return Path(profile), environment[RANGE]


def transports(node: str, *settings: str) -> list[str | None]:
    profile, _ = transport_of(node, *settings)
    return [element.text for element in ElementTree.parse(profile).getroot().iter() if element.tag.endswith('}type')]


@pytest.mark.parametrize('node', ['safety_node', 'teleop_node'])
def test_who_has_nothing_to_do_with_images_never_waits_for_shared_memory(node):
    assert transports(node, CAMERA) == ['UDPv4']


def test_images_go_through_shared_memory_and_a_run_without_any_has_none():
    for node in ('sim_node', 'camera_node_front', 'observation_node', 'inference_node', 'learner_node'):
        assert transports(node, CAMERA) == ['SHM', 'UDPv4']
        assert transports(node) == ['UDPv4']
    assert transports('bag_node') == ['SHM', 'UDPv4']


def test_without_shared_memory_the_profile_says_what_the_range_localhost_would_have_said(monkeypatch):
    profile, discovery = transport_of('safety_node')
    peers = [element.text for element in ElementTree.parse(profile).getroot().iter() if element.tag.endswith('address')]
    assert peers == ['127.0.0.1'] and discovery == 'SYSTEM_DEFAULT'
    monkeypatch.setenv(RANGE, 'LOCALHOST')
    assert transport_of('safety_node') == (profile, discovery)
    monkeypatch.setenv(RANGE, 'SUBNET')
    assert transport_of('safety_node') == (profile.with_name('fastdds_udp.xml'), 'SUBNET')


def test_nodes_announce_themselves_alike_whatever_their_profile():
    said = {
        tuple(
            element.text
            for element in ElementTree.parse(file).getroot().iter()
            if element.tag.endswith(('count', 'sec'))
        )
        for file in CONFIG.glob('fastdds*.xml')
    }
    assert said == {('20', '100000000', '1')}


def test_of_two_machines_all_but_the_gate_are_told_and_so_each_pair_finds_each_other(monkeypatch):
    monkeypatch.setenv(STATIC_PEERS, '10.0.0.2')
    assert {transport_of(node)[1] for node in ('sim_node', 'learner_node', 'teleop_node')} == {'LOCALHOST'}
    assert transports('safety_node') == ['UDPv4'] and transport_of('safety_node')[1] == 'SYSTEM_DEFAULT'


def test_another_middleware_that_knows_no_profile_keeps_to_this_machine(monkeypatch):
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    assert transport_of('safety_node')[1] == 'LOCALHOST'


def test_the_users_profile_stays_and_one_of_our_own_that_this_process_has_is_not_the_users(tmp_path, monkeypatch):
    own, users = CONFIG / 'fastdds.xml', tmp_path / 'fastdds.xml'
    for name in profile_variables():
        monkeypatch.setenv(name, str(own))
    assert transport_of('safety_node') == (own.with_name('fastdds_udp_localhost.xml'), 'SYSTEM_DEFAULT')
    for name in profile_variables():
        monkeypatch.setenv(name, str(users))
    assert transport_of('safety_node') == (users, 'LOCALHOST')
