"""Compiled kernels of the sweep over a wide layer (see `wide`), on numpy arrays.

The cases of a minibatch come as tuples of vectors (see `tuples`), at most `GROUP` together: so many
a processor's registers hold. Larger minibatches are groups of them.
"""

from __future__ import annotations

import numpy as np

from lifecycle.numerics.exact.compiled import kernel
from lifecycle.numerics.exact.intrinsics import aligned, taken
from lifecycle.numerics.exact.kernels import (
    Array,
    Bits,
    Scalar,
    exponent_of,
    magnitude_of,
    shift_at,
    shift_below,
)
from lifecycle.numerics.exact.rounding import MIN_EXPONENT
from lifecycle.numerics.exact.tuples import added, dot, elements, put

Cases = tuple[Array, ...]
Groups = tuple[Cases, ...]
Parameter = tuple[Array, Array, Array, Array]  # weights, both moments, gradient
Row = tuple[Array, Array, Array]  # weights and both moments
Tiles = tuple[Bits, Bits]  # see `sweep_tiles`, as the next
Coming = tuple[Array, Bits, Bits, Array, Array, bool]
Copy = tuple[Groups, Array]  # next cases of a tile, rounded, by group and as an array

GROUP = 8
_NONE = np.int64(2000)  # beyond every exponent
_STRIP = 1024  # columns rounded at a time
_CACHED = 32768  # numbers of the inputs in a tile: they stay in a core's own cache
_OF_SEVERAL = 512  # columns of a tile with several groups, of which it keeps the gradient too
_LEAST = 256  # columns of a tile, at least, where there are so many
_LINE = 8  # numbers of a cache's line


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


@kernel(nogil=True)
def round_cases(x: Array, bits: int, out: Array, low: int, high: int) -> Scalar:
    """Columns [low, high) of x (k, in), each rounded to `bits` below its largest magnitude.

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
            row, place = x[b, at : at + size], out[b, at : at + size]
            for i in range(size):
                place[i] = (row[i] + shifts[i]) - shifts[i]
    return (np.int64(0) if least == _NONE else least), greatest


@kernel(nogil=True, forceinline=True)
def _adamax(
    old: float, m: float, u: float, g: float, rule: tuple[float, ...]
) -> tuple[float, float, float]:
    """New moments and weight, one operation after the other as in `optimisers.Adamax`."""
    l2, beta1, rest1, beta2, epsilon, rate = rule
    grown = (g + 0.0) + old * l2
    first = m * beta1 + grown * rest1
    faded, size = u * beta2, abs(grown) + epsilon
    norm = faded if faded > size else size
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
    """Next cases' columns from `low`, each case rounded, to place; tops are raised by them."""
    part, rows, guesses = coming[:3]
    for b in range(len(rows)):
        row, rounded = part[rows[b], low : low + size], place[b, :size]
        top, shift = tops[b], shift_below(guesses[b], bits)
        for i in range(size):
            top = max(top, magnitude_of(row[i]))
            rounded[i] = (row[i] + shift) - shift
        tops[b] = top


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
def _gradient(delta: Cases, inputs: Cases, low: int, high: int, g: Array) -> None:
    """Add a group's part of the gradient of a tile, (out, columns), to g."""
    for j in range(len(g)):
        row, factors = g[j], elements(delta, j)
        for i in range(high - low):
            row[i] += dot(factors, elements(inputs, low + i))


@kernel(nogil=True)
def _product(weight: Array, shift: float, upcoming: Cases, j: int, product: Cases) -> None:
    """Add the products of a tile of row j, rounded by a shift, with a group of next inputs."""
    sums = elements(product, j)
    for i in range(len(weight)):
        rounded = (weight[i] + shift) - shift
        sums = added(sums, rounded, elements(upcoming, i))
    put(product, j, sums)


@kernel(nogil=True, forceinline=True)
def _changed(
    row: Row, i: int, slope: float, numbers: tuple[float, ...], top: Scalar, shift: float
) -> Scalar:
    """Update weight i of a row: the greatest magnitude so far with it, and the weight rounded."""
    w, m, u = row
    m[i], u[i], new = _adamax(w[i], m[i], u[i], slope, numbers)
    w[i] = new
    return max(top, magnitude_of(new)), (new + shift) - shift


