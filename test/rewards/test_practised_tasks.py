"""Each of several tasks has its own judge and time limit."""

from __future__ import annotations

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.data.specs import ActionSpec, ObservationSpec, Specs, VectorSpec
from hybrid_rl_ros.rewards.practised_tasks import PractisedTasks
from hybrid_rl_ros.rewards.source import Seen

SPECS = Specs(observation=ObservationSpec(state=VectorSpec(dimensions=())), action=ActionSpec(dimensions=()))
BACK = {'success': {'when': 'z < 0', 'steps': 1}, 'time_limit_steps': 7}


def tasks_of(**settings) -> PractisedTasks:
    config = {'sim': {'reset': 'none'}, 'observation': {'state': ['practice.back']}, **settings}
    return PractisedTasks(Config.model_validate(config), SPECS, labelling=False)


def seen(z: float, simulation: float) -> Seen:
    return Seen({'z': z, 'task.success': simulation, 'task.failure': 0.0})


def test_what_a_task_leaves_out_is_as_for_all_of_them():
    tasks = tasks_of(practice={'tasks': {'there': {}, 'back': BACK}}, episode={'time_limit_steps': 33})
    assert tasks.time_limit_steps == 33
    assert tasks.judge.judge(seen(-1.0, 1.0)).succeeded and not tasks.judge.judge(seen(-1.0, 0.0)).succeeded
    tasks.graph.ended(succeeded=True)
    assert tasks.time_limit_steps == 7
    assert tasks.judge.judge(seen(-1.0, 0.0)).succeeded and not tasks.judge.judge(seen(1.0, 1.0)).succeeded


def test_the_simulation_has_a_second_opinion_on_the_first_alone():
    there = {'success': {'when': 'z > 0', 'steps': 1}}
    tasks = tasks_of(practice={'tasks': {'there': there, 'back': BACK}})
    assert tasks.has_second_opinion
    tasks.graph.ended(succeeded=True)
    assert not tasks.has_second_opinion
    # Where it is the judge itself, there is no second one.
    assert not tasks_of(practice={'tasks': {'there': {}, 'back': BACK}}).has_second_opinion
