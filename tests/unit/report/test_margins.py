"""Margins and the order of the cases that must not be overlooked."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.consistency.agree import Discordant
from lifecycle.domain.predictions import Cutoffs
from lifecycle.report.cases import firmest
from lifecycle.report.margins import Limits, firmness, limits, signed
from lifecycle.report.text import MINUS

SINGLE = Limits("single", {"A": 0.9, "B": 0.8}, {})
MULTI = Limits("multi", {"A": 0.7, "B": 0.7}, {"A": 0.2, "B": 0.1})


def case(scores: dict[str, dict[str, float]], classes: tuple[str, ...] = ("A", "B")) -> Discordant:
    return Discordant("c", "p", True, classes, dict.fromkeys(scores, "?"), scores)


def test_what_is_refused_is_not_in_force() -> None:
    cutoffs = Cutoffs((0.7, 1.0), (0.2, 0.0), "provisional",
                      {"refused_yes": ["B"], "refused_no": ["A"]})  # fmt: skip
    known = limits(("A", "B"), "multi", cutoffs)
    assert known == Limits("multi", {"A": 0.7}, {"B": 0.0})
    assert limits(("A", "B"), "multi", replace(cutoffs, status="refused")) == Limits(
        "multi", {}, {}
    )
    assert known.margin("A", 0.5) == pytest.approx(-0.2)
    assert Limits("single", {}, {}).margin("A", 0.5) is None


@pytest.mark.parametrize(
    ("score", "margin"), [(0.75, 0.05), (0.6, -0.1), (0.3, 0.1), (0.15, -0.05), (0.7, 0.0)]
)
def test_the_margin_is_to_the_nearest_critical_value(score: float, margin: float) -> None:
    assert MULTI.margin("A", score) == pytest.approx(margin)


@pytest.mark.parametrize(
    ("margin", "printed"),
    [(0.0108, "+0.0108"), (-0.25, f"{MINUS}0.2500"), (0.0, "+0"), (-1e-7, f"{MINUS}0.000000100")],
)
def test_margins_carry_their_sign(margin: float, printed: str) -> None:
    assert signed(margin) == printed


@given(st.floats(-1, 1).filter(bool))
def test_a_margin_is_not_printed_as_none(margin: float) -> None:
    printed = float(signed(margin).replace(MINUS, "-"))
    assert (printed > 0, printed < 0) == (margin > 0, margin < 0)


def test_a_contradiction_is_as_firm_as_its_weaker_side() -> None:
    one = case({"b1": {"A": 0.95, "B": 0.05}, "b2": {"A": 0.04, "B": 0.96}})
    assert firmness(one, "discordant", SINGLE) == pytest.approx(0.05)
    weaker = case({"b1": {"A": 0.95, "B": 0.05}, "b2": {"A": 0.19, "B": 0.81}})
    assert firmness(weaker, "discordant", SINGLE) == pytest.approx(0.01)
    third = case({**weaker.scores, "b3": {"A": 0.02, "B": 0.98}})
    assert firmness(third, "discordant", SINGLE) == pytest.approx(0.05)


def test_several_classes_count_by_their_firmest() -> None:
    one = case({"b1": {"A": 0.8, "B": 0.05}, "b2": {"A": 0.15, "B": 0.95}})
    assert firmness(one, "discordant", MULTI) == pytest.approx(0.05)


def test_a_conversion_counts_how_far_the_margin_moved() -> None:
    one = case({"b1": {"A": 0.95}, "b2": {"A": 0.5}}, ("A",))
    assert firmness(one, "conversions", SINGLE) == pytest.approx(0.45)
    ruled_out = case({"b1": {"A": 0.1}, "b2": {"A": 0.4}}, ("A",))
    assert firmness(ruled_out, "conversions", MULTI) == pytest.approx(0.3)


def test_without_scores_nothing_is_known() -> None:
    assert firmness(case({"b1": {}, "b2": {}}), "discordant", SINGLE) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=5))
def test_the_order_of_the_builds_does_not_matter(pairs: list[tuple[float, float]]) -> None:
    scores = {f"b{i}": {"A": a, "B": b} for i, (a, b) in enumerate(pairs)}
    turned = dict(reversed(scores.items()))
    for known in (SINGLE, MULTI):
        for kind in ("discordant", "conversions"):
            assert firmness(case(scores), kind, known) == firmness(case(turned), kind, known)


@pytest.mark.parametrize("task", ["single", "multi"])
def test_the_firmest_cases_stand_first(make: SimpleNamespace, task: Any) -> None:
    data = make.rebuild(n=600, task=task, builds=3)
    known = limits(data.frozen.classes, task, data.cutoffs)
    for kind, every in (("conversions", data.agreement.conversions),
                        ("discordant", data.agreement.discordant)):  # fmt: skip
        found, firm = firmest(data.agreement, kind, known, 5)
        assert len(found) == min(5, len(every))
        assert firm == sorted((firmness(one, kind, known) for one in every), reverse=True)[:5]
    assert data.agreement.conversions, "the input has conversions to sort"
