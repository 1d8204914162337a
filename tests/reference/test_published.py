"""Published numbers, and worked examples that anybody can check with pencil and paper."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import betabinom, binom

from lifecycle.consistency.agree import Series, agree
from lifecycle.consistency.calls import call
from lifecycle.consistency.tau import choose
from lifecycle.domain.classifier import Policy, TauPlan
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.gate.criteria import judge_consistency
from lifecycle.stats.intervals import allowed, patients_needed, upper_bound, upper_bounds


def single(scores, patients=None, labels=None, classes=("RTK I", "MES")):
    n = len(scores)
    ids = tuple(f"case {i}" for i in range(n))
    return Predictions(
        ids, tuple(patients or ids), ("",) * n, labels, classes, np.array(scores), "single"
    )


def test_fourteen_of_339():
    """Seed 002, IV.F: over 4% of 339 cases; 14 is the least count that is 'over 4%'."""
    b1 = single([[0.9, 0.1]] * 339)
    b2 = single([[0.2, 0.8]] * 14 + [[0.9, 0.1]] * 325)
    cutoffs = Cutoffs((0.3, 0.3), None, "given", {})
    agreement = agree(Series(("RTX", "Xeon"), (call(b1, cutoffs), call(b2, cutoffs))), 0.025)
    figures = agreement.series
    assert (figures.S, figures.R, figures.D, figures.m, figures.Z) == (339, 339, 14, 339, 14.0)
    assert round(100 * figures.rate, 2) == 4.13
    assert round(100 * figures.consistency, 2) == 95.87
    assert round(100 * upper_bound(14, 339, 0.05), 1) == 6.4
    assert round(100 * figures.upper, 1) == 6.8
    statuses = {f.status for f in judge_consistency(Policy(p=0.95), agreement, 0.025)}
    assert statuses == {"inconclusive"}  # below 5% seen, not shown
    strict = {f.status for f in judge_consistency(Policy(p=0.99), agreement, 0.025)}
    assert strict == {"fail"}


@pytest.mark.parametrize(
    ("p", "a", "m"), [(0.95, 0.05, 59), (0.99, 0.05, 299), (0.95, 0.025, 72), (0.99, 0.025, 368)]
)
def test_patients_needed(p, a, m):
    assert patients_needed(p, a) == m


def holdout(n_above, n_below, n_neg):
    """Positives above and below the best negative, which scores 0.29; tau is 0.3."""
    up = [0.3 + 0.04 * i for i in range(n_above)]
    scores = [*up, *[0.2] * n_below, 0.29, *[0.1] * (n_neg - 1)]
    labels = ("RTK I",) * (n_above + n_below) + ("MES",) * n_neg
    return single([[s, 1 - s] for s in scores], labels=labels)


@pytest.mark.parametrize(
    ("above", "status", "bound"),
    [(13, "refused", 0.794), (14, "provisional", 0.807), (28, "provisional", 0.8985)],
)
def test_tau_needs_fourteen_true_positives(above, status, bound):
    """14 of 16 is recall 0.875, what seed 002 has at k = 1."""
    scores = holdout(min(above, 17), 2, 70)
    if above > 17:
        many = holdout(17, 2, 70)
        extra = single([[0.95, 0.05]] * (above - 17), labels=("RTK I",) * (above - 17))
        ids = tuple(f"c{i}" for i in range(len(many.ids) + len(extra.ids)))
        scores = Predictions(
            ids,
            ids,
            ("",) * len(ids),
            (*many.labels, *extra.labels),
            many.classes,
            np.vstack([many.scores, extra.scores]),
            "single",
        )
    cutoffs = choose(scores, TauPlan(positive="RTK I"))
    assert cutoffs.status == status
    assert cutoffs.yes == (0.3, 0.3)
    assert cutoffs.evidence["tp"] == above
    assert cutoffs.evidence["precision_bound"] == pytest.approx(0.05 ** (1 / above))
    assert cutoffs.evidence["precision_bound"] == pytest.approx(bound, abs=5e-4)
    assert cutoffs.evidence["fp_bound"] == pytest.approx(1 - 0.05 ** (1 / 70))
    if above == 14:
        assert cutoffs.evidence["recall"] == 0.875


@pytest.mark.parametrize(("target", "tp"), [(0.90, 29), (0.95, 59)])
def test_targets_of_the_precision_bound(target, tp):
    for n, expected in ((tp, "proposed"), (tp - 1, "provisional")):
        scores = [[0.9, 0.1]] * n + [[0.1, 0.9]] * 50
        labels = ("RTK I",) * n + ("MES",) * 50
        plan = TauPlan(positive="RTK I", target=target)
        assert choose(single(scores, labels=labels), plan).status == expected


@pytest.mark.parametrize("a", [0.05, 0.025])
@pytest.mark.parametrize("p", [0.9, 0.95])
@pytest.mark.parametrize(("r", "rho"), [(1, 0.0), (2, 0.5), (5, 0.9), (20, 0.99)])
def test_size_is_held_exactly(p, a, r, rho):
    """A rebuild of true consistency p passes with probability at most a (no simulation)."""
    q, both = 1 - p, 1 / rho - 1 if rho else 0.0
    j = np.arange(r + 1)
    one = betabinom.pmf(j, r, q * both, p * both) if both else binom.pmf(j, r, q)
    law = np.ones(1)
    for n in range(1, 151):
        law = np.convolve(law, one)
        if n in (40, 59, 72, 89, 124, 138, 150):
            ok = upper_bounds(np.arange(len(law)) / r, n, a) <= allowed(p)
            assert law[ok].sum() <= a * (1 + 1e-9)


def test_multi_label_by_hand():
    """Four cases, three classes, yes at 0.7 and no at 0.3.

    case  b1                b2                said
    0     .9 .1 .1 -> + - -  .9 .1 .1 -> + - -  agree
    1     .9 .1 .1 -> + - -  .9 .8 .1 -> + + -  class b contradicts: whole case discordant
    2     .9 .5 .1 -> + 0 -  .9 .9 .1 -> + + -  class b converts, the rest agrees
    3     .5 .5 .5 -> 0 0 0  .1 .1 .1 -> - - -  nothing common
    """
    ids = ("0", "1", "2", "3")

    def build(rows):
        return Predictions(
            ids, ("p", "p", "q", "r"), ("",) * 4, None, ("a", "b", "c"), np.array(rows), "multi"
        )

    b1 = build([[0.9, 0.1, 0.1], [0.9, 0.1, 0.1], [0.9, 0.5, 0.1], [0.5, 0.5, 0.5]])
    b2 = build([[0.9, 0.1, 0.1], [0.9, 0.8, 0.1], [0.9, 0.9, 0.1], [0.1, 0.1, 0.1]])
    cutoffs = Cutoffs((0.7,) * 3, (0.3,) * 3, "given", {})
    agreement = agree(Series(("b1", "b2"), (call(b1, cutoffs), call(b2, cutoffs))), 0.05)
    f = agreement.series
    assert (f.S, f.R, f.D, f.conversions, f.cases_any) == (4, 3, 1, 2, 4)
    assert (f.cells_reported, f.cells_discordant) == (8, 1)
    assert (f.m, f.Z, f.units_any) == (2, 0.5, 1)  # p: 1 of 2 cases; q: 0 of 1; r: not in R
    assert f.changed == 3 / 4
    per_class = {c.name: (c.S, c.R, c.D) for c in agreement.by_class}
    assert per_class == {"a": (3, 3, 0), "b": (2, 1, 1), "c": (0, 0, 0)}
    (pair,) = agreement.pairs
    assert (pair.lost.cases, pair.gained.cases) == (0, 2)
    assert pair.directions == {"a -> a|b": 1}
    (entry,) = agreement.discordant
    assert (entry.case, entry.classes, entry.calls) == ("1", ("b",), {"b1": "a", "b2": "a|b"})


def test_drift_that_only_ever_sees():
    """b2 is silent where b1 and b3 contradict: the series is empty, `ever` is not."""
    b1, b2, b3 = single([[0.9, 0.1]]), single([[0.5, 0.5]]), single([[0.1, 0.9]])
    cutoffs = Cutoffs((0.8, 0.8), None, "given", {})
    series = Series(("b1", "b2", "b3"), tuple(call(b, cutoffs) for b in (b1, b2, b3)))
    agreement = agree(series, 0.05)
    assert (agreement.series.R, agreement.series.D, agreement.series.consistency) == (0, 0, None)
    assert (agreement.ever.R, agreement.ever.D, agreement.ever.consistency) == (1, 1, 0.0)
    assert agreement.discordant[0].everywhere is False
