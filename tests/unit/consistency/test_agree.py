from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lifecycle.consistency.agree import (
    Series,
    action_figures,
    agree,
    from_json,
    to_json,
)
from lifecycle.domain.predictions import Calls
from lifecycle.errors import UnusableInputError, UsageError
from lifecycle.stats.intervals import upper_bound

CLASSES = ("A", "B", "C")


def calls(text, patients=None, groups=None):
    """One letter a case; `.` is inconclusive, with A as its highest score."""
    n = len(text)
    state = np.full((n, 3), -1, dtype=np.int8)
    top = np.array(["ABC.".index(x) % 3 for x in text], dtype=np.intp)
    state[np.arange(n), top] = 1
    state[[x == "." for x in text]] = 0
    ids = tuple(f"c{i}" for i in range(n))
    return Calls(
        ids, tuple(patients or ids), tuple(groups or ("",) * n), CLASSES, state, top, 0, "single"
    )


def series(*texts, **more):
    names = tuple(f"b{i + 1}" for i in range(len(texts)))
    return Series(names, tuple(calls(text, **more) for text in texts))


def test_two_builds_by_hand():
    f = agree(series("AABBC..", "AAACC.B"), 0.05).series  # c2: B, A; c3: B, C; c6 converts
    assert (f.S, f.R, f.D, f.conversions, f.cases_any) == (7, 5, 2, 1, 6)
    assert (f.consistency, f.consistency_all, f.changed) == (1 - 2 / 5, 1 - 2 / 7, 3 / 6)
    assert (f.m, f.Z, f.rate, f.units_any) == (5, 2.0, 0.4, 2)
    assert f.upper == upper_bound(2, 5, 0.05) == f.upper_any
    assert (f.cells_reported, f.reportable) == (15, 5 / 7)


def test_patients_share_by_fraction():
    agreement = agree(series("AAAB", "AABB", patients="pppq"), 0.05)
    f = agreement.series
    assert (f.R, f.D, f.m, f.units_any, agreement.units) == (4, 1, 2, 1, 2)
    assert pytest.approx(1 / 3) == f.Z
    assert f.upper < f.upper_any


def test_components_join_patients_that_share_a_slide():
    more = {"patients": "pqrs", "groups": ("s1", "s1", "s2", "")}
    f = agree(series("ABAA", "BBAA", **more), 0.05, unit="component")
    assert (f.units, f.series.m, f.series.Z) == (3, 3, 0.5)
    assert agree(series("ABAA", "BBAA", **more), 0.05).series.m == 4


def test_three_builds_and_a_silent_middle():
    agreement = agree(series("AAAA", "A..A", "ABAB"), 0.05)
    assert (agreement.series.R, agreement.series.D, agreement.series.conversions) == (2, 1, 2)
    assert (agreement.ever.R, agreement.ever.D) == (4, 2)
    assert [(d.case, d.everywhere) for d in agreement.discordant] == [("c1", False), ("c3", True)]
    assert agreement.discordant[0].calls == {"b1": "A", "b2": "inconclusive", "b3": "B"}
    assert [c.case for c in agreement.conversions] == ["c1", "c2"]
    by_pair = {(p.reference, p.candidate): p.figures.D for p in agreement.pairs}
    assert by_pair == {("b1", "b2"): 0, ("b1", "b3"): 2, ("b2", "b3"): 1}
    assert [p.reference for p in agreement.candidate_pairs()] == ["b1", "b2"]


def test_the_candidate_may_stand_anywhere():
    agreement = agree(series("AB..", "ABA.", "AAAA"), 0.05, candidate=0)
    assert agreement.candidate == "b1"
    faced = {p.reference: p for p in agreement.candidate_pairs()}
    assert set(faced) == {"b2", "b3"}
    assert (faced["b3"].lost.cases, faced["b3"].gained.cases) == (2, 0)
    assert faced["b3"].directions == {"A -> B": 1}


def test_lost_and_gained_by_patient_and_class():
    more = {"patients": "ppqqr"}
    (pair,) = agree(series("AABB.", "A.B.C", **more), 0.05).pairs
    assert (pair.lost.cases, pair.lost.reported_cases) == (2, 4)
    assert (pair.lost.units, pair.lost.reported_units, pair.lost.rate) == (2, 2, 1.0)
    assert pair.lost.upper == 1.0
    by_class = {e.name: (e.cases, e.reported_cases, e.units) for e in pair.lost_by_class}
    assert by_class == {"A": (1, 2, 1), "B": (1, 2, 1), "C": (0, 0, 0)}
    assert (pair.gained.cases, pair.gained.units) == (1, 1)
    assert pair.argmax_changes == 2  # c3 and c4; `.` stands for highest score A


def test_per_class_over_cases_that_any_build_calls_so():
    agreement = agree(series("AAB.", "ABBC"), 0.05)
    found = {f.name: (f.S, f.R, f.D, f.conversions) for f in agreement.by_class}
    assert found == {"A": (2, 2, 1, 0), "B": (2, 2, 1, 0), "C": (1, 0, 0, 1)}


