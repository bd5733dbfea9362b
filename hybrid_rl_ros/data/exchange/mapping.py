"""Which of a foreign dataset's columns, cameras and topics become which names of ours, and in which units."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from hybrid_rl_ros.config_file import Section, read_yaml, validate
from hybrid_rl_ros.data.exchange.units import parse_conversion


class BagMapping(Section):
    """Bags. One without our observation/* streams is sampled at `rate_hz`; names are then `topic:field`."""

    namespace: str | None = Field(None, description='of our own topics, where a bag holds those of several robots')
    rate_hz: float | None = Field(None, gt=0, le=1000, description='control steps a second')
    max_age_s: float = Field(0.5, gt=0, description='a gap this long in a stream ends the segment')
    episode: str | None = Field(
        None, description='`topic:field`: an episode lasts while it is true, or while it keeps one number'
    )


class Mapping(Section):
    """docs/data.md explains every key.

    `state` and `action`: our name -> theirs; `cameras`: our camera -> their key or topic; `units`: our name ->
    conversion, `deg->rad`; `ranges`: our name -> what their numbers are at our lower and upper bound; `action_scale`:
    whether their actions are physical or -1 to 1 of the bounds; `quaternions`: their key -> the order of its four
    numbers; `success`: how their episodes ended, where they do not say it; `filter_key`: which of robomimic's filter
    keys to take.
    """

    state: dict[str, str] = {}
    action: dict[str, str] = {}
    cameras: dict[str, str] = {}
    bag: BagMapping = BagMapping()
    units: dict[str, str] = {}
    ranges: dict[str, tuple[float, float]] = {}
    quaternions: dict[str, Literal['xyzw', 'wxyz']] = {}
    action_scale: Literal['physical', 'normalised'] = 'physical'
    success: Literal['all', 'none'] | None = None
    filter_key: str | None = None

    @field_validator('units')
    @classmethod
    def _known_units(cls, units: dict[str, str]) -> dict[str, str]:
        for conversion in units.values():
            parse_conversion(conversion)
        return units

    @field_validator('ranges')
    @classmethod
    def _wide_ranges(cls, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        for first, last in ranges.values():
            if first == last:
                raise ValueError('expected two different numbers, theirs at our lower and at our upper bound')
        return ranges


def load_mapping(path: Path) -> Mapping:
    """Raises UserError."""
    return validate(Mapping, read_yaml(path), str(path))
