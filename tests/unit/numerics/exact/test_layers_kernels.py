"""Compiled sweeps give the bits of the plain operations, which define the arithmetic."""

from __future__ import annotations

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
