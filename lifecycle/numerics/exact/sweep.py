"""Compiled kernels of the sweep over a wide layer (see `wide`), on numpy arrays."""

from __future__ import annotations

import numpy as np

from lifecycle.numerics.exact.compiled import kernel
from lifecycle.numerics.exact.product_kernels import (
    SIGN,
    Array,
    Bits,
    shift_at,
    shift_of,
    to_slice,
)

TILE = 512  # columns at a time: a tile of every operand stays in the first-level cache


@kernel(reorder=True, nogil=True)
def _add_one(g: Array, f: Array, x: float, y: float, a: Array) -> None:
    """g += x a; f += y a."""
    for i in range(len(g)):
        g[i] += x * a[i]
        f[i] += y * a[i]


@kernel(reorder=True, nogil=True)
def _add_four(
    g: Array, f: Array, x: Array, y: Array, a: Array, b: Array, c: Array, d: Array
) -> None:
    """g += x . (a, b, c, d); f += y . (a, b, c, d)."""
    p, q, r, s = x[0], x[1], x[2], x[3]
    t, u, v, w = y[0], y[1], y[2], y[3]
    for i in range(len(g)):
        e1, e2, e3, e4 = a[i], b[i], c[i], d[i]
        g[i] += p * e1 + q * e2 + r * e3 + s * e4
        f[i] += t * e1 + u * e2 + v * e3 + w * e4


@kernel(reorder=True, nogil=True)
def _dot_one(h: Array, f: Array, a: Array) -> tuple[float, float]:
    """h . a and f . a."""
    p = q = 0.0
    for i in range(len(h)):
        p += h[i] * a[i]
        q += f[i] * a[i]
    return p, q


@kernel(reorder=True, nogil=True)
def _dot_four(h: Array, f: Array, a: Array, b: Array, c: Array, d: Array, out: Array) -> None:
    """out += (h . a, h . b, …; f . a, f . b, …)."""
    p = q = r = s = t = u = v = w = 0.0
    for i in range(len(h)):
        x, y, e1, e2, e3, e4 = h[i], f[i], a[i], b[i], c[i], d[i]
        p += x * e1
        q += x * e2
        r += x * e3
        s += x * e4
        t += y * e1
        u += y * e2
        v += y * e3
        w += y * e4
    out[0, 0] += p
    out[0, 1] += q
    out[0, 2] += r
    out[0, 3] += s
    out[1, 0] += t
    out[1, 1] += u
    out[1, 2] += v
    out[1, 3] += w


@kernel(nogil=True)
def _gradient(d: Array, e: Array, inputs: Array, low: int, g: Array, f: Array) -> None:
    """Gradients of two rows in a tile: g = sum_b d[b] inputs[b], f likewise with e."""
    g[:] = 0.0
    f[:] = 0.0
    count, b = len(d), 0
    high = low + len(g)
    while b + 4 <= count:
        _add_four(
            g, f, d[b : b + 4], e[b : b + 4],
            inputs[b, low:high], inputs[b + 1, low:high],
            inputs[b + 2, low:high], inputs[b + 3, low:high],
        )  # fmt: skip
        b += 4
    while b < count:
        _add_one(g, f, d[b], e[b], inputs[b, low:high])
        b += 1


@kernel(nogil=True)
def adamax(w: Array, m: Array, u: Array, g: Array, rule: Array, top: int) -> int:
    """L2 and Adamax in a tile, one operation after the other as in `optimisers.Adamax`.

    Returns:
        The greatest magnitude of a new weight and `top`, as a bit pattern.
    """
    l2, beta1, rest1, beta2, epsilon, rate = rule[0], rule[1], rule[2], rule[3], rule[4], rule[5]
    for i in range(len(w)):
        old = w[i]
        grown = (g[i] + 0.0) + old * l2
        first = m[i] * beta1 + grown * rest1
        faded, size = u[i] * beta2, abs(grown) + epsilon
        norm = faded if faded > size else size
        m[i] = first
        u[i] = norm
        new = old - (first * rate) / norm
        w[i] = new
        top = max(top, int(np.float64(new).view(np.int64) & SIGN))
    return top


