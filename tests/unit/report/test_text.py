"""Nothing invisible, nothing rounded over a limit."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from lifecycle.report.text import (
    NOTHING,
    css_string,
    finalize,
    flat,
    listed,
    number,
    percent,
    short,
    visible,
)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("RTK I", "RTK I"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200bb", "a\\u200bb"),
        ("a\u00a0b", "a\\u00a0b"),
        ("a\nb", "a\\u000ab"),
        ("a\x00b", "a\\u0000b"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("Glioblastom, größer", "Glioblastom, größer"),
        ("胶质瘤", "胶质瘤"),
    ],
)
def test_what_cannot_be_seen_is_an_escape(text: str, seen: str) -> None:
    assert visible(text) == seen


@given(st.text())
def test_visible_text_can_be_seen_and_seeing_twice_changes_nothing(text: str) -> None:
    seen = visible(text)
    assert visible(seen) == seen
    assert all(unicodedata.category(c)[0] not in "C" for c in seen)


def test_markup_keeps_its_line_ends_and_nothing_else() -> None:
    printed = finalize(Markup("<p>\n\u202e</p>"))
    assert printed == Markup("<p>\n\\u202e</p>")
    assert isinstance(printed, Markup)
    assert not isinstance(finalize("<p>"), Markup)


@given(st.text())
def test_css_strings_cannot_be_ended(text: str) -> None:
    inside = str(css_string(text))[1:-1]
    assert not set(inside) & set("\"'<>;{}\n")
    assert inside.isascii()


@pytest.mark.parametrize(
    ("value", "against", "printed"),
    [
        (None, (), NOTHING),
        (0.5, (), "0.5000"),
        (0.94996, (0.95,), "0.949960"),
        (0.95, (0.95,), "0.9500"),
        (0.99999, (), "0.999990"),
        (0.9999999999999999, (), "0.99999999999999989"),
        (1.0, (), "1"),
        (14, (), "14"),
        (12345.0, (), "12,345"),
    ],
)
def test_numbers_stay_on_their_side(
    value: float | None, against: tuple[float, ...], printed: str
) -> None:
    assert number(value, against) == printed


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_printed_number_never_crosses_its_limit(value: float, limit: float) -> None:
    printed = float(number(value, (limit,)))
    assert math.copysign(1, (printed > limit) - (printed < limit)) == math.copysign(
        1, (value > limit) - (value < limit)
    )


def test_not_a_number_is_printed_as_that() -> None:
    assert number(math.nan) == "nan"
    assert number(math.inf) == "inf"


@pytest.mark.parametrize(
    ("share", "printed"),
    [(0.95, "95.00%"), (0.99999, "99.9990%"), (1.0, "100%"), (3.5e-18, "0%"), (None, NOTHING)],
)
def test_percentages(share: float | None, printed: str) -> None:
    assert percent(share) == printed


def test_lists_are_cut_with_a_count() -> None:
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed("abcdef", most=2) == "a, b and 4 more"
    assert short("x" * 50, 10) == "xxxxxxxxx…"


def test_records_are_laid_flat() -> None:
    record = {"machine": {"cpu": "x", "gpu": ""}, "clean": True, "lr": 0.001, "hidden": [128, 32]}
    assert flat(record) == [
        ("machine.cpu", "x"),
        ("machine.gpu", NOTHING),
        ("clean", "yes"),
        ("lr", "0.001"),
        ("hidden", "128 and 32"),
    ]
