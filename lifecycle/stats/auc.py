"""Areas under ROC curves and what the papers derive from them. Shown; nothing here decides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lifecycle.errors import UnusableInputError

Scores = NDArray[np.float64]
Truth = NDArray[np.bool_]
_CELLS = 1 << 21  # weights of resampled cases at a time: 16 MiB


def rankdata(scores: Scores) -> Scores:
    """Ranks from 1, ties by their mean (a whole or half number).

    Importing scipy.stats for it would cost every stage and verification most of a second.
    """
    _, at, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Scores = (last - (counts - 1) / 2)[at]
    return ranks


def auc(scores: Scores, positive: Truth) -> float | None:
    """P(score of a positive > score of a negative) + half the ties (Mann-Whitney).

    Args:
        scores: (n,) float64.
        positive: (n,) bool.

    Returns:
        The area, or None where one of the two sides is empty.

    Raises:
        UnusableInputError: a score is NaN or infinite.
    """
    if not np.all(np.isfinite(scores)):
        raise UnusableInputError("an AUC needs finite scores; one is NaN or infinite")
    n_pos = int(np.count_nonzero(positive))
    n_neg = len(scores) - n_pos
    if n_pos == 0 or n_neg == 0:
        return None
    ranks = rankdata(scores)
    return (math.fsum(ranks[positive]) - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg)


def macro_auc(
    scores: Scores, labels: Sequence[str], classes: Sequence[str]
) -> tuple[float | None, dict[str, float | None]]:
    """One-vs-rest AUC per class and their plain mean over the classes where it exists.

    Args:
        scores: (n, C) float64 in the order of `classes`.
        labels: reference class of each case, multi-label ones joined with `|`; cases with ""
            are left out.
        classes: class names.

    Returns:
        The mean (None where no class has both sides) and the area of each class.
    """
    known = np.array([bool(label) for label in labels], dtype=bool)
    sets = [set(label.split("|")) for label in labels if label]
    areas = {
        name: auc(scores[known, j], np.array([name in truth for truth in sets], dtype=bool))
        for j, name in enumerate(classes)
    }
    found = [area for area in areas.values() if area is not None]
    return (math.fsum(found) / len(found) if found else None), areas


@dataclass(frozen=True, slots=True)
class AucInterval:
    """An area with its patient bootstrap.

    Attributes:
        area: on all cases; None where a side is empty.
        low, high: 2.5% and 97.5% of the resamples in which it exists; None where none has it.
        positives: patients with a positive case.
        resamples: how many had it.
    """

    area: float | None
    low: float | None
    high: float | None
    positives: int
    resamples: int


def auc_intervals(
    scores: Scores,
    labels: Sequence[str],
    classes: Sequence[str],
    patients: Sequence[str],
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[AucInterval, dict[str, AucInterval]]:
    """Macro and one-vs-rest areas with 95% percentile intervals over patients.

    A resample draws as many patients as there are, with replacement; all records of a patient come
    along, so records of one patient do not count as independent. A class without a positive
    patient in a resample is left out of that resample's macro area, as it is of the area itself.
    Areas are ratios of whole and half numbers, so the result is the same on every machine.

    Args:
        scores: (n, C) float64 in the order of `classes`.
        labels: as in `macro_auc`; cases with "" are left out.
        classes: class names.
        patients: patient of each case.
        seed: of the PCG64 stream of the resamples.
        resamples: how many.
    """
    known = np.array([bool(label) for label in labels], dtype=bool)
    sets = [set(label.split("|")) for label in labels if label]
    of = [patient for patient, is_known in zip(patients, known.tolist(), strict=True) if is_known]
    if not sets:
        none = AucInterval(None, None, None, 0, 0)
        return none, dict.fromkeys(classes, none)
    truths = {name: np.array([name in truth for truth in sets], dtype=bool) for name in classes}
    blocks = [
        np.column_stack(
            [_weighted_areas(scores[known, j], truths[c], w) for j, c in enumerate(classes)]
        )
        for w in _resampled(of, seed, resamples)
    ]
    every = np.concatenate(blocks)
    found = {
        name: _interval(every[:, j], len({of[i] for i in np.flatnonzero(truths[name])}))
        for j, name in enumerate(classes)
    }
    exists = np.isfinite(every)
    total = np.where(exists, every, 0.0).cumsum(axis=1)[:, -1]
    counts = exists.sum(axis=1)
    macro = np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
    return _interval(macro, len(set(of))), found


def _resampled(patients: Sequence[str], seed: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    """Blocks (rows, n) of how often each case counts; the very first row is the sample itself."""
    codes = np.unique(np.asarray(patients), return_inverse=True)[1]
    n = int(codes.max()) + 1
    rng = np.random.Generator(np.random.PCG64(seed))
    height = max(1, _CELLS // len(codes))
    for start in range(0, resamples + 1, height):
        counts = [
            np.ones(n, dtype=np.int64)
            if row == 0
            else np.bincount(rng.integers(n, size=n), minlength=n)
            for row in range(start, min(start + height, resamples + 1))
        ]
        yield np.stack(counts)[:, codes]


def _weighted_areas(scores: Scores, positive: Truth, weights: NDArray[np.int64]) -> Scores:
    """Mann-Whitney areas of cases counted with whole weights, one a row; NaN where none exists."""
    if not np.all(np.isfinite(scores)):
        raise UnusableInputError("an AUC needs finite scores; one is NaN or infinite")
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    mine = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    other = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    below = other.cumsum(axis=1) - other
    twice = (mine * (2 * below + other)).sum(axis=1)
    pairs = mine.sum(axis=1) * other.sum(axis=1)
    return np.where(pairs > 0, twice / np.maximum(2 * pairs, 1), np.nan)


def _interval(areas: Scores, positives: int) -> AucInterval:
    area = float(areas[0]) if np.isfinite(areas[0]) else None
    drawn = areas[1:][np.isfinite(areas[1:])]
    if area is None or not len(drawn):
        return AucInterval(area, None, None, positives, len(drawn))
    low, high = np.quantile(drawn, (0.025, 0.975), method="inverted_cdf")
    return AucInterval(area, float(low), float(high), positives, len(drawn))


def error_at_full_recall(scores: Scores, positive: Truth) -> float | None:
    """Share of cases that are wrong at the highest cutoff that recalls every positive.

    Seed 002, IV.D: the figure that the hyperparameter search minimises.

    Returns:
        False positives over all cases, or None where there is no positive.
    """
    if not positive.any():
        return None
    cutoff = scores[positive].min()
    return int(np.count_nonzero(scores[~positive] >= cutoff)) / len(scores)


@dataclass(frozen=True, slots=True)
class AucDifference:
    """Two areas on the same cases and the paired test of their difference.

    Attributes:
        before, now, difference: areas and now - before.
        se: standard error of the difference.
        p_value: two-sided, None where the standard error is 0.
        positives, negatives: patients on each side.
    """

    before: float
    now: float
    difference: float
    se: float
    p_value: float | None
    positives: int
    negatives: int


def _placements(scores: Scores, positive: Truth) -> Scores:
    """Structural components of DeLong: each case's share of the other side that it beats."""
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    within = np.empty(len(scores))
    within[positive] = rankdata(scores[positive])
    within[~positive] = rankdata(scores[~positive])
    beaten = rankdata(scores) - within
    return np.where(positive, beaten / n_neg, 1.0 - beaten / n_pos)


