"""A wide first layer in one sweep: gradient, L2, Adamax, rounding and the next product.

The weights and two moments of 51,000 x 128 doubles are 157 MB; a step that reads and writes them
once costs what memory costs. A tile of a row is updated, rounded and multiplied with the next
inputs while it is in the cache. Bits are those of `layers.Linear` and `optimisers.Adamax`, whatever
the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifecycle.numerics.exact import kernels, optimisers, sweep
from lifecycle.numerics.exact.engine import compiled
from lifecycle.numerics.exact.layers import placed, rows
from lifecycle.numerics.exact.products import (
    Ends,
    matmul,
    require_ends,
    total,
)
from lifecycle.numerics.exact.rounding import MIN_EXPONENT, product_bits

WIDE = 1 << 15  # weights from which a sweep is worth its overhead
_PART = 1 << 18  # weights that a thread takes at a time, at least


def is_wide(weight: Tensor, slices: int) -> bool:
    """Whether a layer can be swept: one slice, many weights, a CPU."""
    fits = weight.dim() == 2 and weight.numel() >= WIDE
    return compiled() and fits and slices == 1 and weight.device.type == "cpu"


class WideLayer:
    """The weight of a first layer, and what a sweep needs and leaves.

    Attributes:
        weight: (out, in) float64 parameter.
        bits: bits of a slice of the forward product.
    """

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.bits = product_bits(weight.shape[1])
        self._exponents = np.zeros(len(weight), np.int64)  # of rows, after the last sweep
        self._pending: tuple[Tensor, Tensor, str] | None = None
        self._ahead: tuple[Tensor, Tensor, Ends, Ends] | None = None

    def product(self, x: Tensor) -> Tensor:
        """x W^T; at hand already where the sweep was told that x would come."""
        if self._ahead is None or self._ahead[0] is not x:
            return matmul(x, self.weight.t(), 1, ("input", "weight"))
        _, result, ex, ew = self._ahead
        require_ends(ex, ew, x.shape[1], self.bits, ("input", "weight"))
        return result

    def keep(self, x: Tensor, gradient: Tensor, place: str) -> None:
        """Input and gradient of the output, for the sweep to come, and what to call it."""
        self._pending = (x, gradient, place)

    def forget(self) -> None:
        """No sweep is to come, and nothing was computed ahead."""
        self._pending = self._ahead = None

    def sweep(
        self, m: Tensor, u: Tensor, rule: NDArray[np.float64], upcoming: Tensor | None
    ) -> None:
        """Update the weights with the gradient at hand, and begin the next product."""
        if self._pending is None:
            return
        x, gradient, place = self._pending
        self.forget()
        count = _padded(max(len(x), 0 if upcoming is None else len(upcoming)))
        with placed(place):
            delta, inputs = _operands(x, gradient, count)
        following, ex = _rounded_rows(upcoming, count, self.weight.shape[1], self.bits)
        product, ew = _sweep(
            [t.detach().numpy() for t in (self.weight, m, u)],
            [delta, inputs, following],
            rule,
            self.bits,
            self._exponents,
        )
        if upcoming is not None:
            result = torch.from_numpy(product[: len(upcoming)]) + 0.0
            self._ahead = (upcoming, result, ex, ew)


def _padded(count: int) -> int:
    """Cases with zeros added, which change no bit: 1, 2, 4, or whole groups of 8.

    A kernel is compiled for each number, and the last minibatch of an epoch is often smaller.
    """
    for size in (1, 2, 4):
        if count <= size:
            return size
    return -(-count // sweep.GROUP) * sweep.GROUP


def _zeros_from(count: int, padded: int, width: int) -> NDArray[np.float64]:
    """(padded, width), zeros from row `count`; rows begin where vector instructions like it."""
    made: NDArray[np.float64] = torch.empty((padded, width), dtype=torch.float64).numpy()
    made[count:] = 0.0
    return made


def _operands(
    x: Tensor, gradient: Tensor, padded: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradient (padded, out) and input (padded, in), both rounded along the cases."""
    count, bits = len(x), product_bits(len(x))
    made, ends = [], []
    for part in (kernels.array(gradient), kernels.array(x)):
        made.append(_zeros_from(count, padded, part.shape[1]))
        ends.append(sweep.round_cases(part, bits, made[-1]))
    require_ends(ends[0], ends[1], count, bits, ("gradient", "input"))
    return made[0], made[1]


def _rounded_rows(
    x: Tensor | None, padded: int, width: int, bits: int
) -> tuple[NDArray[np.float64], Ends]:
    """Inputs (padded, in), each rounded, and the exponents of the least and the greatest."""
    source = np.empty((0, width)) if x is None else kernels.array(x)
    out = _zeros_from(len(source), padded, width)
    return out, kernels.round_rows(source, bits, out.reshape(-1), width, 0)


def _groups(cases: NDArray[np.float64]) -> Any:
    """The rows of an array as tuples, at most `GROUP` each."""
    return tuple(tuple(cases[at : at + sweep.GROUP]) for at in range(0, len(cases), sweep.GROUP))


def _sweep(
    own: list[NDArray[np.float64]],
    operands: list[NDArray[np.float64]],
    rule: NDArray[np.float64],
    bits: int,
    exponents: NDArray[np.int64],
) -> tuple[NDArray[np.float64], Ends]:
    """The sweep in chunks of rows, shared out among threads; chunks do not touch each other."""
    weight, m, u = own
    outputs = len(weight)
    product = np.zeros((len(operands[2]), outputs))
    groups = [_groups(cases) for cases in operands]
    places = _groups(product)

    threads = torch.get_num_threads()
    height = max(1, _PART // weight.shape[1], -(-outputs // (2 * threads)))

    def part(first: int) -> None:
        last = min(first + height, outputs)
        sweep.sweep_rows(weight, (m, u), *groups, rule, bits, first, last, places, exponents)

    starts = range(0, outputs, height)
    if threads == 1 or len(starts) == 1:
        for first in starts:
            part(first)
    else:
        list(_pool(threads, os.getpid()).map(part, starts))
    kept = exponents[exponents > MIN_EXPONENT]
    return product, (int(kept.min()) if len(kept) else 0, int(exponents.max()))


@cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads of this process (a forked child has none of its parent's)."""
    return ThreadPoolExecutor(threads, thread_name_prefix="sweep")


class WideLinear(torch.autograd.Function):
    """`layers.Linear` for a first layer: its gradient is left to the sweep."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, layer: WideLayer, place: str
    ) -> Tensor:
        ctx.layer, ctx.place, ctx.x = layer, place, x
        with placed(place):
            return layer.product(x) + bias

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        flat, place = rows(gradient), f"{ctx.place}, backward"
        ctx.layer.keep(ctx.x, flat, place)
        with placed(place):
            return None, None, total(flat, (0,), name="gradient"), None, None


class SweepingAdamax(optimisers.Adamax):
    """Adamax that updates one wide layer by a sweep, and the rest as `Adamax` does."""

    def __init__(self, parameters: Sequence[Tensor], lr: float, l2: float, wide: WideLayer) -> None:
        super().__init__(parameters, lr, l2)
        self.wide = wide
        at = next(i for i, p in enumerate(self.parameters) if p is wide.weight)
        self._moments = self.state[at]

    @torch.no_grad()
    def step(self, upcoming: Tensor | None = None) -> None:
        """One step; `upcoming` is the input that the next step's product can begin with."""
        super().step(upcoming)
        m, u = self._moments
        self.wide.sweep(m, u, self.rule, upcoming)
