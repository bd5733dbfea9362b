"""Makes the simulation that a configuration asks for; nothing here loads a simulator that is not used."""

from __future__ import annotations

import importlib
import os

from hybrid_rl_ros.config import Config
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.robot_config import RobotConfig
from hybrid_rl_ros.sim.backend import Simulation
from hybrid_rl_ros.sim.gl import choose_gl, unusable_gl


def make_simulation(config: Config, robot: RobotConfig, seed: int) -> Simulation:
    """The simulation of `config.task`; starts are drawn from `seed`. Raises UserError."""
    sim = config.sim
    if sim is None:
        raise UserError('sim: null means a real robot; there is nothing to simulate')
    cameras = {name: (camera.height, camera.width) for name, camera in config.observation.driver_cameras.items()}
    if sim.gl == 'off' and cameras:
        raise UserError(
            f'sim.gl: off means no cameras, but observation.cameras lists {", ".join(cameras)}; change one of them'
        )
    if sim.backend == 'gymnasium':
        try:
            from hybrid_rl_ros.sim.gymnasium_backend import GymnasiumSimulation
        except ModuleNotFoundError as error:
            raise _not_installed(error, 'gymnasium') from None
        return GymnasiumSimulation(config, seed)
    gl = choose_gl(sim.gl)
    # MuJoCo reads this when it is first imported, and without it looks for a display.
    if cameras:
        os.environ['MUJOCO_GL'] = gl
    else:
        os.environ.setdefault('MUJOCO_GL', 'disabled')
    try:
        importlib.import_module('mujoco')
    except ModuleNotFoundError as error:
        raise _not_installed(error, 'mujoco') from None
    except (ImportError, AttributeError, OSError) as error:
        # PyOpenGL's ways of saying that a library is not there.
        raise unusable_gl(gl, error) from None
    from hybrid_rl_ros.sim.arm import ArmSimulation
    from hybrid_rl_ros.sim.tasks import make_task

    return ArmSimulation(robot, make_task(config.task, robot, sim.placed), seed, cameras, gl, sim.tray)


def _not_installed(error: ModuleNotFoundError, package: str) -> Exception:
    """What to raise when importing the backend failed: only its own package missing is the user's to mend."""
    if error.name != package:
        return error
    return UserError(f'sim.backend: {package} is not installed; pip install "hybrid_rl_ros[sim]"')
