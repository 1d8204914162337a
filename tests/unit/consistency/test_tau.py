from __future__ import annotations

import numpy as np
import pytest

from lifecycle.consistency.calls import call
from lifecycle.consistency.tau import choose, curve, hindsight
from lifecycle.domain.classifier import TauPlan
from lifecycle.domain.digests import canonical_json
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.errors import UnusableInputError, UsageError

LOOSE = {"refuse_below": 0.0, "target": 0.0}


def single(scores, labels, patients=None, classes=("A", "B")):
    rows = [[s, 1 - s] for s in scores] if np.ndim(scores) == 1 else scores
    ids = tuple(f"c{i}" for i in range(len(rows)))
    made = tuple(patients) if patients else ids
    given = None if labels is None else tuple(labels)
    return Predictions(ids, made, ("",) * len(ids), given, classes, np.array(rows), "single")


def multi(rows, labels):
    ids = tuple(f"c{i}" for i in range(len(rows)))
    return Predictions(
        ids, ids, ("",) * len(ids), tuple(labels), ("A", "B"), np.array(rows), "multi"
    )


def one(**more):
    return TauPlan(positive="A", **(LOOSE | more))


def test_lowest_positive_above_every_negative():
    cutoffs = choose(single([0.9, 0.6, 0.4, 0.5, 0.1], "AAABB"), one())
    assert cutoffs.yes == (0.6, 0.6)
    assert (cutoffs.no, cutoffs.status) == (None, "proposed")
    e = cutoffs.evidence
    assert (e["positive"], e["tau"], e["n_pos"], e["n_neg"], e["tp"], e["fp"]) == (
        "A", 0.6, 3, 2, 2, 0,
    )  # fmt: skip
    assert e["recall"] == 2 / 3
    assert e["precision_bound"] == pytest.approx(0.05 ** (1 / 2))
    assert e["fp_bound"] == pytest.approx(1 - 0.05 ** (1 / 2))
    assert (e["holdout_cases"], e["interval"]) == (5, None)
    assert "optimistic" in e["note"]
    assert "says nothing about calls of other classes" in e["note"]
    assert "<= 0.5" not in e["note"]
    canonical_json(dict(e))


def test_tie_with_a_negative_does_not_count():
    assert choose(single([0.9, 0.5, 0.5], "AAB"), one()).yes == (0.9, 0.9)


def test_low_tau_is_remarked_and_argmax_calls_counted():
    holdout = single([[0.4, 0.6], [0.9, 0.1], [0.1, 0.9]], "AAB")
    e = choose(holdout, one()).evidence
    assert e["tau"] == 0.4
    assert (e["tp_cases"], e["tp_called_cases"]) == (2, 1)
    assert "<= 0.5" in e["note"]


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ([0.5, 0.9], "AB", "no score reaches"),
        ([0.5, 0.9], "AA", "lacks patients without"),
        ([0.5, 0.9], "BB", "lacks patients with"),
    ],
)
def test_no_tau_to_be_had(scores, labels, words):
    holdout = single(scores, labels)
    cutoffs = choose(holdout, one())
    assert cutoffs.status == "refused"
    assert words in cutoffs.evidence["said"]
    assert not call(holdout, cutoffs).state.any()


def test_true_positives_are_patients():
    scores = [0.9] * 28 + [0.1] * 20
    labels = "A" * 28 + "B" * 20
    patients = [f"p{i // 2}" for i in range(48)]
    plan = TauPlan(positive="A")
    e = choose(single(scores, labels, patients), plan).evidence
    assert (e["tp"], e["tp_cases"], e["n_neg"], e["status"]) == (14, 28, 10, "provisional")
    fewer = choose(single(scores[2:], labels[2:], patients[2:]), plan)
    assert (fewer.evidence["tp"], fewer.status) == (13, "refused")


def test_less_than_perfect_precision():
    scores = [0.9, 0.8, 0.7, 0.6, 0.65, 0.55, 0.5]
    labels = "AAAABAB"
    assert choose(single(scores, labels), one()).evidence["tau"] == 0.7
    cutoffs = choose(single(scores, labels), one(precision=0.8))
    e = cutoffs.evidence
    assert (e["tau"], e["tp"], e["fp"]) == (0.55, 5, 1)  # 5 of 6 right; 0.5 would be 5 of 7
    assert e["precision_bound"] < 5 / 6
    low, high = e["interval"]
    assert low <= 0.55 <= high


def test_the_bootstrap_is_deterministic():
    rng = np.random.Generator(np.random.PCG64(3))
    labels = np.where(rng.random(400) < 0.5, "A", "B")
    scores = np.clip(rng.normal(0.5 + 0.2 * (labels == "A"), 0.2), 0, 1)
    holdout = single(scores.tolist(), labels.tolist(), [f"p{i // 2}" for i in range(400)])
    first, again, *others = (
        choose(holdout, one(precision=0.85), seed=k).evidence["interval"] for k in (0, 0, 1, 2, 3)
    )
    assert first == again
    assert any(first != other for other in others)


def test_order_of_cases_is_irrelevant():
    holdout = single([0.9, 0.6, 0.4, 0.5, 0.1], "AAABB")
    back = single([0.1, 0.5, 0.4, 0.6, 0.9], "BBAAA")
    assert choose(holdout, one()).yes == choose(back, one()).yes


