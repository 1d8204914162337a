"""What p is guaranteed of: patients, cases or both; and what is only shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from lifecycle.consistency.agree import Series, agree, from_json, to_json
from lifecycle.domain.classifier import Policy
from lifecycle.domain.digests import digest_of
from lifecycle.domain.predictions import Calls, Cutoffs
from lifecycle.errors import IntegrityError
from lifecycle.gate.criteria import judge_cases, judge_stated
from lifecycle.gate.evidence import (
    NOTHING_EARLIER,
    Evidence,
    Exposure,
    HoldoutFigures,
    frozen_figures,
)
from lifecycle.gate.judge import can_ever_show, judge, policy_digest
from lifecycle.gate.rules import NOW, RULES, criteria_of
from lifecycle.records.evidence import CRITERIA_V1
from lifecycle.records.format import published, value_of
from lifecycle.records.settings import PolicyRecord, PolicyRecordV2
from lifecycle.stats.betting import case_bound
from lifecycle.stats.intervals import patients_needed


def calls(sizes, flipped=()):
    """Class 0 of every case, class 1 of the flipped ones: (patient, how many of its cases)."""
    flips = dict(flipped)
    state = []
    for patient, r in enumerate(sizes):
        k = flips.get(patient, 0)
        state += [[-1, 1]] * k + [[1, -1]] * (r - k)
    patients = tuple(f"p{i}" for i, r in enumerate(sizes) for _ in range(r))
    ids = tuple(f"c{i}" for i in range(len(patients)))
    found = np.array(state, dtype=np.int8)
    top = (found[:, 1] == 1).astype(np.intp)
    return Calls(ids, patients, ("",) * len(ids), ("A", "B"), found, top, 0, "single")


def evidence(sizes, flipped=(), **change):
    before, now = calls(sizes), calls(sizes, flipped)
    first = {
        "build": 2,
        "basis": "statistical",
        "attempt": 1,
        "agreement": agree(Series(("b1", "b2"), (before, now)), 0.025),
        "cutoffs": Cutoffs((0.5, 0.5), None, "proposed", {"said": "tau = 0.5."}),
        "holdout": HoldoutFigures(1.0, 1.0, 60, 60, 0.0, 1.0),
        "frozen": frozen_figures(now, None, {"b1": before}),
        "validation_passed": True,
        "pin_intact": True,
        "policy_newer": False,
        "same_fingerprint_other_weights": False,
        "numerics_mode": "deterministic",
        "rehearsals": 0,
        "origin": "real",
        "task": "single",
        "followed": NOTHING_EARLIER,
        "exposure": Exposure(1, (("wine", "1", 1),)),
    }
    return Evidence(**(first | change))


def found(verdict, start):
    return {f.criterion: f for f in verdict.findings if f.criterion.startswith(start)}


LOOSE = {"min_cases_per_class": 0}
# 270 patients with one case and 30 with ten; one case of each of the 30 is discordant
MIXED = [1] * 270 + [10] * 30
TENTHS = [(270 + i, 1) for i in range(30)]


def test_patients_may_be_consistent_enough_where_cases_are_not():
    """3 of 300 patients' worth are discordant, 30 of 570 cases: 1% and 5.3%."""
    verdict = judge(Policy(consistency_of="patients", **LOOSE), evidence(MIXED, TENTHS))
    # the rate over cases is looked at in any case, and is beyond 5%
    assert found(verdict, "consistency.series")["consistency.series"].status == "fail"
    fewer = evidence(MIXED, TENTHS[:25])  # 25 of 570 cases, 4.4%: nobody could show 95%
    patients = judge(Policy(consistency_of="patients", **LOOSE), fewer)
    assert patients.status == "pass"
    cases = judge(Policy(consistency_of="cases", most_cases=10, **LOOSE), fewer)
    assert (cases.status, not found(cases, "consistency.series")) == ("inconclusive", True)
    both = judge(Policy(consistency_of="both", most_cases=10, **LOOSE), fewer)
    assert both.status == "inconclusive"
    assert found(both, "consistency.series")["consistency.series"].status == "pass"
    named = found(both, "consistency.cases")
    assert set(named) == {f"consistency.cases.{kind}" for kind in ("series", "pair:b1", "ever")}
    assert {f.status for f in named.values()} == {"inconclusive"}
    (one,) = {f.bound for f in named.values()}
    assert one == case_bound(((1, 0, 270), (10, 0, 5), (10, 1, 25)), 10, 0.025)


def test_both_is_the_default_and_says_what_is_missing():
    verdict = judge(Policy(**LOOSE), evidence(MIXED))
    assert verdict.status == "inconclusive"
    said = found(verdict, "consistency.cases")["consistency.cases.series"].said
    assert "has 10 cases here" in said
    assert "state `policy.most_cases`" in said
    assert verdict.shown["guaranteed"].startswith("Nothing is guaranteed of cases")
    # what is beyond its limit fails, whatever was stated
    worse = judge(Policy(**LOOSE), evidence(MIXED, TENTHS))
    assert found(worse, "consistency.cases")["consistency.cases.ever"].status == "fail"


