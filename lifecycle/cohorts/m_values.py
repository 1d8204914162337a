"""M-values, M = log2(beta / (1 - beta)), with the same bits on every machine.

Du et al. 2010 (BMC Bioinformatics 11:587) define M by intensities with an offset; this is the
logit of beta itself, which differs where beta carries an offset, and the record says so. A
mathematical library's logarithm differs between machines in its last bit; here every step is an
IEEE operation (frexp, + - * /) in a fixed order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.domain.cohort import U16_UNIT

_SQRT_HALF = 0.7071067811865476  # keeps the ratio of mantissas within [0.707, 1.414]: short series
_TWO_OVER_LN2 = 2.8853900817779268
_TWO_OVER_LN2_REST = 4.0710547481862066e-17  # 2 / ln 2 minus the line above
_ONE_OVER_LN2 = 1.4426950408889634
_NEAR_HALF = 0.2  # |2 beta - 1| below this: the series on 2 beta - 1 itself
_TERMS = 13  # s^27 / 27 is under 2^-59 of s for |s| <= 0.2
_CHUNK = 8192  # values at a time: the temporaries stay in the processor's cache


def m_values(beta: NDArray[np.float64], epsilon: float) -> NDArray[np.float64]:
    """log2(b / (1 - b)) of b = beta clipped to [epsilon, 1 - epsilon]; at most 2 ulp off.

    NaN stays NaN.

    Args:
        beta: any shape, float64.
        epsilon: the clip, within (0, 0.5); 1e-3 bounds |M| at 9.96.

    Returns:
        M-values, float64, of the same shape.
    """
    flat = np.ascontiguousarray(beta, dtype=np.float64).reshape(-1)
    out = np.empty_like(flat)
    for start in range(0, flat.size, _CHUNK):
        part = np.minimum(np.maximum(flat[start : start + _CHUNK], epsilon), 1.0 - epsilon)
        out[start : start + _CHUNK] = _log2_odds(part)
    return out.reshape(np.shape(beta))


def _log2_odds(b: NDArray[np.float64]) -> NDArray[np.float64]:
    """log2(b / (1 - b)) for b within (0, 1).

    With b = m 2^i and 1 - b = n 2^j it is i - j + 2 / ln 2 * atanh((m - n) / (m + n)). Near one
    half this is 2 / ln 2 * atanh(2 b - 1), where 2 b - 1 is exact and nothing cancels.
    """
    c = 1.0 - b
    lost = (1.0 - c) - b  # what rounding took from c: c + lost is 1 - b exactly
    m, i = np.frexp(b)
    n, j = np.frexp(c)
    low, high = m < _SQRT_HALF * n, n < _SQRT_HALF * m
    m, n = np.where(low, 2.0 * m, m), np.where(high, 2.0 * n, n)
    centred = 2.0 * b - 1.0
    near = np.abs(centred) < _NEAR_HALF
    s = np.where(near, centred, (m - n) / (m + n))
    whole = np.where(near, 0, i - j - low + high).astype(np.float64)
    return np.asarray(whole + _two_atanh_over_ln2(s, np.where(near, 0.0, lost / c)))


def _two_atanh_over_ln2(s: NDArray[np.float64], less: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2 (s + s^3 / 3 + s^5 / 5 + ...) - less) / ln 2, |s| <= 0.2, small terms added first."""
    square = s * s
    series = np.full_like(s, 1.0 / (2 * _TERMS + 1))
    for k in range(_TERMS - 1, 0, -1):
        series *= square
        series += 1.0 / (2 * k + 1)
    rest = s * (square * series)
    small = _TWO_OVER_LN2 * rest + (_TWO_OVER_LN2_REST * s - _ONE_OVER_LN2 * less)
    return np.asarray(_TWO_OVER_LN2 * s + small)


@lru_cache(maxsize=4)
def _table(epsilon: float) -> NDArray[np.float64]:
    table = m_values(np.arange(65536, dtype=np.float64) * U16_UNIT, epsilon)
    table.setflags(write=False)
    return table


def m_values_of(values: NDArray[Any], epsilon: float) -> NDArray[np.float64]:
    """M-values of measurements as a cohort holds them: float64, or uint16 in units of 1/65536.

    A stored uint16 gives the bits that its float64 value gives: one definition for both.
    """
    if values.dtype == np.uint16:
        return np.asarray(_table(epsilon)[values])
    return m_values(np.asarray(values, dtype=np.float64), epsilon)
