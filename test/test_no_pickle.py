"""No file or message that comes from somebody else is ever unpickled: unpickling runs what its author likes."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest

from hybrid_rl_ros.data.exchange.dataset import FORMATS, import_dataset
from hybrid_rl_ros.data.exchange.mapping import Mapping
from hybrid_rl_ros.data.replay_store import ReplayStore
from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning.policies.policy import Policy

PACKAGE = Path(__file__).parents[1] / 'hybrid_rl_ros'
UNPICKLERS = {'pickle', 'cPickle', '_pickle', 'dill', 'cloudpickle', 'joblib', 'shelve', 'marshal'}


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


@pytest.mark.parametrize('path', sorted(PACKAGE.rglob('*.py')), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_can_unpickle(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert UNPICKLERS.isdisjoint(alias.name.partition('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or '').partition('.')[0] not in UNPICKLERS
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            loads = ast.unparse(node.func) in ('torch.load', 'torch.save', 'numpy.load', 'np.load', 'pd.read_pickle')
            assert not loads, f'line {node.lineno}: {ast.unparse(node)}'


@pytest.fixture
def trap(tmp_path):
    """(bytes of a pickle, whether it was ever loaded)."""
    sprung = tmp_path / 'sprung'
    return pickle.dumps(Trap(sprung)), sprung


def test_the_trap_works(trap):
    data, sprung = trap
    pickle.loads(data)
    assert sprung.exists()


def test_a_pickle_in_the_place_of_weights_is_refused(trap):
    data, sprung = trap
    with pytest.raises(UserError, match='not a policy'):
        Policy.from_bytes(data, 'weights')
    assert not sprung.exists()


def test_a_pickle_in_the_place_of_a_store_is_refused(trap, tmp_path):
    data, sprung = trap
    (tmp_path / 'store').mkdir()
    for name in ('specs.json', 'rows.bin', 'state.bin'):
        (tmp_path / 'store' / name).write_bytes(data)
    with pytest.raises(UserError, match='specs.json'):
        ReplayStore.open(tmp_path / 'store', read_only=True)
    assert not sprung.exists()


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('as_folder', [False, True])
def test_a_pickle_in_the_place_of_a_dataset_is_refused(trap, tmp_path, name, as_folder):
    data, sprung = trap
    source = tmp_path / 'dataset.hdf5'
    files = ('meta/info.json', 'metadata.yaml', 'bag.mcap', 'bag.db3') if as_folder else ('',)
    for file in files:
        path = source / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with pytest.raises(UserError) as refusal:
        import_dataset(source, tmp_path / 'out', name, None, Mapping(), lambda done, count: None)
    assert '\n' not in str(refusal.value)
    assert not sprung.exists() and not (tmp_path / 'out').exists()
