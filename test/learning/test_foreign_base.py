"""Steering what somebody else trained: an exported model and its description."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from test_dsrl import chunk_batch
from test_sac import make_specs

from hybrid_rl_ros.bringup import resolve_specs
from hybrid_rl_ros.config import Config, load_config
from hybrid_rl_ros.data.specs import ImageSpec, Observation, Specs
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.foreign_base_config import foreign_sha256
from hybrid_rl_ros.learning.acting import PolicyActor
from hybrid_rl_ros.learning.agents.dsrl import DsrlAgent
from hybrid_rl_ros.learning.export_base import export_base
from hybrid_rl_ros.learning.policies.base_file import save_base
from hybrid_rl_ros.learning.policies.base_network import BaseNetwork, base_shape_of
from hybrid_rl_ros.learning.policies.kinds import shape_of_agent
from hybrid_rl_ros.learning.policies.policy import Policy

LIFT = Path(__file__).parents[2] / 'config' / 'sim_lift.yaml'
SPECS = make_specs(2, 1)
OBSERVATION = Observation(np.array([0.3, -0.7], np.float32))


FRONT = ImageSpec(camera='front', height=24, width=32)


def make_config(file: Path | None, observations: int = 1, **dsrl) -> Config:
    base = {'chunk': 2, 'hidden': [16], 'steps': 2, 'file': None if file is None else str(file)}
    return Config.model_validate(
        {
            'agent': 'dsrl',
            'base': {**base, 'observations': observations},
            'dsrl': {'hidden': [16], 'batch': 16, **dsrl},
            'train': {'compile': 'off', 'device': 'cpu'},
        }
    )


def with_camera(specs: Specs) -> Specs:
    observation = specs.observation.model_copy(update={'images': (FRONT,)})
    return specs.model_copy(update={'observation': observation})


def network_of_ours(specs: Specs, observations: int = 1) -> BaseNetwork:
    network = BaseNetwork(specs, base_shape_of(make_config(None, observations)))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(parameter.numel()))
    return network.requires_grad_(False)


def export(network: BaseNetwork, specs: Specs, folder: Path, kind: str) -> Path:
    save_base(network, specs, folder / 'policy.safetensors')
    return export_base(folder / 'policy.safetensors', folder / 'out', kind)


@pytest.fixture
def ours() -> BaseNetwork:
    return network_of_ours(SPECS)


@pytest.fixture(params=['onnx', 'torch'])
def exported(request, tmp_path, ours) -> Path:
    return export(ours, SPECS, tmp_path, request.param)


def steered_agent(file: Path, specs: Specs = SPECS, observations: int = 1, **dsrl) -> DsrlAgent:
    config = make_config(file, observations, **dsrl)
    agent = DsrlAgent(specs, config, 'cpu')
    agent.use_base(Policy.build(specs, shape_of_agent(config).base, 'foreign'))
    return agent


def rewritten(file: Path, **changes) -> Path:
    path = file.with_name('changed.yaml')
    path.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))
    return path


def test_one_of_ours_is_the_same_as_a_foreigner(exported, ours):
    agent = steered_agent(exported)
    state, noise = torch.rand(5, 2) * 2 - 1, torch.randn(5, 2)
    np.testing.assert_allclose(agent.network.base.decode(state, noise), ours.decode(state, noise), atol=1e-5)


@pytest.mark.parametrize('kind', ['onnx', 'torch'])
@pytest.mark.parametrize('observations', [1, 2])
def test_one_of_ours_that_sees_a_camera_is_the_same_as_a_foreigner(tmp_path, kind, observations):
    specs = with_camera(SPECS)
    ours = network_of_ours(specs, observations)
    agent = steered_agent(export(ours, specs, tmp_path, kind), specs, observations)
    rng = np.random.default_rng(0)
    pictures = {'front': torch.from_numpy(rng.integers(0, 256, (3, *FRONT.shape), dtype=np.uint8))}
    state, noise = torch.rand(3, 2 * observations) * 2 - 1, torch.randn(3, 2)
    theirs = agent.network
    seen = theirs.inputs(state, pictures)
    np.testing.assert_allclose(
        theirs.base.decode(seen, noise), ours.decode(ours.inputs(state, pictures), noise), atol=1e-5
    )
    # What was kept of a frame stands for the frame, to the base and to the actor that steers it.
    assert torch.equal(theirs.inputs(state, theirs.encoders.trunks(pictures)), seen)
    observation = Observation(np.zeros((observations, 2), np.float32), {'front': pictures['front'][0].numpy()})
    plan = agent.policy().plan(observation)
    np.testing.assert_array_equal(Policy.from_bytes(agent.policy().to_bytes(1)).plan(observation).actions, plan.actions)
    other = Observation(observation.state, {'front': np.zeros(FRONT.shape, np.uint8)})
    assert not np.array_equal(agent.policy().plan(other).actions, plan.actions)


def test_a_picture_goes_in_as_the_model_knows_it(tmp_path):
    """An encoder that hands on one pixel, and a policy that acts by it."""

    class Pixel(torch.nn.Module):
        def forward(self, rgb):
            return rgb[:, 4, 5]

    class Follow(torch.nn.Module):
        def forward(self, state, noise, features):
            return features[:, None, :1] + 0.0 * noise + 0.0 * state[:, None, :1]

    picture = np.zeros(FRONT.shape, np.uint8)
    picture[4, 5] = (51, 102, 204)
    torch.export.save(torch.export.export(Pixel(), (torch.zeros(1, *FRONT.shape),)), str(tmp_path / 'pixel.pt2'))
    file = foreign(tmp_path, Follow(), torch.zeros(1, 2), torch.zeros(1, 2, 1), torch.zeros(1, 3))
    camera = {
        'model': 'pixel.pt2',
        'features': 3,
        'input': 'rgb',
        'layout': 'nhwc',
        'mean': [0.4] * 3,
        'std': [0.5] * 3,
    }
    agent = steered_agent(rewritten(file, cameras={'front': camera}), with_camera(SPECS))
    seen = agent.encoders.trunks({'front': torch.from_numpy(picture)[None]})['front']
    np.testing.assert_allclose(seen, [[-0.4, 0.0, 0.8]], atol=1e-6)
    plan = agent.policy().plan(Observation(OBSERVATION.state, {'front': picture}))
    np.testing.assert_allclose(plan.actions, np.full((2, 1), -0.4), atol=1e-6)


@pytest.mark.parametrize(
    ('changes', 'complaint'),
    [
        ({'model': 'none.onnx'}, 'cameras.front.model: there is no file'),
        ({'features': 5}, r'cameras.front: front_encoder.onnx gives \(2, 64\) for a batch of 2, expected \(B, 5\)'),
        (
            {'input': 'rgb'},
            "cameras.front: front_encoder.onnx has no input 'rgb' for the picture, but image; say which it is",
        ),
        ({'output': 'code'}, "cameras.front: front_encoder.onnx has no output 'code', but features"),
        ({'layout': 'nhwc'}, r'cameras.front: front_encoder.onnx cannot be run on image \(1, 24, 32, 3\)'),
        ({'std': [0.0, 1.0, 1.0]}, 'std'),
    ],
)
def test_a_camera_that_does_not_fit_is_one_line_that_says_so(tmp_path, changes, complaint):
    specs = with_camera(SPECS)
    file = export(network_of_ours(specs), specs, tmp_path, 'onnx')
    camera = yaml.safe_load(file.read_text())['cameras']['front']
    with pytest.raises(UserError, match=complaint) as error:
        steered_agent(rewritten(file, cameras={'front': {**camera, **changes}}), specs)
    assert '\n' not in str(error.value)


def test_a_camera_that_the_run_has_not_or_the_model_does_not_take_is_refused(tmp_path, ours):
    specs = with_camera(SPECS)
    file = export(network_of_ours(specs), specs, tmp_path, 'onnx')
    with pytest.raises(UserError, match="cameras: front is not among the run's: none"):
        steered_agent(file)
    with pytest.raises(UserError, match="base.onnx takes 'features' too, which nothing is said of"):
        steered_agent(rewritten(file, cameras={}), specs)


@pytest.mark.parametrize('variant', ['na', 'sac'])
def test_a_foreigner_is_steered_saved_and_acted_on_without_its_code(exported, variant):
    agent = steered_agent(exported, variant=variant)
    if variant == 'na':
        agent.update(chunk_batch(), 4)
    policy = agent.policy()
    again = Policy.from_bytes(policy.to_bytes(1))
    plan = policy.plan(OBSERVATION)
    np.testing.assert_array_equal(again.plan(OBSERVATION).actions, plan.actions)
    actor = PolicyActor(SPECS, Config().inference, seed=1, deterministic=True)
    actor.use(policy.to_bytes(1), 'test')
    np.testing.assert_allclose(actor.plan(OBSERVATION).actions, plan.actions, atol=1e-6)
    assert actor.engine is not None and actor.engine.name.startswith('PyTorch eager')


def test_numbers_are_given_in_the_order_and_the_units_that_the_model_knows(tmp_path):
    """A model that says: both actions of every step are the two states, in its own order and units."""

    class Echo(torch.nn.Module):
        def forward(self, obs, z):
            return obs[:, None, :] + 0.0 * z

    specs = make_specs(2, 2)
    program = torch.export.export(Echo(), (torch.zeros(1, 2), torch.zeros(1, 2, 2)))
    torch.export.save(program, str(tmp_path / 'echo.pt2'))
    described = {
        'version': 1,
        'model': 'echo.pt2',
        'state': [{'name': 's1'}, {'name': 's0', 'low': -4, 'high': 4}],
        'actions': [{'name': 'a1', 'low': -1, 'high': 1}, {'name': 'a0', 'low': 0, 'high': 2}],
        'chunk': 2,
        'inputs': {'state': 'obs', 'noise': 'z'},
    }
    (tmp_path / 'base.yaml').write_text(yaml.safe_dump(described))
    agent = steered_agent(tmp_path / 'base.yaml', specs)
    state = torch.from_numpy(specs.observation.state.normalise(np.array([[1.0, 0.5], [-2.0, 0.25]])).astype(np.float32))
    made = agent.network.base.decode(state, torch.zeros(2, 4)).reshape(2, 2, 2).numpy()
    # s1 as it is becomes a1 as it is; s0 in units of 4 becomes a0, whose -1 to 1 are 0 to 2.
    physical = specs.action.denormalise(made)
    np.testing.assert_allclose(physical[:, 0], [[1.25, 0.5], [0.5, 0.25]], atol=1e-6)
    np.testing.assert_allclose(physical[:, 1], physical[:, 0])


class Chance(torch.nn.Module):
    def forward(self, state, noise):
        return noise + torch.randn_like(noise)


class Deaf(torch.nn.Module):
    def forward(self, state):
        return state[:, None, :1].repeat(1, 2, 1)


def foreign(tmp_path: Path, module: torch.nn.Module, *example: torch.Tensor) -> Path:
    torch.export.save(torch.export.export(module, example), str(tmp_path / 'model.pt2'))
    names = {'state': [{'name': 's0'}, {'name': 's1'}], 'actions': [{'name': 'a0'}]}
    (tmp_path / 'base.yaml').write_text(yaml.safe_dump({'version': 1, 'model': 'model.pt2', 'chunk': 2, **names}))
    return tmp_path / 'base.yaml'


def test_a_model_with_chance_in_it_is_refused(tmp_path):
    file = foreign(tmp_path, Chance(), torch.zeros(1, 2), torch.zeros(1, 2, 1))
    with pytest.raises(UserError, match='the same noise gives different actions'):
        steered_agent(file)


def test_an_encoder_with_chance_in_it_is_refused(tmp_path):
    """The learner would keep one of its draws, and the arm act on others."""

    class Forgets(torch.nn.Module):
        def forward(self, image):
            return torch.nn.functional.dropout(image[:, :, 4, 5], 0.5, training=True)

    specs = with_camera(SPECS)
    file = export(network_of_ours(specs), specs, tmp_path, 'onnx')
    picture = torch.zeros(1, 3, *FRONT.shape[:2])
    torch.export.save(torch.export.export(Forgets(), (), {'image': picture}), str(file.with_name('forgets.pt2')))
    camera = {'model': 'forgets.pt2', 'features': 3}
    with pytest.raises(UserError, match='cameras.front: forgets.pt2 makes different features of the same picture'):
        steered_agent(rewritten(file, cameras={'front': camera}), specs)


def test_a_model_without_a_noise_to_steer_is_refused(tmp_path):
    file = foreign(tmp_path, Deaf(), torch.zeros(1, 2))
    with pytest.raises(UserError, match="has no input 'noise' for the noise, but state"):
        steered_agent(file)


@pytest.mark.parametrize(
    ('changes', 'complaint'),
    [
        ({'version': 2}, 'version'),
        ({'model': 'none.onnx'}, 'there is no file'),
        ({'chunk': 3}, 'makes chunks of 3, base.chunk is 2'),
        ({'state': [{'name': 's0'}, {'name': 'depth'}]}, 'state: depth is not among'),
        ({'actions': [{'name': 'b0'}]}, 'actions: b0 is not among'),
        ({'noise_range': 1.0}, r'dsrl.bound \(1.5\) is beyond'),
        ({'state': [{'name': 's0', 'low': 1}, {'name': 's1'}]}, 'low and high come together'),
        ({'colour': 'red'}, 'colour'),
    ],
)
def test_what_does_not_fit_is_one_line_that_says_so(tmp_path, ours, changes, complaint):
    file = export(ours, SPECS, tmp_path, 'onnx')
    with pytest.raises(UserError, match=complaint) as error:
        steered_agent(rewritten(file, **changes))
    assert '\n' not in str(error.value)


def test_a_model_of_one_state_is_not_given_two(exported):
    with pytest.raises(UserError, match='observations: sees 1, base.observations is 2; set it to 1'):
        steered_agent(exported, observations=2)


def test_a_model_in_the_place_of_its_description_is_refused(tmp_path, exported):
    with pytest.raises(UserError, match='expected YAML, but this is no text'):
        steered_agent(exported.with_name(yaml.safe_load(exported.read_text())['model']))


def test_what_is_exported_goes_into_a_folder(tmp_path, ours):
    save_base(ours, SPECS, tmp_path / 'policy.safetensors')
    (tmp_path / 'out').touch()
    with pytest.raises(UserError, match='out: cannot be a folder: File exists'):
        export_base(tmp_path / 'policy.safetensors', tmp_path / 'out', 'onnx')


def test_what_acts_in_a_frame_of_the_episodes_start_is_not_exported(tmp_path):
    state = '[ee.x, ee.y, ee.z, gripper.opening]'
    config = load_config(LIFT, [f'observation.state={state}', 'observation.cameras={}', 'sac.relative_frame=true'])
    specs = resolve_specs(config)
    with pytest.raises(UserError, match='as seen from where an episode began'):
        export(BaseNetwork(specs, base_shape_of(config)), specs, tmp_path, 'onnx')


def test_a_model_that_is_no_model_is_refused(tmp_path):
    file = foreign(tmp_path, Deaf(), torch.zeros(1, 2))
    (tmp_path / 'model.pt2').write_bytes(b'nothing')
    with pytest.raises(UserError, match='cannot be loaded'):
        steered_agent(file)


def test_a_model_that_changed_since_the_run_began_is_refused(exported):
    policy = steered_agent(exported).policy()
    exported.write_text(exported.read_text() + '# touched\n')
    with pytest.raises(UserError, match='has changed since the run began'):
        Policy.from_bytes(policy.to_bytes(1))


def test_weights_that_lie_beside_their_model_are_part_of_it(tmp_path, ours):
    file = export(ours, SPECS, tmp_path, 'onnx')
    alone = foreign_sha256(file)
    file.with_name('base.onnx.data').write_bytes(b'weights')
    assert foreign_sha256(file) != alone
