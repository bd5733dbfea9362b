"""What a node says of itself on /diagnostics."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus

from hybrid_rl_ros.ros.status import Status


def test_diagnostics_carry_counters_and_values_and_warn_while_there_is_a_warning():
    status = Status('learner_node', None)
    status.count('rollbacks')
    status.values.update(q=0.123456789, updates=400)
    said = status.diagnostics('sim_arm')
    assert {pair.key: pair.value for pair in said.values} == {'rollbacks': '1', 'q': '0.123457', 'updates': '400'}
    assert said.level == DiagnosticStatus.OK
    status.warning = 'critic_loss is inf; the weights were put back'
    assert (status.diagnostics('sim_arm').level, status.diagnostics('sim_arm').message) == (
        DiagnosticStatus.WARN,
        status.warning,
    )
