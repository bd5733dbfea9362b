"""An update that does not fit into memory is answered with the batch that does."""

from __future__ import annotations

import sys

import pytest
import torch
from test_update_loop import SPECS, run_to

from hybrid_rl_ros.errors import UserError
from hybrid_rl_ros.learning import pretrain
from hybrid_rl_ros.learning.agents.sac import SacAgent
from hybrid_rl_ros.learning.out_of_memory import batch_that_fits, is_out_of_memory

ERRORS = (
    torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB.'),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    MemoryError(),
)


def fits_up_to(size: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    update = SacAgent.update

    def limited(self, batch, updates):
        if len(batch) // updates > size:
            raise error
        return update(self, batch, updates)

    monkeypatch.setattr(SacAgent, 'update', limited)


@pytest.mark.parametrize('error', ERRORS, ids=['gpu', 'cpu', 'host'])
def test_the_batch_that_fits_is_named(tmp_path, monkeypatch, error):
    fits_up_to(7, error, monkeypatch)
    with pytest.raises(UserError) as caught:
        run_to(tmp_path, 20)
    mend = 'sac.batch=4 fits; go on with --resume --set sac.batch=4'
    assert str(caught.value) == f'out of memory on cpu with sac.batch=16; {mend}'


def test_where_no_batch_fits_it_says_so(tmp_path, monkeypatch):
    fits_up_to(0, MemoryError(), monkeypatch)
    with pytest.raises(UserError, match='sac.batch=16; no smaller one fits either; make sac.hidden or the encoder'):
        run_to(tmp_path, 20)


def test_another_error_is_none_of_memory():
    def fails(batch: int) -> None:
        raise RuntimeError('mat1 and mat2 shapes cannot be multiplied')

    with pytest.raises(RuntimeError, match='cannot be multiplied'):
        batch_that_fits(fails, 8)
    assert not is_out_of_memory(KeyError('out of memory'))


@pytest.mark.parametrize('error', ERRORS, ids=['gpu', 'cpu', 'host'])
def test_pretraining_that_does_not_fit_names_what_to_lower(tmp_path, monkeypatch, capsys, error):
    def too_large(*_: object) -> None:
        raise error

    monkeypatch.setattr(pretrain, 'pretrain', too_large)
    monkeypatch.setattr(sys, 'argv', ['pretrain', '--run', str(tmp_path)])
    (tmp_path / 'specs.json').write_text(SPECS.model_dump_json())
    (tmp_path / 'config.yaml').write_text('{bc: {batch: 99}, offline: {method: cal_ql, batch: 64}}')
    assert pretrain.main() == 2
    lower = 'lower bc.batch=99 or offline.batch=64, or make the encoder or the cameras smaller'
    assert capsys.readouterr().err == f'error: out of memory while pretraining; {lower}\n'
