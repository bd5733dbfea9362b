"""The typed configuration: every key checked, an unknown key is an error that names its nearest neighbour."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hybrid_rl_ros.errors import UserError


class Section(BaseModel):
    """A part of the configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra='forbid')


class CameraConfig(Section):
    """A camera stream `<name>/image_raw`, resized to what the policy sees."""

    width: int = Field(64, ge=16, le=1024)
    height: int = Field(64, ge=16, le=1024)


class SimConfig(Section):
    """What stands in for the robot and its drivers."""

    backend: Literal['mujoco', 'gymnasium'] = 'mujoco'
    gl: Literal['auto', 'osmesa', 'egl', 'off'] = 'auto'
    env_id: str | None = None
    env_kwargs: dict[str, Any] = {}

    @model_validator(mode='after')
    def _gymnasium_needs_an_environment(self) -> SimConfig:
        if (self.backend == 'gymnasium') != (self.env_id is not None):
            raise ValueError('env_id is set exactly when backend is gymnasium')
        return self


class ObservationConfig(Section):
    """Which named numbers and which cameras the policy sees.

    State names: `<joint>.position`, `<joint>.velocity`, `ee.x|y|z|vx|vy|vz|yaw`, `gripper.opening`,
    `wrench.fx|fy|fz|tx|ty|tz`, and `task.<name>` from the task_state stream (simulation only knows it).
    With the gymnasium backend, leave `state` empty: the environment's observation vector is taken.
    """

    state: list[str] = []
    cameras: dict[str, CameraConfig] = {}
    max_age_s: float = Field(0.5, gt=0, description='real time: a stream older than this stops observations')
    topic_timeout_s: float = Field(5.0, gt=0, description='give up when nobody publishes a stream this long')


class ActionConfig(Section):
    """What one control step may ask for."""

    space: Literal['ee_delta', 'direct'] = 'ee_delta'
    max_step_m: float = Field(0.025, gt=0, le=0.2)
    gripper: bool = True
    timeout_s: float = Field(0.2, gt=0, description='hold when no action came for this long (steady time)')


class EpisodeConfig(Section):
    time_limit_steps: int = Field(100, ge=1)
    observation_timeout_s: float = Field(1.0, gt=0, description='real time: abort when observations stop this long')


class RewardConfig(Section):
    """`success`: success_reward on success and step_reward otherwise; `environment`: task.reward as it comes.

    `shaping` adds a multiple of named task numbers at every step, such as {distance: -1.0}.
    """

    source: Literal['success', 'environment'] = 'success'
    success_reward: float = 1.0
    step_reward: float = 0.0
    shaping: dict[str, float] = {}


class EncoderConfig(Section):
    """One small convolutional encoder per camera."""

    features: int = Field(64, ge=8)
    mode: Literal['frozen', 'end_to_end'] = 'frozen'
    random_shift_px: int = Field(3, ge=0)


class SacConfig(Section):
    """SAC with demonstrations (RLPD, HIL-SERL); defaults are the calibrated ones."""

    hidden: list[int] = [256, 256]
    critics: int = Field(2, ge=1)
    critic_subset: int = Field(2, ge=1)
    discount: float = Field(0.97, gt=0, lt=1)
    tau: float = Field(0.005, gt=0, le=1)
    learning_rate: float = Field(3e-4, gt=0)
    initial_temperature: float = Field(0.01, gt=0)
    target_entropy_per_dim: float = -0.5
    entropy_backup: bool = False
    batch: int = Field(128, ge=2)
    demo_ratio: float = Field(0.5, ge=0, lt=1)
    updates_per_step: int = Field(4, ge=1)
    critic_updates_per_actor_update: int = Field(1, ge=1)

    @model_validator(mode='after')
    def _subset_fits(self) -> SacConfig:
        if self.critic_subset > self.critics:
            raise ValueError(f'critic_subset ({self.critic_subset}) is larger than critics ({self.critics})')
        return self