@kernel(nogil=True)
def _forward(inputs: Array, low: int, h: Array, f: Array, out: Array) -> None:
    """Add a tile's part of the products of two rows with every next input to out (2, k)."""
    count, b = len(inputs), 0
    high = low + len(h)
    while b + 4 <= count:
        _dot_four(
            h, f, inputs[b, low:high], inputs[b + 1, low:high],
            inputs[b + 2, low:high], inputs[b + 3, low:high], out[:, b : b + 4],
        )  # fmt: skip
        b += 4
    while b < count:
        p, q = _dot_one(h, f, inputs[b, low:high])
        out[0, b] += p
        out[1, b] += q
        b += 1


@kernel(nogil=True)
def _product(
    weight: Array, j: int, shifts: Array, upcoming: Array, g: Array, f: Array, product: Array
) -> None:
    """The products of rows j and j + 1, rounded by the shifts, with every next input."""
    product[j : j + 2] = 0.0
    columns = weight.shape[1]
    for low in range(0, columns, TILE):
        high = min(low + TILE, columns)
        to_slice(weight[j, low:high], shifts[0], g[: high - low])
        to_slice(weight[j + 1, low:high], shifts[1], f[: high - low])
        _forward(upcoming, low, g[: high - low], f[: high - low], product[j : j + 2])


@kernel(nogil=True)
def sweep_rows(
    weight: Array,
    moments: tuple[Array, Array],
    delta: Array,
    inputs: Array,
    upcoming: Array,
    rule: Array,
    bits: int,
    first: int,
    last: int,
    product: Array,
    exponents: Bits,
) -> None:
    """Update rows [first, last) and multiply them with the next inputs, two rows at a time.

    A row is rounded by its largest magnitude after the update, which is known at the row's end
    only. Its exponent rarely changes in a step, so the product goes along with the update by the
    exponent of the step before, and is made anew for rows of which that was another.

    Args:
        weight: (out, in), changed in place.
        moments: m and u of Adamax, likewise.
        delta: (out, k), gradient of the layer's output, rounded along k.
        inputs: (k, in), rounded along k.
        upcoming: (n, in), the next inputs, each row rounded to `bits`; n may be 0.
        rule: l2, beta1, 1 - beta1, beta2, epsilon, lr / (1 - beta1^t).
        bits: bits of a slice of the forward product.
        first: even number of the first row.
        last: even number after the last row.
        product: (out, n), written: weight times upcoming.
        exponents: (out,), exponent of each row's largest magnitude: that of the step before (or
            any other: a guess), written anew.
    """
    g, f, place, shifts = np.empty(TILE), np.empty(TILE), np.empty(1), np.empty(2)
    m, u = moments
    columns = weight.shape[1]
    for j in range(first, last, 2):
        tops = np.zeros(2, np.int64)
        for r in range(2):
            shifts[r] = shift_at(exponents[j + r], bits, place)
        product[j : j + 2] = 0.0
        for low in range(0, columns, TILE):
            high = min(low + TILE, columns)
            one, two = g[: high - low], f[: high - low]
            _gradient(delta[j], delta[j + 1], inputs, low, one, two)
            for r, part in ((0, one), (1, two)):
                row = weight[j + r, low:high]
                tops[r] = adamax(row, m[j + r, low:high], u[j + r, low:high], part, rule, tops[r])
                to_slice(row, shifts[r], part)
            _forward(upcoming, low, one, two, product[j : j + 2])
        known = True
        for r in range(2):
            exponent, shifts[r] = shift_of(tops[r], bits, place)
            known = known and exponent == exponents[j + r]
            exponents[j + r] = exponent
        if not known:
            _product(weight, j, shifts, upcoming, g, f, product)
