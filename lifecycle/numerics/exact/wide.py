"""A wide first layer in one sweep: gradient, L2, Adamax, rounding and the next product.

The weights and two moments of 51,000 x 128 doubles are 157 MB; a step that reads and writes them
once costs what memory costs. A tile of a row is updated, rounded and multiplied with the next
inputs while it is in the cache. Bits are those of `layers.Linear` and `optimisers.Adamax`, whatever
the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifecycle.errors import UnusableInputError
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
from lifecycle.numerics.minibatch import Minibatch

WIDE = 1 << 15  # weights from which a sweep is worth its overhead
_PART = 1 << 18  # weights that a thread takes at a time, at least
_LARGE = 1 << 17  # numbers of a minibatch from which rounding them is shared out

Work = Callable[[], None]


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
        self._ahead: _Ahead | None = None

    def takes(self, x: Tensor) -> bool:
        """Whether an input is one of cases, (k, in), that no gradient is asked for."""
        return x.dim() == 2 and x.shape[1] == self.weight.shape[1] and not x.requires_grad

    def product(self, x: Tensor) -> Tensor:
        """x W^T; at hand already where the sweep was told that x would come."""
        ahead = self._ahead
        if ahead is None or not ahead.stands(x, self.weight):
            return matmul(x, self.weight.t(), 1, ("input", "weight"))
        ends = ahead.operands.row_ends, ahead.weight_ends
        require_ends(*ends, x.shape[1], self.bits, ("input", "weight"))
        return ahead.product

    def keep(self, x: Tensor, gradient: Tensor, place: str) -> None:
        """Input and gradient of the output, for the sweep to come, and what to call it.

        Raises:
            RuntimeError: another gradient waits already; the two would have to be added.
        """
        if self._pending is not None:
            raise RuntimeError(f"{place}: a second gradient before a step; a sweep takes one")
        self._pending = (x, gradient, place)

    def drop(self) -> None:
        """Forget the gradient that waits."""
        self._pending = None

    def forget(self) -> None:
        """No sweep is to come, and nothing was computed ahead."""
        self._pending = self._ahead = None

    def sweep(
        self,
        m: Tensor,
        u: Tensor,
        rule: NDArray[np.float64],
        upcoming: Minibatch | None,
        beside: Work,
    ) -> None:
        """Update the weights with the gradient at hand, and begin the next product.

        Args:
            m: first moment of the weights, and
            u: infinity norm, changed in place.
            rule: see `sweep.sweep_rows`.
            upcoming: what comes next, where it is known; its values are at hand afterwards.
            beside: other work, which a thread does meanwhile.

        Raises:
            InexactError: the gradient cannot be computed; nothing was updated.
            RuntimeError: the weight has a gradient of its own beside the one that waits.
        """
        if self._pending is None:
            self.forget()
            return beside()
        if self.weight.grad is not None:
            raise RuntimeError("a weight that is swept has a gradient beside the sweep's")
        x, gradient, place = self._pending
        ahead = self._ahead
        self.forget()
        if upcoming is not None:
            _require_cases(upcoming.part, self.weight)
        count = _padded(max(len(x), 0 if upcoming is None else len(upcoming)))
        if ahead is not None and ahead.stands(x, None) and len(ahead.operands.by_case) >= count:
            operands = ahead.operands
        else:
            operands = _Operands(Minibatch.of(x), count)
            _run(operands.by_case_work())
        with placed(place):
            delta = _rounded_gradient(gradient, operands.case_ends, count)
        coming = _Operands(Minibatch.of(x[:0]) if upcoming is None else upcoming, count)
        coming.round_rows(self.bits)
        product, ends = _sweep(
            [t.detach().numpy() for t in (self.weight, m, u)],
            [delta, operands.by_case[:count], coming.by_row],
            rule,
            self.bits,
            self._exponents,
            [beside, *coming.by_case_work()],
        )
        if upcoming is not None:
            result = torch.from_numpy(product[: len(upcoming)]) + 0.0
            versions = upcoming.values._version, self.weight._version
            self._ahead = _Ahead(coming, result, ends, versions)


class _Operands:
    """A minibatch (k, in), rounded for the products that it is an operand of.

    Attributes:
        batch: the minibatch.
        by_row: (padded, in), each case rounded by itself, for the product with the weight.
        by_case: (padded, in), each feature rounded over the cases, for the gradient.
    """

    def __init__(self, batch: Minibatch, padded: int) -> None:
        self.batch = batch
        self.shape = (len(batch), batch.part.shape[1])
        self.by_row, self.by_case = (_zeros_from(*self.shape, padded) for _ in range(2))
        self._row_ends: list[Ends] = []
        self._case_ends: list[Ends] = []

    @property
    def row_ends(self) -> Ends:
        """Exponents of the least and the greatest case, when the work is done."""
        return _widest(self._row_ends)

    @property
    def case_ends(self) -> Ends:
        """The same of the features."""
        return _widest(self._case_ends)

    def round_rows(self, bits: int) -> None:
        """Make `by_row`, rounded to so many bits, and the minibatch's values with it."""
        batch = self.batch
        if batch.gathered or not batch.part.is_contiguous():  # a part is not copied for a few cases
            batch = Minibatch.of(batch.values)
        source, rows = kernels.array(batch.part), batch.rows
        values = torch.empty(self.shape, dtype=torch.float64)
        place = values.numpy()

        def part(first: int, last: int) -> None:
            ends = sweep.gather_rows(source, rows, bits, place, self.by_row, first, last)
            self._row_ends.append(ends)

        _run([partial(part, *bounds) for bounds in self._parts(len(rows))])
        if not self.batch.gathered:
            self.batch.fill(values)

    def by_case_work(self) -> list[Work]:
        """What makes `by_case`, in parts that do not meet."""
        count, width = self.shape
        if count == 0:
            return []
        bits, source = product_bits(count), kernels.array(self.batch.values)

        def part(low: int, high: int) -> None:
            self._case_ends.append(sweep.round_cases(source, bits, self.by_case, low, high))

        return [partial(part, *bounds) for bounds in self._parts(width)]

    def _parts(self, size: int) -> list[tuple[int, int]]:
        """Ranges of 0 to size, one for each thread where the minibatch is large."""
        parts = torch.get_num_threads() if self.by_row.size >= _LARGE else 1
        bounds = [size * at // parts for at in range(parts + 1)]
        return list(pairwise(bounds))


@dataclass(frozen=True, slots=True, eq=False)
class _Ahead:
    """What a sweep has computed for the next step: its operands, and x W^T with W's ends."""

    operands: _Operands
    product: Tensor
    weight_ends: Ends
    versions: tuple[int, int]  # of the values and of the weight: a sweep does not count as a change

    def stands(self, x: Tensor, weight: Tensor | None) -> bool:
        """Whether it is of this very input, and that (and the weight) as it was."""
        same = self.operands.batch.values is x and x._version == self.versions[0]
        return same and (weight is None or weight._version == self.versions[1])


def _require_cases(part: Tensor, weight: Tensor) -> None:
    if part.dim() != 2 or part.shape[1] != weight.shape[1] or part.dtype != weight.dtype:
        raise UnusableInputError(
            f"exact arithmetic: a minibatch of {tuple(part.shape)} {part.dtype} for a layer of "
            f"{weight.shape[1]} inputs, {weight.dtype}"
        )


def _padded(count: int) -> int:
    """Cases with zeros added, which change no bit: 1, 2, 4, or whole groups of 8.

    A kernel is compiled for each number, and the last minibatch of an epoch is often smaller.
    """
    for size in (1, 2, 4):
        if count <= size:
            return size
    return -(-count // sweep.GROUP) * sweep.GROUP


def _zeros_from(count: int, width: int, padded: int) -> NDArray[np.float64]:
    """(padded, width), zeros from row `count`; rows begin where vector instructions like it."""
    made: NDArray[np.float64] = torch.empty((padded, width), dtype=torch.float64).numpy()
    made[count:] = 0.0
    return made


def _rounded_gradient(gradient: Tensor, input_ends: Ends, padded: int) -> NDArray[np.float64]:
    """The gradient of the layer's output (padded, out), rounded along the cases."""
    count, outputs = gradient.shape
    bits = product_bits(count)
    out = _zeros_from(count, outputs, padded)
    ends = sweep.round_cases(kernels.array(gradient), bits, out, 0, outputs)
    require_ends(ends, input_ends, count, bits, ("gradient", "input"))
    return out


def _widest(ends: Iterable[Ends]) -> Ends:
    """The ends of parts together; of a part that is all zero the least is above the greatest."""
    known = [part for part in ends if part[0] <= part[1]]
    if not known:
        return 0, MIN_EXPONENT
    return min(part[0] for part in known), max(part[1] for part in known)


def _groups(cases: NDArray[np.float64]) -> Any:
    """The rows of an array as tuples, at most `GROUP` each."""
    return tuple(tuple(cases[at : at + sweep.GROUP]) for at in range(0, len(cases), sweep.GROUP))


def _sweep(
    own: list[NDArray[np.float64]],
    operands: list[NDArray[np.float64]],
    rule: NDArray[np.float64],
    bits: int,
    exponents: NDArray[np.int64],
    beside: list[Work],
) -> tuple[NDArray[np.float64], Ends]:
    """The sweep in chunks of rows, which do not meet, and beside it what the next one needs."""
    weight, m, u = own
    outputs = len(weight)
    product = np.zeros((len(operands[2]), outputs))
    groups = [_groups(cases) for cases in operands]
    places = _groups(product)
    # as many rows as there are for each thread: every part reads all inputs
    height = max(1, _PART // weight.shape[1], -(-outputs // torch.get_num_threads()))

    def part(first: int) -> None:
        last = min(first + height, outputs)
        sweep.sweep_rows(weight, (m, u), *groups, rule, bits, first, last, places, exponents)

    _run([*(partial(part, first) for first in range(0, outputs, height)), *beside])
    kept = exponents[(exponents > MIN_EXPONENT) | _subnormal(weight, exponents)]
    return product, (int(kept.min()) if len(kept) else 0, int(exponents.max()))


def _subnormal(weight: NDArray[np.float64], exponents: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows have the exponent of zeros, and are none."""
    found: NDArray[np.bool_] = exponents == MIN_EXPONENT
    found[found] = weight[found].any(axis=1)
    return found


def _run(work: list[Work]) -> None:
    """Do all of it, shared out among as many threads as the framework has."""
    threads = torch.get_num_threads()
    if threads == 1 or len(work) == 1:
        for part in work:
            part()
    else:
        futures = [_pool(threads, os.getpid()).submit(part) for part in work]
        wait(futures)  # all of them, before an error of one is told
        for future in futures:
            future.result()


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
        if ctx.needs_input_grad[1]:
            ctx.layer.keep(ctx.x, flat, place)
        with placed(place):
            bias = total(flat, (0,), name="gradient") if ctx.needs_input_grad[2] else None
        return None, None, bias, None, None


class SweepingAdamax(optimisers.Adamax):
    """Adamax that updates one wide layer by a sweep, and the rest as `Adamax` does."""

    def __init__(self, parameters: Sequence[Tensor], lr: float, l2: float, wide: WideLayer) -> None:
        super().__init__(parameters, lr, l2)
        self.wide = wide
        at = next(i for i, p in enumerate(self.parameters) if p is wide.weight)
        self._moments = self.state[at]

    def zero_grad(self) -> None:
        """See `Optimiser`; the gradient that waits for a sweep is forgotten too."""
        super().zero_grad()
        self.wide.drop()

    @torch.no_grad()
    def step(self, upcoming: Minibatch | None = None) -> None:
        """One step; `upcoming` is the input that the next step's product can begin with."""
        self.advance()
        m, u = self._moments
        self.wide.sweep(m, u, self.rule, upcoming, self._update_rest)

    def _update_rest(self) -> None:
        with torch.no_grad():  # a thread of its own does not know that its caller said so
            self.update_all(self.parts())
