"""The learning results that there are to have: tasks, their demonstrations, and what is compared on each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / 'results'


@dataclass(frozen=True)
class Variant:
    """The same task and agent with other settings (`key=value`). `recorded`: those that its demonstrations have too."""

    name: str | None = None
    settings: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()


PLAIN = Variant()


@dataclass(frozen=True)
class Benchmark:
    """One task: its configuration, its demonstrations (0 for none), and the agents and variants to compare.

    `demo_noise`: of the expert's actions, a fraction of their range. `also_shown`: settings of three more each.
    Behaviour cloning is compared as it is, whatever the variants, for they are the learner's. `rows` names each agent
    with its variant instead. Results go by `name`, or by `files`. `labelled`: so many episodes teach a success
    classifier first, {judge} in the settings; what has learned from it is evaluated by the simulation's own word.
    """

    name: str
    task: str
    config: str
    title: str
    agents: tuple[str, ...] = ('sac',)
    settings: tuple[str, ...] = ()
    demos: int = 0
    demo_noise: str = '0.1'
    also_shown: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = (PLAIN,)
    rows: tuple[tuple[str, Variant], ...] = ()
    files: str | None = None
    labelled: int = 0

    def compared(self) -> list[tuple[str, Variant]]:
        if self.rows:
            return list(self.rows)
        return [(agent, v) for agent in self.agents for v in (self.variants if agent == 'sac' else (PLAIN,))]

    def results(self, agent: str, variant: Variant) -> Path:
        return RESULTS / ('-'.join(filter(None, (self.files or self.name, agent, variant.name))) + '.json')


# 100 fresh episodes: with 50, a policy of .9 is seen as .8 or 1.0 once in twenty times.
EVALUATED = ('eval.episodes=100',)
LIFT_VARIANTS = (
    PLAIN,
    Variant('no_demos', ('demos=null',)),
    *(Variant(preset, (f'sac={{preset: {preset}}}',)) for preset in ('serl', 'hil_serl')),
    # Twenty updates of ten critics for every step: in 32 bits, and for longer, each seed takes an hour and more.
    Variant(
        'rlpd',
        ('sac={preset: rlpd}', 'train.precision=bf16', 'train.env_steps=3000'),
        recorded=('reward={step_reward: -1, success_reward: 0}',),
    ),
    Variant('end_to_end', ('encoder={kind: small, mode: end_to_end, random_shift_px: 4}', 'sac.updates_per_step=2')),
    Variant('frozen_random', ('encoder.pretraining=none',)),
    Variant('frozen_dynamo', ('encoder.pretraining=dynamo',)),
)
# What ten demonstrations taught of the table is all that the learner sees of it.
PUSH_FROZEN = Variant(
    'frozen',
    (
        'encoder={kind: keypoints, features: 12, random_shift_px: 6, cached_shifts: 4}',
        'sac.updates_per_step=4',
        'sac.critic_updates_per_actor_update=2',
        'sac.input_scale=demonstrations',
        'symmetry=none',
    ),
)
# Handicapped by few demonstrations, but not by ones that are all alike, or there is nothing to steer. `frozen` is the
# base on the very starts that the steered ones learn from.
STEERED = (
    ('base', PLAIN),
    ('base', Variant('zero_noise', ('base.noise=zero',))),
    ('dsrl', Variant('na')),
    ('dsrl', Variant('sac', ('dsrl.variant=sac',))),
    ('dsrl', Variant('frozen', ('train.warm_up_steps=1000000', 'eval.episodes=0'))),
    ('sac', Variant('equal_episodes', ('sac.critics=4', 'sac.critic_subset=4'))),
)


EDGES_OF_THE_TRAY = tuple(
    f'sim={{reset: teleport, tray: true, placed: {{goal: [0.45, 0.12], cube: [{x}, {y}]}}}}'
    for x, y in (
        (0.53, 0.18),
        (0.37, 0.18),
        (0.53, -0.18),
        (0.37, -0.18),
        (0.53, 0),
        (0.37, 0),
        (0.45, -0.18),
        (0.36, 0.12),
    )
)


def steering(task: str, demos: int, episodes: int, cameras: bool = False) -> Benchmark:
    seen, files = ('two 64x64 cameras', f'{task}_cameras') if cameras else ('state', task)
    # Encoders make each update a hundred times dearer.
    cloned = ('base.updates=1500', 'base.batch=64') if cameras else ()
    return Benchmark(
        name=f'{files}_steering',
        task=task,
        config=f'sim_{task}.yaml' if cameras else f'sim_{task}_state.yaml',
        title=f'{task} from {seen}, {demos} demonstrations with noise 0.3, {episodes} episodes',
        settings=(*EVALUATED, f'train.episodes={episodes}', 'train.env_steps=1000000', *cloned),
        demos=demos,
        demo_noise='0.3',
        rows=STEERED,
        files=files,
    )


_ALL = (
    Benchmark(
        name='lift',
        task='lift',
        config='sim_lift.yaml',
        title='lift, two 64x64 cameras, 10 demonstrations',
        agents=('sac', 'bc'),
        settings=EVALUATED,
        demos=10,
        variants=LIFT_VARIANTS,
    ),
    Benchmark(
        name='push',
        task='push',
        config='sim_push.yaml',
        title='push, two 64x64 cameras, 10 demonstrations',
        agents=('sac', 'bc'),
        settings=EVALUATED,
        demos=10,
        variants=(
            PLAIN,
            Variant('no_symmetry', ('symmetry=none',)),
            Variant('no_symmetry_last_weights', ('symmetry=none', 'sac.averaged_updates=1')),
            PUSH_FROZEN,
        ),
    ),
    Benchmark(
        name='peg_insert',
        task='peg_insert',
        config='sim_peg_insert.yaml',
        title='peg_insert, two 64x64 cameras, 20 demonstrations',
        agents=('sac', 'bc'),
        settings=EVALUATED,
        demos=20,
    ),
    Benchmark(
        name='lift_demo',
        task='lift',
        config='sim_lift.yaml',
        title='lift as `make demo` has it: 6 demonstrations',
        agents=('sac', 'bc'),
        settings=('encoder.kind=small', 'sac.updates_per_step=6'),
        demos=6,
    ),
    Benchmark(
        name='reach_state',
        task='reach',
        config='sim_reach_state.yaml',
        title='reach, state observations, no demonstrations',
    ),
    Benchmark(
        name='peg_insert_state',
        task='peg_insert',
        config='sim_peg_insert_state.yaml',
        title='peg_insert, state observations, with and without a scripted person who takes over after 3 s',
        demos=5,
        variants=(PLAIN, Variant('interventions', ('teleop.device=expert',))),
    ),
    Benchmark(
        name='push_state',
        task='push',
        config='sim_push_state.yaml',
        title='push, the ways from tool to cube to disc observed, 10 demonstrations',
        agents=('sac', 'bc'),
        settings=(*EVALUATED, 'train.env_steps=8000', 'train.warm_up_steps=400'),
        demos=10,
    ),
    Benchmark(
        name='lift_classifier',
        task='lift',
        config='sim_lift.yaml',
        title='lift, judged by a success classifier while learning and by the simulation at the end, 10 demonstrations',
        settings=('eval.episodes=0',),
        demos=10,
        rows=(
            ('sac', Variant('classifier', ('reward.success={classifier: {judge}}',))),
            ('sac', Variant('classifier_hackable', ('reward.success={classifier: {judge}-without_gate, steps: 1}',))),
        ),
        files='lift',
        labelled=30,
    ),
    Benchmark(
        name='push_practice',
        task='push',
        config='sim_push_practice.yaml',
        title='push there and back for three hours without a reset, 40 demonstrations and 24 from the edges',
        demos=40,
        demo_noise='0.2',
        also_shown=EDGES_OF_THE_TRAY,
        rows=(('sac', Variant('reset_free')),),
        files='push',
    ),
    steering('push', demos=6, episodes=200),
    steering('lift', demos=4, episodes=200),
    steering('peg_insert', demos=3, episodes=400),
    steering('peg_insert', demos=8, episodes=400, cameras=True),
)
BENCHMARKS = {benchmark.name: benchmark for benchmark in _ALL}
