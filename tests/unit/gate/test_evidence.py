from __future__ import annotations

import numpy as np
import pytest

from lifecycle.consistency.calls import call
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.errors import UnusableInputError, UsageError
from lifecycle.gate.evidence import MarginCounts, frozen_figures, holdout_figures

CUT = Cutoffs((0.6, 0.6), None, "proposed", {})


def build(scores, labels, patients=None):
    ids = tuple(f"c{i}" for i in range(len(scores)))
    rows = np.array([[s, 1 - s] for s in scores])
    return Predictions(
        ids, tuple(patients or ids), ("",) * len(ids), labels, ("A", "B"), rows, "single"
    )


def test_holdout_by_hand():
    holdout = build([0.9, 0.8, 0.5, 0.7, 0.1, 0.3], tuple("AAABBB"), "ppqrst")
    f = holdout_figures(holdout, CUT, "A")
    assert (f.precision, f.recall) == (2 / 3, 2 / 3)  # called A: .9 .8 and the wrong .7
    assert (f.tp, f.n_pos) == (1, 2)  # patients p; p and q
    assert f.reportable == 5 / 6
    assert f.error_at_full_recall == 1 / 6  # at 0.5 only .7 is wrong
    pooled = holdout_figures(holdout, CUT)
    assert (pooled.precision, pooled.recall, pooled.error_at_full_recall) == (4 / 5, 4 / 6, None)


def test_holdout_where_nothing_is_reported():
    f = holdout_figures(build([0.9, 0.1], ("A", "B")), Cutoffs((0.6,) * 2, None, "refused", {}))
    assert (f.precision, f.recall, f.tp, f.reportable) == (None, 0.0, 0, 0.0)
    assert holdout_figures(build([0.1, 0.1], ("B", "B")), CUT, "A").recall is None


@pytest.mark.parametrize(
    ("labels", "words"), [(None, "'label' is missing"), (("A", ""), "''"), (("A", "Z"), "'Z'")]
)
def test_holdout_needs_labels(labels, words):
    with pytest.raises(UnusableInputError, match=words):
        holdout_figures(build([0.9, 0.1], labels), CUT, "A")
    with pytest.raises(UsageError, match="'Z'"):
        holdout_figures(build([0.9, 0.1], ("A", "B")), CUT, "Z")


def test_margins_by_hand():
    labels, patients = ("A", "A", "A", "B", "B", ""), "ppqrst"
    before = call(build([0.9, 0.9, 0.9, 0.1, 0.1, 0.9], labels, patients), CUT)
    now = call(build([0.9, 0.5, 0.2, 0.1, 0.9, 0.1], labels, patients), CUT)
    f = frozen_figures(now, labels, {"b1": before})
    assert (f.cases, f.units, f.labelled, dict(f.per_class)) == (6, 5, True, {"A": 3, "B": 2})
    rows = {(m.kind, m.name): m for m in f.margins}
    assert rows["sensitivity", "A"] == MarginCounts("b1", "sensitivity", "A", 2, 2, 0, 2)
    assert rows["specificity", "A"] == MarginCounts("b1", "specificity", "A", 2, 2, 1, 1)
    assert rows["sensitivity", "B"] == MarginCounts("b1", "sensitivity", "B", 2, 2, 1, 1)
    assert rows["specificity", "B"] == MarginCounts("b1", "specificity", "B", 2, 2, 0, 2)


def test_an_unlabelled_frozen_set_counts_calls():
    calls = call(build([0.9, 0.8, 0.1], None), CUT)
    f = frozen_figures(calls, None, {"b1": calls})
    assert (f.labelled, dict(f.per_class), f.margins) == (False, {"A": 2, "B": 1}, ())
    assert frozen_figures(calls, ("", "", ""), {"b1": calls}) == f


def test_frozen_figures_refuse_what_does_not_fit():
    calls, other = (call(build([0.9] * n, None), CUT) for n in (3, 2))
    with pytest.raises(UnusableInputError, match="b1 has other cases"):
        frozen_figures(calls, None, {"b1": other})
    with pytest.raises(UnusableInputError, match="2 labels for 3 cases"):
        frozen_figures(calls, ("A", "B"))
    with pytest.raises(UnusableInputError, match="'c2' has label 'Z'"):
        frozen_figures(calls, ("A", "B", "Z"))
