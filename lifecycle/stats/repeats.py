"""Repeated trainings of several recipes: do their means, and their spreads, differ?

One value a training, for example the macro AUC of one seed. Few runs show little: give the p-value
together with the range, and say how many cases a class had.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lifecycle.errors import UnusableInputError


@dataclass(frozen=True, slots=True)
class Outcome:
    """A test's statistic and its two-sided p-value."""

    statistic: float
    p: float


def welch(one: ArrayLike, two: ArrayLike) -> Outcome:
    """Welch's t test: two recipes with other seeds, their variances not assumed equal.

    Args:
        one: one finite value a training, at least two.
        two: those of the other recipe.

    Raises:
        UnusableInputError: too few values, or one is not finite.
    """
    found = stats.ttest_ind(_runs(one, "one"), _runs(two, "two"), equal_var=False)
    return Outcome(float(found.statistic), float(found.pvalue))


def brown_forsythe(one: ArrayLike, two: ArrayLike) -> Outcome:
    """Brown and Forsythe's test of equal spread (Levene's about the medians).

    Raises:
        UnusableInputError: too few values, or one is not finite.
    """
    found = stats.levene(_runs(one, "one"), _runs(two, "two"), center="median")
    return Outcome(float(found.statistic), float(found.pvalue))


def friedman(runs: ArrayLike) -> Outcome:
    """Friedman's test: several recipes, each with the same seeds.

    Args:
        runs: (seeds, recipes) finite values; at least 2 seeds and 3 recipes.

    Raises:
        UnusableInputError: too few, or one is not finite.
    """
    table = np.asarray(runs, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 3:
        raise UnusableInputError(f"Friedman's test needs 2 seeds x 3 recipes, not {table.shape}")
    found = stats.friedmanchisquare(*(_runs(column, "runs") for column in table.T))
    return Outcome(float(found.statistic), float(found.pvalue))


def spread(runs: ArrayLike) -> float:
    """Largest minus smallest value of the trainings.

    Raises:
        UnusableInputError: too few values, or one is not finite.
    """
    return float(np.ptp(_runs(runs, "runs")))


def _runs(values: ArrayLike, name: str) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or len(found) < 2 or not np.isfinite(found).all():
        raise UnusableInputError(f"{name}: two or more finite values are needed, one a training")
    return found
