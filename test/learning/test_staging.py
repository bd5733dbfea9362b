"""Batches on their way to the device; with a GPU's part played by an event that writes down what it was asked."""

from __future__ import annotations

import numpy as np
import torch

from hybrid_rl_ros.learning.staging import PinnedSet, Staging


class Event:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def record(self) -> None:
        self.asked.append('record')

    def synchronize(self) -> None:
        self.asked.append('synchronize')


def test_on_the_cpu_the_tensors_are_the_arrays_and_no_two_batches_share_them():
    staging = Staging('cpu')
    array = staging.array('reward', (3,), np.dtype(np.float32))
    array[:] = [1, 2, 3]
    first = staging.send()
    assert first['reward'].data_ptr() == array.ctypes.data
    staging.array('reward', (3,), np.dtype(np.float32))[:] = 9
    staging.send()
    assert first['reward'].tolist() == [1, 2, 3]


def test_types_are_kept():
    staging = Staging('cpu')
    for name, kind in (('views/front', np.uint8), ('mask', np.float32)):
        assert staging.array(name, (2, 2), np.dtype(kind)).dtype == kind
    assert {name: value.dtype for name, value in staging.send().items()} == {
        'views/front': torch.uint8,
        'mask': torch.float32,
    }


def test_pinned_memory_is_used_again_when_its_copies_are_done_and_not_before():
    event = Event()
    memory = PinnedSet(event, pin=False)
    first = memory.memory('reward', (4,), torch.float32)
    memory.memory('mask', (4,), torch.float32)
    assert event.asked == []
    memory.sent()
    assert memory.memory('reward', (4,), torch.float32).data_ptr() == first.data_ptr()
    memory.memory('mask', (4,), torch.float32)
    assert event.asked == ['record', 'synchronize'], 'waited for once'
    assert memory.memory('reward', (8,), torch.float32).shape == (8,)
