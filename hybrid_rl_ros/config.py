"""The typed configuration of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from hybrid_rl_ros.base_config import BaseConfig
from hybrid_rl_ros.camera_config import SourceConfig
from hybrid_rl_ros.classifier_config import ClassifierConfig
from hybrid_rl_ros.config_file import Section, parse_yaml, read_yaml, validate
from hybrid_rl_ros.dsrl_config import DsrlConfig
from hybrid_rl_ros.encoder_config import DynamoConfig, EncoderConfig
from hybrid_rl_ros.episode_config import EpisodeConfig
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.practice_config import PracticeConfig
from hybrid_rl_ros.reset_config import ResetConfig
from hybrid_rl_ros.reward_config import RewardConfig, SightConfig
from hybrid_rl_ros.sac_config import OfflineConfig, SacConfig
from hybrid_rl_ros.sim_config import SimConfig
from hybrid_rl_ros.train_config import TrainConfig


class CameraConfig(Section):
    """A camera stream `<name>/image_raw`, resized to what the policy sees; camera_node publishes it from a `source`."""

    width: int = Field(64, ge=16, le=1024)
    height: int = Field(64, ge=16, le=1024)
    source: SourceConfig | None = None


class ObservationConfig(Section):
    """Which named numbers and which cameras the policy sees.

    State names: `<joint>.position`, `<joint>.velocity`, `ee.x|y|z|vx|vy|vz|yaw`, `gripper.opening`,
    `wrench.fx|fy|fz|tx|ty|tz`, `practice.<task>` (1 for the one of practice.tasks under way, 0 for the others), and
    `task.<name>` from the task_state stream (simulation only knows it).
    With the gymnasium backend, leave `state` empty: the environment's observation vector is taken.
    """

    state: list[str] = []
    critic_only: list[str] = Field(
        [], description='more state names, stored like the others: the critics see them, the policy never does'
    )
    cameras: dict[str, CameraConfig] = {}
    max_age_s: float = Field(0.5, gt=0, description='real time: a stream older than this stops observations')
    frozen_after_s: float = Field(
        1.0, gt=0, description='a real camera that repeats one picture this long stops observations'
    )
    topic_timeout_s: float = Field(10.0, gt=0, description='give up when nobody publishes a stream this long')

    @model_validator(mode='after')
    def _each_name_is_for_one(self) -> ObservationConfig:
        both = [name for name in self.critic_only if name in self.state]
        if both:
            raise ValueError(f'{both[0]} is in state and in critic_only; leave it in one of them')
        return self

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


class BcConfig(Section):
    """Behaviour cloning of the demonstrations; it also pretrains the encoders of `sac`."""

    updates: int = Field(600, ge=1)
    batch: int = Field(128, ge=2)
    learning_rate: float = Field(1e-3, gt=0)
    hidden: list[int] = [256, 256]


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
    every_episodes: int | None = Field(
        None, ge=1, description='in training, after so many episodes come some without exploring; null: never'
    )
    each: int = Field(10, ge=1, description='so many; what they show is learned from like the rest')

    def is_due(self, begun: int) -> bool:
        """Whether the training episode before which `begun` others were begun is one without exploring."""
        every = self.every_episodes
        return every is not None and begun >= 0 and begun % (every + self.each) >= every


class BagConfig(Section):
    """What bag_node records into <run>/bag: rosbag2 folders of MCAP."""

    write: bool = False
    images: bool = Field(True, description='camera streams, and what the policy sees of them')
    topics: list[str] = Field([], description='more topics, whatever their types')
    queue_mb: float = Field(64, gt=0, description='may wait for the disk; what comes on top is dropped and counted')
    split_mb: float = Field(1000, ge=0, description='a new file begins after so much; 0 for never')


class Config(Section):
    """Everything one run is made of."""

    task: Literal['reach', 'push', 'lift', 'peg_insert', 'detour', 'gymnasium'] = 'lift'
    agent: str = Field(
        'sac',
        pattern=r'^(sac|bc|base|dsrl|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$',
        description='sac, bc, base, dsrl, or module:Class of your own',
    )
    agent_settings: dict[str, Any] = Field({}, description='for an agent of your own, which checks them')
    seed: int = Field(1, ge=0)
    control_rate_hz: float = Field(10.0, gt=0, le=100)
    clock: Literal['lockstep', 'realtime'] = 'lockstep'
    robot: str = 'sim_arm'
    namespace: str = ''
    demos: str | None = None
    symmetry: Literal['none', 'left_right'] = Field(
        'none', description='left_right: arm, cameras and task are their own mirror image; all is learned from as both'
    )
    sim: SimConfig | None = SimConfig()
    observation: ObservationConfig = ObservationConfig()
    action: ActionConfig = ActionConfig()
    safety: SafetyConfig = SafetyConfig()
    episode: EpisodeConfig = EpisodeConfig()
    reward: RewardConfig = RewardConfig()
    reset: ResetConfig = ResetConfig()
    practice: PracticeConfig = PracticeConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    encoder: EncoderConfig = EncoderConfig()
    sac: SacConfig = SacConfig()
    bc: BcConfig = BcConfig()
    base: BaseConfig = BaseConfig()
    dsrl: DsrlConfig = DsrlConfig()
    dynamo: DynamoConfig = DynamoConfig()
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
    def in_gazebo(self) -> bool:
        return self.sim is not None and self.sim.backend == 'gazebo'

    @property
    def clones_base(self) -> bool:
        """Whether its base policy is learned from demonstrations here."""
        return self.has_base and self.base.file is None

    @property
    def steps_per_plan(self) -> int:
        """How many control steps the policy decides at once."""
        return self.base.acts if self.has_base else 1

    @property
    def sights(self) -> list[SightConfig]:
        """All that success, failure and a reset are seen by."""
        verify = self.reset.verify.all() if self.reset.verify else ()
        return [*self.reward.sights, *self.practice.sights, *verify]

    @property
    def judged_numbers(self) -> list[str]:
        """What reward and reset name of the arm's own numbers, beside what every reset is told (control/reach.py)."""
        named = {name for sight in self.sights for name in sight.names if not name.startswith('task.')}
        named |= {name for name in self.reset.numbers if not name.startswith('task.')}
        tool = {'ee.x', 'ee.y', 'ee.z'} if self.episode.stuck else set()
        return sorted(named | tool | {*self.practice.numbers, *self.episode.watched_numbers})

    @property
    def resets_scene(self) -> bool:
        """Whether each start is placed by a simulation."""
        return self.sim is not None and self.sim.reset == 'teleport'

    @property
    def states_seen(self) -> int:
        """How many of the last states the policy is given."""
        return self.base.observations if self.has_base else 1

    def is_trained(self, env_steps: int, episodes: int, hours: float) -> bool:
        """Whether a run that has come so far is at its end."""
        enough = self.train.episodes is not None and episodes >= self.train.episodes
        late = self.train.hours is not None and hours >= self.train.hours
        return enough or late or env_steps >= self.train.env_steps

    @property
    def is_cloned(self) -> bool:
        """Whether the agent is done once it has learned from demonstrations."""
        return self.agent in ('bc', 'base')

    @property
    def cloning_updates(self) -> int:
        if self.agent == 'base':
            return 0 if self.base.file else self.base.updates
        return self.bc.updates

    @property
    def evaluates_sampled(self) -> bool:
        """Whether the finished policy is to draw its noise rather than to act by its mode."""
        return self.agent == 'base' and self.base.noise == 'sampled'

    @property
    def has_base(self) -> bool:
        """Whether what acts is a diffusion or flow policy, by itself or steered."""
        return self.agent in ('base', 'dsrl')

    @property
    def max_lead_s(self) -> float:
        """How far in the future a stamp may seem; in simulated time each node hears the clock when it gets to it."""
        return 0.2 if self.in_gazebo else 0.05

    @property
    def starts_pretrained(self) -> bool:
        """Whether the actor that learns is, at first, the pretrained policy."""
        return self.clones_actor or self.offline.method == 'cal_ql' or self.agent == 'dsrl'

    @property
    def clones_actor(self) -> bool:
        """Whether the actor that learns, offline or online, begins as the cloned policy."""
        chosen = self.sac.actor_init
        wanted = chosen == 'bc' or (chosen == 'auto' and self.offline.method == 'cal_ql')
        return self.agent == 'sac' and wanted

    @property
    def warm_up_steps(self) -> int:
        """Steps before the first update."""
        return self.offline.warm_up_steps if self.offline.online == 'wsrl' else self.train.warm_up_steps

    @property
    def demo_ratio(self) -> float:
        return 0.0 if self.offline.online == 'wsrl' else self.sac.demo_ratio

    @property
    def noise_steps(self) -> int:
        """Of how many actions the noise is stored beside the first of them."""
        return self.base.chunk if self.agent == 'dsrl' else 0

    def _tasks_fit(self) -> None:
        tasks, sim = self.practice.tasks, self.sim
        if (tasks or (sim is not None and sim.reset == 'none')) and sim is not None and sim.backend != 'mujoco':
            raise ValueError(f'sim.reset: none and practice.tasks are of backend mujoco; {sim.backend} resets itself')
        if untold := [number for number in self.practice.numbers if number not in self.observation.state][1:]:
            raise ValueError(f'observation.state: the policy must see which task it is at; add {", ".join(untold)}')
        for number, (name, task) in enumerate(tasks.items()):
            if number and task.success is None and sim is not None:
                raise ValueError(f'practice.tasks.{name}: the simulation judges the first task alone; add success')
            try:
                task.reward(self.reward)
            except ValidationError as error:
                raise ValueError(f'practice.tasks.{name}: {error.errors()[0]["msg"]}') from None

    @model_validator(mode='after')
    def _parts_fit(self) -> Config:
        gymnasium = self.sim is not None and self.sim.backend == 'gymnasium'
        if gymnasium != (self.task == 'gymnasium') or gymnasium != (self.action.space == 'direct'):
            raise ValueError('sim.backend: gymnasium, task: gymnasium and action.space: direct belong together')
        if gymnasium and self.observation.critic_only:
            raise ValueError('observation.critic_only: with sim.backend: gymnasium the policy sees the whole vector')
        shortest_s = 1.2 * self.control_period_s
        if self.clock == 'realtime' and not gymnasium and self.safety.action_timeout_s < shortest_s:
            raise ValueError(
                f'safety.action_timeout_s ({self.safety.action_timeout_s:g}) must be at least {shortest_s:g} '
                f'at control_rate_hz {self.control_rate_hz:g}, or the arm holds between two actions'
            )
        if self.agent_settings and ':' not in self.agent:
            raise ValueError(f'agent_settings are for agents of your own (module:Class); {self.agent} has a section')
        if self.offline.method == 'cal_ql' and self.agent != 'sac':
            raise ValueError('offline.method: cal_ql pretrains the critics of agent: sac')
        self._tasks_fit()
        if self.in_gazebo and self.clock == 'lockstep':
            raise ValueError('sim.backend: gazebo keeps its own time; it needs clock: realtime')
        simulated = self.sim is not None and not gymnasium
        if self.base.rollouts and not simulated:
            raise ValueError('base.rollouts: are of the simulated arm; set 0 here')
        if self.sim is not None and self.sim.reset == 'none' and not (self.reset.by_arm or self.practice.tasks):
            raise ValueError(
                'sim.reset: none leaves the scene to the arm; say in reset.routine, or by practice.tasks, what it does'
            )
        if self.reset.by_arm and self.sim is not None and self.sim.backend != 'mujoco':
            raise ValueError(f'reset.routine: sim.backend: {self.sim.backend} resets itself; leave the routine out')
        if any(waypoint.move for waypoint in self.reset.routine) and self.action.frame != 'base':
            raise ValueError('reset.routine: move goes along the axes of the base; it needs action.frame: base')
        if self.clock == 'lockstep' and self.sim is None:
            raise ValueError('clock: lockstep needs a simulation; a real robot runs with clock: realtime')
        if self.clones_actor and self.encoder.pretraining == 'none' and self.observation.cameras:
            raise ValueError('encoder.pretraining: none leaves a cloned actor without its eyes; set it to bc or dynamo')
        if self.encoder.pretraining == 'dynamo' and not self.observation.cameras:
            raise ValueError('encoder.pretraining: dynamo learns from images; observation.cameras names none')
        for name, camera in self.observation.cameras.items():
            if camera.source is not None and self.clock == 'lockstep':
                raise ValueError(f'observation.cameras.{name}.source: a camera does not wait; it needs clock: realtime')
            if camera.source is not None and not (name.isidentifier() and name.isascii()):
                raise ValueError(f'observation.cameras.{name}: expected a name of letters, digits and _ only')
        return self

    @model_validator(mode='after')
    def _symmetry_fits(self) -> Config:
        if self.symmetry == 'none':
            return self
        if self.action.space != 'ee_delta':
            raise ValueError('symmetry: left_right needs action.space: ee_delta; leave symmetry out with another')
        if self.has_base:
            raise ValueError(f'symmetry: left_right is not for agent: {self.agent}; set symmetry: none with it')
        return self

    @model_validator(mode='after')
    def _gripper_fits(self) -> Config:
        if self.sac.gripper == 'dqn':
            if not self.action.gripper or self.action.gripper_mode != 'discrete':
                raise ValueError('sac.gripper: dqn needs action.gripper: true and action.gripper_mode: discrete')
            if 'gripper.opening' not in self.observation.state:
                raise ValueError('sac.gripper: dqn needs gripper.opening in observation.state')
            if self.clones_actor:
                raise ValueError('sac.gripper: dqn needs sac.actor_init: random; a chosen gripper is not cloned')
        return self

    @model_validator(mode='after')
    def _relative_frame_fits(self) -> Config:
        if not self.sac.relative_frame:
            return self
        if self.action.space != 'ee_delta' or self.action.frame != 'base':
            raise ValueError('sac.relative_frame: needs action.space: ee_delta and action.frame: base')
        missing = {'ee.x', 'ee.y', 'ee.z'} - set(self.observation.state)
        if missing:
            raise ValueError(f'sac.relative_frame: needs {min(missing)} in observation.state')
        names = {*self.observation.state, *self.observation.critic_only}
        for name in sorted(names):
            x_or_y = name.startswith(('ee.', 'task.')) and name.endswith(('.x', '.y', '.vx', '.vy'))
            other = name[:-1] + ('y' if name.endswith('x') else 'x')
            if x_or_y and other not in names:
                raise ValueError(f'sac.relative_frame: turns x and y together, and {name} comes without {other}')
        return self


def load_config(path: str | os.PathLike[str], overrides: list[str] | None = None) -> Config:
    """Read a run's configuration and apply `key=value` overrides (`sac.batch=64`). Raises UserError."""
    data = read_yaml(Path(path))
    for override in overrides or []:
        _apply_override(data, override)
    config = validate(Config, data, str(path))
    return config.model_copy(update={'encoder': config.encoder.with_weights_found(Path(path).parent)})


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
