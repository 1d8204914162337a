"""Compiled kernels of the sweep over a wide layer (see `wide`), on numpy arrays.

The cases of a minibatch come `GROUP` together at most: with two rows of weights so many fill a
processor's registers. Larger minibatches are groups of them.

A *packed* minibatch is (groups, blocks, cases of a group, LANES): what stands at `LANES` columns,
case after case, so that a loop over columns reads one stretch of memory. Beyond the last case and
the last column are zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lifecycle.numerics.exact.compiled import kernel
from lifecycle.numerics.exact.intrinsics import taken
from lifecycle.numerics.exact.kernels import (
    Array,
    Bits,
    Scalar,
    exponent_of,
    magnitude_of,
    shift_at,
    shift_below,
)
from lifecycle.numerics.exact.lanes import (
    LANES,
    fetched,
    higher,
    highest,
    larger,
    loaded,
    spread,
    stack,
    stored,
    sums,
    zeros,
)
from lifecycle.numerics.exact.rounding import MIN_EXPONENT
from lifecycle.numerics.exact.tuples import added, dot, elements, put

Cases = tuple[Array, ...]
Groups = tuple[Cases, ...]
Parameter = tuple[Array, Array, Array, Array]  # weights, both moments, gradient
Row = tuple[Array, Array, Array]  # weights and both moments
Tiles = tuple[Bits, Bits]  # see `sweep_tiles`, as the next
Coming = tuple[Array, Bits, Bits, Array, Array, bool]
Vectors = Any  # vectors, one of each case, inside compiled code
Pair = tuple[Any, Any]  # of two rows
Sums = tuple[Pair, Pair]  # greatest magnitudes and products of two rows, by lanes

GROUP = 8
_NONE = np.int64(2000)  # beyond every exponent
_STRIP = 1024  # columns rounded at a time
_PIECE = 128  # columns of two rows that are updated, then multiplied: they stay in the first cache
_AHEAD = 256  # columns between what is computed and what is asked of the memory
_CACHED = 16384  # numbers of the inputs in a tile: they stay in a core's own cache
_OF_SEVERAL = 512  # columns of a tile with several groups, of which it keeps the gradient too
_LEAST = 256  # columns of a tile, at least, where there are so many
_LINE = 8  # numbers of a cache's line, a multiple of LANES


def edges_of(width: int, cases: int, threads: int) -> Bits:
    """Where tiles of so many columns, swept by so many threads, begin, and the end.

    They become smaller towards the end, so that all threads end together.
    """
    widest, edges = _CACHED // cases if cases <= GROUP else _OF_SEVERAL, [0]
    while edges[-1] < width:
        left = width - edges[-1]
        size = min(widest, max(_LEAST, left // (2 * threads))) if threads > 1 else widest
        edges.append(edges[-1] + min(left, size - size % _LINE))
    return np.array(edges)


@kernel(nogil=True)
def raise_tops(part: Array, rows: Bits, tops: Bits) -> None:
    """Set tops[row] to the largest magnitude of a case, part[row], for each of rows."""
    for row in rows:
        top = np.int64(0)
        for number in part[row]:
            top = max(top, magnitude_of(number))
        tops[row] = top


@kernel(nogil=True, forceinline=True)
def _case_of(packed: Array, b: int) -> tuple[Array, int]:
    """The group of a case, and where in it the case's first column stands."""
    cases = packed.shape[2]
    return packed[b // cases], b % cases * LANES


@kernel(nogil=True, forceinline=True)
def _cases_at(group: Array, column: int, like: Vectors) -> Vectors:
    """A group's values from a column, a vector of each case."""
    return stack(group, column * len(like), like)


@kernel(nogil=True)
def round_cases(x: Array, bits: int, out: Array, low: int, high: int) -> Scalar:
    """Columns [low, high) of x (k, in), each rounded to `bits` below its largest magnitude.

    Args:
        x: cases.
        bits: of a slice.
        out: (k, in) or packed; written.
        low: first column, in a packed minibatch a multiple of LANES.
        high: column after the last, likewise, or the end.

    Returns:
        Least exponent of a column that is not all zero (0 where all are), and the greatest of all.
    """
    tops, shifts = np.empty(_STRIP, np.int64), np.empty(_STRIP)
    least, greatest = _NONE, np.int64(MIN_EXPONENT)
    for at in range(low, high, _STRIP):
        size = min(_STRIP, high - at)
        tops[:] = 0
        for b in range(len(x)):
            row = x[b, at : at + size]
            for i in range(size):
                tops[i] = max(tops[i], magnitude_of(row[i]))
        for i in range(size):
            shifts[i] = shift_below(tops[i], bits)
            greatest = max(greatest, exponent_of(tops[i]))
            least = min(least, exponent_of(tops[i]) if tops[i] != 0 else _NONE)
        for b in range(len(x)):
            row = x[b, at : at + size]
            if out.ndim == 2:
                place = out[b, at : at + size]
                for i in range(size):
                    place[i] = (row[i] + shifts[i]) - shifts[i]
            else:
                group, first = _case_of(out, b)
                for i in range(0, size, LANES):
                    count = min(LANES, size - i)
                    shift = loaded(shifts, i, count)
                    rounded = (loaded(row, i, count) + shift) - shift
                    stored(group, first + (at + i) * group.shape[1], rounded, LANES)
    return (np.int64(0) if least == _NONE else least), greatest


@kernel(nogil=True, forceinline=True)
def _adamax(old: Any, m: Any, u: Any, g: Any, rule: tuple[float, ...]) -> tuple[Any, Any, Any]:
    """New moments and weight, one operation after the other as in `optimisers.Adamax`.

    Of numbers or of vectors.
    """
    l2, beta1, rest1, beta2, epsilon, rate = rule
    grown = (g + 0.0) + old * l2
    first = m * beta1 + grown * rest1
    faded, size = u * beta2, abs(grown) + epsilon
    norm = larger(faded, size)
    return first, norm, old - (first * rate) / norm


@kernel(nogil=True, forceinline=True)
def _rule(rule: Array) -> tuple[float, ...]:
    return rule[0], rule[1], rule[2], rule[3], rule[4], rule[5]


@kernel(nogil=True)
def adamax(flat: tuple[Parameter, ...], rule: Array) -> None:
    """L2 and Adamax of flat parameters, in place."""
    numbers = _rule(rule)
    for p in range(len(flat)):
        w, m, u, g = flat[p]
        for i in range(len(w)):
            m[i], u[i], w[i] = _adamax(w[i], m[i], u[i], g[i], numbers)


@kernel(nogil=True)
def _gather(coming: Coming, low: int, size: int, bits: int, place: Array, tops: Bits) -> None:
    """Pack next cases' columns from `low`, each case rounded; tops are raised by them."""
    part, rows, guesses = coming[:3]
    for b in range(len(rows)):
        row, shift = part[rows[b], low : low + size], shift_below(guesses[b], bits)
        group, first = _case_of(place, b)
        top = spread((0.0,))[0]
        for i in range(0, size, LANES):
            values = loaded(row, i, min(LANES, size - i))
            top = higher(top, values)
            stored(group, first + i * group.shape[1], (values + shift) - shift, LANES)
        tops[b] = max(tops[b], highest(top))


@kernel(nogil=True)
def _keep(coming: Coming, case_bits: int, low: int, high: int) -> Scalar:
    """Columns of the next cases' values, and the same rounded over the cases; ends of these."""
    part, rows, _, values, by_case, kept = coming
    if not kept:
        for b in range(len(rows)):
            row, place = part[rows[b], low:high], values[b, low:high]
            for i in range(high - low):
                place[i] = row[i]
    return round_cases(values, case_bits, by_case, low, high)


@kernel(nogil=True)
def _gradient(delta: Cases, inputs: Array, low: int, size: int, g: Array) -> None:
    """Add a group's part of the gradient of a tile to g (out, columns, whole vectors)."""
    for j in range(0, len(g), 2):
        k = min(j + 1, len(g) - 1)  # j, where it is the last: the same is written twice
        one, two = spread(elements(delta, j)), spread(elements(delta, k))
        for i in range(0, size, LANES):
            x = _cases_at(inputs, low + i, one)
            slope = loaded(g[j], i, LANES) + dot(one, x)
            slope2 = loaded(g[k], i, LANES) + dot(two, x)
            stored(g[j], i, slope, LANES)
            stored(g[k], i, slope2, LANES)


@kernel(nogil=True, forceinline=True)
def _multiplied(
    weights: Pair, shifts: Pair, cases: Vectors, i: int, count: int, totals: Pair
) -> Pair:
    """Add the products of `count` weights from i of two rows, rounded, with cases to totals."""
    one = (loaded(weights[0], i, count) + shifts[0]) - shifts[0]
    two = (loaded(weights[1], i, count) + shifts[1]) - shifts[1]
    return added(totals[0], one, cases), added(totals[1], two, cases)


@kernel(nogil=True, forceinline=True)
def _put(product: Cases, j: int, totals: Vectors) -> None:
    """Add totals of row j to the products of a group."""
    put(product, j, added(elements(product, j), 1.0, sums(totals)))


@kernel(nogil=True)
def _products(weights: Pair, shifts: Pair, upcoming: Array, j: int, k: int, product: Cases) -> None:
    """Add the products of a tile of rows j and k, rounded, with a group of next inputs."""
    size, none = len(weights[0]), zeros(elements(product, j))
    totals = none, none
    for i in range(0, size, LANES):
        y = _cases_at(upcoming, i, none)
        totals = _multiplied(weights, shifts, y, i, min(LANES, size - i), totals)
    _put(product, j, totals[0])
    if k != j:
        _put(product, k, totals[1])


@kernel(nogil=True, forceinline=True)
def _changed(row: Row, i: int, count: int, slope: Any, rule: tuple[float, ...], top: Any) -> Any:
    """Update `count` weights from i of a row: the greatest magnitudes so far with them."""
    w, m, u = row
    first, norm, new = _adamax(
        loaded(w, i, count), loaded(m, i, count), loaded(u, i, count), slope, rule
    )
    stored(m, i, first, count)
    stored(u, i, norm, count)
    stored(w, i, new, count)
    return higher(top, new)


@kernel(nogil=True, forceinline=True)
def _row(weight: Array, moments: tuple[Array, Array], j: int, low: int, high: int) -> Row:
    return weight[j, low:high], moments[0][j, low:high], moments[1][j, low:high]


@kernel(nogil=True, forceinline=True)
def _piece(work: Any, low: int, high: int, count: int, found: Sums) -> Sums:
    """Update columns [low, high) of two rows, `count` at a time, then multiply them.

    Two loops: what both keep at hand together is more than a processor has registers. Two rows
    share what is loaded of the cases, which is most of what is loaded. Weights and moments are
    asked for ahead (beside a tile's end, where it is narrower than that): tiles are too narrow for
    a processor to see which come next.

    Args:
        work: of two rows the weights and moments of a tile, the gradients of the output, what other
            groups have brought, and the shifts for rounding; inputs and the column where the tile
            begins in them; next inputs of the tile; the rule; where the tile ends, and from there
            to where it begins in the next two rows.
        low: first column,
        high: column after the last, and
        count: columns of a vector, LANES but for a rest.
        found: greatest magnitudes and products so far.
    """
    rows, factors, more, shifts, (inputs, begin), upcoming, rule, (end, jump) = work
    tops, totals = found
    for i in range(low, high, LANES):
        at = i + _AHEAD
        for row in rows:
            for numbers in row:
                fetched(numbers, at if at < end else at + jump)
        x = _cases_at(inputs, begin + i, factors[0])
        slope = dot(factors[0], x) + loaded(more[0], i, count)
        slope2 = dot(factors[1], x) + loaded(more[1], i, count)
        top = _changed(rows[0], i, count, slope, rule, tops[0])
        tops = top, _changed(rows[1], i, count, slope2, rule, tops[1])
    weights = rows[0][0], rows[1][0]
    for i in range(low, high, LANES):
        y = _cases_at(upcoming, i, factors[0])
        totals = _multiplied(weights, shifts, y, i, count, totals)
    return tops, totals


@kernel(nogil=True)
def _update(
    weight: Array,
    moments: tuple[Array, Array],
    delta: Cases,
    inputs: Array,
    upcoming: Array,
    g: Array,
    low: int,
    high: int,
    rule: Array,
    shifts: Array,
    tops: Bits,
    product: Cases,
    spare: Array,
) -> None:
    """Update a tile and multiply it with a group of next inputs, two rows at a time.

    Args:
        weight: the layer's, as in `sweep_tiles`, and
        moments: likewise.
        delta: gradients of the layer's output,
        inputs: inputs, all columns, and
        upcoming: next inputs of a group of cases, the tile's columns.
        g: (out, columns), what other groups have brought to the gradient; with one group zeros,
            (1, columns).
        low: first column of the tile.
        high: column after its last.
        rule: see `sweep_tiles`.
        shifts: (out,), for rounding the new weights.
        tops: (out,), greatest magnitudes so far as bit patterns; raised.
        product: products so far; the tile's are added.
        spare: (3, columns), numbers that may change: the second row beside an odd last one.
    """
    numbers, size, last = _rule(rule), high - low, len(weight) - 1
    whole = size - size % LANES
    for j in range(0, len(weight), 2):
        k = min(j + 1, last)
        one = _row(weight, moments, j, low, high)
        two = _row(weight, moments, k, low, high) if k != j else (spare[0], spare[1], spare[2])
        factors = spread(elements(delta, j)), spread(elements(delta, k))
        more, pair = (g[min(j, len(g) - 1)], g[min(k, len(g) - 1)]), (shifts[j], shifts[k])
        jump = (2 * weight.shape[1] if j + 2 <= last else 0) - size
        work = (
            (one, two), factors, more, pair, (inputs, low), upcoming, numbers, (size, jump),
        )  # fmt: skip
        none = zeros(factors[0])
        found = (none[0], none[0]), (none, none)
        for at in range(0, whole, _PIECE):
            found = _piece(work, at, min(at + _PIECE, whole), LANES, found)
        if whole < size:
            found = _piece(work, whole, size, size - whole, found)
        tops[j] = max(tops[j], highest(found[0][0]))
        _put(product, j, found[1][0])
        if k != j:
            tops[k] = max(tops[k], highest(found[0][1]))
            _put(product, k, found[1][1])


@kernel(nogil=True)
def settle(
    weight: Array,
    changed: Bits,
    exponents: Bits,
    coming: Coming,
    place: Array,
    bits: int,
    tiles: Tiles,
    product: Groups,
) -> None:
    """Multiply rows anew with the next inputs, rounded by their exponents (see `sweep_tiles`)."""
    edges, turn = tiles
    tops = np.zeros(len(coming[1]), np.int64)
    at = taken(turn)
    while at < len(edges) - 1:
        low, high = edges[at], edges[at + 1]
        _gather(coming, low, high - low, bits, place, tops)
        for p in range(0, len(changed), 2):
            j, k = changed[p], changed[min(p + 1, len(changed) - 1)]
            weights = weight[j, low:high], weight[k, low:high]
            pair = shift_at(exponents[j], bits), shift_at(exponents[k], bits)
            for q in range(len(product)):
                _products(weights, pair, place[q], j, k, product[q])
        at = taken(turn)


@kernel(nogil=True)
def sweep_tiles(
    weight: Array,
    moments: tuple[Array, Array],
    exponents: Bits,
    delta: Groups,
    inputs: Array,
    coming: Coming,
    place: Array,
    rule: Array,
    bits: tuple[int, int],
    tiles: Tiles,
    product: Groups,
    tops: tuple[Bits, Bits],
) -> Scalar:
    """Update a layer's weights and multiply them with the next inputs, a tile at a time.

    Threads that call it with the same tiles share them out; what they write to product and tops
    belongs together, in any order: sums of rounded products, and maxima.

    A row is rounded by its largest magnitude after the update, which is known at the row's end
    only. Its exponent rarely changes in a step, so the product goes along with the update by the
    exponent of the step before; rows of which that was another are for `settle`.

    Args:
        weight: (out, in), changed in place.
        moments: m and u of Adamax, likewise.
        exponents: (out,), of each row's largest magnitude: that of the step before (or any other).
        delta: gradient of the layer's output, (out,) of each case, rounded along the cases.
        inputs: cases, packed, rounded along the cases.
        coming: the next k cases: what they are gathered from (n, in), their numbers there (k,), the
            largest magnitude of each as far as is known (k,); written: their values (k, in), and
            these rounded along the cases, packed; last, whether the values are there already.
        place: packed, of the widest tile's columns, zeros beyond case k; written: a tile of the
            next cases, each rounded.
        rule: l2, beta1, 1 - beta1, beta2, epsilon, lr / (1 - beta1^t).
        bits: bits of a slice of the forward product, and of a sum over the next cases.
        tiles: columns at which tiles begin, and the end; the number of the next, (1,).
        product: (out,) of each next case; added: weight times the case.
        tops: raised: (out,) the largest magnitude of each row, as a bit pattern; (k,) of each case.

    Returns:
        Ends of the columns that were rounded along the next cases (see `round_cases`).
    """
    edges, turn = tiles
    outputs, groups, size = len(weight), len(inputs), place.shape[1] * LANES
    g, spare = np.zeros((outputs if groups > 1 else 1, size)), np.zeros((3, size))
    shifts = np.empty(outputs)
    for j in range(outputs):
        shifts[j] = shift_at(exponents[j], bits[0])
    least, greatest = _NONE, np.int64(MIN_EXPONENT)
    at = taken(turn)
    while at < len(edges) - 1:
        low, high = edges[at], edges[at + 1]
        _gather(coming, low, high - low, bits[0], place, tops[1])
        ends = _keep(coming, bits[1], low, high)
        if ends[0] <= ends[1]:  # not all zero
            least, greatest = min(least, ends[0]), max(greatest, ends[1])
        if groups > 1:
            g[:] = 0.0
        for q in range(1, groups):
            _gradient(delta[q], inputs[q], low, high - low, g)
        _update(
            weight, moments, delta[0], inputs[0], place[0], g, low, high, rule, shifts, tops[0],
            product[0], spare,
        )  # fmt: skip
        for j in range(0, outputs if groups > 1 else 0, 2):
            k = min(j + 1, outputs - 1)
            weights, pair = (weight[j, low:high], weight[k, low:high]), (shifts[j], shifts[k])
            for q in range(1, groups):
                _products(weights, pair, place[q], j, k, product[q])
        at = taken(turn)
    return (np.int64(0) if least == _NONE else least), greatest
