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

from lifecycle.numerics.exact import optimisers
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
_PART = 1 << 18  # weights that a thread takes at a time, about


def is_wide(weight: Tensor, slices: int) -> bool:
    """Whether a layer can be swept: one slice, an even number of outputs, many weights, a CPU."""
    fits = weight.dim() == 2 and len(weight) % 2 == 0 and weight.numel() >= WIDE
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
        with placed(place):
            delta, inputs = self._operands(x, gradient)
        following, ex = _rounded_rows(upcoming, self.weight.shape[1], self.bits)
        product, ew = _sweep(
            [t.detach().numpy() for t in (self.weight, m, u)],
            [delta, inputs, following],
            rule,
            self.bits,
            self._exponents,
        )
        if upcoming is not None:
            result = torch.from_numpy(product).t().contiguous() + 0.0
            self._ahead = (upcoming, result, ex, ew)

    def _operands(
        self, x: Tensor, gradient: Tensor
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Gradient (out, k) and input (k, in), both rounded along the k cases."""
        from lifecycle.numerics.exact.product_kernels import round_columns, round_rows

        bits = product_bits(len(x))
        delta, inputs = np.empty(gradient.shape[::-1]), np.empty(x.shape)
        ends = round_rows(gradient.numpy().T, bits, delta)
        require_ends(
            ends, round_columns(x.numpy(), bits, inputs), len(x), bits, ("gradient", "input")
        )
        return delta, inputs


def _rounded_rows(x: Tensor | None, width: int, bits: int) -> tuple[NDArray[np.float64], Ends]:
    from lifecycle.numerics.exact.product_kernels import round_rows

    source = np.empty((0, width)) if x is None else x.numpy()
    out = np.empty_like(source)
    return out, round_rows(source, bits, out)


def _sweep(
    own: list[NDArray[np.float64]],
    operands: list[NDArray[np.float64]],
    rule: NDArray[np.float64],
    bits: int,
    exponents: NDArray[np.int64],
) -> tuple[NDArray[np.float64], Ends]:
    """The sweep in chunks of rows, shared out among threads; chunks do not touch each other."""
    from lifecycle.numerics.exact import sweep

    weight, m, u = own
    outputs = len(weight)
    product = np.empty((outputs, len(operands[2])))
    threads = torch.get_num_threads()
    height = 2 * -(-max(_PART // weight.shape[1], outputs // (4 * threads)) // 2)

    def part(first: int) -> None:
        last = min(first + height, outputs)
        sweep.sweep_rows(weight, (m, u), *operands, rule, bits, first, last, product, exponents)

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