def test_subgroups():
    agreement = agree(series("AABB", "ABBB"), 0.05, subgroups={"sex": tuple("ffmm")})
    assert [(f.name, f.R, f.D) for f in agreement.by_subgroup] == [
        ("sex=f", 2, 1),
        ("sex=m", 2, 0),
    ]
    with pytest.raises(UnusableInputError, match="'sex' has 1 values for 4"):
        agree(series("AABB", "ABBB"), 0.05, subgroups={"sex": ("f",)})


def test_scores_stand_beside_discordant_cases():
    scores = [np.array([[0.8, 0.1, 0.1]]), np.array([[0.2, 0.7, 0.1]])]
    agreement = agree(series("A", "B"), 0.05, scores=scores)
    assert agreement.discordant[0].scores == {
        "b1": {"A": 0.8, "B": 0.1},
        "b2": {"A": 0.2, "B": 0.7},
    }
    with pytest.raises(UsageError, match="for all builds or for none"):
        agree(series("A", "B"), 0.05, scores=scores[:1])


def test_actions_with_direction():
    actions = {"A": "de-escalate", "B": "standard", "C": "standard"}
    found = action_figures(series("ABCAA.", "BCBAA."), actions, 0.05)
    assert (found.series.R, found.series.D) == (5, 1)
    assert found.pairs[0].directions == {"de-escalate -> standard": 1}
    whole = agree(series("ABCAA.", "BCBAA."), 0.05, actions=actions)
    assert (whole.series.D, whole.actions) == (3, found)


def test_classes_without_an_action_share_one():
    found = action_figures(series("AB", "CC"), {"A": "treat"}, 0.05)
    assert found.pairs[0].directions == {"treat -> (no action stated)": 1}
    with pytest.raises(UsageError, match="'Z'"):
        action_figures(series("AB", "CC"), {"Z": "treat"}, 0.05)


def test_nothing_reported_is_representable():
    agreement = agree(series("...", "..."), 0.05)
    f = agreement.series
    assert (f.R, f.m, f.consistency, f.rate, f.changed, f.upper) == (0, 0, None, None, None, 1.0)
    assert f.wilson == (0.0, 1.0)
    assert agreement.pairs[0].lost.upper == 1.0
    assert from_json(to_json(agreement)) == agreement


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ids": ("x", "y")}, "differ in their ids"),
        ({"patients": ("x", "y")}, "differ in their patients"),
        ({"groups": ("x", "y")}, "differ in their groups"),
        ({"classes": ("A", "C", "B")}, "differ in their classes"),
        ({"task": "multi"}, "differ in their task"),
        ({"patients": ("p", "")}, "every case needs a patient"),
        ({"ids": ("x", "x")}, "a case is there twice"),
        ({"state": np.array([[1, 1, -1]] * 2, dtype=np.int8)}, "one call or none"),
        ({"state": np.array([[1, 0, -1]] * 2, dtype=np.int8)}, "one call or none"),
        ({"state": np.array([[2, -1, -1]] * 2, dtype=np.int8)}, "neither yes"),
        ({"state": np.array([[1, -1, -1]], dtype=np.int8)}, "do not fit"),
    ],
)
def test_builds_that_cannot_be_compared(change, words):
    with pytest.raises(UnusableInputError, match=words):
        Series(("b1", "b2"), (calls("AB"), replace(calls("AB"), **change)))


def test_misuse():
    with pytest.raises(UsageError, match="at least two"):
        series("AB")
    with pytest.raises(UsageError, match="distinct name"):
        Series(("b1", "b1"), (calls("AB"), calls("AB")))
    with pytest.raises(UsageError, match="no build 2"):
        agree(series("AB", "AB"), 0.05, candidate=2)
    with pytest.raises(UsageError, match="not 'case'"):
        agree(series("AB", "AB"), 0.05, unit="case")
    for a in (0.0, 1.0, float("nan")):
        with pytest.raises(UsageError, match="level"):
            agree(series("AB", "AB"), a)


def faulty(value, change):
    change(value)
    return value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.pop("ever"), r"agreement\.ever: missing"),
        (lambda v: v.update(more=1), r"agreement\.more: not a known"),
        (lambda v: v["series"].update(D="1"), r"agreement\.series\.D: not a whole number"),
        (lambda v: v["series"].update(D=True), r"agreement\.series\.D: not a whole number"),
        (lambda v: v["series"].update(Z=None), r"series\.Z: not a number"),
        (lambda v: v["series"].update(wilson=[0.1]), r"wilson\[1\]: missing"),
        (lambda v: v["series"].update(exact=[1, 2]), "agreement.series.exact"),
        (lambda v: v.update(unit="case"), "is none of 'patient' or 'component'"),
        (lambda v: v.update(names="b1"), "not a list"),
        (lambda v: v.update(ties=[]), "not an object"),
        (lambda v: v.update(series=None), "not an object"),
    ],
)
def test_json_is_read_strictly(change, words):
    value = to_json(agree(series("AB", "AA"), 0.05))
    with pytest.raises(UnusableInputError, match=words):
        from_json(faulty(value, change))
