"""A store written as a bag and read again is the same store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bag_data import PERIOD_NS, assert_same, episode_steps, from_bag, make_store, step, steps_of, to_bag
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from test_replay_store import make_specs, make_step

from hybrid_rl_ros.data.exchange.dataset import import_dataset
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError

WHOLE = [*episode_steps(0, 4, terminal=True), *episode_steps(1, 3, 10 * PERIOD_NS, truncated=True)]
# A held step ends a segment without a last observation, and the next begins in the same episode of the graph.
HELD = [*episode_steps(0, 3), *episode_steps(1, 4, 10 * PERIOD_NS, terminal=True)]
# A resumed run in lock-step begins at the same stamps again.
CLOCK_BEGINS_AGAIN = [*episode_steps(0, 4, terminal=True), *episode_steps(1, 4), *episode_steps(2, 1)]
CURATED = [*episode_steps(3, 3, terminal=True), *episode_steps(7, 3, 10 * PERIOD_NS, truncated=True)]
A_NANOSECOND_APART = [make_step(number, episode=number // 2) for number in range(6)]
BY_A_PERSON = [step(PERIOD_NS, 0, intervention=True), step(2 * PERIOD_NS, 0), step(3 * PERIOD_NS, 0, intervention=True)]


@pytest.mark.parametrize(
    'steps',
    [WHOLE, HELD, CLOCK_BEGINS_AGAIN, CURATED, A_NANOSECOND_APART, BY_A_PERSON, []],
    ids=['whole', 'held', 'clock begins again', 'curated', 'a nanosecond apart', 'by a person', 'empty'],
)
def test_a_store_comes_back_bit_for_bit(tmp_path, steps):
    store = make_store(tmp_path / 'store', steps)
    bag = to_bag(store, tmp_path / 'bag')
    with import_dataset(bag, tmp_path / 'back', 'rosbag', None, Mapping(), lambda *_: None) as back:
        assert_same(steps_of(back), steps)
        with ReplayStore.open(store, read_only=True) as original:
            assert back.specs == original.specs
            assert back.episodes() == original.episodes()
            assert back.transitions == original.transitions


def test_any_store_comes_back(tmp_path):
    """Random ends, gaps, stamps that go back, and interventions."""
    rng = np.random.default_rng(3)
    for number in range(10):
        steps, stamp, episode = [], 0, 0
        for _ in range(30):
            stamp += int(rng.integers(1, 4))
            flags = {'terminal': bool(rng.random() < 0.1)}
            flags['truncated'] = not flags['terminal'] and bool(rng.random() < 0.1)
            alone = not steps or steps[-1].episode != episode
            if alone:
                # A last step without one before it is in no transition, and not kept.
                flags['terminal'] = flags['truncated'] = False
            flags['intervention'] = not any(flags.values()) and bool(rng.random() < 0.3)
            steps.append(step(stamp, episode, **flags))
            if steps[-1].ends_episode or rng.random() < 0.1:
                episode += int(rng.integers(1, 3))
                stamp = stamp if rng.random() < 0.7 else int(rng.integers(0, stamp))
        store = make_store(tmp_path / f'store{number}', steps)
        assert_same(from_bag(to_bag(store, tmp_path / f'bag{number}'), tmp_path / f'back{number}'), steps)


def test_a_ring_that_was_overwritten_keeps_what_it_holds(tmp_path):
    steps = [*episode_steps(0, 6, terminal=True), *episode_steps(1, 6, 10 * PERIOD_NS, truncated=True)]
    with ReplayStore.create(tmp_path / 'store', make_specs(), 8) as store:
        for each in steps:
            store.append(each)
    assert_same(from_bag(to_bag(tmp_path / 'store', tmp_path / 'bag'), tmp_path / 'back'), steps[6:])


@pytest.fixture
def bag(tmp_path) -> Path:
    return to_bag(make_store(tmp_path / 'store', WHOLE), tmp_path / 'bag')


def test_other_software_reads_the_bag(bag):
    """The library rosbags finds the folder, the topics, their types and how they were offered, and every message."""
    with AnyReader([bag]) as reader:
        types = {connection.topic: connection.msgtype for connection in reader.connections}
        assert types == {
            '/observation/state': 'sensor_msgs/msg/JointState',
            '/observation/image/front': 'sensor_msgs/msg/Image',
            '/action/executed': 'sensor_msgs/msg/JointState',
            '/reward': 'sensor_msgs/msg/JointState',
            '/episode': 'diagnostic_msgs/msg/DiagnosticArray',
        }
        qos = {c.topic: c.ext.offered_qos_profiles[0] for c in reader.connections}
        assert qos['/episode'].durability.name == 'TRANSIENT_LOCAL' and qos['/episode'].depth == 1
        assert qos['/reward'].durability.name == 'VOLATILE' and qos['/reward'].reliability.name == 'RELIABLE'
        assert reader.message_count == 4 * len(WHOLE) + 4
        states = [
            reader.deserialize(data, connection.msgtype).position[0]
            for connection, _, data in reader.messages()
            if connection.topic == '/observation/state'
        ]
        assert states == [float(each.observation.state[0]) for each in WHOLE]


def test_a_single_file_and_a_folder_of_bags_are_read_too(tmp_path, bag):
    assert_same(from_bag(bag / 'bag_0.mcap', tmp_path / 'single'), WHOLE)
    second = make_store(tmp_path / 'store2', episode_steps(0, 3, terminal=True))
    (tmp_path / 'bags').mkdir()
    bag.rename(tmp_path / 'bags' / '1')
    to_bag(second, tmp_path / 'bags' / '2')
    steps = from_bag(tmp_path / 'bags', tmp_path / 'both')
    assert_same(steps, [*WHOLE, *episode_steps_numbered(2, 3)])


def episode_steps_numbered(episode: int, count: int):
    """The steps of episode 0 under another number."""
    steps = episode_steps(0, count, terminal=True)
    for each in steps:
        each.episode = episode
    return steps


def rewritten(
    bag: Path, out: Path, plugin: StoragePlugin, rename=lambda topic: topic, keep=lambda topic, n: True
) -> Path:
    """The bag written again by the library rosbags; without the n-th message of a topic where `keep` says so."""
    counts: dict[str, int] = {}
    with AnyReader([bag]) as reader, Writer(out, version=9, storage_plugin=plugin) as writer:
        names = {
            connection.topic: writer.add_connection(
                rename(connection.topic), connection.msgtype, typestore=reader.typestore
            )
            for connection in reader.connections
        }
        for connection, log_ns, data in reader.messages():
            counts[connection.topic] = counts.get(connection.topic, -1) + 1
            if keep(connection.topic, counts[connection.topic]):
                writer.write(names[connection.topic], log_ns, data)
    return out


@pytest.mark.parametrize('plugin', [StoragePlugin.SQLITE3, StoragePlugin.MCAP], ids=['sqlite3', 'mcap'])
def test_what_rosbags_writes_gives_the_same_steps(tmp_path, bag, plugin):
    other = rewritten(bag, tmp_path / 'other', plugin)
    with Reader(other) as reader:
        assert reader.message_count
    assert_same(from_bag(other, tmp_path / 'back', specs=make_specs()), WHOLE)
    single = next(path for path in other.iterdir() if path.suffix in ('.db3', '.mcap'))
    assert_same(from_bag(single, tmp_path / 'single', specs=make_specs()), WHOLE)


def test_a_bag_without_specs_gets_them_from_its_messages(tmp_path, bag):
    other = rewritten(bag, tmp_path / 'other', StoragePlugin.MCAP)
    with import_dataset(other, tmp_path / 'back', 'rosbag', None, Mapping(), lambda *_: None) as back:
        assert_same(steps_of(back), WHOLE)
        (state,), (action,) = back.specs.observation.state.dimensions, back.specs.action.dimensions
        assert (state.name, action.name) == ('x', 'dx')
        values = [float(each.observation.state[0]) for each in WHOLE]
        assert (state.low, state.high) == (min(values), max(values))
        assert [image.shape for image in back.specs.observation.images] == [(8, 8, 3)]


def test_a_namespace_is_found_and_of_two_one_must_be_named(tmp_path, bag):
    other = rewritten(bag, tmp_path / 'other', StoragePlugin.MCAP, rename=lambda topic: f'/left/arm{topic}')
    assert_same(from_bag(other, tmp_path / 'back', specs=make_specs()), WHOLE)
    both = tmp_path / 'both'
    with AnyReader([bag]) as reader, Writer(both, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        for connection in list(reader.connections):
            for name in ('left', 'right'):
                copy = writer.add_connection(
                    f'/{name}{connection.topic}', connection.msgtype, typestore=reader.typestore
                )
                for _, log_ns, data in reader.messages([connection]):
                    writer.write(copy, log_ns, data)
    with pytest.raises(UserError, match='topics of 2 robots; name one as bag.namespace: left, right'):
        from_bag(both, tmp_path / 'neither')
    assert_same(from_bag(both, tmp_path / 'left', make_specs(), bag={'namespace': 'left'}), WHOLE)


@pytest.mark.parametrize('mapping', [{'success': 'all'}, {'units': {'x': 'cm->m'}}, {'action_scale': 'normalised'}])
def test_a_recording_of_ours_says_everything_itself(tmp_path, bag, mapping):
    with pytest.raises(UserError, match=f'mapping: {next(iter(mapping))}: {bag} says that itself'):
        from_bag(bag, tmp_path / 'back', **mapping)


def test_a_message_that_was_not_recorded_costs_its_step_and_begins_a_new_segment(tmp_path, bag):
    """As live: the transition over the gap is gone, and nothing is paired across it."""
    other = rewritten(
        bag, tmp_path / 'other', StoragePlugin.MCAP, keep=lambda topic, n: (topic, n) != ('/observation/image/front', 1)
    )
    found = from_bag(other, tmp_path / 'back', specs=make_specs())
    assert [each.stamp_ns for each in found] == [each.stamp_ns for each in WHOLE if each is not WHOLE[1]]
    assert [each.episode for each in found] == [0, 1, 1, 2, 2, 2]
