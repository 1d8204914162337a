"""Exact and approximate intervals for shares of patients, and the level of an attempt.

`upper_bound` is the one that decides; everything else here is shown beside it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainccinv, betaincinv, ndtri

from lifecycle.errors import UsageError


def _check_level(a: float) -> None:
    if not 0.0 < a < 1.0:
        raise UsageError(f"the level must lie between 0 and 1, not {a!r}")


def upper_bounds(Z: ArrayLike, m: ArrayLike, a: float) -> NDArray[np.float64]:
    """One-sided upper confidence bounds of shares Z / m, element by element.

    Holds what `upper_bound` holds; arrays broadcast, the result is float64.

    Raises:
        UsageError: a count is NaN or negative, Z exceeds m, or the level is not within (0, 1).
    """
    _check_level(a)
    units, discordant = np.broadcast_arrays(
        np.asarray(m, dtype=np.float64), np.asarray(Z, dtype=np.float64)
    )
    if not np.all((discordant >= 0) & (discordant <= units) & np.isfinite(units)):
        raise UsageError("a bound needs 0 <= Z <= m, both finite")
    open_ended = discordant >= units  # covers m = 0: nothing seen, nothing ruled out
    rest = np.where(open_ended, 1.0, units - discordant)
    # the complement's inverse stays exact at the tiny levels of late attempts, where 1 - a is 1
    found = betainccinv(discordant + 1.0, rest, a)
    return np.where(open_ended, 1.0, found)


def upper_bound(Z: float, m: int, a: float) -> float:
    """U(Z, m, a) = Beta^-1(1 - a; Z + 1, m - Z), and 1 where Z = m or m = 0.

    With Z a count of independent units this is the exact upper bound of Clopper and Pearson
    (Biometrika 26, 1934) at one-sided error a; with Z = sum d_i / r_i, the sum of patients'
    discordant fractions, it is the bound of design 03 (its size is measured by
    `benchmarks/soundness.py`).

    Args:
        Z: sum of the units' discordant fractions, 0 <= Z <= m; need not be whole.
        m: number of units (patients or components).
        a: one-sided error, within (0, 1).

    Returns:
        The bound, within (0, 1].

    Raises:
        UsageError: an argument is NaN or out of its range.
    """
    return float(upper_bounds(Z, m, a))


def clopper_pearson(x: int, n: int, alpha: float) -> tuple[float, float]:
    """Exact two-sided interval of x / n at confidence 1 - alpha (Clopper and Pearson 1934).

    Returns:
        Lower and upper end; (0, 1) where n = 0.

    Raises:
        UsageError: not 0 <= x <= n, or alpha not within (0, 1).
    """
    upper = upper_bound(x, n, alpha / 2)
    lower = float(betaincinv(x, n - x + 1, alpha / 2)) if x > 0 else 0.0
    return lower, upper


def lower_bound(x: int, n: int, a: float) -> float:
    """One-sided exact lower bound of x / n; a^(1/n) where x = n, 0 where x = 0.

    Raises:
        UsageError: not 0 <= x <= n, or the level is not within (0, 1).
    """
    return 1.0 - upper_bound(n - x, n, a)


def wilson(x: int, n: int, alpha: float) -> tuple[float, float]:
    """Wilson's score interval of x / n at confidence 1 - alpha (JASA 22, 1927). Shown only.

    Returns:
        Lower and upper end; (0, 1) where n = 0.

    Raises:
        UsageError: not 0 <= x <= n, or alpha not within (0, 1).
    """
    _check_level(alpha)
    if not 0 <= x <= n:
        raise UsageError(f"{x} of {n} is not a share")
    if n == 0:
        return 0.0, 1.0
    z = float(ndtri(1.0 - alpha / 2.0))
    centre = (x + z * z / 2.0) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(x * (n - x) / n + z * z / 4.0)
    # at the ends the formula is exact, its rounding is not
    return max(0.0, centre - half) if x else 0.0, min(1.0, centre + half) if x < n else 1.0


def allowed(p: float) -> float:
    """1 - p, rounded to 12 decimals so that p = 0.9 allows 0.1 and not 0.0999...98."""
    return round(1.0 - p, 12)


def patients_needed(p: float, a: float) -> int:
    """Fewest patients that can show consistency p at error a: 1 - a^(1/m) <= 1 - p.

    All of them would have to be reported and none discordant (design 03: 59 show 95% and 299
    show 99% at a = 5%; 72 and 368 at 2.5%).

    Raises:
        UsageError: p or a not within (0, 1).
    """
    _check_level(a)
    if not 0.0 < p < 1.0:
        raise UsageError(f"p must lie between 0 and 1, not {p!r}")
    m = max(1, math.ceil(math.log(a) / math.log(p)))
    # the logarithms round; the bound that decides has the last word
    while m > 1 and upper_bound(0, m - 1, a) <= allowed(p):
        m -= 1
    while upper_bound(0, m, a) > allowed(p):
        m += 1
    return m


def attempt_level(alpha: float, k: int) -> float:
    """Error of attempt k towards one release: a_k = alpha / 2^k, in sum at most alpha.

    Raises:
        UsageError: k < 1 or alpha not within (0, 1).
    """
    _check_level(alpha)
    if k < 1:
        raise UsageError(f"attempts are counted from 1, not {k!r}")
    return math.ldexp(alpha, -k)
