"""Shares of counts against limits, without rounding: a share at its limit does not exceed it.

A limit is a decimal that a person wrote in params.yaml. The nearest binary number lies beside it,
and so does a rounded sum of fractions; where share and limit are equal, chance says which of the
two is larger. Here the decimal and the counts are taken for what they are.
"""

from __future__ import annotations

from fractions import Fraction

from lifecycle.errors import UsageError


def as_written(number: float) -> Fraction:
    """The decimal that a person wrote: 0.15 is 3/20.

    It is the shortest decimal that reads back to the same float, which is what was written wherever
    that had at most 15 digits.

    Raises:
        UsageError: the number is NaN or infinite.
    """
    try:
        return Fraction(repr(float(number)))
    except ValueError:
        raise UsageError(f"a limit is a finite number, not {number!r}") from None


def allowed_exactly(p: float) -> Fraction:
    """1 - p, exactly: p = 0.85 allows 3/20.

    Raises:
        UsageError: p is NaN or infinite.
    """
    return 1 - as_written(p)


def exceeds(counted: int | Fraction | tuple[int, int], of: int, limit: float | Fraction) -> bool:
    """Whether counted / of is more than a limit; exact, so never where the two are equal.

    Args:
        counted: a count, or a sum of fractions as `consistency.figures.exact_sum` gives it; also as
            numerator and denominator (`Figures.exact`).
        of: of how many, at least 1.
        limit: a float is taken as it was written; a Fraction as it is.

    Raises:
        UsageError: nothing to divide by, a share outside of [0, 1], a float as a count, or a limit
            that is NaN or infinite.
    """
    if isinstance(counted, float) or isinstance(of, float):
        raise UsageError("a share is of counts and fractions; a float was rounded already")
    found = Fraction(*counted) if isinstance(counted, tuple) else Fraction(counted)
    if of < 1 or not 0 <= found <= of:
        raise UsageError(f"{found} of {of} is not a share")
    bar = limit if isinstance(limit, Fraction) else as_written(limit)
    return found > bar * of
