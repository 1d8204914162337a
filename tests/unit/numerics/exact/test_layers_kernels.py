"""Compiled sweeps give the bits of the plain operations, which define the arithmetic."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor

from lifecycle.numerics.exact import engine, products
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.exact.rounding import InexactError

from .test_layers_gradients import CASES, Call, draw, outcome

pytestmark = pytest.mark.skipif(not engine.compiled(), reason="compiled kernels are off")

SCALES = {
    "as it is": lambda x: x,
    "wide": lambda x: x * torch.exp2((draw(11, *x.shape) * 40.0).round()),
    "with zeros": lambda x: torch.where(draw(12, *x.shape) > 0.5, x, -0.0 * x),
    "huge": lambda x: x * 2.0**200,
    "tiny": lambda x: x * 2.0**-200,
}


def bits(tensors: list[Tensor]) -> list[bytes]:
    return [tensor.contiguous().numpy().tobytes() for tensor in tensors]


def attempt(call: Call, tensors: tuple[Tensor, ...]) -> list[bytes] | str:
    try:
        return bits(outcome(call, ExactOps(1), tensors))
    except InexactError as error:
        return str(error)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("scale", SCALES)
def test_the_same_bits(name: str, scale: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call, tensors = CASES[name]
    scaled = tuple(SCALES[scale](tensor) for tensor in tensors)
    swept = attempt(call, scaled)
    for module in (engine, products):
        monkeypatch.setattr(module, "compiled", lambda: False)
    assert swept == attempt(call, scaled)


@pytest.mark.parametrize("n", [1, 2, 3, 33])
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_cross_entropy_has_the_plain_bits(n: int, classes: int) -> None:
    rng = np.random.default_rng(n)
    target, values = torch.from_numpy(rng.integers(0, classes, n)), rng.normal(size=(n, classes))
    found = []
    for way in (nullcontext(), engine.plain()):
        logits = torch.from_numpy(values.copy()).requires_grad_()
        with way:
            loss = ExactOps().cross_entropy(logits, target)
            loss.backward()
        found.append((loss.detach().numpy().tobytes(), logits.grad.numpy().tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_class_that_is_not_there_never_reaches_a_kernel(wrong: int) -> None:
    with pytest.raises((RuntimeError, IndexError)):
        ExactOps().cross_entropy(torch.zeros(2, 3, dtype=torch.float64), torch.tensor([0, wrong]))
