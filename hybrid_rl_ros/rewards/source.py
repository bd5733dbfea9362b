"""What a reward source is: something that looks at each step and says whether it is so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hybrid_rl_ros.data.specs import Specs


@dataclass(frozen=True)
class Seen:
    """One step, as reward sources see it.

    numbers: by name, such as ee.z (m), wrench.fz (N) and, of a simulation, task.cube.z; images: by camera, (H, W, 3)
    uint8, as the policy sees them.
    """

    numbers: Mapping[str, float]
    images: Mapping[str, np.ndarray] = field(default_factory=dict)


class RewardSource:
    """A source of your own derives from this, in a file of its own, and is named in the configuration:

        reward: {success: {source: 'my_package.my_file:MySource', settings: {...}}}

    What it reads beside the numbers of observation.state is named in the configuration (`numbers`). Raise UserError for
    wrong settings.
    """

    sees = False  # whether it wants images

    def __init__(self, settings: Mapping[str, Any], specs: Specs) -> None:
        self.settings, self.specs = settings, specs

    def reset(self) -> None:
        """An episode begins."""

    def score(self, seen: Seen) -> float:
        """How much it looks so, 0 to 1; above 0.5 it is so."""
        raise NotImplementedError