def paired_delong(
    before: Scores, now: Scores, positive: Truth, patients: Sequence[str]
) -> AucDifference | None:
    """Paired comparison of two areas, by patient.

    DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988); cases of one patient are summed
    before variances are taken (Obuchowski, Biometrics 53, 1997). With one case a patient it is
    DeLong's test.

    Returns:
        The comparison, or None where fewer than two patients are on a side.
    """
    codes = np.unique(np.asarray(patients), return_inverse=True)[1]
    sides = len(set(codes[positive])), len(set(codes[~positive]))
    if min(sides) < 2:
        return None
    areas = [auc(scores, positive) or 0.0 for scores in (before, now)]
    difference = areas[1] - areas[0]
    gap = _placements(now, positive) - _placements(before, positive) - difference
    se = math.sqrt(max(0.0, _clustered_variance(gap, positive, codes, sides)))
    p_value = 2.0 * float(ndtr(-abs(difference) / se)) if se > 0 else None
    return AucDifference(areas[0], areas[1], difference, se, p_value, *sides)


def _clustered_variance(
    gap: Scores, positive: Truth, codes: NDArray[np.intp], sides: tuple[int, int]
) -> float:
    """Obuchowski 1997, eq. 2: variances of both sides plus twice their covariance."""
    n_pos, n_neg = int(positive.sum()), int((~positive).sum())
    every = int(codes.max()) + 1
    up = np.bincount(codes[positive], gap[positive], minlength=every)
    down = np.bincount(codes[~positive], gap[~positive], minlength=every)
    s_up = sides[0] / (sides[0] - 1) * float(up @ up) / n_pos**2
    s_down = sides[1] / (sides[1] - 1) * float(down @ down) / n_neg**2
    both = every / (every - 1) * float(up @ down) / (n_pos * n_neg)
    return s_up + s_down + 2.0 * both
