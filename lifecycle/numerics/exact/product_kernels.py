"""Compiled rounding, sums and their parts, on numpy arrays (see `rounding` and `products`).

Kernels with `reorder` hold exact products and sums only, so that no order and no fused multiply-add
can change a bit but the sign of a zero, which `+ 0.0` outside settles. Rounding to a slice may
never stand in one of them: a reordering compiler deletes it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lifecycle.numerics.exact.compiled import kernel
from lifecycle.numerics.exact.rounding import MAX_BITS

Array = NDArray[np.float64]
Bits = NDArray[np.int64]

SIGN = np.int64(0x7FFFFFFFFFFFFFFF)
_FIELD, _BIAS = 52, 1023
_TILE = 1024  # columns at a time
_TOP = 960  # see rounding.MAX_EXPONENT: beyond it the caller stops


@kernel(nogil=True)
def to_slice(w: Array, shift: float, out: Array) -> None:
    """Whole multiples of a quantum (`rounding.to_slice`)."""
    for i in range(len(w)):
        out[i] = (w[i] + shift) - shift


@kernel(nogil=True, forceinline=True)
def shift_at(exponent: int, bits: int, place: Array) -> float:
    """The constant that rounds to `bits` below an exponent."""
    place.view(np.int64)[0] = (min(exponent, _TOP) + (_FIELD - bits) + _BIAS) << _FIELD
    return 0.0 if bits > MAX_BITS else place[0] * 1.5


@kernel(nogil=True, forceinline=True)
def shift_of(top: int, bits: int, place: Array) -> tuple[int, float]:
    """Exponent of a magnitude given as a bit pattern, and the constant that rounds to `bits`."""
    exponent = (top >> _FIELD) - (_BIAS - 1)
    return exponent, shift_at(exponent, bits, place)


@kernel(nogil=True)
def round_rows(x: Array, bits: int, out: Array) -> tuple[int, int]:
    """Each row of x (n, in) rounded to `bits` below its largest magnitude.

    Returns:
        Least exponent of a row that is not all zero (0 where all are), and the greatest of all.
    """
    place, patterns = np.empty(1), x.view(np.int64)
    least, greatest = np.int64(_TOP), np.int64(-_BIAS)
    seen = False
    for b in range(len(x)):
        top = np.int64(0)
        for i in range(x.shape[1]):
            top = max(top, patterns[b, i] & SIGN)
        exponent, shift = shift_of(top, bits, place)
        greatest = max(greatest, exponent)
        if top != 0:
            seen = True
            least = min(least, exponent)
        for i in range(x.shape[1]):
            out[b, i] = (x[b, i] + shift) - shift
    return (int(least) if seen else 0), int(greatest)


@kernel(nogil=True)
def round_columns(x: Array, bits: int, out: Array) -> tuple[int, int]:
    """Each column of x (k, in) rounded to `bits` below its largest magnitude.

    Returns:
        Least exponent of a column that is not all zero (0 where all are), and the greatest of all.
    """
    place, patterns = np.empty(1), x.view(np.int64)
    least, greatest = np.int64(_TOP), np.int64(-_BIAS)
    seen = False
    tops = np.zeros(_TILE, np.int64)
    for low in range(0, x.shape[1], _TILE):
        high = min(low + _TILE, x.shape[1])
        tops[:] = 0
        for b in range(len(x)):
            for i in range(low, high):
                tops[i - low] = max(tops[i - low], patterns[b, i] & SIGN)
        for i in range(low, high):
            exponent, shift = shift_of(tops[i - low], bits, place)
            greatest = max(greatest, exponent)
            if tops[i - low] != 0:
                seen = True
                least = min(least, exponent)
            for b in range(len(x)):
                out[b, i] = (x[b, i] + shift) - shift
    return (int(least) if seen else 0), int(greatest)
