"""Which of a foreign dataset's columns, cameras and topics become which names of ours."""

from __future__ import annotations

from pathlib import Path

from hybrid_rl_ros.config_file import Section, read_yaml, validate


class Mapping(Section):
    """`state` and `action`: our name -> theirs; `cameras`: our camera -> their key or topic."""

    state: dict[str, str] = {}
    action: dict[str, str] = {}
    cameras: dict[str, str] = {}


def load_mapping(path: Path) -> Mapping:
    """Raises UserError."""
    return validate(Mapping, read_yaml(path), str(path))
