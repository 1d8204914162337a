"""The case-level bound against fractions, its definition, and its size by enumeration."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest

from lifecycle.errors import UsageError
from lifecycle.stats.betting import below, case_bound, patients_for_cases
from lifecycle.stats.intervals import patients_needed

Q = Fraction(1, 20)
BETS = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), Fraction(7, 8), Fraction(1))


def wealth(patients, most, q):
    """Mean over the bets of the product over patients, straight from the definition."""
    total = Fraction(0)
    for c in BETS:
        product = Fraction(1)
        for r, d in patients:
            product *= 1 - c * (d - q * r) / ((1 - q) * most)
        total += product
    return total / len(BETS)


def rows(patients):
    return tuple((r, d, patients.count((r, d))) for r, d in sorted(set(patients)))


LISTS = [
    ([(1, 0)] * 90, 1),
    ([(1, 0)] * 200 + [(1, 1)] * 2, 1),
    ([(2, 0)] * 100 + [(1, 0)] * 50 + [(2, 1)] * 2, 3),
    ([(5, 5)] * 2 + [(5, 0)] * 150 + [(1, 0)] * 20, 5),
    ([(1, 0)] * 500 + [(20, 3)] + [(20, 0)] * 20, 20),
]


@pytest.mark.parametrize(("patients", "most"), LISTS)
@pytest.mark.parametrize("q", [Fraction(1, 100), Q, Fraction(1, 10)])
def test_a_recount_in_fractions(patients, most, q):
    counted = wealth(patients, most, q)
    for a in (0.05, 0.025, 0.0125, 0.3):
        assert below(rows(patients), most, q, a) == (counted >= 1 / Fraction(repr(a)))


@pytest.mark.parametrize(("patients", "most"), LISTS)
@pytest.mark.parametrize("a", [0.05, 0.025, 0.05 / 2**10])
def test_the_bound_is_the_least_limit_that_is_shown(patients, most, a):
    bound = case_bound(rows(patients), most, a)
    assert below(rows(patients), most, Fraction(bound + 1e-9), a)
    assert not below(rows(patients), most, Fraction(bound - 1e-9), a)
    assert bound > sum(d for _, d in patients) / sum(r for r, _ in patients)


def test_neither_the_order_of_patients_nor_how_they_are_written_down_matters():
    one = ((1, 0, 100), (3, 1, 2), (3, 0, 50))
    other = ((3, 0, 25), (1, 0, 60), (3, 1, 1), (3, 0, 25), (3, 1, 1), (1, 0, 40), (2, 2, 0))
    assert case_bound(one, 3, 0.025) == pytest.approx(case_bound(other, 3, 0.025), rel=1e-12)
    limit = Fraction(case_bound(one, 3, 0.025) + 1e-9)
    assert below(one, 3, limit, 0.025) and below(other, 3, limit, 0.025)


def test_just_at_one_over_a_it_is_shown():
    """One patient, nothing discordant: the mean of 1 + c q / (1 - q) is 2 at q = 40/67."""
    q = Fraction(40, 67)
    assert wealth([(1, 0)], 1, q) == 2
    assert below(((1, 0, 1),), 1, q, 0.5)
    assert not below(((1, 0, 1),), 1, q, 0.4999999999999999)
    assert not below(((1, 0, 1),), 1, q - Fraction(1, 10**15), 0.5)


HALF = Fraction(1, 2)
LAWS = [
    # (r, d) -> probability
    {(1, 0): Fraction(19, 20), (1, 1): Fraction(1, 20)},
    {(2, 0): Fraction(19, 20), (2, 2): Fraction(1, 20)},
    {(1, 0): HALF, (3, 0): HALF - Fraction(1, 30), (3, 3): Fraction(1, 30)},
    {(3, 0): Fraction(17, 20), (3, 1): Fraction(3, 20)},
    {(0, 0): Fraction(1, 20), (1, 0): Fraction(9, 10), (1, 1): Fraction(1, 20)},
]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("most", [3, 5])
def test_a_false_pass_is_no_likelier_than_its_level(law, most):
    """Every outcome of six patients with its probability; no simulation. The rate is just 1/2.

    Three patients are of one law, and three of another that makes up for them: patients need not
    be alike.
    """
    owed = sum((HALF * r - d) * p for (r, d), p in law.items())
    heavy = {(3, 3): owed / (3 * HALF), (0, 0): 1 - owed / (3 * HALF)}
    expected = [
        sum(x * p for x, p in one)
        for one in zip(
            *([(d, p), (r, p)] for part in (law, heavy) for (r, d), p in part.items()), strict=True
        )
    ]
    assert expected[0] == HALF * expected[1]
    passed = dict.fromkeys((0.3, 0.1, 0.05), Fraction(0))
    for drawn in itertools.product(law, law, law, heavy, heavy, heavy):
        chance = math.prod((law if i < 3 else heavy)[one] for i, one in enumerate(drawn))
        for a in passed:
            passed[a] += chance * below(rows(list(drawn)), most, HALF, a)
    assert all(false <= Fraction(repr(a)) for a, false in passed.items())


def test_what_it_takes_is_what_is_shown():
    for r, most, a in ((1, 1, 0.025), (1, 2, 0.025), (3, 5, 0.05), (20, 20, 0.0125)):
        m = patients_for_cases(r, most, 0.05, a)
        assert below(((r, 0, m),), most, Q, a)
        assert not below(((r, 0, m - 1),), most, Q, a)
    # the price of not knowing how many cases a patient has
    assert patients_needed(0.95, 0.025) == 72
    assert patients_for_cases(1, 1, 0.05, 0.025) == 90


def test_nothing_seen_rules_nothing_out():
    assert case_bound((), 3, 0.05) == case_bound(((0, 0, 7),), 3, 0.05) == 1.0
    assert case_bound(((2, 2, 4),), 2, 0.05) == 1.0
    assert not below((), 3, Q, 0.05)


@pytest.mark.parametrize(
    ("patterns", "most", "limit", "a"),
    [
        (((3, 0, 1),), 2, Q, 0.05),
        (((2, 3, 1),), 4, Q, 0.05),
        (((2, -1, 1),), 4, Q, 0.05),
        (((2, 1, -1),), 4, Q, 0.05),
        (((2, 1, 1),), 0, Q, 0.05),
        (((2, 1, 1),), 4, Fraction(0), 0.05),
        (((2, 1, 1),), 4, Fraction(1), 0.05),
        (((2, 1, 1),), 4, Q, 0.0),
        (((2, 1, 1),), 4, Q, 1.0),
        (((2, 1, 1),), 4, Q, math.nan),
    ],
)
def test_what_is_no_question_is_refused(patterns, most, limit, a):
    with pytest.raises(UsageError):
        below(patterns, most, limit, a)
    if limit == Q:
        with pytest.raises(UsageError):
            case_bound(patterns, most, a)


@pytest.mark.parametrize(
    ("mean", "limit", "a"), [(0.5, 0.05, 0.05), (3, 0.05, 0.05), (1, 1.0, 0.05), (1, 0.05, 1.0)]
)
def test_what_cannot_be_needed_is_refused(mean, limit, a):
    with pytest.raises(UsageError):
        patients_for_cases(mean, 2, limit, a)
