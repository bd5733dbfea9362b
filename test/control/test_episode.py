"""Terminal and truncated are told apart."""

from __future__ import annotations

from hybrid_rl_ros.control.episode import Episode


def test_a_success_is_terminal_and_a_time_limit_is_not():
    episode = Episode(time_limit_steps=2)
    episode.start()
    episode.arrive(1.0, succeeded=True, failed=False, truncated=False)
    assert (episode.state, episode.terminal, episode.truncated) == ('succeeded', True, False)
    episode.start()
    episode.arrive(0.0, False, False, False)
    assert episode.running
    episode.arrive(0.0, False, False, False)
    assert (episode.state, episode.terminal, episode.truncated) == ('timed_out', False, True)
    assert episode.number == 1


def test_a_success_on_the_last_step_is_a_success():
    episode = Episode(time_limit_steps=1)
    episode.start()
    episode.arrive(1.0, True, False, False)
    assert episode.state == 'succeeded'


def test_an_aborted_episode_is_neither():
    episode = Episode(time_limit_steps=5)
    episode.start()
    episode.abort()
    assert not episode.running and not episode.terminal and not episode.truncated
