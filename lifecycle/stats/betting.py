"""The rate over cases where patients have several: a test by betting, and the bound it amounts to.

Patients are independent; the cases of one patient may depend on each other in any way. Patient i
has r_i cases in R, d_i of them discordant, and no patient can have more than A, a number stated
beforehand. The case-level rate is the sum of E[d_i] over the sum of E[r_i].

Against the hypothesis that it is at least q, start with 1 and bet a share c / ((1 - q) A) of it on
each patient's d_i - q r_i being negative; what is left is

    W(c, q) = product over patients of 1 - c (d_i - q r_i) / ((1 - q) A),   0 < c <= 1.

No factor is negative. Patients are independent and 1 + x <= exp(x), so where the rate is q or more
the expectation of W is at most 1, whatever the laws of the single patients are (they need not be
the same) and however many there are. That holds of the mean over several c too; by Markov's
inequality this mean reaches 1 / a with probability at most a. It does not depend on the order of
patients, and grows with q, so the rates that are not rejected are those below one bound.

Source: I. Waudby-Smith, A. Ramdas, Estimating means of bounded random variables by betting, JRSS B
86 (2024): constant bets and their mixture (Cover's universal portfolio on a grid).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from lifecycle.errors import UsageError
from lifecycle.stats.limits import as_written

# (cases r, discordant cases d, how many patients have just these)
Pattern = tuple[int, int, int]

# Chosen by simulation beforehand (`benchmarks/soundness.py`): bold bets, which are best where
# nearly nothing is discordant, and timid ones, where the rate is not far below the limit.
_EIGHTHS = (2, 4, 6, 7, 8)  # c = 1/4, 1/2, 3/4, 7/8 and 1, with equal weights
_HALVINGS = 50  # not so many that the last limit tried would be 1


def _checked(patterns: Sequence[Pattern], most: int, a: float) -> list[Pattern]:
    if not 0.0 < a < 1.0:
        raise UsageError(f"the level must lie between 0 and 1, not {a!r}")
    if most < 1:
        raise UsageError(f"a patient can have one case or more, not {most!r}")
    for r, d, n in patterns:
        if not (0 <= d <= r <= most and n >= 0):
            raise UsageError(f"{n} patients with {d} of {r} cases do not go with at most {most}")
    return [(r, d, n) for r, d, n in patterns if n and r]


def below(patterns: Sequence[Pattern], most: int, limit: Fraction, a: float) -> bool:
    """Whether the case-level rate is shown to be below a limit, at error a.

    Computed in whole numbers: the answer is the same on every machine.

    Args:
        patterns: how many patients have r cases of which d are discordant.
        most: cases that a patient can have, a number stated beforehand (never the largest seen).
        limit: q, within (0, 1).
        a: one-sided error, within (0, 1), taken as it was written.

    Returns:
        True only if the hypothesis that the rate is `limit` or more is rejected; it is true of
        such a rate with probability at most a.

    Raises:
        UsageError: an argument is out of its range, or a patient has more cases than `most`.
    """
    counted = _checked(patterns, most, a)
    if not 0 < limit < 1:
        raise UsageError(f"a limit lies between 0 and 1, not {limit}")
    u, v = limit.numerator, limit.denominator
    whole = 8 * (v - u) * most  # every factor is a whole number over this
    wealth = 0
    for eighth in _EIGHTHS:
        wealth += math.prod((whole - eighth * (d * v - u * r)) ** n for r, d, n in counted)
    due = 1 / as_written(a)
    started: int = len(_EIGHTHS) * whole ** sum(n for _, _, n in counted)
    return wealth * due.denominator >= started * due.numerator


def case_bound(patterns: Sequence[Pattern], most: int, a: float) -> float:
    """Upper confidence bound of the case-level rate: the least that `below` would show.

    Args:
        patterns: how many patients have r cases of which d are discordant.
        most: cases that a patient can have, stated beforehand.
        a: one-sided error, within (0, 1).

    Returns:
        The bound, within (0, 1], to twelve digits; 1 where no patient has a case, or every case
        is discordant.

    Raises:
        UsageError: an argument is out of its range, or a patient has more cases than `most`.
    """
    counted = _checked(patterns, most, a)
    cases = sum(r * n for r, _, n in counted)
    discordant = sum(d * n for _, d, n in counted)
    if cases == discordant:
        return 1.0
    r, d, n = np.array(counted, dtype=np.float64).T
    low, high = discordant / cases, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if log_wealth(r, d, n, most, middle) >= -math.log(a):
            high = middle
        else:
            low = middle
    return high


def log_wealth(
    r: NDArray[np.float64], d: NDArray[np.float64], n: NDArray[np.float64], most: int, q: float
) -> NDArray[np.float64]:
    """Natural logarithm of the mean of W(c, q) over the bets, in floating point.

    Args:
        r: (k,) cases of a patient, at most `most`.
        d: (k,) of them discordant.
        n: (..., k) how many patients have these; one result for each row.
        most: cases that a patient can have.
        q: limit, within (0, 1).

    Returns:
        (...) float64; -inf where every bet has lost all.
    """
    lost = (d - q * r) / ((1.0 - q) * most)
    factors = np.maximum(1.0 - np.outer(lost, _EIGHTHS) / 8.0, 0.0)
    with np.errstate(divide="ignore"):
        logs = np.log(factors)
    # 0 times the logarithm of 0: nobody has lost all there
    gone = np.isneginf(logs)
    found = n @ np.where(gone, 0.0, logs)
    found = np.where(n @ gone > 0, -np.inf, found)
    return np.asarray(logsumexp(found, axis=-1) - math.log(len(_EIGHTHS)))


def patients_for_cases(mean: float, most: int, limit: float, a: float) -> int:
    """About how many patients can show a case-level limit, none of their cases discordant.

    Exact where each of them has `mean` cases.

    Args:
        mean: cases of a patient, from 1 to `most`.
        most: cases that a patient can have.
        limit: q.
        a: one-sided error.

    Raises:
        UsageError: an argument is out of its range.
    """
    if not 0.0 < a < 1.0 or not 0.0 < limit < 1.0 or not 1.0 <= mean <= most:
        raise UsageError(f"{mean!r} of {most} cases, limit {limit!r} or level {a!r} is no such")

    def enough(m: int) -> bool:
        one, none, all_of_them = np.array([[mean], [0.0], [m]], dtype=np.float64)
        return bool(log_wealth(one, none, all_of_them, most, limit) >= -math.log(a))

    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
