"""Contradictions at any tau: what two builds could say whatever critical value is chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.domain.predictions import Predictions
from lifecycle.errors import UnusableInputError

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AnyTau:
    """The worst that one tau for all classes can do to two builds on the same cases.

    Attributes:
        discordant: largest number of discordant cases (multi-label: cells) over all tau.
        share: largest share of them among what both report, over all tau; None where nothing is.
        tau: the highest tau at which the largest share is reached; None where the share is 0.
    """

    discordant: int
    share: float | None
    tau: float | None


def any_tau(one: Predictions, two: Predictions) -> AnyTau:
    """Sweep tau over every observed score.

    Single-label: a case is reported by both at every tau up to the lower of its two highest scores
    and is discordant there if the two classes differ, so the count is largest at the lowest tau and
    is the number of cases whose highest-scored class differs. Multi-label, with t+ = t- = tau: a
    cell is discordant at every tau above its lower and up to its higher score; all are reported.

    Raises:
        UnusableInputError: other cases, classes or tasks.
    """
    if (one.ids, one.classes, one.task) != (two.ids, two.classes, two.task):
        raise UnusableInputError("two builds on other cases or classes; align them first")
    if one.task == "multi":
        return _multi(one.scores, two.scores)
    return _single(one.scores, two.scores)


def argmax_changes(one: Scores, two: Scores) -> int:
    """Cases whose highest-scored class (lowest index among ties) differs, of (n, C) scores."""
    return int(np.count_nonzero(one.argmax(axis=1) != two.argmax(axis=1)))


def _single(one: Scores, two: Scores) -> AnyTau:
    reported = np.minimum(one.max(axis=1), two.max(axis=1))
    differ = one.argmax(axis=1) != two.argmax(axis=1)
    values, place = np.unique(-reported, return_inverse=True)  # the highest tau first
    R = np.bincount(place, minlength=len(values)).cumsum()
    D = np.bincount(place, weights=differ, minlength=len(values)).cumsum()
    return _worst(-values, D, R)


def _multi(one: Scores, two: Scores) -> AnyTau:
    low, high = np.minimum(one, two).ravel(), np.maximum(one, two).ravel()
    values = np.unique(np.concatenate([low, high]))[::-1]
    # above: cells with a score at or above tau in one build; both: in the two of them
    above = len(high) - np.searchsorted(np.sort(high), values)
    both = len(low) - np.searchsorted(np.sort(low), values)
    return _worst(values, above - both, np.full(len(values), len(low)))


def _worst(tau: Scores, D: NDArray[np.generic], R: NDArray[np.generic]) -> AnyTau:
    if not len(tau):
        return AnyTau(0, None, None)
    shares = np.asarray(D, dtype=np.float64) / np.asarray(R, dtype=np.float64)
    at = int(shares.argmax())
    worst = float(shares[at])
    return AnyTau(int(np.asarray(D).max()), worst, float(tau[at]) if worst > 0 else None)
