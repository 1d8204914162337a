"""The layers behind a wide one in one call: the bits and the words of the layers one by one."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor

from lifecycle.numerics.exact import engine, narrow
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.exact.rounding import InexactError
from lifecycle.numerics.ops import shrunk_linear

pytestmark = pytest.mark.skipif(not engine.compiled(), reason="compiled kernels are off")

Values = dict[str, Tensor]


def drawn(cases: int, width: int, outputs: int) -> Values:
    rng = np.random.default_rng(7)
    shapes = {
        "x": (cases, width), "scale": (width,), "shift": (width,),
        "weight": (outputs, width), "bias": (outputs,), "above": (cases, outputs),
    }  # fmt: skip
    return {name: torch.from_numpy(rng.normal(size=shape)) for name, shape in shapes.items()}


def results(values: Values, lambd: float, at_once: bool) -> list[Tensor]:
    """The result and all gradients."""
    x, scale, shift, weight, bias = leaves = [
        values[name].clone().requires_grad_() for name in ("x", "scale", "shift", "weight", "bias")
    ]
    ops = ExactOps()
    ops.names = {id(scale): "norms.0.weight", id(weight): "linears.1.weight"}
    with nullcontext() if at_once else engine.plain():
        made = narrow.result_of(x, (scale, shift), lambd, (weight, bias))
        assert at_once or made is None
        y = ops.shrunk_linear(x, (scale, shift), lambd, (weight, bias))
        return [y.detach(), *torch.autograd.grad(y, leaves, values["above"])]


def outcome(values: Values, lambd: float, at_once: bool) -> list[bytes] | str:
    try:
        return [part.contiguous().numpy().tobytes() for part in results(values, lambd, at_once)]
    except InexactError as error:
        return str(error)


@pytest.mark.parametrize("cases", [1, 2, 3, 8, 63, 64, 65])
@pytest.mark.parametrize(("width", "outputs"), [(1, 1), (2, 3), (32, 7), (128, 32)])
@pytest.mark.parametrize("lambd", [0.0, 0.5, 100.0])
def test_the_same_bits(cases: int, width: int, outputs: int, lambd: float) -> None:
    values = drawn(cases, width, outputs)
    assert outcome(values, lambd, True) == outcome(values, lambd, False)


def test_few_cases_are_computed_at_once_and_many_in_parts() -> None:
    for cases, at_once in ((narrow.FEW, True), (narrow.FEW + 1, False)):
        v = drawn(cases, 9, 4)
        pairs = (v["scale"], v["shift"]), (v["weight"], v["bias"])
        assert (narrow.result_of(v["x"], pairs[0], 0.1, pairs[1]) is not None) is at_once


FAULTS = {
    "NaN in the input": ("x", 1, float("nan"), "layer_norm norms.0"),
    "an input that overflows": ("x", 0, 2.0**1000, "layer_norm norms.0"),
    "infinity in a weight": ("weight", 3, float("inf"), "linear linears.1"),
    "a weight that overflows": ("weight", 3, 2.0**1000, "linear linears.1"),
    "NaN in a gradient": ("above", 2, float("nan"), "linear linears.1, backward"),
    "a gradient that overflows": ("above", 2, -(2.0**1000), "linear linears.1, backward"),
    "subnormal products": ("above", None, 2.0**-1000, "linear linears.1, backward"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_refused_is_refused_in_the_same_words(name: str) -> None:
    which, at, value, place = FAULTS[name]
    values = drawn(5, 9, 4)
    if at is None:
        values[which].mul_(value)
    else:
        values[which].view(-1)[at] = value
    said = [outcome(values, 0.1, at_once) for at_once in (True, False)]
    assert said[0] == said[1]
    assert isinstance(said[0], str)
    assert place in said[0]


@pytest.mark.parametrize("slices", [2, 3])
def test_several_slices_go_layer_by_layer(slices: int) -> None:
    v = drawn(5, 9, 4)
    pairs = (v["scale"], v["shift"]), (v["weight"], v["bias"])
    ops = ExactOps(slices)
    at_once = ops.shrunk_linear(v["x"], pairs[0], 0.1, pairs[1])
    assert torch.equal(at_once, shrunk_linear(ops, v["x"], pairs[0], 0.1, pairs[1]))
    assert not torch.equal(at_once, ExactOps(1).shrunk_linear(v["x"], pairs[0], 0.1, pairs[1]))


MISFITS = {
    "a scale too short": ("scale", (5,)),
    "a shift too long": ("shift", (12,)),
    "a scale of one": ("scale", (1,)),
    "a scale of two dimensions": ("scale", (1, 9)),
    "a bias too long": ("bias", (6,)),
    "a bias of one": ("bias", (1,)),
    "a weight too narrow": ("weight", (4, 7)),
    "a weight too wide": ("weight", (4, 11)),
}


@pytest.mark.parametrize("name", MISFITS)
def test_shapes_that_do_not_fit_go_the_plain_way(name: str) -> None:
    which, shape = MISFITS[name]
    values = drawn(5, 9, 4)
    values[which] = torch.from_numpy(np.random.default_rng(1).normal(size=shape))
    pairs = (values["scale"], values["shift"]), (values["weight"], values["bias"])
    assert narrow.result_of(values["x"], pairs[0], 0.1, pairs[1]) is None
    said = []
    for way in (nullcontext(), engine.plain()):
        with way:
            try:
                said.append(ExactOps().shrunk_linear(values["x"], pairs[0], 0.1, pairs[1]).tolist())
            except RuntimeError as error:
                said.append(str(error))
    assert said[0] == said[1]


@pytest.mark.parametrize("frozen", range(5))
@pytest.mark.parametrize("fault", [None, float("nan"), 2.0**-1000])
def test_frozen_parameters(frozen: int, fault: float | None) -> None:
    """What is not asked for is not computed, and is no reason to refuse."""
    values, names = drawn(5, 9, 4), ("x", "scale", "shift", "weight", "bias")
    if fault is not None:
        values["above"][0, 0] = fault
    said = []
    for way in (nullcontext(), engine.plain()):
        leaves = [values[n].clone().requires_grad_(i != frozen) for i, n in enumerate(names)]
        x, scale, shift, weight, bias = leaves
        with way:
            try:
                y = ExactOps().shrunk_linear(x, (scale, shift), 0.1, (weight, bias))
                y.backward(values["above"])
            except InexactError as error:
                said.append(str(error))
            else:
                assert leaves[frozen].grad is None
                said.append([part.grad.tolist() for part in leaves if part.grad is not None])
    assert said[0] == said[1]


@pytest.mark.parametrize("which", ["scale", "shift"])
def test_a_nan_among_the_parameters_of_the_norm_is_refused(which: str) -> None:
    values = drawn(5, 9, 4)
    values[which][2] = float("nan")
    pairs = (values["scale"], values["shift"]), (values["weight"], values["bias"])
    for way in (nullcontext(), engine.plain()):
        with way, pytest.raises(InexactError, match="input holds NaN"):
            ExactOps().shrunk_linear(values["x"], pairs[0], 0.1, pairs[1])