class BcConfig(Section):
    """Behaviour cloning of the demonstrations; it also pretrains the encoders of `sac`."""

    updates: int = Field(600, ge=1)
    batch: int = Field(128, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    hidden: list[int] = [256, 256]


class TrainConfig(Section):
    env_steps: int = Field(5000, ge=1)
    warm_up_steps: int = Field(
        200, ge=0, description='before the first update: actions of the cloned policy with noise, or random without one'
    )
    warm_up_noise: float = Field(
        0.3, ge=0, description="deviation of the noise on the cloned policy's actions, a fraction of half their range"
    )
    publish_every_steps: int = Field(10, ge=1)
    checkpoint_every_steps: int = Field(500, ge=1)
    replay_capacity: int = Field(100_000, ge=100)
    torch_threads: int = Field(1, ge=1)
    device: Literal['auto', 'cpu', 'cuda'] = 'auto'


class EvalConfig(Section):
    episodes: int = Field(50, ge=0, description='fresh episodes after training; 0 for none')


class Config(Section):
    """Everything one run is made of."""

    task: Literal['reach', 'push', 'lift', 'peg_insert', 'gymnasium'] = 'lift'
    agent: Literal['sac', 'bc'] = 'sac'
    seed: int = Field(1, ge=0)
    control_rate_hz: float = Field(10.0, gt=0, le=100)
    clock: Literal['lockstep', 'realtime'] = 'lockstep'
    robot: str = 'sim_arm'
    namespace: str = ''
    demos: str | None = None
    sim: SimConfig | None = SimConfig()
    observation: ObservationConfig = ObservationConfig()
    action: ActionConfig = ActionConfig()
    episode: EpisodeConfig = EpisodeConfig()
    reward: RewardConfig = RewardConfig()
    encoder: EncoderConfig = EncoderConfig()
    sac: SacConfig = SacConfig()
    bc: BcConfig = BcConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    @property
    def control_period_s(self) -> float:
        return 1.0 / self.control_rate_hz

    @model_validator(mode='after')
    def _parts_fit(self) -> Config:
        gymnasium = self.sim is not None and self.sim.backend == 'gymnasium'
        if gymnasium != (self.task == 'gymnasium') or gymnasium != (self.action.space == 'direct'):
            raise ValueError('sim.backend: gymnasium, task: gymnasium and action.space: direct belong together')
        if self.clock == 'lockstep' and self.sim is None:
            raise ValueError('clock: lockstep needs a simulation; a real robot runs with clock: realtime')
        return self


class RobotConfig(Section):
    """A robot arm as a YAML file (config/robots/): joints, frames, limits and command topics."""

    name: str
    urdf: str
    tool_frame: str
    arm_joints: list[str] = Field(min_length=1)
    home_rad: list[float]
    gripper_joints: list[str] = []
    gripper_closed_m: float = 0.0
    gripper_open_m: float = 0.0
    gripper_speed_m_s: float = Field(0.1, gt=0)
    workspace_low_m: tuple[float, float, float]
    workspace_high_m: tuple[float, float, float]
    max_joint_speed_rad_s: float = Field(1.0, gt=0)
    arm_command_topic: str
    gripper_command_topic: str | None = None

    @model_validator(mode='after')
    def _lengths_agree(self) -> RobotConfig:
        if len(self.home_rad) != len(self.arm_joints):
            raise ValueError(f'home_rad has {len(self.home_rad)} values for {len(self.arm_joints)} arm_joints')
        return self


def load_config(path: str | os.PathLike[str], overrides: list[str] | None = None) -> Config:
    """Read a run's configuration and apply `key=value` overrides (`sac.batch=64`). Raises UserError."""
    data = _read_yaml(Path(path))
    for override in overrides or []:
        _apply_override(data, override)
    return _validate(Config, data, str(path))


def load_robot(name_or_path: str) -> RobotConfig:
    """Read a robot by its name in config/robots/ or by a path. Raises UserError."""
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = share_folder('config') / 'robots' / f'{name_or_path}.yaml'
    return _validate(RobotConfig, _read_yaml(path), str(path))


def save_config(config: BaseModel, path: Path) -> None:
    path.write_text(yaml.safe_dump(config.model_dump(mode='json'), sort_keys=False))


def share_folder(name: str) -> Path:
    """The folder `config`, `urdf`, `launch` or `worlds`: in the checkout, or as installed under share/."""
    package = Path(__file__).resolve().parent
    candidates = [package.parent / name]
    prefixes = [Path(prefix) for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(':') if prefix]
    candidates += [prefix / 'share' / 'hybrid_rl_ros' / name for prefix in prefixes]
    # pip puts data_files under the environment's prefix, four levels above site-packages/<package>.
    candidates += [parent / 'share' / 'hybrid_rl_ros' / name for parent in package.parents]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise UserError(f'the folder {name}/ of hybrid_rl_ros was not found; looked in {", ".join(map(str, candidates))}')


def urdf_path(robot: RobotConfig) -> Path:
    """The robot's URDF: an absolute or existing path, or a file in urdf/. Raises UserError."""
    path = Path(robot.urdf)
    if not path.is_file():
        path = share_folder('urdf') / robot.urdf
    if not path.is_file():
        raise UserError(f'robot {robot.name}: urdf {robot.urdf!r} is neither a file nor in {path.parent}')
    return path


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UserError(f'{path}: no such file') from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: cannot be read: {error}') from None
    except yaml.YAMLError as error:
        raise UserError(f'{path}: not valid YAML: {" ".join(str(error).split())}') from None
    if not isinstance(data, dict):
        raise UserError(f'{path}: expected a mapping of keys to values at the top level')
    return data


def _apply_override(data: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition('=')
    if not separator or not key:
        raise UserError(f'--set {override}: expected key=value, for example --set seed=2')
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f'--set {override}: the value is not valid YAML') from None
    *parents, last = key.split('.')
    for parent in parents:
        child = data.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UserError(f'--set {override}: {parent} is a value, not a section')
        data = child
    data[last] = value


def _validate(model: type[Any], data: dict[str, Any], where: str) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise UserError(f'{where}: {_first_complaint(model, error)}') from None


def _first_complaint(model: type[BaseModel], error: ValidationError) -> str:
    """One line for the first mistake: key, value, rule, and for an unknown key the nearest valid one."""
    first = error.errors()[0]
    key = '.'.join(str(part) for part in first['loc'])
    if first['type'] == 'extra_forbidden':
        nearest = difflib.get_close_matches(key, _valid_keys(model), n=1, cutoff=0.0)
        return f'unknown key {key!r}; the nearest valid key is {nearest[0]!r}'
    rule = first['msg'].removeprefix('Value error, ')
    if first['type'] == 'missing':
        return f'{key}: required and not given'
    return f'{key}: {rule}, got {first["input"]!r}' if key else rule


def _valid_keys(model: type[BaseModel], prefix: str = '') -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        for nested in (field.annotation, *getattr(field.annotation, '__args__', ())):
            if isinstance(nested, type) and issubclass(nested, BaseModel):
                keys += _valid_keys(nested, f'{prefix}{name}.')
    return keys
