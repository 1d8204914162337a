"""The max pool of the GPU, by selection: torch's own on the CPU, gradients and ties included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from lifecycle.numerics.ops import max_of_taps


def _both(x: Tensor, kernel: int, stride: int, padding: int) -> None:
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = max_of_taps(ours, kernel, stride, padding)
    right = functional.max_pool1d(theirs.transpose(1, 2), kernel, stride, padding).transpose(1, 2)
    assert torch.equal(found, right)
    # whole numbers: a place that wins several windows has the same sum in any order
    above = torch.arange(1.0, right.numel() + 1, dtype=x.dtype).reshape(right.shape)
    found.backward(above)
    right.backward(above)
    assert torch.equal(ours.grad, theirs.grad)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kernel=st.integers(1, 5), stride=st.integers(1, 4))
def test_as_torch_with_many_ties(data: st.DataObject, kernel: int, stride: int) -> None:
    padding = data.draw(st.integers(0, kernel // 2))
    time = data.draw(st.integers(max(1, kernel - 2 * padding), 13))
    values = data.draw(st.lists(st.integers(-2, 1), min_size=6 * time, max_size=6 * time))
    x = torch.tensor(values, dtype=torch.float64).reshape(2, time, 3)
    _both(x, kernel, stride, padding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_as_torch_on_numbers_as_they_come(dtype: torch.dtype) -> None:
    x = torch.randn(3, 50, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    _both(x.to(dtype), 3, 2, 1)
    _both(-x.to(dtype).abs() * 1e30, 3, 2, 1)  # padding never wins


def test_of_equals_the_first_wins() -> None:
    x = torch.zeros(1, 4, 1, dtype=torch.float64).requires_grad_()
    max_of_taps(x, 2, 2, 0).sum().backward()
    assert x.grad.flatten().tolist() == [1.0, 0.0, 1.0, 0.0]
