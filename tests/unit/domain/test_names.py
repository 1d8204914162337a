"""Names that are one in practice: which spellings are put aside, and which never are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.domain.names import fault_of_twins, spelling_aside, twins

SAME = [
    ("P1", "p1"), ("slide 1", "slide  1"), ("slide 1", "slide1"), ("12", "12.0"), ("12", "012"),
    ("12", "12."), ("12.00", "0012"), ("p-012", "P-12"), ("p\N{EN DASH}1", "p-1"),
    ("ÄRZTE", "ärzte"),
    ("\N{FULLWIDTH DIGIT ONE}2", "12"), ("\u0661\u0662", "12"), ("Straße", "STRASSE"), ("0", "00"),
    ("a\N{NO-BREAK SPACE}b", "a b"),
]  # fmt: skip
OTHER = [
    ("1", "10"), ("12", "12.5"), ("1.05", "1.5"), ("p1-01", "p1-1"), ("a", "b"), ("1.0.0", "1"),
    ("10", "1"), ("100", "1"), ("p", "p0"), ("sim-001-1", "sim-01-1"), ("12.0", "120"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "two"), SAME)
def test_two_spellings_of_a_name(one: str, two: str) -> None:
    assert twins([one, "another", one, two]) == (one, two)
    assert twins([two], [one]) == (one, two)
    said = fault_of_twins("patient", [one, two])
    assert said is not None and repr(one) in said and repr(two) in said


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_two_names(one: str, two: str) -> None:
    assert twins([one, two]) is None and fault_of_twins("group", [one, two]) is None


@given(st.text())
def test_a_name_is_no_twin_of_itself(name: str) -> None:
    assert twins([name, name, "", ""]) is None
    assert spelling_aside(f" {name} ") == spelling_aside(name)


def test_numbered_names_of_one_width_are_never_twins() -> None:
    assert twins(f"{k:05d}" for k in range(20_000)) is None
    assert twins(f"case-{k}" for k in range(20_000)) is None
