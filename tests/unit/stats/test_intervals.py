"""Bounds against scipy's own routines, textbook values and their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta, binom, binomtest

from lifecycle.errors import UsageError
from lifecycle.stats.intervals import (
    allowed,
    attempt_level,
    clopper_pearson,
    lower_bound,
    patients_needed,
    upper_bound,
    upper_bounds,
    wilson,
)


@pytest.mark.parametrize(("x", "n"), [(0, 1), (0, 59), (1, 20), (14, 339), (5, 5), (199, 200)])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_against_scipys_binomtest(x, n, alpha):
    outside = binomtest(x, n).proportion_ci(1 - alpha, "exact")
    assert clopper_pearson(x, n, alpha) == pytest.approx((outside.low, outside.high), abs=1e-12)
    one_sided = binomtest(x, n, alternative="less").proportion_ci(1 - alpha, "exact")
    assert upper_bound(x, n, alpha) == pytest.approx(one_sided.high, abs=1e-12)
    other = binomtest(x, n, alternative="greater").proportion_ci(1 - alpha, "exact")
    assert lower_bound(x, n, alpha) == pytest.approx(other.low, abs=1e-12)
    shown = binomtest(x, n).proportion_ci(1 - alpha, "wilson")
    assert wilson(x, n, alpha) == pytest.approx((shown.low, shown.high), abs=1e-12)


def test_the_bound_is_where_the_binomial_tail_is_a():
    bound = upper_bound(14, 339, 0.025)
    assert binom.cdf(14, 339, bound) == pytest.approx(0.025, rel=1e-9)


@pytest.mark.parametrize(("Z", "m"), [(0.5, 10), (1 / 3, 59), (2.25, 300)])
def test_fractions_of_patients(Z, m):
    assert upper_bound(Z, m, 0.05) == pytest.approx(beta.ppf(0.95, Z + 1, m - Z), abs=1e-12)
    assert upper_bound(math.floor(Z), m, 0.05) < upper_bound(Z, m, 0.05)
    assert upper_bound(Z, m, 0.05) < upper_bound(math.ceil(Z), m, 0.05)


def test_nothing_seen_rules_nothing_out():
    assert upper_bound(0, 0, 0.05) == 1.0
    assert upper_bound(7, 7, 0.05) == 1.0
    assert clopper_pearson(0, 0, 0.05) == (0.0, 1.0)
    assert wilson(0, 0, 0.05) == (0.0, 1.0)
    assert lower_bound(0, 10, 0.05) == 0.0


def test_zero_discordant_has_the_closed_form_down_to_tiny_levels():
    for k in (1, 10, 60, 200):
        a = attempt_level(0.05, k)
        assert upper_bound(0, 300, a) == pytest.approx(-math.expm1(math.log(a) / 300), rel=1e-9)


def test_vector_and_scalar_are_one():
    Z, m = np.array([0.0, 1.5, 3.0, 0.0]), np.array([10, 10, 3, 0])
    expected = [upper_bound(z, int(k), 0.05) for z, k in zip(Z, m, strict=True)]
    assert upper_bounds(Z, m, 0.05).tolist() == expected


@pytest.mark.parametrize(
    ("Z", "m", "a"),
    [
        (-1, 10, 0.05),
        (11, 10, 0.05),
        (math.nan, 10, 0.05),
        (0, math.inf, 0.05),
        (0, 10, 0.0),
        (0, 10, 1.0),
        (0, 10, math.nan),
    ],
)
def test_nonsense_is_refused(Z, m, a):
    with pytest.raises(UsageError):
        upper_bound(Z, m, a)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("a", [0.05, 0.025, 0.001])
def test_patients_needed_is_the_least(p, a):
    m = patients_needed(p, a)
    assert upper_bound(0, m, a) <= allowed(p)
    assert m == 1 or upper_bound(0, m - 1, a) > allowed(p)


def test_levels_sum_to_at_most_alpha():
    levels = [attempt_level(0.05, k) for k in range(1, 60)]
    assert levels[:2] == [0.025, 0.0125]
    assert math.fsum(levels) <= 0.05
    for k in (0, -1):
        with pytest.raises(UsageError, match="counted from 1"):
            attempt_level(0.05, k)


@pytest.mark.parametrize("p", [0.0, 1.0, math.nan])
def test_no_number_of_patients_shows_certainty(p):
    with pytest.raises(UsageError):
        patients_needed(p, 0.05)


def test_allowed_is_the_decimal_that_was_meant():
    assert allowed(0.9) == 0.1
    assert allowed(0.95) == 0.05


@pytest.mark.parametrize(("x", "n"), [(-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_share(x, n):
    with pytest.raises(UsageError):
        wilson(x, n, 0.05)


@pytest.mark.parametrize(("x", "n"), [(-1, 10), (11, 10), (1, 0), (-1, 0), (math.nan, 10)])
def test_wilson_of_what_is_no_share_is_refused(x, n):
    with pytest.raises(UsageError, match="is not a share"):
        wilson(x, n, 0.05)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_wilson_at_what_is_no_level_is_refused(alpha):
    with pytest.raises(UsageError, match="level"):
        wilson(1, 10, alpha)
    with pytest.raises(UsageError, match="level"):
        wilson(0, 0, alpha)


def test_wilson_at_its_ends():
    low, high = wilson(0, 1, 0.05)
    assert low == 0.0 and 0.79 < high < 0.80
    low, high = wilson(1, 1, 0.05)
    assert high == 1.0 and 0.20 < low < 0.21
