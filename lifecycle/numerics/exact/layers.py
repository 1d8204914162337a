"""Layers as autograd functions, forward and backward from exact products and sums.

The framework's own backward passes reduce over broadcast dimensions with sums whose order depends
on threads and instruction set; none is used here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lifecycle.numerics.exact import elementary, kernels
from lifecycle.numerics.exact.products import matmul, total
from lifecycle.numerics.exact.rounding import InexactError

LAYER_NORM_EPSILON = 1e-5


@contextmanager
def placed(place: str) -> Iterator[None]:
    """Say where exact arithmetic failed."""
    try:
        yield
    except InexactError as error:
        raise error.at(place) from None


def rows(x: Tensor) -> Tensor:
    """All leading dimensions as one."""
    return x.reshape(-1, x.shape[-1])


def constant(value: float, like: Tensor) -> Tensor:
    """A number as a tensor: a GPU divides by a plain number through its rounded reciprocal."""
    return torch.tensor(value, dtype=like.dtype, device=like.device)


class Linear(torch.autograd.Function):
    """x W^T + b with x (..., in), W (out, in), b (out,)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, slices: int, place: str
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.slices, ctx.place = slices, place
        with placed(place):
            return (
                matmul(rows(x), weight.t(), slices, ("input", "weight")).reshape(
                    *x.shape[:-1], len(weight)
                )
                + bias
            )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        flat = rows(gradient)
        dx = dw = db = None
        with placed(f"{ctx.place}, backward"):
            if ctx.needs_input_grad[0]:
                dx = matmul(flat, weight, ctx.slices, ("gradient", "weight")).reshape(x.shape)
            if ctx.needs_input_grad[1]:
                dw = matmul(flat.t(), rows(x), ctx.slices, ("gradient", "input"))
            if ctx.needs_input_grad[2]:
                db = total(flat, (0,), name="gradient")
        return dx, dw, db, None, None


class LayerNorm(torch.autograd.Function):
    """(x - mean) / sqrt(variance + epsilon) * weight + bias over the last dimension.

    The variance is the mean square deviation (no Bessel correction), as in the framework.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, place: str) -> Tensor:
        ctx.place = place
        swept = kernels.layer_norm_of(x, weight, bias, LAYER_NORM_EPSILON)
        if swept is not None:
            ctx.save_for_backward(*swept[1:], weight)
            return swept[0]
        width = constant(x.shape[-1], x)
        with placed(place):
            centred = x - total(x, (-1,), keepdim=True) / width
            variance = total(centred * centred, (-1,), keepdim=True) / width
        scale = constant(1.0, x) / elementary.sqrt(variance + LAYER_NORM_EPSILON)
        normal = centred * scale
        ctx.save_for_backward(normal, scale, weight)
        return normal * weight + bias

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        normal, scale, weight = ctx.saved_tensors
        swept = kernels.layer_norm_gradients(gradient, normal, scale, weight)
        if swept is not None:
            return *swept, None
        width = constant(normal.shape[-1], normal)
        inner = gradient * weight
        with placed(f"{ctx.place}, backward"):
            mean = total(inner, (-1,), keepdim=True, name="gradient") / width
            slope = total(inner * normal, (-1,), keepdim=True, name="gradient") / width
            dweight = total(rows(gradient * normal), (0,), name="gradient")
            dbias = total(rows(gradient), (0,), name="gradient")
        dx = ((inner - mean) - normal * slope) * scale
        return dx, dweight, dbias, None


class Softshrink(torch.autograd.Function):
    """Towards zero by lambd, and +0 within +-lambd (the framework's zeros differ in sign).

    A NaN stays one, for the next product to refuse.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, lambd: float) -> Tensor:
        passed = ~(x.abs() <= lambd)
        ctx.save_for_backward(passed)
        shrunk = torch.where(x > 0, x - lambd, x + lambd)
        return torch.where(passed, shrunk, torch.zeros_like(x))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (passed,) = ctx.saved_tensors
        return torch.where(passed, gradient, torch.zeros_like(gradient)), None


def softmax(x: Tensor, place: str = "softmax") -> tuple[Tensor, Tensor, Tensor]:
    """Scores over the last dimension, x less its largest value, and the sum of exponentials."""
    shifted = x - x.amax(dim=-1, keepdim=True)
    powers = elementary.exp(shifted)
    with placed(place):
        size = total(powers, (-1,), keepdim=True)
    return powers / size, shifted, size


class CrossEntropy(torch.autograd.Function):
    """Mean of -log softmax(logits)[target] over n cases; logits (n, C), target (n,)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, place: str) -> Tensor:
        swept = kernels.cross_entropy_of(logits, target)
        if swept is None:
            swept = _losses(logits, target, place)
        ctx.save_for_backward(swept[1])
        return swept[0] / constant(math.prod(target.shape), logits)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = ctx.saved_tensors
        return slope * (gradient / constant(len(slope), slope)), None, None


def _losses(logits: Tensor, target: Tensor, place: str) -> tuple[Tensor, Tensor]:
    """The sum of the losses, and the scores less 1 at the target."""
    scores, shifted, size = softmax(logits, place)
    at = target.unsqueeze(-1)
    losses = elementary.log(size) - shifted.gather(-1, at)
    slope = scores - torch.zeros_like(scores).scatter_(-1, at, 1.0)
    with placed(place):
        return total(losses, (0, 1)), slope
