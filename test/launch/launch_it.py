"""`ros2 launch FILE name:=value ...` where there is no ros2cli; its exit status is launch's own."""

from __future__ import annotations

import sys

from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource


def main() -> None:
    file, *arguments = sys.argv[1:]
    given = [(name, value) for name, _, value in (argument.partition(':=') for argument in arguments)]
    service = LaunchService()
    included = IncludeLaunchDescription(PythonLaunchDescriptionSource(file), launch_arguments=given)
    service.include_launch_description(LaunchDescription([included]))
    sys.exit(service.run())


if __name__ == '__main__':
    main()
