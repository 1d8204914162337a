"""BatchNorm with its running statistics; channels are the last dimension.

Specification (lifecycle/arithmetic/1), N values of a channel:
- mean = total(x) / N; centred = x - mean; variance = total(centred centred) / N;
  scale = 1 / sqrt(variance + 1e-5); normal = centred scale; result = normal weight + bias.
- running mean = 0.9 running mean + 0.1 mean; running variance likewise with
  total(centred centred) / (N - 1). 1 - momentum is the double nearest to 1 - 0.1.
- Otherwise (not training): normal = (x - running mean) scale, scale from the running variance.
- Gradients in training: dbias = total(g), dweight = total(g normal),
  dx = ((g - dbias / N) - normal (dweight / N)) (weight scale); otherwise dx = g (weight scale).
Every operation is rounded by itself; `total` is `products.total` over all but the channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import elementary, kernels
from lifecycle.numerics.exact.layers import constant, placed, rows
from lifecycle.numerics.exact.products import total
from lifecycle.numerics.exact.rounding import MAX_EXPONENT
from lifecycle.numerics.ops import BATCH_MOMENTUM, NORM_EPSILON

RATES = (NORM_EPSILON, 1.0 - BATCH_MOMENTUM, BATCH_MOMENTUM)


class BatchNorm(torch.autograd.Function):
    """See the module; `running` (mean, variance) moves in place in training."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running: tuple[Tensor, Tensor],
        training: bool,
        place: str,
    ) -> Tensor:
        flat = rows(x)
        if training and len(flat) < 2:
            raise UnusableInputError(
                f"exact arithmetic: {place}: one value a channel has no variance; train on more"
            )
        found = kernels.batch_norm_of(flat, (weight, bias), running, RATES, training)
        if found is None:
            with placed(place):
                found = _normalised(flat, (weight, bias), running, training)
        result, normal, scale = found
        ctx.save_for_backward(normal, scale, weight)
        ctx.training, ctx.place = training, place
        return result.view(x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        normal, scale, weight = ctx.saved_tensors
        flat = rows(gradient)
        found = _swept(flat, normal, weight * scale, ctx.training)
        if found is None:
            with placed(f"{ctx.place}, backward"):
                found = _gradients(flat, normal, weight * scale, ctx.training)
        return found[0].view(gradient.shape), found[1], found[2], None, None, None


def _gradients(
    flat: Tensor, normal: Tensor, factor: Tensor, training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of input, weight and bias; factor = weight scale."""
    dbias = total(flat, (0,), name="gradient")
    dweight = total(flat * normal, (0,), name="gradient")
    dx = flat
    if training:
        count = constant(len(flat), flat)
        dx = (flat - dbias / count) - normal * (dweight / count)
    return dx * factor, dweight, dbias


def _swept(
    flat: Tensor, normal: Tensor, factor: Tensor, training: bool
) -> tuple[Tensor, Tensor, Tensor] | None:
    """The same in two passes, where kernels can."""
    if not kernels.usable(flat, normal, factor):
        return None
    dx, dweight, dbias = torch.empty_like(normal), torch.empty_like(factor), factor.clone()
    sources = (kernels.array(part) for part in (flat, normal, factor))
    places = (part.numpy() for part in (dx, dweight, dbias))
    top = kernels.batch_norm_back(*sources, kernels.sum_bits(len(flat)), training, *places)
    return (dx, dweight, dbias) if top <= MAX_EXPONENT else None


def _normalised(
    flat: Tensor, affine: tuple[Tensor, Tensor], running: tuple[Tensor, Tensor], training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Result, normalised input and scales; moves the running statistics in training."""
    centred, variance = _of_batch(flat, running) if training else (flat - running[0], running[1])
    scale = constant(1.0, variance) / elementary.sqrt(variance + NORM_EPSILON)
    normal = centred * scale
    return normal * affine[0] + affine[1], normal, scale


def _of_batch(flat: Tensor, running: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Deviations from the minibatch's means, and its variances; moves the running statistics."""
    count = constant(len(flat), flat)
    mean = total(flat, (0,)) / count
    centred = flat - mean
    squares = total(centred * centred, (0,))
    move(running[0], mean)
    move(running[1], squares / (count - 1.0))
    return centred, squares / count


def move(statistic: Tensor, towards: Tensor) -> None:
    """(1 - momentum) old + momentum new, in place."""
    statistic.mul_(1.0 - BATCH_MOMENTUM).add_(towards * BATCH_MOMENTUM)
