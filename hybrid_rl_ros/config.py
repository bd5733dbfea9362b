"""The typed configuration of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from hybrid_rl_ros.camera_config import SourceConfig
from hybrid_rl_ros.config_file import Section, parse_yaml, read_yaml, validate
from hybrid_rl_ros.errors import UserError


class CameraConfig(Section):
    """A camera stream `<name>/image_raw`, resized to what the policy sees; camera_node publishes it from a `source`."""

    width: int = Field(64, ge=16, le=1024)
    height: int = Field(64, ge=16, le=1024)
    source: SourceConfig | None = None


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
    frozen_after_s: float = Field(
        1.0, gt=0, description='a real camera that repeats one picture this long stops observations'
    )
    topic_timeout_s: float = Field(5.0, gt=0, description='give up when nobody publishes a stream this long')

    @property
    def driver_cameras(self) -> dict[str, CameraConfig]:
        """The cameras that a ROS driver publishes, or the simulation in its place: those without a source."""
        return {name: camera for name, camera in self.cameras.items() if camera.source is None}


class ActionConfig(Section):
    """What one control step may ask for."""

    space: Literal['ee_delta', 'joint_delta', 'joint_position', 'direct'] = 'ee_delta'
    max_step_m: float = Field(0.025, gt=0, le=0.2)
    max_step_rad: float = Field(0.1, gt=0, le=1.0, description='of rotations and of joint_delta')
    rotation: bool = Field(False, description='ee_delta: three rotations beside the three translations')
    frame: Literal['base', 'tool'] = Field('base', description='ee_delta: whose axes the numbers are along')
    gripper: bool = True
    gripper_mode: Literal['continuous', 'discrete'] = Field(
        'continuous', description='discrete: above 0.5 opens, below -0.5 closes, in between keeps'
    )


class SafetyConfig(Section):
    """When safety_node stops listening. All times are of steady time."""

    action_timeout_s: float = Field(0.15, gt=0, description='brake when no action came for this long')
    latch_after_s: float = Field(1.0, gt=0, description='silence beyond this must be cleared by a person')
    joint_state_timeout_s: float = Field(0.15, gt=0, description='brake when no joint state came for this long')
    wrench_timeout_s: float = Field(0.15, gt=0, description='latch when a force limit is set and no wrench came')
    episode_timeout_s: float = Field(1.0, gt=0, description='brake the policy when reward_reset_node is silent')
    max_action_age_s: float = Field(0.3, gt=0, description='an action stamped earlier is rejected')
    estop_heartbeat_s: float | None = Field(
        None, gt=0, description='stop when `estop` is silent this long; null for off'
    )


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
    """One convolutional encoder per camera: a trunk, and a head that makes `features` numbers of what the trunk saw."""

    kind: Literal['small'] = 'small'
    features: int = Field(64, ge=8)
    mode: Literal['frozen', 'end_to_end'] = Field(
        'frozen', description='frozen: what does not learn is computed once per frame and kept'
    )
    pretraining: Literal['bc', 'none'] = Field('bc', description='what the encoders start from; none: random weights')
    random_shift_px: int = Field(3, ge=0)


# What the published configurations of these methods say; every key can be set beside `preset`.
_SAC_PRESETS: dict[str, dict[str, Any]] = {
    'rlpd': {
        'activation': 'relu',
        'actor_layer_norm': False,
        'critics': 10,
        'critic_subset': 2,
        'discount': 0.99,
        'initial_temperature': 1.0,
        'entropy_backup': True,
        'batch': 256,
        'updates_per_step': 20,
        'critic_updates_per_actor_update': 20,
    },
    'serl': {
        'critics': 10,
        'critic_subset': 2,
        'discount': 0.96,
        'batch': 256,
        'updates_per_step': 4,
        'critic_updates_per_actor_update': 4,
    },
    'hil_serl': {'discount': 0.97, 'batch': 256, 'updates_per_step': 4, 'critic_updates_per_actor_update': 2},
}


class SacConfig(Section):
    """SAC with demonstrations (RLPD, HIL-SERL); defaults are the calibrated ones."""

    preset: Literal['rlpd', 'serl', 'hil_serl'] | None = Field(
        None, description='values as published, under the ones that are set here'
    )
    hidden: list[int] = [256, 256]
    activation: Literal['tanh', 'relu'] = 'tanh'
    actor_layer_norm: bool = True
    critic_layer_norm: bool = True
    critics: int = Field(2, ge=1)
    critic_subset: int = Field(2, ge=1, description='the target is the least of so many, drawn anew for every update')
    discount: float = Field(0.97, gt=0, lt=1)
    n_step: int = Field(1, ge=1, description='rewards summed before the target bootstraps')
    tau: float = Field(0.005, gt=0, le=1)
    learning_rate: float = Field(3e-4, gt=0)
    initial_temperature: float = Field(0.01, gt=0)
    target_entropy_per_dim: float = Field(-0.5, description='times the number of action dimensions; RLPD: -0.5')
    entropy_backup: bool = False
    batch: int = Field(128, ge=2)
    demo_ratio: float = Field(0.5, ge=0, lt=1)
    updates_per_step: int = Field(4, ge=1)
    critic_updates_per_actor_update: int = Field(1, ge=1)
    actor_init: Literal['auto', 'random', 'bc'] = Field(
        'auto', description='bc: the actor begins as the cloned policy; auto: it does with offline.method cal_ql alone'
    )
    actor_init_std: float = Field(
        0.15, gt=0, description='a cloned actor: deviation before the tanh, which cloning does not teach'
    )
    critic_warm_up_updates: int = Field(
        2000, ge=0, description='a cloned actor: updates of the critics alone, which know nothing of its actions yet'
    )
    actor_pull: float = Field(
        0.1, ge=0, description='a pretrained actor: weight of its divergence from what it was, at first'
    )
    actor_pull_updates: int = Field(12_000, ge=1, description='over so many updates of the critics it falls to 0')

    @model_validator(mode='before')
    @classmethod
    def _fill_from_preset(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get('preset'), str):
            return data
        return {**_SAC_PRESETS.get(data['preset'], {}), **data}

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


class OfflineConfig(Section):
    """What is learned from stored episodes before the first step, and what remains of it online.

    cal_ql: calibrated Q-learning (Nakamoto et al. 2023) after behaviour cloning. wsrl (Zhou et al. 2024): the
    pretrained policy fills the replay store by itself, then learns from that alone; symmetric: demonstrations stay in
    every batch.
    """

    method: Literal['bc', 'cal_ql'] = 'bc'
    data: list[str] = Field([], description='replay stores beside demos, of episodes of any quality')
    updates: int = Field(1500, ge=1, description='in the first third the critics alone learn')
    batch: int = Field(128, ge=2)
    alpha: float = Field(5.0, ge=0, description='weight of the conservative loss')
    value_scale: float = Field(
        100.0, gt=0, description="alpha is meant for values that span hundreds; a success reward of 1 needs some 100"
    )
    temperature: float = Field(1.0, gt=0, description="of the conservative loss's soft maximum over actions")
    actions: int = Field(4, ge=1, description='random ones, and of the policy here and one step on; published: 10')
    calibrated: bool = Field(True, description='false: conservative Q-learning (Kumar et al. 2020)')
    max_target_backup: bool = Field(True, description='targets take the best of `actions` next actions')
    online: Literal['symmetric', 'wsrl'] = 'symmetric'
    warm_up_steps: int = Field(500, ge=1, description='wsrl: steps of the pretrained policy alone; published: 5000')

    @model_validator(mode='after')
    def _wsrl_has_critics(self) -> OfflineConfig:
        if self.online == 'wsrl' and self.method != 'cal_ql':
            raise ValueError('online: wsrl needs the critics of method: cal_ql')
        return self


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
    compile: Literal['auto', 'on', 'off'] = Field(
        'auto', description='each update as one compiled graph; auto: where there is a C++ compiler. off: to debug'
    )
    precision: Literal['fp32', 'bf16'] = Field('fp32', description='bf16: matrix products in 16 bits, weights in 32')


class InferenceConfig(Section):
    """How inference_node runs the policy's network."""

    engine: Literal['auto', 'onnx', 'eager'] = Field(
        'auto', description='auto: onnxruntime on the CPU, a CUDA graph on a GPU, and PyTorch eager where they fail'
    )
    # A small network is done on the CPU before a GPU has started, and does not wait there for the learner's kernels.
    device: Literal['cpu', 'cuda'] = 'cpu'

    @model_validator(mode='after')
    def _onnx_is_for_the_cpu(self) -> InferenceConfig:
        if self.engine == 'onnx' and self.device != 'cpu':
            raise ValueError('engine: onnx runs on device: cpu; engine: auto makes a CUDA graph on a GPU')
        return self