@kernel(nogil=True, forceinline=True)
def _row(weight: Array, moments: tuple[Array, Array], j: int, low: int, high: int) -> Row:
    return weight[j, low:high], moments[0][j, low:high], moments[1][j, low:high]


@kernel(nogil=True)
def _update(
    weight: Array,
    moments: tuple[Array, Array],
    delta: Cases,
    inputs: Cases,
    upcoming: Cases,
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

    Two rows share what is loaded of the inputs, which are most of what is loaded.

    Args:
        weight: the layer's, as in `sweep_tiles`, and
        moments: likewise.
        delta: gradients of the layer's output,
        inputs: inputs, and
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
    aligned()
    numbers = _rule(rule)
    for j in range(0, len(weight), 2):
        paired = j + 1 < len(weight)
        k = j + 1 if paired else j
        one = _row(weight, moments, j, low, high)
        two = _row(weight, moments, k, low, high) if paired else (spare[0], spare[1], spare[2])
        more, more2 = g[min(j, len(g) - 1)], g[min(k, len(g) - 1)]
        top, top2, shift, shift2 = tops[j], tops[k], shifts[j], shifts[k]
        factors, factors2 = elements(delta, j), elements(delta, k)
        sums, sums2 = elements(product, j), elements(product, k)
        for i in range(high - low):
            x = elements(inputs, low + i)
            slope, slope2 = dot(factors, x) + more[i], dot(factors2, x) + more2[i]
            top, rounded = _changed(one, i, slope, numbers, top, shift)
            top2, rounded2 = _changed(two, i, slope2, numbers, top2, shift2)
            y = elements(upcoming, i)
            sums, sums2 = added(sums, rounded, y), added(sums2, rounded2, y)
        if paired:
            tops[k] = top2
            put(product, k, sums2)
        tops[j] = top
        put(product, j, sums)


@kernel(nogil=True)
def settle(
    weight: Array,
    changed: Bits,
    exponents: Bits,
    coming: Coming,
    copy: Copy,
    bits: int,
    tiles: Tiles,
    product: Groups,
) -> None:
    """Multiply rows anew with the next inputs, rounded by their exponents (see `sweep_tiles`)."""
    upcoming, place = copy
    edges, turn = tiles
    tops = np.zeros(len(coming[1]), np.int64)
    at = taken(turn)
    while at < len(edges) - 1:
        low, high = edges[at], edges[at + 1]
        _gather(coming, low, high - low, bits, place, tops)
        for j in changed:
            part, shift = weight[j, low:high], shift_at(exponents[j], bits)
            for q in range(len(product)):
                _product(part, shift, upcoming[q], j, product[q])
        at = taken(turn)


@kernel(nogil=True)
def sweep_tiles(
    weight: Array,
    moments: tuple[Array, Array],
    exponents: Bits,
    delta: Groups,
    inputs: Groups,
    coming: Coming,
    copy: Copy,
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
        inputs: (in,) of each case, rounded along the cases.
        coming: the next k cases: what they are gathered from (n, in), their numbers there (k,), the
            largest magnitude of each as far as is known (k,); written: their values (k, in), and
            these rounded along the cases (padded, in); last, whether the values are there already.
        copy: (padded, columns of the widest tile), by group and as an array, zeros beyond case k;
            written: the tile of the next cases, each rounded.
        rule: l2, beta1, 1 - beta1, beta2, epsilon, lr / (1 - beta1^t).
        bits: bits of a slice of the forward product, and of a sum over the next cases.
        tiles: columns at which tiles begin, and the end; the number of the next, (1,).
        product: (out,) of each next case; added: weight times the case.
        tops: raised: (out,) the largest magnitude of each row, as a bit pattern; (k,) of each case.

    Returns:
        Ends of the columns that were rounded along the next cases (see `round_cases`).
    """
    upcoming, place = copy
    edges, turn = tiles
    outputs, groups, size = len(weight), len(inputs), place.shape[1]
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
            _gradient(delta[q], inputs[q], low, high, g)
        _update(
            weight, moments, delta[0], inputs[0], upcoming[0], g, low, high, rule, shifts, tops[0],
            product[0], spare,
        )  # fmt: skip
        for q in range(1, groups):
            for j in range(outputs):
                _product(weight[j, low:high], shifts[j], upcoming[q], j, product[q])
        at = taken(turn)
    return (np.int64(0) if least == _NONE else least), greatest
