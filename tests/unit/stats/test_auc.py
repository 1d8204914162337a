"""Areas against scikit-learn and against DeLong written out pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from lifecycle.errors import UnusableInputError
from lifecycle.stats.auc import (
    AucInterval,
    auc,
    auc_intervals,
    error_at_full_recall,
    macro_auc,
    paired_delong,
    rankdata,
)


def drawn(seed, n=60):
    rng = np.random.Generator(np.random.PCG64(seed))
    positive = rng.random(n) < 0.4
    one = np.round(rng.random(n) + 0.5 * positive, 1)  # rounding makes ties
    return positive, one, np.round(one + 0.3 * rng.random(n), 1)


@pytest.mark.parametrize("seed", range(5))
def test_auc_against_scikit_learn(seed):
    positive, scores, _ = drawn(seed)
    assert auc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_auc_needs_both_sides_and_finite_scores():
    assert auc(np.array([0.1, 0.2]), np.array([True, True])) is None
    with pytest.raises(UnusableInputError):
        auc(np.array([0.1, np.nan]), np.array([True, False]))


def test_macro_auc_leaves_unknown_labels_out():
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.0, 1.0]])
    mean, areas = macro_auc(scores, ["A", "B", "A", ""], ["A", "B"])
    assert (mean, areas) == (1.0, {"A": 1.0, "B": 1.0})
    assert macro_auc(scores, ["A"] * 4, ["A", "B"]) == (None, {"A": None, "B": None})


def test_macro_auc_of_joined_labels():
    scores = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.9]])
    assert macro_auc(scores, ["A", "B", "A|B"], ["A", "B"])[1] == {"A": 1.0, "B": 1.0}


def test_error_at_full_recall_by_hand():
    scores = np.array([0.9, 0.3, 0.4, 0.2, 0.3])
    positive = np.array([True, True, False, False, False])
    assert error_at_full_recall(scores, positive) == 2 / 5  # 0.4 and the tie at 0.3
    assert error_at_full_recall(scores, ~np.ones(5, dtype=bool)) is None


def slow_delong_variance(positive, one, two):
    """DeLong 1988 with the kernel written out."""

    def components(scores):
        kernel = np.array(
            [[(x > y) + 0.5 * (x == y) for y in scores[~positive]] for x in scores[positive]]
        )
        return kernel.mean(axis=1), kernel.mean(axis=0)

    (a_up, a_down), (b_up, b_down) = components(one), components(two)
    return (b_up - a_up).var(ddof=1) / positive.sum() + (b_down - a_down).var(ddof=1) / (
        ~positive
    ).sum()


@pytest.mark.parametrize("seed", range(5))
def test_delong_with_one_case_a_patient(seed):
    positive, one, two = drawn(seed)
    found = paired_delong(one, two, positive, [str(i) for i in range(len(one))])
    assert found is not None
    assert found.before == pytest.approx(roc_auc_score(positive, one))
    assert found.now == pytest.approx(roc_auc_score(positive, two))
    assert found.se**2 == pytest.approx(slow_delong_variance(positive, one, two), rel=1e-9)
    assert (found.positives, found.negatives) == (positive.sum(), (~positive).sum())


def test_doubled_cases_of_a_patient_add_nothing():
    positive, one, two = drawn(1)
    ids = [str(i) for i in range(len(one))]
    single = paired_delong(one, two, positive, ids)
    doubled = paired_delong(np.tile(one, 2), np.tile(two, 2), np.tile(positive, 2), ids * 2)
    assert doubled.se == pytest.approx(single.se, rel=1e-9)


def test_delong_of_equal_scores_has_no_p_value():
    positive, one, _ = drawn(2)
    found = paired_delong(one, one, positive, [str(i) for i in range(len(one))])
    assert (found.difference, found.se, found.p_value) == (0.0, 0.0, None)


def test_delong_needs_two_patients_a_side():
    scores = np.array([0.1, 0.2, 0.3])
    assert paired_delong(scores, scores, np.array([True, False, False]), ["a", "b", "c"]) is None


def _cohort(n: int = 120) -> tuple[np.ndarray, list[str], list[str]]:
    rng = np.random.Generator(np.random.PCG64(5))
    scores = rng.integers(0, 40, (n, 3)) / 40  # ties are common
    labels = ["|".join(c for c, p in zip("ABC", row, strict=True) if p < 0.3) for row in scores]
    return (
        scores + rng.normal(0, 0.3, scores.shape).round(1),
        labels,
        [str(i // 2) for i in range(n)],
    )


def test_areas_are_those_without_resampling() -> None:
    scores, labels, patients = _cohort()
    macro, classes = auc_intervals(scores, labels, "ABC", patients, resamples=20)
    expected, each = macro_auc(scores, labels, "ABC")
    assert macro.area == pytest.approx(expected, abs=1e-15)
    assert {name: one.area for name, one in classes.items()} == pytest.approx(each, abs=1e-15)


def test_the_bootstrap_is_that_of_resampled_cases() -> None:
    scores, labels, patients = _cohort(40)
    macro, _ = auc_intervals(scores, labels, "ABC", patients, seed=3, resamples=50)
    rng = np.random.Generator(np.random.PCG64(3))
    known = [i for i, label in enumerate(labels) if label]
    names = sorted({patients[i] for i in known})
    found = []
    for _ in range(50):
        drawn = [names[at] for at in rng.integers(len(names), size=len(names))]
        rows = [i for patient in drawn for i in known if patients[i] == patient]
        found.append(macro_auc(scores[rows], [labels[i] for i in rows], "ABC")[0])
    low, high = np.quantile(np.array(found, dtype=float), (0.025, 0.975), method="inverted_cdf")
    assert (macro.low, macro.high) == pytest.approx((low, high), abs=1e-12)


def test_twins_widen_the_interval() -> None:
    scores, labels, patients = _cohort()
    twice = np.repeat(scores, 2, axis=0), [x for x in labels for _ in range(2)]
    alone, _ = auc_intervals(*twice, "ABC", [str(i) for i in range(240)])
    twins, _ = auc_intervals(*twice, "ABC", [p for p in patients for _ in range(2)])
    assert twins.high - twins.low > 1.2 * (alone.high - alone.low)


def test_a_class_without_positives_has_no_area_and_no_interval() -> None:
    scores, labels, patients = _cohort()
    macro, classes = auc_intervals(
        np.column_stack([scores, scores[:, 0]]), labels, "ABCD", patients, resamples=10
    )
    assert classes["D"] == AucInterval(None, None, None, 0, 0)
    assert macro.area == pytest.approx(macro_auc(scores, labels, "ABC")[0])
    nothing, _ = auc_intervals(scores, [""] * len(scores), "ABC", patients)
    assert nothing.area is None


@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_scipys(seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    for values in (rng.random(50), rng.integers(0, 6, 80) / 6.0, np.zeros(7), np.array([1.0])):
        assert np.array_equal(rankdata(values), stats.rankdata(values))
