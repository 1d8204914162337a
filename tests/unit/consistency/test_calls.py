from __future__ import annotations

import numpy as np
import pytest

from lifecycle.consistency.calls import call
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.errors import UnusableInputError, UsageError


def build(rows, task="single"):
    scores = np.array(rows, dtype=float)
    ids = tuple(f"c{i}" for i in range(len(rows)))
    classes = tuple("ABC"[: scores.shape[1]])
    return Predictions(ids, ids, ("",) * len(ids), None, classes, scores, task)


def cut(yes, no=None, status="given", **evidence):
    return Cutoffs(tuple(yes), None if no is None else tuple(no), status, evidence)


def test_single_label_states():
    rows = [[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.1, 0.5, 0.4], [0.49, 0.5, 0.01]]
    calls = call(build(rows), cut([0.5] * 3))
    assert calls.state.tolist() == [[1, -1, -1], [0, 0, 0], [-1, 1, -1], [-1, 1, -1]]
    assert calls.argmax.tolist() == [0, 1, 1, 1]
    assert calls.state.dtype == np.int8
    assert calls.ties == 0


def test_score_at_tau_is_reported():
    tau = 0.1 + 0.2
    assert call(build([[tau, 1 - tau]]), cut([tau, 0.7])).state.tolist() == [[-1, 1]]
    below = np.nextafter(0.7, 0)
    assert call(build([[below, 1 - below]]), cut([0.7, 0.7])).state.tolist() == [[0, 0]]


def test_tau_of_the_called_class_counts():
    calls = call(build([[0.6, 0.4], [0.4, 0.6]]), cut([0.9, 0.5]))
    assert calls.state.tolist() == [[0, 0], [-1, 1]]


def test_low_tau_still_demands_the_highest_score():
    assert call(build([[0.45, 0.55]]), cut([0.3, 0.9])).state.tolist() == [[0, 0]]


def test_ties_go_to_the_lowest_index_and_are_counted():
    calls = call(build([[0.5, 0.5, 0.0], [0.2, 0.4, 0.4], [1, 0, 0]]), cut([0.4] * 3))
    assert calls.argmax.tolist() == [0, 1, 0]
    assert calls.ties == 2
    assert calls.state[1].tolist() == [-1, 1, -1]


def test_multi_label_states():
    rows = [[0.9, 0.3, 0.5], [0.7, 0.31, 0.1]]
    calls = call(build(rows, "multi"), cut([0.7] * 3, [0.3] * 3))
    assert calls.state.tolist() == [[1, -1, 0], [1, 0, -1]]


def test_equal_cutoffs_leave_nothing_open():
    rows = [[0.5, 0.4], [0.6, 0.5]]
    calls = call(build(rows, "multi"), cut([0.5, 0.5], [0.5, 0.5]))
    assert calls.state.tolist() == [[1, -1], [1, 1]]


def test_refused_tau_reports_nothing():
    assert not call(build([[1, 0]]), cut([0.5, 0.5], status="refused")).state.any()
    assert not call(build([[1, 0]], "multi"), cut([0, 0], [0, 0], "refused")).state.any()


def test_single_refused_classes_report_nothing():
    calls = call(build([[1, 0], [0, 1]]), cut([0.5, 0.5], refused_yes=["A"]))
    assert calls.state.tolist() == [[0, 0], [-1, 1]]
    closed = cut([0.5, 0.5], [0.2, 0.2], refused_yes=["A"], refused_no=["B"])
    calls = call(build([[1, 0], [0, 1]], "multi"), closed)
    assert calls.state.tolist() == [[0, 0], [-1, 1]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_impossible_scores_are_named(value):
    with pytest.raises(UnusableInputError, match="case 'c1', class 'B'"):
        call(build([[0.5, 0.5], [0.5, value]]), cut([0.5, 0.5]))


@pytest.mark.parametrize(
    ("task", "cutoffs", "words"),
    [
        ("single", cut([0.5, np.nan]), "`yes` of 'B' is nan"),
        ("single", cut([-0.1, 0.5]), "`yes` of 'A'"),
        ("single", cut([0.5, 1.1]), "`yes` of 'B'"),
        ("multi", cut([0.5, 0.5], [np.nan, 0]), "`no` of 'A'"),
        ("multi", cut([0.5, 0.5], [0.6, 0]), "'A' cross"),
        ("multi", cut([0.5, 0.5]), "need cutoffs"),
        ("single", cut([0.5, 0.5], [0.1, 0.1]), "need cutoffs"),
        ("single", cut([0.5]), "1 cutoffs for 2 classes"),
        ("single", cut([0.5, 0.5], status="fine"), "unknown status 'fine'"),
    ],
)
def test_impossible_cutoffs_are_refused(task, cutoffs, words):
    with pytest.raises(UsageError, match=words):
        call(build([[0.5, 0.5]], task), cutoffs)


def test_empty_predictions_are_refused():
    with pytest.raises(UnusableInputError):
        call(build([[0.5, 0.5]][:0] or np.empty((0, 2))), cut([0.5, 0.5]))
