"""Orthonormal bases of any order with the same bits on every machine.

Every entry is a cosine of a multiple of pi / (2 N). The cosines of a quarter wave are rounded once
from multiple precision (mpmath computes with integers); what follows is integer arithmetic on the
multiples, and IEEE products, quotients, sums and square roots.

Row r of a basis of order N, at column j:
- `dct`: DCT-II, sqrt(2 / N) cos(pi r (2 j + 1) / (2 N)), row 0 over sqrt(2);
- `sinusoidal`: DST-II, sqrt(2 / N) sin(pi (r + 1) (2 j + 1) / (2 N)), the last row over sqrt(2)
  (the reference leaves that row at norm sqrt(2));
- `hartley`: (cos(2 pi r j / N) + sin(2 pi r j / N)) / sqrt(N);
- `hadamard`: Walsh-Hadamard in natural order (Sylvester), (-1)^popcount(r and j) / sqrt(N), where N
  is a power of two. Else N = 2^k m with m odd, and the basis is the Kronecker product of the
  Walsh-Hadamard basis of order 2^k and the DCT-II of order m: orthonormal for every N, where rows
  cut out of the next larger Hadamard matrix (the reference) are not.

Sources: Ahmed, Natarajan and Rao 1974 (DCT-II); Bracewell 1983 (Hartley); Sylvester 1867.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import mpmath
import numpy as np
from numpy.typing import NDArray

Basis = Literal["dct", "hadamard", "hartley", "sinusoidal"]
BASES: tuple[Basis, ...] = ("dct", "hadamard", "hartley", "sinusoidal")
DIGITS = 40  # of the cosines before they are rounded once to double precision

Matrix = NDArray[np.float64]
Numbers = NDArray[np.int64]


def entries(kind: Basis, order: int, rows: int, columns: int) -> Matrix:
    """The first rows and columns of a basis.

    Args:
        kind: which basis.
        order: N.
        rows: how many of the N.
        columns: how many of the N.

    Returns:
        (rows, columns) float64.
    """
    r, j = np.arange(rows)[:, None], np.arange(columns)[None, :]
    return _FORMULAS[kind](order, r, j)


@lru_cache(maxsize=16)
def quarter_wave(order: int) -> Matrix:
    """cos(pi k / (2 N)) for k = 0 … N, each the nearest double."""
    with mpmath.workdps(DIGITS):
        values = [float(mpmath.cospi(mpmath.mpf(k) / (2 * order))) for k in range(order)]
    return np.array([*values, 0.0])


def cosine(order: int, k: Numbers) -> Matrix:
    """cos(pi k / (2 N)) for any integers k, by symmetry from the quarter wave."""
    folded = k % (4 * order)
    folded = np.minimum(folded, 4 * order - folded)  # within 0 … 2 N
    mirrored = folded > order
    values = quarter_wave(order)[np.where(mirrored, 2 * order - folded, folded)]
    return np.where(mirrored, -values, values)


def sine(order: int, k: Numbers) -> Matrix:
    """sin(pi k / (2 N)) for any integers k."""
    return cosine(order, k - order)


def _dct(order: int, r: Numbers, j: Numbers) -> Matrix:
    norm = np.sqrt(np.where(r == 0, 1.0, 2.0) / order)
    return norm * cosine(order, r * (2 * j + 1))


def _sinusoidal(order: int, r: Numbers, j: Numbers) -> Matrix:
    norm = np.sqrt(np.where(r == order - 1, 1.0, 2.0) / order)
    return norm * sine(order, (r + 1) * (2 * j + 1))


def _hartley(order: int, r: Numbers, j: Numbers) -> Matrix:
    k = 4 * (r * j % order)
    cas: Matrix = cosine(order, k) + sine(order, k)
    return np.asarray(cas / np.sqrt(np.float64(order)))


def _hadamard(order: int, r: Numbers, j: Numbers) -> Matrix:
    even = order & -order  # the largest power of two in it
    odd = order // even
    signs = 1.0 - 2.0 * (np.bitwise_count((r // odd) & (j // odd)) & 1)
    walsh: Matrix = signs / np.sqrt(np.float64(even))
    return walsh * _dct(odd, r % odd, j % odd)


_FORMULAS = {"dct": _dct, "hadamard": _hadamard, "hartley": _hartley, "sinusoidal": _sinusoidal}
