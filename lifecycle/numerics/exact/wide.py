"""A wide first layer in one sweep: gradient, L2, Adamax, rounding and the next product.

The weights and two moments of 51,000 x 128 doubles are 157 MB; a step that reads and writes them
once costs what memory costs. A tile of columns is updated, rounded and multiplied with the next
inputs, gathered and rounded with it, while these are in the cache. Bits are those of
`layers.Linear` and `optimisers.Adamax`, whatever the number of threads.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
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
from lifecycle.numerics.exact.lanes import LANES
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
_PART = 1 << 18  # weights that are worth a thread
_PAGE, _LINE = 4096, 64  # bytes, of memory and of a cache
_LARGE = 1 << 17  # numbers of a minibatch from which rounding them is shared out

Work = Callable[[], None]


def is_wide(weight: Tensor, slices: int) -> bool:
    """Whether a layer can be swept: one slice, many weights, row after row, a CPU."""
    fits = weight.dim() == 2 and weight.numel() >= WIDE and weight.is_contiguous()
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
        self._tops: _Tops | None = None  # of the part that minibatches are from

    def takes(self, x: Tensor) -> bool:
        """Whether an input is one of cases, (k, in), that no gradient is asked for."""
        return x.dim() == 2 and x.shape[1] == self.weight.shape[1] and not x.requires_grad

    def product(self, x: Tensor) -> Tensor:
        """x W^T; at hand already where the sweep was told that x would come."""
        ahead = self._ahead
        if ahead is None or not ahead.stands(x, self.weight):
            return matmul(x, self.weight.t(), 1, ("input", "weight"))
        require_ends(*ahead.ends, x.shape[1], self.bits, ("input", "weight"))
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
            rule: see `sweep.sweep_tiles`.
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
            _require_cases(upcoming, self.weight)
        count = _padded(max(len(x), 0 if upcoming is None else len(upcoming)))
        if ahead is not None and ahead.stands(x, None) and ahead.operand.padded >= count:
            operand = ahead.operand
            count = operand.padded
        else:
            operand = _Operand(x, count)
            operand.round_cases()
        with placed(place):
            delta = _rounded_gradient(gradient, operand.ends, count)
        coming = self._coming(Minibatch.of(x[:0]) if upcoming is None else upcoming, count)
        own = [t.detach().numpy() for t in (self.weight, m, u)]
        operands = delta, operand.by_case
        product = _sweep(own, operands, coming, rule, self.bits, self._exponents, beside)
        if not coming.foreseen:  # cases of a part were changed behind our back
            self._tops = None
        elif upcoming is not None:
            result = torch.from_numpy(product[: len(upcoming)]) + 0.0
            ends = kernels.ends_of(coming.tops), _ends_of_rows(own[0], self._exponents)
            versions = upcoming.values._version, self.weight._version
            self._ahead = _Ahead(coming.operand, result, ends, versions)

    def _coming(self, batch: Minibatch, padded: int) -> _Coming:
        """The next cases, with what is known of the part that they are from."""
        kept = batch.gathered or not batch.part.is_contiguous()  # no copy of a part for a few cases
        source = Minibatch.of(batch.values) if kept else batch
        if kept:
            tops = _Tops(source.part)
        else:
            if self._tops is None or not self._tops.are_of(source.part):
                self._tops = _Tops(source.part)
            tops = self._tops
        part = kernels.array(source.part)
        return _Coming(batch, part, source.rows, tops.at(part, source.rows), padded)

    def __getstate__(self) -> dict[str, Any]:
        """Without what was computed ahead: it holds for these very tensors, not for copies."""
        return self.__dict__ | {"_ahead": None, "_tops": None}


class _Operand:
    """A minibatch (k, in), rounded for the gradient's product.

    Attributes:
        values: the minibatch.
        padded: cases, with those of zeros that are added.
        by_case: packed (see `sweep`), each feature rounded over the cases.
        ends: exponents of the least and the greatest feature, when it is rounded.
    """

    def __init__(self, values: Tensor, padded: int) -> None:
        self.values, self.padded = values, padded
        self.by_case = _packed(len(values), values.shape[1], padded)
        self.ends: Ends = (0, MIN_EXPONENT)

    def round_cases(self) -> None:
        """Make `by_case`, in parts where it is large."""
        source, bits, found = kernels.array(self.values), product_bits(len(self.values)), []

        def part(low: int, high: int) -> None:
            found.append(sweep.round_cases(source, bits, self.by_case, low, high))

        parts = torch.get_num_threads() if self.by_case.size >= _LARGE else 1
        width, blocks = source.shape[1], -(-source.shape[1] // LANES)
        bounds = [min(width, blocks * at // parts * LANES) for at in range(parts + 1)]
        _run([partial(part, *pair) for pair in pairwise(bounds)])
        self.ends = _widest(found)


class _Coming:
    """The next minibatch, which a sweep gathers and rounds.

    Attributes:
        operand: what it will be to the next sweep.
        tops: (k,), largest magnitude of each case, as far as is known.
        foreseen: whether these are what the sweep found; if not, its products are wrong.
        given: `coming` of `sweep.sweep_tiles`.
    """

    def __init__(
        self,
        batch: Minibatch,
        part: NDArray[np.float64],
        rows: NDArray[np.int64],
        tops: NDArray[np.int64],
        padded: int,
    ) -> None:
        self._batch, self._padded, kept = batch, padded, batch.gathered
        width = part.shape[1]
        values = batch.values if kept else torch.empty((len(rows), width), dtype=torch.float64)
        self.operand, self.tops, self.foreseen = _Operand(values, padded), tops, False
        self.given = part, rows, tops, kernels.array(values), self.operand.by_case, kept

    def place(self, width: int) -> NDArray[np.float64]:
        """Room for so many columns of it (see `place` of `sweep.sweep_tiles`)."""
        return _packed(len(self.tops), width, self._padded)

    def written(self, ends: Ends, tops: NDArray[np.int64]) -> None:
        """Say that a sweep has written it, and the ends and largest magnitudes that it found."""
        self.operand.ends = ends
        self.foreseen = np.array_equal(tops, self.tops)
        if not self._batch.gathered:
            self._batch.fill(self.operand.values)


class _Tops:
    """Largest magnitudes of a part's cases, each found when it is first asked for."""

    def __init__(self, part: Tensor) -> None:
        self._part = weakref.ref(part)  # whose cases nobody else may want any more
        self._known = np.full(len(part), -1)

    def are_of(self, part: Tensor) -> bool:
        """Whether they are of this very part."""
        return self._part() is part and len(self._known) == len(part)

    def at(self, part: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some cases (k,), as bit patterns; `part` are the values of the part."""
        unknown = rows[self._known[rows] < 0]
        if len(unknown):
            sweep.raise_tops(part, unknown, self._known)
        return self._known[rows]


@dataclass(frozen=True, slots=True, eq=False)
class _Ahead:
    """What a sweep has computed for the next step: an operand of its own, and x W^T."""

    operand: _Operand
    product: Tensor
    ends: tuple[Ends, Ends]  # of the cases and of the rows of the weight
    versions: tuple[int, int]  # of the values and of the weight: a sweep does not count as a change

    def stands(self, x: Tensor, weight: Tensor | None) -> bool:
        """Whether it is of this very input, and that (and the weight) as it was."""
        same = self.operand.values is x and x._version == self.versions[0]
        return same and (weight is None or weight._version == self.versions[1])


def _require_cases(batch: Minibatch, weight: Tensor) -> None:
    part = batch.part
    if part.dim() != 2 or part.shape[1] != weight.shape[1] or part.dtype != weight.dtype:
        raise UnusableInputError(
            f"exact arithmetic: a minibatch of {tuple(part.shape)} {part.dtype} for a layer of "
            f"{weight.shape[1]} inputs, {weight.dtype}"
        )
    if len(batch) and batch.rows.max() >= len(part):
        raise IndexError(f"a minibatch of cases beyond the {len(part)} that are left of the part")


def _padded(count: int) -> int:
    """Cases with zeros added, which change no bit: 1, 2, 4, or whole groups of 8.

    A kernel is compiled for each number, and the last minibatch of an epoch is often smaller.
    """
    for size in (1, 2, 4):
        if count <= size:
            return size
    return -(-count // sweep.GROUP) * sweep.GROUP


def _packed(count: int, width: int, padded: int) -> NDArray[np.float64]:
    """Room for a packed minibatch (see `sweep`), zeros from case `count`."""
    size = min(padded, sweep.GROUP)
    shape = padded // size, -(-width // LANES), size, LANES
    # torch's arrays begin at a cache's line, as vectors like it
    made: NDArray[np.float64] = torch.empty(shape, dtype=torch.float64).numpy()
    for case in range(count, padded):
        made[case // size, :, case % size] = 0.0
    return made


def _rounded_gradient(gradient: Tensor, input_ends: Ends, padded: int) -> NDArray[np.float64]:
    """The gradient of the layer's output (padded, out), rounded along the cases."""
    count, outputs = gradient.shape
    bits = product_bits(count)
    out = np.zeros((padded, outputs))
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
    operands: tuple[NDArray[np.float64], NDArray[np.float64]],
    coming: _Coming,
    rule: NDArray[np.float64],
    bits: int,
    exponents: NDArray[np.int64],
    beside: Work,
) -> NDArray[np.float64]:
    """The sweep by all threads, and other work beside it: the next product (padded, out)."""
    weight, m, u = own
    outputs, width = weight.shape
    count = min(torch.get_num_threads(), -(-weight.size // _PART))
    delta, inputs = operands
    edges = sweep.edges_of(width, len(delta), count)
    places = [coming.place(int(np.diff(edges).max())) for _ in range(count)]
    products = np.zeros((count, len(delta), outputs))
    tops, tops_of_cases = (
        np.zeros((count, size), np.int64) for size in (outputs, len(coming.tops))
    )
    slices = bits, product_bits(max(1, len(coming.tops)))
    tiles, found = (edges, np.zeros(1, np.int64)), []

    def part(at: int) -> None:
        found.append(
            sweep.sweep_tiles(
                weight, (m, u), exponents, _groups(delta), inputs, coming.given, places[at], rule,
                slices, tiles, _groups(products[at]), (tops[at], tops_of_cases[at]),
            )
        )  # fmt: skip

    _run([beside, *(partial(part, at) for at in range(count))])
    coming.written(_widest(found), tops_of_cases.max(axis=0))
    now = kernels.exponent_of(tops.max(axis=0))
    changed = np.flatnonzero(now != exponents)
    exponents[:] = now
    if len(changed):
        products[:, :, changed] = 0.0
        again = edges, np.zeros(1, np.int64)

        def settle(at: int) -> None:
            product = _groups(products[at])
            sweep.settle(weight, changed, now, coming.given, places[at], bits, again, product)

        _run([partial(settle, at) for at in range(count)])
    total: NDArray[np.float64] = products.sum(axis=0)
    return total


def _ends_of_rows(weight: NDArray[np.float64], exponents: NDArray[np.int64]) -> Ends:
    """The least exponent of a row that is not all zero (0 where all are), and the greatest."""
    kept = exponents[(exponents > MIN_EXPONENT) | _subnormal(weight, exponents)]
    return int(kept.min()) if len(kept) else 0, int(exponents.max())


def _subnormal(weight: NDArray[np.float64], exponents: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows have the exponent of zeros, and are none."""
    found: NDArray[np.bool_] = exponents == MIN_EXPONENT
    found[found] = weight[found].any(axis=1)
    return found


def _run(work: list[Work]) -> None:
    """Do all of it, shared out among as many threads as the framework has, this one among them."""
    todo = iter(work)

    def take() -> None:
        for part in todo:
            part()

    threads = torch.get_num_threads()
    others: list[Future[None]] = []
    try:
        for _ in range(min(threads, len(work)) - 1):
            others.append(_pool(threads - 1, os.getpid()).submit(take))
    except RuntimeError:  # no thread to be had: there are others, or this one does it all
        pass
    try:
        take()
    finally:
        wait(others)  # all of them, before an error of one is told
        deque(todo, maxlen=0)  # and nothing is left for a thread that comes later
    for other in others:
        other.result()


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


def _zeros_apart(like: Tensor, lines: int) -> Tensor:
    """Zeros of a tensor's shape, which begin so many lines of a cache later in a page than it.

    Large arrays all begin at one place of their pages; what stands at one index of several would
    then have to share one set of the cache.
    """
    size = like.element_size()
    room = torch.zeros(like.numel() + _PAGE // size, dtype=like.dtype)
    skipped = (like.data_ptr() + lines * _LINE - room.data_ptr()) % _PAGE // size
    return room[skipped : skipped + like.numel()].view(like.shape)


class SweepingAdamax(optimisers.Adamax):
    """Adamax that updates one wide layer by a sweep, and the rest as `Adamax` does."""

    def __init__(self, parameters: Sequence[Tensor], lr: float, l2: float, wide: WideLayer) -> None:
        super().__init__(parameters, lr, l2)
        self.wide = wide
        at = next(i for i, p in enumerate(self.parameters) if p is wide.weight)
        self._moments = self.state[at] = _zeros_apart(wide.weight, 2), _zeros_apart(wide.weight, 4)

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
