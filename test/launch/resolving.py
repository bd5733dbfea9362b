"""What a launch file would start, without starting it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, TimerAction
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch.utilities import perform_substitutions

FOLDER = Path(__file__).parents[2] / 'launch'
FILES = sorted(FOLDER.glob('*.launch.py'))


def load(name: str) -> LaunchDescription:
    return get_launch_description_from_python_launch_file(str(FOLDER / f'{name}.launch.py'))


def declared(name: str) -> list[DeclareLaunchArgument]:
    return [entity for entity in load(name).entities if isinstance(entity, DeclareLaunchArgument)]


def pretend_installed(prefix: Path, package: str) -> Path:
    """An empty program of a package's name under `prefix`; its path."""
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True, exist_ok=True)
    (index / package).touch()
    program = prefix / 'lib' / package / package
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    return program


def processes(name: str, **arguments: str) -> list[ExecuteProcess]:
    """The processes of a launch file, in the order of starting; those that wait for the simulation too."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    entities: list[Any] = []
    for entity in load(name).entities:
        performed = isinstance(entity, (OpaqueFunction, DeclareLaunchArgument))
        entities += entity.execute(context) or [] if performed else [entity]
    return list(_processes(entities, context))


def _processes(entities: list[Any], context: LaunchContext) -> Iterator[ExecuteProcess]:
    for entity in entities:
        if isinstance(entity, ExecuteProcess):
            yield entity
        elif isinstance(entity, TimerAction):
            later = [action.execute(context) or [] for action in entity.actions]
            yield from (action for actions in later for action in actions if isinstance(action, ExecuteProcess))


def command(process: ExecuteProcess) -> list[str]:
    context = LaunchContext()
    # What launch_ros fills in when it starts a node: its name and parameters.
    context.extend_locals({'ros_specific_arguments': defaultdict(str)})
    return [perform_substitutions(context, part) for part in process.cmd]
