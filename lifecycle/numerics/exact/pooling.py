"""Pooling over time; channels are the last dimension.

Specification (lifecycle/arithmetic/1):
- Average: the values of a window are added in the order of time, then divided by their number.
  Gradient: gradient / number, added where windows overlap, the window's first value first (taps
  0 … k - 1, each for all windows).
- Maximum: the first of the largest values wins; padding never does. The gradient goes to the
  winner, added where windows overlap in the order of taps.
- Global average: `products.total` over time, divided by the number of steps.
- Global maximum: the earliest of the largest values; the gradient goes to it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import kernels
from lifecycle.numerics.exact.convolution import Window, scatter
from lifecycle.numerics.exact.layers import constant, placed
from lifecycle.numerics.exact.products import total


def pool_window(kernel: int, stride: int, padding: int = 0) -> Window:
    """The windows of a pooling.

    Raises:
        UnusableInputError: a window could lie in the padding alone.
    """
    if 2 * padding > kernel:
        raise UnusableInputError(
            f"exact arithmetic: pooling: a padding of {padding} is more than half of the window "
            f"of {kernel}"
        )
    return Window(kernel, stride, padding)


class AveragePool(torch.autograd.Function):
    """Means of windows of (n, t, c), without padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: Window) -> Tensor:
        outputs = window.outputs(x.shape[1])
        ctx.window, ctx.time = window, x.shape[1]
        result = x[:, window.at(0, outputs)]
        for tap in range(1, window.kernel):
            result = result + x[:, window.at(tap, outputs)]
        return result / constant(window.kernel, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        share = gradient / constant(ctx.window.kernel, gradient)
        taps = share.unsqueeze(2).expand(-1, -1, ctx.window.kernel, -1)
        return scatter(taps, ctx.window, ctx.time), None


class MaxPool(torch.autograd.Function):
    """Largest values of windows of (n, t, c)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: Window) -> Tensor:
        ctx.window, ctx.time = window, x.shape[1]
        best, winner = _swept(x, window) if kernels.usable(x) else largest(x, window)
        ctx.save_for_backward(winner)
        return best

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (winner,) = ctx.saved_tensors
        if kernels.usable(gradient):
            return _swept_gradient(gradient, winner, ctx.window, ctx.time), None
        taps = torch.arange(ctx.window.kernel, device=winner.device).view(1, 1, -1, 1)
        hit = winner.unsqueeze(2) == taps
        shares = torch.where(hit, gradient.unsqueeze(2), torch.zeros_like(gradient).unsqueeze(2))
        return scatter(shares, ctx.window, ctx.time), None


def largest(x: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """The largest value of every window, and the first tap that met it."""
    ends = (0, 0, window.padding, window.padding)
    padded = torch.nn.functional.pad(x, ends, value=-float("inf"))
    outputs = window.outputs(x.shape[1])
    best = padded[:, window.at(0, outputs)]
    winner = torch.zeros_like(best, dtype=torch.int64)
    for tap in range(1, window.kernel):
        seen = padded[:, window.at(tap, outputs)]
        better = (seen > best) | seen.isnan()  # a NaN passes on, for the next product to refuse
        best = torch.where(better, seen, best)
        winner = torch.where(better, torch.full_like(winner, tap), winner)
    return best, winner


def _swept(x: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """The same in one pass."""
    shape = (x.shape[0], window.outputs(x.shape[1]), x.shape[2])
    best, winner = torch.empty(shape, dtype=x.dtype), torch.empty(shape, dtype=torch.int64)
    settings = (window.kernel, window.stride, window.padding)
    kernels.max_pool(kernels.array(x), *settings, best.numpy(), winner.numpy())
    return best, winner


def _swept_gradient(gradient: Tensor, winner: Tensor, window: Window, time: int) -> Tensor:
    """The gradient of the input in one pass."""
    found = gradient.new_zeros(gradient.shape[0], time, gradient.shape[2])
    settings = (window.kernel, window.stride, window.padding)
    kernels.max_pool_back(kernels.array(gradient), winner.numpy(), *settings, found.numpy())
    return found


class GlobalAverage(torch.autograd.Function):
    """Means over time: (n, t, c) -> (n, c)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.time = x.shape[1]
        with placed("global_avg_pool"):
            return total(x, (1,)) / constant(x.shape[1], x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        share = gradient / constant(ctx.time, gradient)
        return share.unsqueeze(1).repeat(1, ctx.time, 1)


class GlobalMax(torch.autograd.Function):
    """Largest values over time: (n, t, c) -> (n, c)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        best = x.amax(dim=1, keepdim=True)
        time = torch.arange(x.shape[1], device=x.device).view(1, -1, 1)
        first = torch.where(x == best, time, x.shape[1] - 1).amin(dim=1, keepdim=True)
        ctx.save_for_backward(first)
        ctx.shape = x.shape
        return x.gather(1, first).squeeze(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (first,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.shape).scatter_(1, first, gradient.unsqueeze(1))
