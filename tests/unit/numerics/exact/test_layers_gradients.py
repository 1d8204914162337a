"""Every layer's result and gradients, against the framework in float64 and finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.ops import FrameworkOps, Ops
from lifecycle.numerics.streams import DropoutKey

Call = Callable[..., Tensor]
Case = tuple[Call, tuple[Tensor, ...]]


def draw(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def conv(x: tuple[int, ...], w: tuple[int, ...], bias: bool = True, **settings: int) -> Case:
    def call(ops: Ops, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return ops.conv1d(x, weight, bias, **settings)

    tensors = (draw(1, *x), draw(2, *w))
    return call, (*tensors, draw(3, w[0])) if bias else tensors


def running(channels: int) -> tuple[Tensor, Tensor]:
    return draw(8, channels), draw(9, channels).abs() + 0.5


def norm(shape: tuple[int, ...], training: bool) -> Case:
    tensors = (draw(1, *shape), draw(2, shape[-1]), draw(3, shape[-1]))
    return lambda ops, x, w, b: ops.batch_norm(x, w, b, running(shape[-1]), training), tensors


KEY = DropoutKey(seed=3, step=5, layer=1)
LABELS = (draw(5, 6, 4) > 0).double()
CASES: dict[str, Case] = {
    "linear": (lambda ops, *t: ops.linear(*t), (draw(1, 5, 7), draw(2, 4, 7), draw(3, 4))),
    "linear over time": (
        lambda ops, *t: ops.linear(*t),
        (draw(1, 3, 5, 7), draw(2, 4, 7), draw(3, 4)),
    ),
    "layer_norm": (
        lambda ops, *t: ops.layer_norm(*t),
        (draw(1, 3, 5, 8), draw(2, 8), draw(3, 8)),
    ),
    "softshrink": (lambda ops, x: ops.softshrink(x, 0.5), (draw(1, 6, 9),)),
    "shrunk_linear": (
        lambda ops, x, a, b, w, c: ops.shrunk_linear(x, (a, b), 0.5, (w, c)),
        (draw(1, 5, 9), draw(2, 9), draw(3, 9), draw(4, 4, 9), draw(5, 4)),
    ),
    "shrunk_linear of many cases": (
        lambda ops, x, a, b, w, c: ops.shrunk_linear(x, (a, b), 0.1, (w, c)),
        (draw(1, 70, 9), draw(2, 9), draw(3, 9), draw(4, 4, 9), draw(5, 4)),
    ),
    "cross_entropy": (
        lambda ops, x: ops.cross_entropy(x, torch.tensor([0, 2, 1, 1])),
        (draw(1, 4, 3),),
    ),
    "conv1d": conv((3, 20, 4), (6, 4, 5), padding=2),
    "conv1d, no padding, no bias": conv((2, 20, 4), (6, 4, 5), bias=False),
    "conv1d, 1 tap": conv((3, 20, 4), (6, 4, 1)),
    "conv1d, stride": conv((3, 21, 4), (6, 4, 7), stride=2, padding=3),
    "conv1d, stride beyond kernel": conv((3, 23, 4), (6, 4, 2), stride=3, padding=1),
    "conv1d, even taps": conv((3, 20, 4), (6, 4, 4), padding=1),
    "conv1d, padding beyond kernel": conv((2, 9, 3), (2, 3, 3), padding=4),
    "conv1d, dilation": conv((3, 20, 4), (6, 4, 3), padding=2, dilation=2),
    "conv1d, dilation and stride": conv((3, 22, 4), (6, 4, 3), padding=3, dilation=3, stride=2),
    "conv1d, groups": conv((3, 20, 6), (8, 3, 3), padding=1, groups=2),
    "conv1d, depthwise": conv((3, 20, 6), (6, 1, 5), padding=2, groups=6),
    "conv1d, depthwise with stride": conv((3, 20, 6), (6, 1, 5), padding=2, groups=6, stride=2),
    "conv1d, depthwise, no bias": conv((3, 20, 6), (6, 1, 3), bias=False, groups=6, dilation=2),
    "conv1d, depthwise with multiplier": conv((3, 20, 3), (6, 1, 5), padding=2, groups=3),
    "avg_pool1d": (lambda ops, x: ops.avg_pool1d(x, 3, 3), (draw(1, 2, 17, 4),)),
    "avg_pool1d, overlapping": (lambda ops, x: ops.avg_pool1d(x, 4, 2), (draw(1, 2, 17, 4),)),
    "max_pool1d": (lambda ops, x: ops.max_pool1d(x, 2, 2), (draw(1, 2, 17, 4),)),
    "max_pool1d, overlapping": (lambda ops, x: ops.max_pool1d(x, 3, 2, 1), (draw(1, 2, 17, 4),)),
    "global_avg_pool": (lambda ops, x: ops.global_avg_pool(x), (draw(1, 3, 17, 4),)),
    "global_max_pool": (lambda ops, x: ops.global_max_pool(x), (draw(1, 3, 17, 4),)),
    "batch_norm": norm((3, 17, 5), True),
    "batch_norm of vectors": norm((9, 5), True),
    "batch_norm, evaluating": norm((3, 17, 5), False),
    "attention": (
        lambda ops, *t: ops.attention(*t, heads=2),
        (draw(1, 2, 9, 8), draw(2, 2, 9, 8), draw(3, 2, 9, 8)),
    ),
    "attention to another sequence": (
        lambda ops, *t: ops.attention(*t, heads=4),
        (draw(1, 2, 5, 8), draw(2, 2, 9, 8), draw(3, 2, 9, 8)),
    ),
    "relu": (lambda ops, x: ops.relu(x), (draw(1, 6, 9),)),
    "gelu": (lambda ops, x: ops.gelu(x * 2.0), (draw(1, 6, 9),)),
    "smelu": (lambda ops, x: ops.smelu(x, 0.7), (draw(1, 6, 9),)),
    "tanh": (lambda ops, x: ops.tanh(x), (draw(1, 6, 9),)),
    "sigmoid": (lambda ops, x: ops.sigmoid(x), (draw(1, 6, 9),)),
    "dropout": (lambda ops, x: ops.dropout(x, 0.4, KEY), (draw(1, 6, 9),)),
    "bce_with_logits": (
        lambda ops, x: ops.bce_with_logits(x, LABELS, torch.tensor([1.0, 2.5, 0.5, 9.0]).double()),
        (draw(4, 6, 4),),
    ),
}


def outcome(call: Call, ops: Ops, tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """The result, and a gradient for each tensor under a fixed gradient from above."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    result = call(ops, *leaves)
    return [result.detach(), *torch.autograd.grad(result, leaves, draw(7, *result.shape))]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("slices", "tolerance"), [(3, 1e-14), (1, 1e-5)])
def test_as_the_framework(name: str, slices: int, tolerance: float) -> None:
    call, tensors = CASES[name]
    expected = outcome(call, FrameworkOps(), tensors)
    for found, right in zip(outcome(call, ExactOps(slices), tensors), expected, strict=True):
        assert found.shape == right.shape
        size = float(right.abs().max())
        assert float((found - right).abs().max()) <= tolerance * max(size, 1.0) * 10


@pytest.mark.parametrize("name", CASES)
def test_as_finite_differences(name: str) -> None:
    call, tensors = CASES[name]
    leaves = tuple(tensor.clone().requires_grad_() for tensor in tensors)
    torch.autograd.gradcheck(
        lambda *leaves: call(ExactOps(3), *leaves),
        leaves,
        eps=1e-6,
        atol=1e-7,
        rtol=1e-6,
        fast_mode=True,
    )
