"""Shares against limits: held against plain whole numbers, at, below and above the limit."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle.consistency.figures import count, exact_sum, series_cells
from lifecycle.errors import UsageError
from lifecycle.records.format import plain
from lifecycle.stats.limits import allowed_exactly, as_written, exceeds

ROUNDS = settings(max_examples=300, deadline=None)
decimals = st.integers(1, 9999).map(lambda k: f"0.{k:04d}")
patients = st.lists(
    st.integers(1, 24).flatmap(lambda r: st.tuples(st.integers(0, r), st.just(r))),
    min_size=1,
    max_size=40,
)


def slow(fractions: list[tuple[int, int]], limit: str) -> bool:
    """Whether the mean of d / r exceeds a decimal, in whole numbers alone."""
    common = math.prod(r for _, r in fractions)
    total = sum(d * (common // r) for d, r in fractions)
    digits = limit.removeprefix("0.")
    return total * 10 ** len(digits) > int(digits) * common * len(fractions)


@ROUNDS
@given(patients, decimals)
@example([(1, 20)] * 27 + [(0, 20)] * 153, "0.0075")
def test_clustered_patients_against_whole_numbers(found, limit):
    total = sum((Fraction(d, r) for d, r in found), Fraction(0))
    assert exceeds(total, len(found), float(limit)) is slow(found, limit)
    assert exceeds(total.as_integer_ratio(), len(found), Fraction(limit)) is slow(found, limit)


@ROUNDS
@given(patients)
def test_the_sum_of_cases_is_that_of_patients(found):
    unit = np.repeat(np.arange(len(found)), [r for _, r in found]).astype(np.intp)
    in_d = np.concatenate([np.arange(r) < d for d, r in found])
    order = np.random.default_rng(len(unit)).permutation(len(unit))
    in_r = np.ones(len(unit), dtype=bool)
    total = sum((Fraction(d, r) for d, r in found), Fraction(0))
    assert exact_sum(in_r[order], in_d[order], unit[order]) == total
    states = np.stack([np.ones_like(in_d, dtype=np.int8), np.where(in_d, -1, 1).astype(np.int8)])
    figures = count("x", series_cells(states[:, :, None]), unit, 0.05)
    assert figures.exact == total.as_integer_ratio()
    assert math.isclose(figures.Z, total, rel_tol=1e-12)
    assert "exact" not in plain(figures)


def test_cases_that_nobody_reports_do_not_count():
    unit = np.array([0, 0, 1, 2], dtype=np.intp)
    in_r = np.array([True, True, False, True])
    in_d = np.array([True, False, True, False])
    assert exact_sum(in_r, in_d, unit) == Fraction(1, 2)
    assert exact_sum(in_r & False, in_d, unit) == 0


@ROUNDS
@given(st.integers(1, 400), decimals, st.sampled_from([-1, 0, 1]))
def test_at_the_limit_and_one_step_beside_it(m, limit, step):
    at = Fraction(limit) * m + Fraction(step, 10**30)
    if 0 <= at <= m:
        assert exceeds(at, m, float(limit)) is (step > 0)


@given(decimals)
def test_a_limit_is_what_was_written(text):
    assert as_written(float(text)) == Fraction(Decimal(text))
    assert allowed_exactly(float(text)) == 1 - Fraction(Decimal(text))


def test_the_case_that_rounding_decided():
    """1/2 + 3/5 + 2/8 of nine patients is 3/20, and floats say that it is more."""
    parts = [(1, 2), (3, 5), (2, 8)]
    total = sum((Fraction(*one) for one in parts), Fraction(0))
    assert math.fsum(d / r for d, r in parts) / 9 > 0.15
    assert total / 9 == Fraction("0.15")
    assert not exceeds(total, 9, allowed_exactly(0.85))
    assert exceeds(total + Fraction(1, 10**12), 9, allowed_exactly(0.85))


@pytest.mark.parametrize(
    ("counted", "of", "limit"),
    [(1, 0, 0.1), (-1, 3, 0.1), (4, 3, 0.1), (0.5, 3, 0.1), (1, 3.0, 0.1),
     (1, 3, math.nan), (1, 3, math.inf)],
)  # fmt: skip
def test_what_is_no_share_or_no_limit(counted, of, limit):
    with pytest.raises(UsageError):
        exceeds(counted, of, limit)
