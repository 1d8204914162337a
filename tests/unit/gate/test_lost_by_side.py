"""Multi-label: a call that is lost is not an exclusion that is left open."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lifecycle.consistency.agree import Series, agree
from lifecycle.domain.classifier import Policy
from lifecycle.domain.predictions import Calls, Cutoffs
from lifecycle.gate.evidence import (
    NOTHING_EARLIER,
    Evidence,
    Exposure,
    HoldoutFigures,
    frozen_figures,
)
from lifecycle.gate.judge import judge
from lifecycle.stats.intervals import upper_bound

CLASSES = ("SR", "AFIB", *(f"R{k}" for k in range(10)))
LOOSE = {"min_cases_per_class": 0, "reportable_floor": 0.0}


def calls(states, patients=None):
    ids = tuple(f"c{i}" for i in range(len(states)))
    found = np.array(states, dtype=np.int8)
    return Calls(
        ids, tuple(patients or ids), ("",) * len(ids), CLASSES, found,
        found.argmax(axis=1).astype(np.intp), 0, "multi",
    )  # fmt: skip


def rhythms(n, afib=0):
    """n cases: the first `afib` in atrial fibrillation, the others in sinus rhythm."""
    state = np.full((n, len(CLASSES)), -1)
    state[:afib, 1] = 1
    state[afib:, 0] = 1
    return state


def evidence(before, now, patients=None, **change):
    old, new = calls(before, patients), calls(now, patients)
    first = {
        "build": 2,
        "basis": "statistical",
        "attempt": 1,
        "agreement": agree(Series(("b1", "b2"), (old, new)), 0.025),
        "cutoffs": Cutoffs((0.6,) * 12, (0.4,) * 12, "proposed", {"said": "tau."}),
        "holdout": HoldoutFigures(1.0, 1.0, 60, 60, 0.0, 1.0),
        "frozen": frozen_figures(new, None, {"b1": old}),
        "validation_passed": True,
        "pin_intact": True,
        "policy_newer": False,
        "same_fingerprint_other_weights": False,
        "numerics_mode": "deterministic",
        "rehearsals": 0,
        "origin": "real",
        "task": "multi",
        "followed": NOTHING_EARLIER,
        "exposure": Exposure(1, (("wine", "1", 1),)),
    }
    return Evidence(**(first | change))


def opened(state, rows, column):
    """The same, with these cells left open."""
    found = state.copy()
    found[rows, column] = 0
    return found


def findings(verdict, start="lost"):
    return {f.criterion: f for f in verdict.findings if f.criterion.startswith(start)}


def test_one_exclusion_of_twelve_is_not_a_lost_patient():
    """50 of 200 patients have one exclusion of eleven left open: 2.3% of what was ruled out."""
    before = rhythms(200)
    given = evidence(before, opened(before, slice(50), 5))
    verdict = judge(Policy(**LOOSE), given)
    assert verdict.status == "pass"
    found = findings(verdict)
    assert set(found) == {"lost.yes:b1", "lost.no:b1"}
    assert found["lost.no:b1"].figure == pytest.approx(50 / 11 / 200)
    assert found["lost.no:b1"].bound == pytest.approx(upper_bound(50 / 11, 200, 0.025))
    # and as gate/1 saw it, every one of the 50 had lost the report
    old = judge(Policy(**LOOSE), given, "gate/1")
    assert findings(old)["lost:b1"].status == "fail"


@pytest.mark.parametrize(("k", "status"), [(11, "pass"), (12, "inconclusive"), (20, "inconclusive"),
                                           (21, "fail")])  # fmt: skip
def test_a_lost_call_counts_as_it_always_did(k, status):
    """At 10% of 200 patients with a call: 20 is the limit itself."""
    before = rhythms(200, afib=100)
    verdict = judge(Policy(**LOOSE), evidence(before, opened(before, slice(k), 1)))
    found = findings(verdict)
    assert found["lost.yes:b1"].status == status
    assert found["lost.yes:b1"].bound == upper_bound(k, 200, 0.025)
    assert found["lost.no:b1"].status == "pass"


@pytest.mark.parametrize(
    ("k", "limit", "status"),
    [(120, 0.1, "pass"), (160, 0.1, "inconclusive"), (220, 0.1, "inconclusive"), (221, 0.1, "fail"),
     (120, 0.05, "fail"), (110, 0.05, "inconclusive")],
)  # fmt: skip
def test_exclusions_at_their_limit(k, limit, status):
    """Of 200 patients with 11 exclusions each k are left open; 220 of 2,200 is 10% exactly."""
    before, now = rhythms(200), rhythms(200)
    for i in range(k):
        now[i % 200, 1 + i // 200] = 0
    verdict = judge(Policy(delta_no=limit, **LOOSE), evidence(before, now))
    found = findings(verdict)
    assert found["lost.no:b1"].status == status
    assert found["lost.yes:b1"].status == "pass"


def test_a_critical_class_keeps_its_calls_and_its_exclusions():
    before = rhythms(200, afib=100)
    policy = Policy(critical=("AFIB",), **LOOSE)
    quiet = judge(policy, evidence(before, opened(before, slice(11), 1)))
    # 11 of 100 patients in atrial fibrillation, and of 200 with any call
    assert findings(quiet)["lost.yes:b1:AFIB"].status == "fail"
    assert findings(quiet)["lost.yes:b1"].status == "pass"
    unsure = judge(policy, evidence(before, opened(before, slice(100, 111), 1)))
    assert findings(unsure)["lost.no:b1:AFIB"].status == "fail"
    assert findings(unsure)["lost.no:b1"].status == "pass"
    assert findings(unsure)["lost.yes:b1:AFIB"].status == "pass"


def test_silence_does_not_pass_in_any_way():
    before = rhythms(300, afib=30)
    for now in (
        np.zeros_like(before),
        np.where(before == 1, 0, before),  # every call lost
        np.where(before == -1, 0, before),  # every exclusion
    ):
        assert judge(Policy(**LOOSE), evidence(before, now)).status == "fail"


def test_a_patient_with_many_cases_counts_once():
    before = rhythms(230, afib=30)
    patients = ["p"] * 30 + [f"q{i}" for i in range(200)]
    given = evidence(before, opened(before, slice(30), 1), patients)
    policy = Policy(consistency_of="patients", **LOOSE)
    found = findings(judge(policy, given))
    assert found["lost.yes:b1"].figure == 1 / 201
    given = evidence(before, opened(before, slice(30), 5), patients)
    assert findings(judge(policy, given))["lost.no:b1"].figure == pytest.approx(1 / 11 / 201)


def test_nothing_called_or_nothing_ruled_out():
    none = np.full((200, 12), -1)
    found = findings(judge(Policy(critical=("AFIB",), **LOOSE), evidence(none, none)))
    assert found["lost.yes:b1"].status == found["lost.yes:b1:AFIB"].status == "inconclusive"
    assert found["lost.no:b1"].status == "pass"
    only = np.where(rhythms(200, afib=100) == 1, 1, 0)  # a build that rules nothing out
    found = findings(judge(Policy(critical=("AFIB",), **LOOSE), evidence(only, only)))
    assert set(found) == {"lost.yes:b1", "lost.yes:b1:AFIB"}


@pytest.mark.parametrize("change", [{"Z": math.nan}, {"Z": -1.0}, {"m": 0}, {"cells": -1},
                                    {"m": 2201}])  # fmt: skip
def test_impossible_figures_never_pass(change):
    given = evidence(rhythms(200), rhythms(200))
    (pair,) = given.agreement.pairs
    forged = replace(pair, lost_no=replace(pair.lost_no, **change))
    broken = replace(given, agreement=replace(given.agreement, pairs=(forged,)))
    verdict = judge(Policy(**LOOSE), broken)
    assert findings(verdict)["lost.no:b1"].status == "inconclusive"


def test_without_an_agreement_or_a_level():
    given = evidence(rhythms(200), rhythms(200))
    bare = judge(Policy(**LOOSE), replace(given, agreement=None))
    assert findings(bare)["lost"].status == "inconclusive"
    none = judge(Policy(**LOOSE), replace(given, attempt=0))
    assert {f.status for f in findings(none).values()} == {"inconclusive"}
    first = judge(Policy(**LOOSE), replace(given, basis="first build", agreement=None))
    assert not findings(first)


def test_each_side_has_its_own_limit():
    before = rhythms(200, afib=100)
    now = opened(opened(before, slice(15), 1), slice(100, 115), 1)
    policy = Policy(critical=("AFIB",), delta=0.3, delta_no=0.1, **LOOSE)
    found = findings(judge(policy, evidence(before, now)))
    assert found["lost.yes:b1:AFIB"].status == "pass"
    assert (found["lost.no:b1:AFIB"].status, found["lost.no:b1:AFIB"].limit) == ("fail", 0.1)
    other = findings(judge(replace(policy, delta=0.1, delta_no=0.3), evidence(before, now)))
    assert (other["lost.yes:b1:AFIB"].status, other["lost.yes:b1"].limit) == ("fail", 0.1)
    assert (other["lost.no:b1:AFIB"].status, other["lost.no:b1"].limit) == ("pass", 0.3)