class TeleopConfig(Section):
    """A person beside the policy: holding the clutch takes over, and what is then done is learned from."""

    device: str | None = Field(None, description='a file of config/teleop/ by its name, or a path; null for nobody')


class EvalConfig(Section):
    episodes: int = Field(50, ge=0, description='fresh episodes after training; 0 for none')


class BagConfig(Section):
    """What bag_node records into <run>/bag: rosbag2 folders of MCAP."""

    write: bool = False
    images: bool = Field(True, description='camera streams, and what the policy sees of them')
    topics: list[str] = Field([], description='more topics, whatever their types')
    queue_mb: float = Field(64, gt=0, description='may wait for the disk; what comes on top is dropped and counted')
    split_mb: float = Field(1000, ge=0, description='a new file begins after so much; 0 for never')


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
    safety: SafetyConfig = SafetyConfig()
    episode: EpisodeConfig = EpisodeConfig()
    reward: RewardConfig = RewardConfig()
    encoder: EncoderConfig = EncoderConfig()
    sac: SacConfig = SacConfig()
    bc: BcConfig = BcConfig()
    offline: OfflineConfig = OfflineConfig()
    train: TrainConfig = TrainConfig()
    inference: InferenceConfig = InferenceConfig()
    teleop: TeleopConfig = TeleopConfig()
    eval: EvalConfig = EvalConfig()
    bag: BagConfig = BagConfig()

    @property
    def control_period_s(self) -> float:
        return 1.0 / self.control_rate_hz

    @property
    def starts_pretrained(self) -> bool:
        """Whether the actor that learns is, at first, the pretrained policy."""
        return self.agent == 'sac' and (self.clones_actor or self.offline.method == 'cal_ql')

    @property
    def clones_actor(self) -> bool:
        """Whether the actor that learns, offline or online, begins as the cloned policy."""
        chosen = self.sac.actor_init
        return chosen == 'bc' or (chosen == 'auto' and self.offline.method == 'cal_ql')

    @property
    def warm_up_steps(self) -> int:
        """Steps before the first update."""
        return self.offline.warm_up_steps if self.offline.online == 'wsrl' else self.train.warm_up_steps

    @property
    def demo_ratio(self) -> float:
        return 0.0 if self.offline.online == 'wsrl' else self.sac.demo_ratio

    @model_validator(mode='after')
    def _parts_fit(self) -> Config:
        gymnasium = self.sim is not None and self.sim.backend == 'gymnasium'
        if gymnasium != (self.task == 'gymnasium') or gymnasium != (self.action.space == 'direct'):
            raise ValueError('sim.backend: gymnasium, task: gymnasium and action.space: direct belong together')
        shortest_s = 1.2 * self.control_period_s
        if self.clock == 'realtime' and not gymnasium and self.safety.action_timeout_s < shortest_s:
            raise ValueError(
                f'safety.action_timeout_s ({self.safety.action_timeout_s:g}) must be at least {shortest_s:g} '
                f'at control_rate_hz {self.control_rate_hz:g}, or the arm holds between two actions'
            )
        if self.offline.method == 'cal_ql' and self.agent != 'sac':
            raise ValueError('offline.method: cal_ql pretrains the critics of agent: sac')
        if self.clock == 'lockstep' and self.sim is None:
            raise ValueError('clock: lockstep needs a simulation; a real robot runs with clock: realtime')
        for name, camera in self.observation.cameras.items():
            if camera.source is not None and self.clock == 'lockstep':
                raise ValueError(f'observation.cameras.{name}.source: a camera does not wait; it needs clock: realtime')
            if camera.source is not None and not (name.isidentifier() and name.isascii()):
                raise ValueError(f'observation.cameras.{name}: expected a name of letters, digits and _ only')
        return self


def load_config(path: str | os.PathLike[str], overrides: list[str] | None = None) -> Config:
    """Read a run's configuration and apply `key=value` overrides (`sac.batch=64`). Raises UserError."""
    data = read_yaml(Path(path))
    for override in overrides or []:
        _apply_override(data, override)
    return validate(Config, data, str(path))


def _apply_override(data: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition('=')
    if not separator or not key:
        raise UserError(f'--set {override}: expected key=value, for example --set seed=2')
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        raise UserError(f'--set {override}: the value is not valid YAML') from None
    *parents, last = key.split('.')
    for parent in parents:
        child = data.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UserError(f'--set {override}: {parent} is a value, not a section')
        data = child
    data[last] = value
