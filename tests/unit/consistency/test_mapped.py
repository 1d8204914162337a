"""Calls of two versions in shared classes: what is compared, what is left out, what is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.consistency.agree import Series, agree
from lifecycle.consistency.calls import call
from lifecycle.consistency.mapped import NO_COUNTERPART, through
from lifecycle.domain.predictions import Calls, Cutoffs, Predictions


def called(letters: str, classes: str, tau: float = 0.6) -> Calls:
    """One letter a case; `.` is below tau, its highest score that of the first class."""
    rows = [
        [0.8 if x == c else 0.4 if x == "." and c == classes[0] else 0.1 for c in classes]
        for x in letters
    ]
    n = len(letters)
    ids = tuple(f"c{i}" for i in range(n))
    made = Predictions(ids, ids, ("",) * n, None, tuple(classes), np.array(rows), "single")
    return call(made, Cutoffs((tau,) * len(classes), None, "proposed", {}))


def test_classes_that_have_become_one_agree() -> None:
    old, new = called("AABBC.", "ABC"), called("XXXXC.", "XC")
    maps = {"b1": {"A": "X", "B": "X", "C": "C"}, "b2": {"X": "X", "C": "C"}}
    found = through({"b1": old, "b2": new}, maps, "b2")
    agreement = agree(Series(("b1", "b2"), tuple(found.calls.values())), 0.025)
    assert (agreement.series.S, agreement.series.R, agreement.series.D) == (6, 5, 0)
    assert (found.called, found.compared) == (5, 5)
    assert found.unmatched == {"b1": {}, "b2": {}}


def test_a_contradiction_through_the_map_is_one() -> None:
    old, new = called("AABBC", "ABC"), called("XCXXC", "XC")
    maps = {"b1": {"A": "X", "B": "X", "C": "C"}, "b2": {"X": "X", "C": "C"}}
    found = through({"b1": old, "b2": new}, maps, "b2")
    agreement = agree(Series(("b1", "b2"), tuple(found.calls.values())), 0.025)
    (pair,) = agreement.candidate_pairs()
    assert (agreement.series.D, dict(pair.directions)) == (1, {"X -> C": 1})


def test_classes_without_a_counterpart_are_counted_and_not_compared() -> None:
    old, new = called("AABBCC", "ABC"), called("AANBNN", "ABN")
    maps = {"b1": {"A": "A", "B": "B"}, "b2": {"A": "A", "B": "B"}}
    found = through({"b1": old, "b2": new}, maps, "b2")
    assert found.rows.tolist() == [True, True, False, True, False, False]
    assert found.unmatched == {"b1": {"C": 2}, "b2": {"N": 3}}
    assert (found.called, found.compared) == (6, 3)
    agreement = agree(Series(("b1", "b2"), tuple(found.calls.values())), 0.025)
    assert (agreement.series.R, agreement.series.D) == (3, 0)


@pytest.mark.parametrize("tau", [0.6, 0.9])
def test_what_nobody_reports_is_left_where_it_is(tau: float) -> None:
    """The highest score of a case below tau may stand in a class without a counterpart."""
    old, new = called("C.A", "CAB", tau), called("A.A", "AB", tau)
    maps = {"b1": {"A": "A", "B": "B"}, "b2": {"A": "A", "B": "B"}}
    found = through({"b1": old, "b2": new}, maps, "b2")
    assert found.calls["b1"].classes == ("A", "B", NO_COUNTERPART)
    assert found.rows.tolist() == ([False, True, True] if tau == 0.6 else [True] * 3)
    assert agree(Series(("b1", "b2"), tuple(found.calls.values())), 0.025).series.D == 0


def _multi(rows: list[list[float]], classes: str) -> Calls:
    ids = tuple(f"c{i}" for i in range(len(rows)))
    made = Predictions(ids, ids, ("",) * len(rows), None, tuple(classes), np.array(rows), "multi")
    k = len(classes)
    return call(made, Cutoffs((0.8,) * k, (0.2,) * k, "proposed", {}))


def test_of_a_multi_label_case_only_the_class_is_left_out() -> None:
    old = _multi([[0.9, 0.1, 0.9], [0.9, 0.9, 0.1], [0.1, 0.5, 0.1]], "ABC")
    new = _multi([[0.9, 0.1], [0.1, 0.9], [0.1, 0.5]], "AB")
    maps = {"b1": {"A": "A", "B": "B"}, "b2": {"A": "A", "B": "B"}}
    found = through({"b1": old, "b2": new}, maps, "b2")
    assert found.rows.all()
    assert found.unmatched == {"b1": {"C": 1}, "b2": {}}
    assert (found.called, found.compared) == (4, 3)  # cells that are called
    agreement = agree(Series(("b1", "b2"), tuple(found.calls.values())), 0.025)
    assert (agreement.series.R, agreement.series.D, agreement.series.reportable) == (3, 1, 5 / 6)


@given(
    st.lists(st.tuples(st.sampled_from("ABC."), st.sampled_from("ABC.")), min_size=1, max_size=30),
    st.permutations("XYZ"),
)
def test_a_map_of_every_class_is_the_comparison_within_a_version(
    letters: list[tuple[str, str]], names: list[str]
) -> None:
    """Whatever the names are and wherever the columns stand."""
    one, two = ("".join(side) for side in zip(*letters, strict=True))
    renamed = dict(zip("ABC", names, strict=True))
    order = "".join(sorted(names))
    plain = agree(Series(("b1", "b2"), (called(one, "ABC"), called(two, "ABC"))), 0.025)
    new = called("".join(renamed.get(x, x) for x in two), order)
    maps = {"b1": renamed, "b2": {name: name for name in order}}
    found = through({"b1": called(one, "ABC"), "b2": new}, maps, "b2")
    mapped = agree(Series(("b1", "b2"), tuple(found.calls.values())), 0.025)
    for key in ("S", "R", "D", "conversions", "m", "Z", "upper", "reportable"):
        assert getattr(mapped.series, key) == getattr(plain.series, key)
    (a,), (b,) = plain.candidate_pairs(), mapped.candidate_pairs()
    assert (a.lost.units, a.lost.reported_units, a.gained.cases) == (
        b.lost.units, b.lost.reported_units, b.gained.cases,
    )  # fmt: skip
    assert found.called == found.compared
