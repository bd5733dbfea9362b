"""Which task comes next."""

from __future__ import annotations

from hybrid_rl_ros.control.task_graph import TaskGraph
from hybrid_rl_ros.practice_config import PracticeConfig


def graph_of(only_first: bool = False, **tasks: dict) -> TaskGraph:
    return TaskGraph(PracticeConfig.model_validate({'tasks': tasks}), only_first)


def path_of(graph: TaskGraph, *successes: bool) -> list[str]:
    names = []
    for succeeded in successes:
        graph.ended(succeeded)
        names.append(graph.current)
    return names


def test_a_success_leads_to_the_next_one_listed_and_the_last_to_the_first():
    graph = graph_of(a={}, b={}, c={})
    assert graph.current == 'a'
    assert path_of(graph, True, True, True) == ['b', 'c', 'a']


def test_anything_else_is_tried_again_or_recovered_from():
    assert path_of(graph_of(a={}, b={}), False, False, True) == ['a', 'a', 'b']
    graph = graph_of(a={'after_failure': 'recover'}, b={'next': 'a'}, recover={'next': 'a'})
    assert path_of(graph, False, False, True, True) == ['recover', 'recover', 'a', 'b']


def test_the_numbers_name_the_one_under_way():
    graph = graph_of(a={}, b={})
    graph.ended(True)
    assert graph.numbers == {'practice.a': 0.0, 'practice.b': 1.0}


def test_where_the_scene_is_reset_the_first_is_practised_alone():
    assert path_of(graph_of(only_first=True, a={}, b={}), True, False, True) == ['a', 'a', 'a']


def test_a_run_that_goes_on_begins_with_what_comes_after_its_last_episode():
    graph = graph_of(a={}, b={})
    graph.go_on_after('a', succeeded=True)
    assert graph.current == 'b'
    graph.go_on_after('nothing of these', succeeded=True)
    assert graph.current == 'b'


def test_one_task_without_a_name_is_no_graph():
    graph = graph_of()
    graph.ended(True)
    assert graph.current == '' and graph.numbers == {}
