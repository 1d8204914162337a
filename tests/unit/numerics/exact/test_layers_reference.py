"""Convolution and attention against the rule itself, in rational arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from lifecycle.numerics.exact import convolution, optimisers
from lifecycle.numerics.exact.engine import compiled
from lifecycle.numerics.exact.kernels import adam_of
from lifecycle.numerics.exact.ops import ExactOps

from .test_layers_gradients import draw


def slices_of(values: Iterable[float], bits: int) -> dict[float, Fraction]:
    """Every value rounded to `bits` below the power of two above the largest, ties to even."""
    known = [Fraction(value) for value in values]
    top = max(abs(value) for value in known)
    quantum = Fraction(2) ** (math.frexp(float(top))[1] - bits)
    return {float(value): round(value / quantum) * quantum for value in known}


def bits_of(length: int) -> int:
    return (53 - (length - 1).bit_length()) // 2


def reference(x: Tensor, w: Tensor, g: Tensor, stride: int, padding: int) -> list[np.ndarray]:
    """Output, gradient of the input and gradient of the weight of one slice, without bias."""
    (n, time, c), (o, _, k), steps = x.shape, w.shape, g.shape[1]
    met = [
        (b, t, a, i, j, t * stride + j - padding)
        for b, t, a, i, j in np.ndindex(n, steps, o, c, k)
        if 0 <= t * stride + j - padding < time
    ]
    sums = [{at: Fraction(0) for at in np.ndindex(*shape)} for shape in (g.shape, x.shape, w.shape)]
    forward, back, across = bits_of(k * c), bits_of(k * o), bits_of(n * steps)
    x1 = [slices_of(x[b].flatten().tolist(), forward) for b in range(n)]
    w1 = [slices_of(w[a].flatten().tolist(), forward) for a in range(o)]
    g2 = [slices_of(g[b].flatten().tolist(), back) for b in range(n)]
    w2 = [slices_of(w[:, i].flatten().tolist(), back) for i in range(c)]
    x3 = [slices_of(x[:, :, i].flatten().tolist(), across) for i in range(c)]
    g3 = [slices_of(g[:, :, a].flatten().tolist(), across) for a in range(o)]
    for b, t, a, i, j, s in met:
        value, weight, above = float(x[b, s, i]), float(w[a, i, j]), float(g[b, t, a])
        sums[0][b, t, a] += x1[b][value] * w1[a][weight]
        sums[1][b, s, i] += g2[b][above] * w2[i][weight]
        sums[2][a, i, j] += x3[i][value] * g3[a][above]
    shapes = (g.shape, x.shape, w.shape)
    return [
        np.array([float(part[at]) for at in np.ndindex(*shape)]).reshape(shape)
        for part, shape in zip(sums, shapes, strict=True)
    ]


@pytest.mark.parametrize(
    ("shape", "weight", "stride", "padding"),
    [
        ((2, 9, 3), (4, 3, 3), 1, 1),
        ((2, 8, 2), (3, 2, 4), 2, 1),
        ((1, 7, 3), (2, 3, 1), 1, 0),
        ((3, 6, 1), (2, 1, 2), 3, 2),
    ],
)
def test_convolution_is_its_rule(
    shape: tuple[int, ...], weight: tuple[int, ...], stride: int, padding: int
) -> None:
    x, w = draw(1, *shape) * torch.exp2(draw(5, *shape).round() * 5), draw(2, *weight)
    leaves = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = ExactOps(1).conv1d(*leaves, None, stride, padding)
    g = draw(3, *y.shape)
    found = [y.detach(), *torch.autograd.grad(y, leaves, g)]
    for one, right in zip(found, reference(x, w, g, stride, padding), strict=True):
        assert np.array_equal(one.numpy(), right)


def test_kept_sheets_carry_nothing_over() -> None:
    x, w, bias = draw(1, 2, 30, 4), draw(2, 4, 4, 5), draw(3, 4)
    inputs = [x, x * 1e6, x.flip(1), x * 0.0]

    def run(value: Tensor, weight: Tensor) -> list[bytes]:
        leaves = value.clone().requires_grad_(), weight.clone().requires_grad_()
        y = ExactOps(1).conv1d(*leaves, bias, padding=2)
        y = ExactOps(1).conv1d(y, leaves[1], bias, padding=2)
        return [
            part.numpy().tobytes() for part in (y.detach(), *torch.autograd.grad(y.sum(), leaves))
        ]

    fresh = []
    for value in inputs:
        convolution.POOL.kept.clear()
        fresh.append(run(value, w))
    again = [run(value, w) for value in (*inputs, *reversed(inputs))]
    assert again == [*fresh, *reversed(fresh)]


def test_kept_places_of_dilated_and_other_windows_are_not_mixed_up() -> None:
    x, w = draw(1, 2, 30, 4), draw(2, 4, 4, 3)
    convolution.POOL.kept.clear()
    alone = ExactOps(1).conv1d(x, w, None, padding=2)
    convolution.POOL.kept.clear()
    apart = ExactOps(1).conv1d(x, w, None, padding=2, dilation=2)
    assert torch.equal(ExactOps(1).conv1d(x, w, None, padding=2), alone)
    assert torch.equal(ExactOps(1).conv1d(x, w, None, padding=2, dilation=2), apart)


def test_inference_mode_leaves_nothing_behind() -> None:
    x, w = draw(1, 2, 30, 4), draw(2, 4, 4, 3)
    convolution.POOL.kept.clear()
    with torch.inference_mode():
        inside = ExactOps(1).conv1d(x, w, None).numpy().tobytes()
    assert ExactOps(1).conv1d(x, w, None).numpy().tobytes() == inside


def test_few_and_small_tensors_are_kept() -> None:
    convolution.POOL.kept.clear()
    for time in range(20, 120):
        ExactOps(1).conv1d(draw(1, 1, time, 2), draw(2, 2, 2, 3), None)
    assert len(convolution.POOL.kept) <= convolution.POOL.COUNT
    convolution.POOL.kept.clear()
    ExactOps(1).conv1d(torch.zeros(1, 70_000, 4).double(), draw(2, 4, 4, 1), None)
    assert not convolution.POOL.kept


@pytest.mark.skipif(not compiled(), reason="compiled kernels are off")
def test_the_kernel_of_adam_has_the_bits_of_the_plain_update() -> None:
    values = [draw(seed, 40, 7) for seed in range(4)]
    weight, gradient, first, second = values[0], values[1], values[2] * 0.1, values[3] ** 2
    gradient = torch.where(draw(9, 40, 7) > 1.0, torch.zeros_like(gradient), gradient)
    plain = [part.clone() for part in (weight, first, second)]
    l2, rate, whole, epsilon = 0.01, 0.003, 1.0 - 0.999, optimisers.EPSILON
    slope = gradient + plain[0] * l2
    plain[1].mul_(0.9).add_(slope * (1.0 - 0.9))
    plain[2].mul_(0.999).add_((slope * slope).mul_(1.0 - 0.999))
    root = torch.from_numpy(np.sqrt((plain[2] / torch.tensor(whole, dtype=torch.float64)).numpy()))
    plain[0].sub_((plain[1] * rate).div_(root + epsilon))
    rates, betas = (l2, rate, whole, epsilon), (0.9, 0.999)
    assert adam_of(weight, gradient, (first, second), rates, betas)
    for one, two in zip((weight, first, second), plain, strict=True):
        assert one.numpy().tobytes() == two.numpy().tobytes()
