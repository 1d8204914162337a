"""Compiled kernels of the sweep over a wide layer (see `wide`), on numpy arrays.

The cases of a minibatch come as tuples of vectors (see `tuples`), at most `GROUP` together: so many
a processor's registers hold. Larger minibatches are groups of them.
"""

from __future__ import annotations

import numpy as np

from lifecycle.numerics.exact.compiled import kernel
from lifecycle.numerics.exact.kernels import (
    Array,
    Bits,
    Scalar,
    ends_of,
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
Tile = tuple[int, int, int, int]  # first row, row after the last, and columns likewise

GROUP = 8
_NONE = np.int64(2000)  # beyond every exponent
_STRIP = 1024  # columns rounded at a time
_CACHED = 16384  # numbers of a group's inputs in a tile: they stay in a core's own cache


@kernel(nogil=True, forceinline=True)
def tile_of(cases: int) -> int:
    """Columns of a tile, for so many cases of a group."""
    return _CACHED // cases


@kernel(nogil=True)
def gather_rows(
    part: Array, rows: Bits, bits: int, values: Array, out: Array, first: int, last: int
) -> Scalar:
    """Cases [first, last) of a minibatch: part[rows] to values (k, in), and to out each rounded.

    Returns:
        Least exponent of a case that is not all zero (0 where all are), and the greatest of all.
    """
    tops = np.zeros(last - first, np.int64)
    for b in range(first, last):
        source, place, rounded = part[rows[b]], values[b], out[b]
        top = np.int64(0)
        for i in range(len(source)):
            place[i] = source[i]
            top = max(top, magnitude_of(source[i]))
        shift = shift_below(top, bits)
        for i in range(len(source)):
            rounded[i] = (place[i] + shift) - shift
        tops[b - first] = top
    return ends_of(tops)


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
def _gradient(delta: Cases, inputs: Cases, tile: Tile, g: Array) -> None:
    """Add a group's part of the gradient of a tile to g."""
    first, last, low, high = tile
    for j in range(first, last):
        row, factors = g[j - first], elements(delta, j)
        for i in range(high - low):
            row[i] += dot(factors, elements(inputs, low + i))


@kernel(nogil=True)
def _product(
    weight: Array, low: int, shift: float, upcoming: Cases, j: int, product: Cases
) -> None:
    """Add the products of a tile of row j, rounded by a shift, with a group of next inputs."""
    sums = elements(product, j)
    for i in range(len(weight)):
        rounded = (weight[i] + shift) - shift
        sums = added(sums, rounded, elements(upcoming, low + i))
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
    tile: Tile,
    rule: Array,
    shifts: Array,
    tops: Bits,
    product: Cases,
    spare: Array,
) -> None:
    """Update a tile and multiply it with a group of next inputs, two rows at a time.

    Two rows share what is loaded of the inputs, which are most of what is loaded.

    Args:
        weight: the layer's, as in `sweep_rows`, and
        moments: likewise.
        delta: gradients of the layer's output,
        inputs: inputs, and
        upcoming: next inputs of a group of cases.
        g: (rows, columns), what other groups have brought to the gradient; with one group zeros,
            (1, columns).
        tile: which rows and columns.
        rule: see `sweep_rows`.
        shifts: (rows,), for rounding the new weights.
        tops: (rows,), greatest magnitudes so far as bit patterns; raised.
        product: products so far; the tile's are added.
        spare: (3, columns), numbers that may change: the second row beside an odd last one.
    """
    first, last, low, high = tile
    numbers = _rule(rule)
    for r in range(0, last - first, 2):
        paired = first + r + 1 < last
        s = r + 1 if paired else r
        j, k = first + r, first + s
        one = _row(weight, moments, j, low, high)
        two = _row(weight, moments, k, low, high) if paired else (spare[0], spare[1], spare[2])
        more, more2 = g[min(r, len(g) - 1)], g[min(s, len(g) - 1)]
        top, top2, shift, shift2 = tops[r], tops[s], shifts[r], shifts[s]
        factors, factors2 = elements(delta, j), elements(delta, k)
        sums, sums2 = elements(product, j), elements(product, k)
        for i in range(high - low):
            x = elements(inputs, low + i)
            slope, slope2 = dot(factors, x) + more[i], dot(factors2, x) + more2[i]
            top, rounded = _changed(one, i, slope, numbers, top, shift)
            top2, rounded2 = _changed(two, i, slope2, numbers, top2, shift2)
            y = elements(upcoming, low + i)
            sums, sums2 = added(sums, rounded, y), added(sums2, rounded2, y)
        if paired:
            tops[s] = top2
            put(product, k, sums2)
        tops[r] = top
        put(product, j, sums)


@kernel(nogil=True)
def _settle(
    weight: Array,
    upcoming: Groups,
    tops: Bits,
    bits: int,
    first: int,
    product: Groups,
    exponents: Bits,
) -> None:
    """Multiply anew the rows whose exponent is not the one they were rounded by, and note it."""
    for r in range(len(tops)):
        j, found = first + r, exponent_of(tops[r])
        if found == exponents[j]:
            continue
        exponents[j] = found
        for q in range(len(product)):
            for b in range(len(product[q])):
                product[q][b][j] = 0.0
            _product(weight[j], 0, shift_at(found, bits), upcoming[q], j, product[q])


@kernel(nogil=True)
def sweep_rows(
    weight: Array,
    moments: tuple[Array, Array],
    delta: Groups,
    inputs: Groups,
    upcoming: Groups,
    rule: Array,
    bits: int,
    first: int,
    last: int,
    product: Groups,
    exponents: Bits,
) -> None:
    """Update rows [first, last) and multiply them with the next inputs, a tile at a time.

    A row is rounded by its largest magnitude after the update, which is known at the row's end
    only. Its exponent rarely changes in a step, so the product goes along with the update by the
    exponent of the step before, and is made anew for rows of which that was another.

    Args:
        weight: (out, in), changed in place.
        moments: m and u of Adamax, likewise.
        delta: gradient of the layer's output, (out,) of each case, rounded along the cases.
        inputs: (in,) of each case, rounded along the cases.
        upcoming: the next inputs, (in,) of each case, each rounded to `bits`.
        rule: l2, beta1, 1 - beta1, beta2, epsilon, lr / (1 - beta1^t).
        bits: bits of a slice of the forward product.
        first: number of the first row.
        last: number after the last row.
        product: zeros, (out,) of each next case; written: weight times the case.
        exponents: (out,), exponent of each row's largest magnitude: that of the step before (or
            any other: a guess), written anew.
    """
    count, groups, size = last - first, len(inputs), tile_of(len(inputs[0]))
    tops, shifts = np.zeros(count, np.int64), np.empty(count)
    g, spare = np.zeros((count if groups > 1 else 1, size)), np.zeros((3, size))
    for r in range(count):
        shifts[r] = shift_at(exponents[first + r], bits)
    for low in range(0, weight.shape[1], size):
        high = min(low + size, weight.shape[1])
        tile = (first, last, low, high)
        if groups > 1:
            g[:] = 0.0
        for q in range(1, groups):
            _gradient(delta[q], inputs[q], tile, g)
        _update(
            weight, moments, delta[0], inputs[0], upcoming[0], g, tile, rule, shifts, tops,
            product[0], spare,
        )  # fmt: skip
        for q in range(1, groups):
            for r in range(count):
                part = weight[first + r, low:high]
                _product(part, low, shifts[r], upcoming[q], first + r, product[q])
    _settle(weight, upcoming, tops, bits, first, product, exponents)
