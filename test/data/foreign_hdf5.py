"""HDF5 files as robomimic documents them, made by h5py alone."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
from exchange_data import smooth_image

ROWS = 6


def write_robomimic(
    path: Path, demos: int = 3, next_obs: bool = True, dones: bool = True, rewards: bool = True
) -> None:
    """Demos 0, 2, 4, ... succeed with their last action, the others do not.

    robot0_eef_pos in m, robot0_eef_quat xyzw, robot0_gripper_qpos in m, agentview_image uint8 20 x 24, actions -1 to 1.
    """
    with h5py.File(path, 'w') as file:
        data = file.create_group('data')
        data.attrs['total'] = demos * ROWS
        kwargs = {'control_freq': 20}
        data.attrs['env_args'] = json.dumps({'env_name': 'Lift', 'env_type': 1, 'env_kwargs': kwargs})
        # Written from the last on: their order is that of their numbers.
        for number in reversed(range(demos)):
            demo = data.create_group(f'demo_{number}')
            demo.attrs['num_samples'] = ROWS
            observations = observed(number)
            for key, values in observations.items():
                demo[f'obs/{key}'] = values[:-1]
                if next_obs:
                    demo[f'next_obs/{key}'] = values[1:]
            demo['actions'] = acted(number)
            demo['states'] = np.zeros((ROWS, 5))
            success = np.zeros(ROWS)
            success[-1] = number % 2 == 0
            if rewards:
                demo['rewards'] = success
            if dones:
                demo['dones'] = success.astype(np.int64)
        names = [f'demo_{number}'.encode() for number in range(1, demos)]
        file.create_group('mask')['valid'] = np.array(names)


def observed(number: int) -> dict[str, np.ndarray]:
    """What demo `number` sees, (ROWS + 1, ...) each."""
    rng = np.random.default_rng(number)
    return {
        'robot0_eef_pos': rng.uniform([0.3, -0.2, 0.0], [0.6, 0.2, 0.3], (ROWS + 1, 3)),
        'robot0_eef_quat': np.tile([0.0, 0.6, 0.0, 0.8], (ROWS + 1, 1)),
        'robot0_gripper_qpos': rng.uniform(0, 0.04, (ROWS + 1, 2)),
        'agentview_image': np.stack([smooth_image(20, 24, number + 0.2 * row) for row in range(ROWS + 1)]),
    }


def acted(number: int) -> np.ndarray:
    """(ROWS, 2) actions of demo `number`."""
    return np.random.default_rng(100 + number).uniform(-1, 1, (ROWS, 2))