@pytest.mark.parametrize("n", [122, 123, 176, 177, 400])
def test_cases_at_their_limit(n):
    """Patients with one case where two are possible: 177 without any flip can show it."""
    policy = Policy(consistency_of="cases", most_cases=2, **LOOSE)
    verdict = judge(policy, evidence([1] * n))
    own = found(verdict, "consistency.cases")["consistency.cases.series"]
    assert own.status == ("pass" if n >= 177 else "inconclusive")
    assert (own.bound <= 0.05) == (n >= 177)
    assert verdict.shown["patients_needed"] == 177
    if n < 177:
        assert "About 177 patients with one case each" in own.said


def test_with_one_case_each_the_two_are_the_same():
    for n, status in ((72, "pass"), (71, "inconclusive")):
        both = judge(Policy(**LOOSE), evidence([1] * n))
        assert not found(both, "consistency.cases")
        assert both.status == status
        assert "every patient has one case here" in both.shown["guaranteed"]
        cases = judge(Policy(consistency_of="cases", **LOOSE), evidence([1] * n))
        own = found(cases, "consistency.cases")["consistency.cases.series"]
        series = found(both, "consistency.series")["consistency.series"]
        assert (own.status, own.bound, own.figure) == (series.status, series.bound, series.figure)


@pytest.mark.parametrize("of", ["patients", "cases", "both"])
def test_what_is_guaranteed_is_said(of):
    verdict = judge(Policy(consistency_of=of, most_cases=10, **LOOSE), evidence(MIXED))
    said = verdict.shown["guaranteed"]
    assert said.startswith("A pass guarantees with confidence 97.5%: at most 5% is the share of ")
    assert ("patient's reported cases" in said.split("Only shown")[0]) == (of != "cases")
    assert ("all reported cases" in said.split("Only shown")[0]) == (of != "patients")
    assert ("Only shown" in said) == (of != "both")
    assert ("at most 10 cases each" in said) == (of != "patients")


def test_a_level_is_needed():
    agreement = evidence(MIXED).agreement
    policy = Policy(consistency_of="both", most_cases=10)
    assert {f.status for f in judge_cases(policy, agreement, None)} == {"inconclusive"}
    verdict = judge(policy, evidence(MIXED, attempt=0))
    assert verdict.shown["guaranteed"].startswith("No attempt was counted")
    assert verdict.status == "inconclusive"


def test_figures_without_their_patterns_show_nothing_of_cases():
    """An agreement that was read from a file has none, and one can be forged."""
    agreement = evidence(MIXED).agreement
    policy = Policy(consistency_of="cases", most_cases=10)
    assert {f.status for f in judge_cases(policy, agreement, 0.3)} == {"pass"}
    assert {f.status for f in judge_cases(policy, from_json(to_json(agreement)), 0.3)} == {
        "inconclusive"
    }
    for rows in (((1, 0, 570),), ((1, 0, 270), (10, 1, 30)), ((1, 0, 270), (9, 0, 30))):
        forged = replace(agreement, series=replace(agreement.series, patterns=rows))
        assert judge_cases(policy, forged, 0.3)[0].status == "inconclusive"


def test_critical_classes_as_the_policy_has_it():
    names = {
        "patients": ["critical.A.series"],
        "cases": ["critical.A.cases.series"],
        "both": ["critical.A.series", "critical.A.cases.series"],
    }
    for of, wanted in names.items():
        policy = Policy(consistency_of=of, most_cases=10, critical=("A",), **LOOSE)
        verdict = judge(policy, evidence([1] * 1200 + [10] * 30))
        assert [name for name in found(verdict, "critical.A") if "series" in name] == wanted
        assert verdict.status == "pass"
    one_each = judge(Policy(critical=("A",), **LOOSE), evidence([1] * 100))
    assert [*found(one_each, "critical")] == [
        f"critical.A.{kind}" for kind in ("series", "ever", "pair:b1")
    ]


def test_gate_1_knew_patients_only():
    fewer = evidence(MIXED, TENTHS[:25])
    verdict = judge(Policy(**LOOSE), fewer, "gate/1")
    assert verdict.status == "pass"
    assert "Only shown: the share of all reported cases" in verdict.shown["guaranteed"]
    strict = Policy(consistency_of="cases", critical=("A",), **LOOSE)
    old = judge(strict, fewer, "gate/1")
    assert found(old, "consistency.series")
    assert not found(old, "critical.A.cases")
    assert verdict.shown["patients_needed"] == patients_needed(0.95, 0.025)


def test_today_no_case_leaves_the_criterion_out():
    names = [name for name in RULES[NOW].criteria if name != "consistency.cases"]
    with pytest.raises(IntegrityError, match=r"consistency\.cases"):
        criteria_of(NOW, names, "the case")
    assert "consistency.cases" not in CRITERIA_V1


