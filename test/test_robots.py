"""Every robot file that is shipped can be loaded and is consistent, and says that it has not met the hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from hybrid_rl_ros.robot_config import RobotConfig, load_robot

ROBOTS = Path(__file__).parents[1] / 'config' / 'robots'
SHIPPED = sorted(path.stem for path in ROBOTS.glob('*.yaml'))
REAL = [name for name in SHIPPED if name not in ('sim_arm', 'template')]


def topics(robot: RobotConfig) -> list[str]:
    named = [robot.joint_state_topic, robot.wrench_topic, robot.command.topic, robot.gripper.topic]
    return [topic for topic in [*named, *(state.topic for state in robot.driver_states)] if topic]


def test_the_arms_that_the_documentation_names_are_there():
    assert REAL == ['fr3', 'gen3', 'so101', 'ur5e', 'xarm7']


@pytest.mark.parametrize('name', SHIPPED)
def test_a_shipped_robot_is_consistent(name):
    robot = load_robot(name)
    joints = len(robot.arm_joints)
    assert len(set(robot.arm_joints)) == joints == len(robot.home_rad)
    assert len(robot.joint_speeds_rad_s) == len(robot.joint_accelerations_rad_s2) == joints
    assert not set(robot.arm_joints) & set(robot.gripper.joints)
    # An absolute name would leave the namespace of its robot.
    assert not [topic for topic in topics(robot) if topic.startswith(('/', '~')) or topic != topic.strip('/')]
    if robot.limits.force_n is not None:
        assert robot.wrench_topic is not None
    if name != 'template':
        assert robot.name == name


@pytest.mark.parametrize('name', [*REAL, 'template'])
def test_a_file_that_nobody_tried_on_hardware_says_so_first(name):
    comment = (ROBOTS / f'{name}.yaml').read_text().split('\nname:')[0]
    assert 'not yet met the hardware' in ' '.join(comment.replace('#', ' ').lower().split())


@pytest.mark.parametrize('name', REAL)
def test_a_real_arm_starts_slowly_inside_a_box_it_can_be_seen_in(name):
    robot = load_robot(name)
    assert max(robot.joint_speeds_rad_s) <= 1.0
    assert max(robot.joint_accelerations_rad_s2) <= 5.0
    assert robot.limits.ee_speed_m_s <= 0.3
    assert robot.limits.max_tilt_rad <= 1.0
    assert np.ptp([robot.limits.workspace_low_m, robot.limits.workspace_high_m], axis=0).max() <= 0.6


def test_the_template_shows_every_key_with_its_meaning():
    text = (ROBOTS / 'template.yaml').read_text()
    shown = keys_of(yaml.safe_load(text))
    assert shown == keys_of_model(RobotConfig)
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if ':' in line.split('#')[0]:
            assert any('#' in near for near in lines[index - 1 : index + 2]), f'no comment at {line!r}'


def keys_of(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*[keys_of(item) for item in value]) if value else set()
    return set(value) | keys_of(list(value.values())) if isinstance(value, dict) else set()


def keys_of_model(model: type[BaseModel]) -> set[str]:
    keys = set(model.model_fields)
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, '__args__', ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys |= keys_of_model(part)
    return keys
