"""The agreement against a plain recount that shares no code with it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.consistency.agree import Agreement, Series, agree, from_json, to_actions, to_json
from lifecycle.consistency.align import align
from lifecycle.consistency.calls import call
from lifecycle.domain.digests import canonical_json
from lifecycle.domain.predictions import Calls, Cutoffs, Predictions

A = 0.025
ROUNDS = settings(max_examples=80, deadline=None)


@st.composite
def series(draw, task=None, builds=None):
    """Small builds with many ties, many patients with several cases, shared groups."""
    task = task or draw(st.sampled_from(["single", "multi"]))
    n, classes = draw(st.integers(1, 12)), draw(st.integers(2, 4))
    k = builds or draw(st.integers(2, 4))
    patients = tuple(f"p{draw(st.integers(0, 5))}" for _ in range(n))
    groups = tuple(draw(st.sampled_from(["", "g1", "g2", "g3"])) for _ in range(n))
    made = []
    for _ in range(k):
        cells = st.lists(st.integers(0, 8), min_size=classes, max_size=classes)
        rows = [draw(cells) for _ in range(n)]
        if task == "single":
            rows = [row if sum(row) else [1] * classes for row in rows]
            scores = np.array([[x / sum(row) for x in row] for row in rows])
        else:
            scores = np.array(rows) / 8
        made.append(
            Predictions(
                ids=tuple(f"c{i}" for i in range(n)),
                patients=patients,
                groups=groups,
                labels=None,
                classes=tuple("ABCD"[:classes]),
                scores=scores,
                task=task,
            )
        )
    tau = draw(st.sampled_from([0.0, 0.3, 0.5, 0.75]))
    no = None if task == "single" else (min(tau, 0.25),) * classes
    return made, Cutoffs((tau,) * classes, no, "given", {})


def named(made):
    return {f"b{i + 1}": predictions for i, predictions in enumerate(made)}


def compare(made, cutoffs, **more) -> Agreement:
    calls = tuple(call(predictions, cutoffs) for predictions in made)
    return agree(Series(tuple(named(made)), calls), A, **more)


def said(predictions, cutoffs, i):
    """Class -> +1, -1 or 0 of one case, in plain Python from the definition."""
    row = predictions.scores[i].tolist()
    if predictions.task == "multi":
        return {
            c: 1 if s >= y else -1 if s <= n else 0
            for c, s, y, n in zip(predictions.classes, row, cutoffs.yes, cutoffs.no, strict=True)
        }
    top = row.index(max(row))
    if row[top] < cutoffs.yes[top]:
        return dict.fromkeys(predictions.classes, 0)
    return {c: 1 if j == top else -1 for j, c in enumerate(predictions.classes)}


def recount(made, cutoffs, unit_of, least):
    """S, R, D, conversions, any, m, Z, units with any; `least` builds must report a cell."""
    in_r, in_d, converted, spoken = set(), set(), set(), set()
    for i in range(len(made[0].ids)):
        speak = [said(predictions, cutoffs, i) for predictions in made]
        for c in made[0].classes:
            words = [s[c] for s in speak if s[c] != 0]
            if words:
                spoken.add(i)
            if 0 < len(words) < len(made):
                converted.add(i)
            if len(words) >= least:
                in_r.add(i)
                if len(set(words)) > 1:
                    in_d.add(i)
    Z, m, touched = Fraction(0), 0, 0
    for u in set(unit_of):
        own = [i for i in in_r if unit_of[i] == u]
        bad = [i for i in in_d if unit_of[i] == u]
        if own:
            m, Z, touched = m + 1, Z + Fraction(len(bad), len(own)), touched + bool(bad)
    return {
        "S": len(made[0].ids),
        "R": len(in_r),
        "D": len(in_d),
        "conversions": len(converted),
        "cases_any": len(spoken),
        "m": m,
        "units_any": touched,
        "Z": float(Z),
        "changed": len(in_d | converted) / len(spoken) if spoken else None,
    }


def components(patients, groups):
    """Grow sets until nothing merges: slow and obvious."""
    sets = [{p} for p in set(patients)]
    by_group = [
        {p for p, g in zip(patients, groups, strict=True) if g == x} for x in set(groups) - {""}
    ]
    for joined in by_group:
        touched = [s for s in sets if s & joined]
        sets = [s for s in sets if not s & joined] + [set().union(*touched)]
    return [next(k for k, s in enumerate(sets) if p in s) for p in patients]


def assert_same(figures, expected):
    got = {name: getattr(figures, name) for name in expected}
    assert got.pop("Z") == pytest.approx(expected["Z"], abs=1e-12)
    assert got == {name: value for name, value in expected.items() if name != "Z"}


@given(series(), st.sampled_from(["patient", "component"]))
@ROUNDS
def test_plain_recount_agrees(data, unit):
    made, cutoffs = data
    agreement = compare(made, cutoffs, unit=unit)
    units = list(made[0].patients)
    if unit == "component":
        units = components(units, made[0].groups)
    assert_same(agreement.series, recount(made, cutoffs, units, len(made)))
    assert_same(agreement.ever, recount(made, cutoffs, units, 2))
    for pair in agreement.pairs:
        both = [named(made)[pair.reference], named(made)[pair.candidate]]
        assert_same(pair.figures, recount(both, cutoffs, units, 2))
    assert len(agreement.discordant) == agreement.ever.D
    assert sum(entry.everywhere for entry in agreement.discordant) == agreement.series.D
    assert len(agreement.conversions) == agreement.series.conversions


@given(series())
@ROUNDS
def test_lost_and_gained_recount(data):
    made, cutoffs = data
    for pair in compare(made, cutoffs).pairs:
        old, new = named(made)[pair.reference], named(made)[pair.candidate]
        had, gone, came = set(), set(), set()
        for i in range(len(old.ids)):
            a, b = said(old, cutoffs, i), said(new, cutoffs, i)
            had |= {i} if any(a.values()) else set()
            gone |= {i} if any(a[c] and not b[c] for c in a) else set()
            came |= {i} if any(b[c] and not a[c] for c in a) else set()
        assert (pair.lost.cases, pair.lost.reported_cases) == (len(gone), len(had))
        assert pair.lost.units == len({old.patients[i] for i in gone})
        assert pair.lost.reported_units == len({old.patients[i] for i in had})
        assert pair.gained.cases == len(came)


@given(series())
@ROUNDS
def test_lost_calls_and_lost_exclusions_recount(data):
    made, cutoffs = data
    for pair in compare(made, cutoffs).pairs:
        old, new = named(made)[pair.reference], named(made)[pair.candidate]
        calls, lost, ruled_out, left_open = set(), set(), {}, {}
        by_class = dict.fromkeys(old.classes, 0)
        for i, patient in enumerate(old.patients):
            a, b = said(old, cutoffs, i), said(new, cutoffs, i)
            for c in old.classes:
                gone = a[c] != 0 and b[c] == 0
                if a[c] == 1:
                    calls.add(patient)
                    lost |= {patient} if gone else set()
                if a[c] == -1:
                    ruled_out[patient] = ruled_out.get(patient, 0) + 1
                    left_open[patient] = left_open.get(patient, 0) + gone
                    by_class[c] += gone
        assert (pair.lost_yes.units, pair.lost_yes.reported_units) == (len(lost), len(calls))
        found = pair.lost_no
        assert (found.m, found.excluded_cells) == (len(ruled_out), sum(ruled_out.values()))
        assert found.cells == sum(left_open.values())
        Z = sum((Fraction(left_open[p], ruled_out[p]) for p in ruled_out), Fraction(0))
        assert (Fraction(*found.exact), found.Z) == (Z, pytest.approx(float(Z)))
        assert {entry.name: entry.cases for entry in pair.lost_no_by_class} == by_class


@given(series(), st.sampled_from(["patient", "component"]))
@ROUNDS
def test_patterns_recount(data, unit):
    """(r, d, units) of each figure, and the largest unit of all."""
    made, cutoffs = data
    agreement = compare(made, cutoffs, unit=unit)
    units = list(made[0].patients)
    if unit == "component":
        units = components(units, made[0].groups)
    assert agreement.largest == max(units.count(u) for u in units)
    for figures, least in ((agreement.series, len(made)), (agreement.ever, 2)):
        found = {}
        for u in set(units):
            own = [i for i, one in enumerate(units) if one == u]
            some = [recounted(made, cutoffs, i, least) for i in own]
            pair = (sum(r for r, _ in some), sum(d for _, d in some))
            if pair[0]:
                found[pair] = found.get(pair, 0) + 1
        assert figures.patterns == tuple((r, d, n) for (r, d), n in sorted(found.items()))


def recounted(made, cutoffs, i, least):
    """Whether a case is in R, and in D."""
    in_r = in_d = False
    for c in made[0].classes:
        words = [said(predictions, cutoffs, i)[c] for predictions in made]
        words = [word for word in words if word != 0]
        in_r |= len(words) >= least
        in_d |= len(words) >= least and len(set(words)) > 1
    return in_r, in_d


@given(series())
@ROUNDS
def test_class_figures_recount(data):
    made, cutoffs = data
    for figures in compare(made, cutoffs).by_class:
        c, S, R, D = figures.name, 0, 0, 0
        for i in range(len(made[0].ids)):
            words = [said(predictions, cutoffs, i)[c] for predictions in made]
            if 1 in words:
                S += 1
                R += 0 not in words
                D += 0 not in words and -1 in words
        assert (figures.S, figures.R, figures.D) == (S, R, D)


@given(series(), st.randoms(use_true_random=False))
@ROUNDS
def test_order_of_builds_is_irrelevant(data, random):
    made, cutoffs = data
    shuffled = made[:]
    random.shuffle(shuffled)
    one, two = compare(made, cutoffs), compare(shuffled, cutoffs)
    assert one.series == two.series
    assert one.ever == two.ever
    assert [d.case for d in one.discordant] == [d.case for d in two.discordant]


@given(series(), st.randoms(use_true_random=False))
@ROUNDS
def test_order_of_cases_is_irrelevant(data, random):
    made, cutoffs = data
    order = list(range(len(made[0].ids)))
    random.shuffle(order)

    def pick(column):
        return tuple(column[i] for i in order)

    moved = [
        Predictions(
            pick(p.ids), pick(p.patients), pick(p.groups), None, p.classes, p.scores[order], p.task
        )
        for p in made
    ]
    one = compare(list(align(named(made)).values()), cutoffs)
    assert compare(list(align(named(moved)).values()), cutoffs) == one
    unaligned = compare(moved, cutoffs)
    assert (unaligned.series, unaligned.ever) == (one.series, one.ever)


@given(series(), st.integers(2, 4))
@ROUNDS
def test_identical_builds_never_differ(data, k):
    made, cutoffs = data
    agreement = compare([made[0]] * k, cutoffs)
    assert agreement.series == agreement.ever.__class__(
        **{f: getattr(agreement.ever, f) for f in agreement.ever.__slots__ if f != "name"},
        name="series",
    )
    assert (agreement.ever.D, agreement.ever.Z, agreement.series.conversions) == (0, 0.0, 0)
    assert not agreement.discordant
    assert all(p.lost.cases == p.gained.cases == p.argmax_changes == 0 for p in agreement.pairs)


@given(series())
@ROUNDS
def test_ever_holds_every_pair_and_the_series(data):
    agreement = compare(*data)
    assert agreement.ever.D >= agreement.series.D
    assert max(pair.figures.D for pair in agreement.pairs) <= agreement.ever.D
    assert max(pair.figures.R for pair in agreement.pairs) <= agreement.ever.R
    assert min(pair.figures.R for pair in agreement.pairs) >= agreement.series.R


@given(series(task="single"))
@ROUNDS
def test_single_label_cases_are_in_r_or_converted_or_silent(data):
    figures = compare(*data).series
    assert figures.R + figures.conversions == figures.cases_any <= figures.S
    assert figures.reportable == pytest.approx(figures.R / figures.S)


@given(series())
@ROUNDS
def test_json_round_trip(data):
    made, cutoffs = data
    agreement = compare(
        made,
        cutoffs,
        scores=[p.scores for p in made],
        subgroups={"first": tuple(p[-1] for p in made[0].patients)},
        actions={"A": "treat"},
    )
    value = to_json(agreement)
    assert from_json(value) == agreement
    assert canonical_json(to_json(from_json(value))) == canonical_json(value)
    by = [f for f in agreement.by_subgroup if f.name.startswith("first=")]
    assert sum(f.R for f in by) == agreement.series.R
    assert sum(f.D for f in by) == agreement.series.D


@given(series())
@ROUNDS
def test_an_action_per_class_changes_nothing(data):
    made, cutoffs = data
    calls = call(made[0], cutoffs)
    mapped = to_actions(calls, {c: c for c in calls.classes})
    assert np.array_equal(mapped.state, calls.state)
    assert np.array_equal(mapped.argmax, calls.argmax)
    merged = to_actions(calls, dict.fromkeys(calls.classes, "all the same"))
    assert isinstance(merged, Calls)
    assert merged.classes == ("all the same",)


@given(series())
@ROUNDS
def test_one_action_for_all_cannot_be_discordant_for_single_label(data):
    made, cutoffs = data
    if made[0].task == "multi":
        return
    agreement = compare(made, cutoffs, actions=dict.fromkeys(made[0].classes, "same"))
    assert agreement.actions is not None
    assert agreement.actions.ever.D == 0
    assert agreement.actions.series.R == agreement.series.R