def test_missing_agreement_is_inconclusive():
    verdict = judge(Policy(**LOOSE), replace(evidence(MIXED), agreement=None))
    assert found(verdict, "consistency.cases")["consistency.cases"].status == "inconclusive"


def test_a_comparison_from_anywhere_is_judged_alike():
    agreement = evidence(MIXED, TENTHS[:25]).agreement
    for of, kinds in (("patients", 3), ("cases", 3), ("both", 6)):
        policy = Policy(consistency_of=of, most_cases=10)
        assert len(judge_stated(policy, agreement, 0.025)) == kinds


@pytest.mark.parametrize(
    ("of", "most", "patients", "cases", "words"),
    [
        ("both", 1, 72, 72, None),
        ("both", 1, 72, None, None),
        ("both", 2, 176, 176, "consistency 0.95 needs 177"),
        ("both", 2, 177, 177, None),
        ("patients", 2, 72, 72, None),
        ("cases", 3, 72, 216, "needs 90"),
        ("both", 3, 90, 270, None),
        ("both", 1, 100, 101, "`policy.most_cases` allows for"),
        ("patients", 1, 100, 101, None),
        ("both", 2, 300, 601, "more than the 2"),
    ],
)
def test_a_set_that_can_never_show_it_is_seen_beforehand(of, most, patients, cases, words):
    policy = Policy(consistency_of=of, most_cases=most)
    warning = can_ever_show(policy, patients, cases)
    assert (warning is None) if words is None else (words in warning)


def test_a_first_build_is_told_what_its_set_cannot_show():
    alone = {"build": 1, "basis": "first build", "attempt": 0, "agreement": None}
    verdict = judge(Policy(**LOOSE), evidence(MIXED, **alone))
    assert "policy.most_cases" in verdict.shown["warning"]
    stated = judge(Policy(most_cases=10, **LOOSE), evidence(MIXED, **alone))
    assert stated.shown["patients_needed"] > 300
    assert "a rebuild can only be inconclusive" in stated.shown["warning"]


LATE = [{"consistency_of": "patients"}, {"consistency_of": "cases"}, {"most_cases": 2},
        {"delta_no": 0.2}]  # fmt: skip


@pytest.mark.parametrize("change", LATE)
def test_a_case_keeps_what_is_stated_and_leaves_out_what_is_not(change):
    plain, stated = Policy(), Policy(**change)
    kept = published(stated, PolicyRecordV2)
    assert set(kept) - set(published(plain, PolicyRecordV2)) == set(change)
    PolicyRecordV2.model_validate(kept)
    assert value_of(Policy, kept) == stated
    # what was kept before there were these keys is read as the same policy, by the same bytes
    before = published(plain, PolicyRecord)
    assert before == published(plain, PolicyRecordV2)
    assert value_of(Policy, before) == plain
    assert (
        policy_digest(stated)
        != policy_digest(plain)
        == digest_of(
            {
                k: v
                for k, v in before.items()
                if k not in ("small_classes", "min_macro_auc", "signatures")
            }
        )
    )
    with pytest.raises(ValidationError, match="extra"):
        PolicyRecord.model_validate(published(stated, PolicyRecord))


def test_impossible_numbers_are_no_policy():
    kept = published(Policy(most_cases=2), PolicyRecordV2)
    for wrong in ({"most_cases": 0}, {"most_cases": 1.5}, {"consistency_of": "all"}):
        with pytest.raises(ValidationError):
            PolicyRecordV2.model_validate({**kept, **wrong})


def test_one_case_more_than_stated_is_too_many():
    for most, sizes in ((1, [1] * 400 + [2]), (2, [1] * 400 + [3])):
        policy = Policy(consistency_of="cases", most_cases=most, **LOOSE)
        own = found(judge(policy, evidence(sizes)), "consistency.cases")["consistency.cases.series"]
        assert (own.status, own.bound) == ("inconclusive", None)
        stated = replace(policy, most_cases=most + 1)
        enough = found(judge(stated, evidence(sizes)), "consistency.cases")
        assert enough["consistency.cases.series"].status == "pass"


def test_the_bound_of_a_pass_is_the_bound_and_not_the_limit():
    policy = Policy(consistency_of="cases", most_cases=3, **LOOSE)
    own = found(judge(policy, evidence([1] * 400 + [3])), "consistency.cases")
    bound = own["consistency.cases.series"].bound
    assert bound == case_bound(((1, 0, 400), (3, 0, 1)), 3, 0.025) < 0.05


def test_patterns_that_hide_discordant_cases_show_nothing():
    agreement = evidence(MIXED, TENTHS[:10]).agreement
    hidden = replace(agreement.series, patterns=((1, 0, 270), (10, 0, 30)))
    policy = Policy(consistency_of="cases", most_cases=10)
    found_one = judge_cases(policy, replace(agreement, series=hidden), 0.3)[0]
    assert (found_one.status, found_one.bound) == ("inconclusive", None)