def test_per_class_refuses_class_by_class():
    rows = [[0.9, 0.05, 0.05]] * 60 + [[0.1, 0.8, 0.1]] * 20 + [[0.2, 0.1, 0.7]] * 3
    labels = "A" * 60 + "B" * 20 + "C" * 3
    holdout = single(rows, labels, classes=("A", "B", "C"))
    cutoffs = choose(holdout, TauPlan(mode="per-class"))
    assert [c["status"] for c in cutoffs.evidence["chosen"]] == [
        "proposed", "provisional", "refused",
    ]  # fmt: skip
    assert cutoffs.yes == (0.9, 0.8, 1.0)
    assert (cutoffs.status, cutoffs.evidence["refused_yes"]) == ("provisional", ["C"])
    calls = call(holdout, cutoffs)
    assert (calls.state[0].tolist(), calls.state[-1].tolist()) == ([1, -1, -1], [0, 0, 0])
    few = choose(single([0.9, 0.1], "AB"), TauPlan(mode="per-class"))
    assert few.status == "refused"


def test_multi_label_cutoffs_by_hand():
    rows = [[0.9, 0.1], [0.6, 0.8], [0.5, 0.9], [0.4, 0.3], [0.2, 0.7]]
    labels = ["A", "A|B", "B", "A", "B"]
    cutoffs = choose(multi(rows, labels), TauPlan(mode="per-class", **LOOSE))
    # A: positives .9 .6 .4, negatives .5 .2;  B: positives .8 .9 .7, negatives .1 .3
    assert cutoffs.yes == (0.6, 0.7)
    assert cutoffs.no == (0.2, 0.3)
    sides = [(c["positive"], c["side"], c["tau"], c["tp"]) for c in cutoffs.evidence["chosen"]]
    assert sides == [("A", "yes", 0.6, 2), ("B", "yes", 0.7, 3), ("A", "no", 0.2, 1), ("B", "no", 0.3, 2)]  # fmt: skip  # noqa: E501
    state = call(multi(rows, labels), cutoffs).state
    assert state[:, 0].tolist() == [1, 1, 0, 0, -1]


def test_multi_label_cutoffs_never_cross():
    rng = np.random.Generator(np.random.PCG64(5))
    labels = [("A", "B", "A|B")[k] for k in rng.integers(3, size=200)]
    rows = np.round(rng.random((200, 2)), 1)
    cutoffs = choose(multi(rows, labels), TauPlan(mode="per-class", precision=0.5, **LOOSE))
    assert all(no <= yes for no, yes in zip(cutoffs.no, cutoffs.yes, strict=True))
    assert "no case can be inconclusive" in cutoffs.evidence["note"]
    assert (call(multi(rows, labels), cutoffs).state != 0).any()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (None, "'label'"),
        (("A", ""), "case 'c1' has no label"),
        (("A", "Z"), "'c1' has label 'Z'"),
        (("A", "A|B"), "'c1' has label 'A|B'"),
    ],
)
def test_labels_are_needed(labels, words):
    with pytest.raises(UnusableInputError, match=words.replace("|", r"\|")):
        choose(single([0.9, 0.1], labels), one())


def test_nan_and_unknown_class_are_refused():
    with pytest.raises(UnusableInputError, match="NaN"):
        choose(single([0.9, np.nan], "AB"), one())
    with pytest.raises(UsageError, match="'Z'"):
        choose(single([0.9, 0.1], "AB"), TauPlan(positive="Z"))
    with pytest.raises(UsageError, match="None"):
        choose(single([0.9, 0.1], "AB"), TauPlan())


def test_curve_by_hand():
    rows = curve(single([0.9, 0.6, 0.4, 0.6], "AAAB"), "A")
    assert rows == [(0.4, 3 / 4, 1.0, 3, 1), (0.6, 2 / 3, 2 / 3, 2, 1), (0.9, 1.0, 1 / 3, 1, 0)]
    with pytest.raises(UsageError):
        curve(single([0.9], "B"), "A")


def given(tau):
    return Cutoffs((tau, tau), None, "given", {})


def test_hindsight_by_hand():
    b1 = single([0.9, 0.65, 0.2], None)
    b2 = single([0.95, 0.3, 0.1], None)  # case c1: A at 0.65 against B at 0.7
    holdout = single([0.9, 0.66, 0.65, 0.6, 0.1], "AAAAB")
    found = hindsight({"b1": b1, "b2": b2}, given(0.5), holdout, "A")
    assert found is not None
    assert found.cutoff == np.nextafter(0.65, 1)
    assert (found.recall, found.recall_at_tau) == (0.5, 1.0)
    states = [call(b, given(found.cutoff)).state for b in (b1, b2)]
    both = (states[0] != 0).any(axis=1) & (states[1] != 0).any(axis=1)
    assert both.tolist() == [True, False, True]


def test_hindsight_where_there_is_none():
    b1, b2 = single([0.9], None), single([0.8], None)
    holdout = single([0.9, 0.1], "AB")
    assert hindsight({"b1": b1, "b2": b2}, given(0.5), holdout, "A") is None
    sure = {"b1": single([1.0], None), "b2": single([0.0], None)}
    assert hindsight(sure, given(0.5), holdout, "A") is None
    with pytest.raises(UsageError):
        hindsight(sure, given(0.5), multi([[1, 0]], ["A"]), "A")
