"""Which of a foreign dataset's columns, cameras and topics become which names of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from hybrid_rl_ros.config_file import Section, read_yaml, validate


class BagMapping(Section):
    """Bags. One without our observation/* streams is sampled at `rate_hz`; names are then `topic:field`."""

    namespace: str | None = Field(None, description='of our own topics, where a bag holds those of several robots')
    rate_hz: float | None = Field(None, gt=0, le=1000, description='control steps a second')
    max_age_s: float = Field(0.5, gt=0, description='a gap this long in a stream ends the segment')
    episode: str | None = Field(
        None, description='`topic:field`: an episode lasts while it is true, or while it keeps one number'
    )
    success: Literal['all', 'none'] = Field('none', description='whether the episodes end in success')


class Mapping(Section):
    """`state` and `action`: our name -> theirs; `cameras`: our camera -> their key or topic."""

    state: dict[str, str] = {}
    action: dict[str, str] = {}
    cameras: dict[str, str] = {}
    bag: BagMapping = BagMapping()


def load_mapping(path: Path) -> Mapping:
    """Raises UserError."""
    return validate(Mapping, read_yaml(path), str(path))
