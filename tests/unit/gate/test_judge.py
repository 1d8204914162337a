"""The gate, negative first: what must never pass, then what must."""

from __future__ import annotations

import json
import math
from dataclasses import field, fields, make_dataclass, replace
from fractions import Fraction

import numpy as np
import pytest

from lifecycle.consistency.agree import Agreement, Series, agree
from lifecycle.consistency.calls import call
from lifecycle.domain.classifier import Margins, Policy
from lifecycle.domain.digests import canonical_json, digest_of
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.domain.verdict import Finding, Verdict
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.gate.criteria import judge_consistency
from lifecycle.gate.evidence import (
    NOTHING_EARLIER,
    Amendment,
    Evidence,
    Exposure,
    HoldoutFigures,
    frozen_figures,
)
from lifecycle.gate.judge import (
    can_ever_show,
    difference,
    from_record,
    judge,
    policy_digest,
    to_json,
    to_record,
)
from lifecycle.gate.rules import NOW, RULES

N = 200
CUT = Cutoffs((0.6,) * 3, None, "proposed", {"said": "tau = 0.6.", "tau": 0.6})


def build(letters, patients=None):
    """One letter a case: A, B or C sure of itself; `.` undecided (highest score A)."""
    rows = [[0.8 if x == c else 0.4 if x == "." else 0.1 for c in "ABC"] for x in letters]
    scores = np.array(rows) / np.array(rows).sum(axis=1, keepdims=True)
    ids = tuple(f"c{i:04d}" for i in range(len(letters)))
    labels = tuple("ABC"[i % 3] for i in range(len(letters)))
    return Predictions(
        ids, tuple(patients or ids), ("",) * len(ids), labels, tuple("ABC"), scores, "single"
    )


TRUE = "".join("ABC"[i % 3] for i in range(N))


def agreement(*letters, cutoffs=CUT, patients=None, **more) -> Agreement:
    calls = tuple(call(build(text, patients), cutoffs) for text in letters)
    return agree(Series(tuple(f"b{i + 1}" for i in range(len(letters))), calls), 0.025, **more)


def evidence(*letters, patients=None, **change) -> Evidence:
    """A rebuild against all earlier letters; by default one that does everything right."""
    letters = letters or (TRUE, TRUE)
    made = {f"b{i + 1}": build(text, patients) for i, text in enumerate(letters)}
    calls = {name: call(predictions, CUT) for name, predictions in made.items()}
    last = f"b{len(letters)}"
    first = {
        "build": len(letters),
        "basis": "statistical",
        "attempt": 1,
        "agreement": agreement(*letters, patients=patients),
        "cutoffs": CUT,
        "holdout": HoldoutFigures(1.0, 0.9, 30, 33, 0.1, 0.9),
        "frozen": frozen_figures(
            calls[last], made[last].labels, {n: c for n, c in calls.items() if n != last}
        ),
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


def first_build(**change) -> Evidence:
    alone = {"build": 1, "basis": "first build", "attempt": 0, "agreement": None}
    return evidence(**(alone | change))


def status(verdict: Verdict, criterion: str) -> str:
    (found,) = [f for f in verdict.findings if f.criterion == criterion]
    return found.status


def swapped(k, base=TRUE):
    """The first k cases call another class."""
    return "".join("BCA"["ABC".index(x)] if i < k else x for i, x in enumerate(base))


def test_a_perfect_rebuild_passes():
    verdict = judge(Policy(), evidence())
    assert verdict.status == "pass"
    assert {f.status for f in verdict.findings} == {"pass"}
    assert [f.criterion for f in verdict.findings] == [
        "evidence",
        "data.validation",
        "pin",
        "policy.age",
        "recipe.blind",
        "tau",
        "classes.minimum",
        "consistency.series",
        "consistency.pair:b1",
        "consistency.ever",
        "lost:b1",
        "reportable.floor",
        "arithmetic",
        "exposure",
    ]
    assert verdict.shown["not_applicable"] == [
        "holdout", "auc.macro", "consistency.identity", "discordant.count", "critical", "gained",
        "margins",
        "actions.count", "rehearsals", "consistency.cases", "frozen.amended", "predecessor",
    ]  # fmt: skip
    assert (verdict.shown["level"], verdict.shown["patients_needed"]) == (0.025, 72)


OPTIONAL = [
    f.name for f in fields(Evidence) if "None" in str(f.type) or f.name in ("attempt", "basis")
]


def test_the_list_of_what_may_be_missing_is_complete():
    assert set(OPTIONAL) == {
        "basis", "attempt", "agreement", "cutoffs", "holdout", "frozen", "validation_passed",
        "pin_intact", "policy_newer", "same_fingerprint_other_weights", "rehearsals",
        "recipe_changed_after_list", "followed",
    }  # fmt: skip


@pytest.mark.parametrize("name", [n for n in OPTIONAL if n not in ("attempt", "basis")])
@pytest.mark.parametrize(
    "basis", ["statistical", "unreleased reference", "identity", "first build"]
)
def test_missing_evidence_never_passes(name, basis):
    given = first_build() if basis == "first build" else evidence(basis=basis)
    assert judge(Policy(), given).status == "pass"
    verdict = judge(Policy(), replace(given, **{name: None}))
    if (name, basis) == ("agreement", "first build"):
        assert verdict.status == "pass"  # it has none
    else:
        assert verdict.status == "inconclusive"


@pytest.mark.parametrize(
    "change",
    [
        {"attempt": 0},
        {"attempt": -1},
        {"basis": "trust me"},
        {"basis": "first build"},
        {"task": "multi"},
        {"numerics_mode": None},
        {"policy_newer": True},
        {"recipe_changed_after_list": True},
        {"cutoffs": replace(CUT, status="refused")},
        {"cutoffs": replace(CUT, status="given")},
        {"cutoffs": replace(CUT, status="")},
    ],
)
def test_doubtful_evidence_is_inconclusive(change):
    assert judge(Policy(), evidence(**change)).status == "inconclusive"


@pytest.mark.parametrize(
    ("change", "criterion"),
    [
        ({"validation_passed": False}, "data.validation"),
        ({"pin_intact": False}, "pin"),
        ({"same_fingerprint_other_weights": True}, "arithmetic"),
    ],
)
def test_plain_faults_fail(change, criterion):
    verdict = judge(Policy(), evidence(**change))
    assert (verdict.status, status(verdict, criterion)) == ("fail", "fail")


def test_truthy_is_not_true():
    for wrong in (1, "yes", math.nan):
        verdict = judge(Policy(), evidence(validation_passed=wrong, pin_intact=wrong))
        assert verdict.status == "inconclusive"


def test_arithmetic_in_its_modes():
    policy = Policy(arithmetic_fault="inconclusive")
    other = evidence(same_fingerprint_other_weights=True)
    assert judge(policy, other).status == "inconclusive"
    native = judge(Policy(), replace(other, numerics_mode="native"))
    assert (native.status, status(native, "arithmetic")) == ("pass", "pass")
    assert judge(Policy(), replace(other, numerics_mode="exact")).status == "fail"


@pytest.mark.parametrize("name", ["Z", "m", "R", "D", "S"])
@pytest.mark.parametrize("where", ["series", "ever"])
def test_nan_figures_never_pass(name, where):
    good = agreement(TRUE, TRUE)
    bad = replace(good, **{where: replace(getattr(good, where), **{name: math.nan})})
    verdict = judge(Policy(), evidence(agreement=bad))
    assert verdict.status == "inconclusive"
    canonical_json(to_json(verdict))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("name", ["precision", "recall"])
def test_holdout_figures_that_are_no_number_never_pass(name, value):
    seen = replace(HoldoutFigures(1.0, 0.9, 30, 33, 0.1, 0.9), **{name: value})
    verdict = judge(Policy(), first_build(holdout=seen))
    assert (verdict.status, status(verdict, f"holdout.{name}")) == ("inconclusive", "inconclusive")
    canonical_json(to_json(verdict))


def test_nan_reportable_or_lost_never_passes():
    good = agreement(TRUE, TRUE)
    silent = replace(good, series=replace(good.series, reportable=math.nan))
    assert judge(Policy(), evidence(agreement=silent)).status == "inconclusive"
    (pair,) = good.pairs
    gone = replace(good, pairs=(replace(pair, lost=replace(pair.lost, units=math.nan)),))
    assert judge(Policy(), evidence(agreement=gone)).status == "inconclusive"


def test_bounds_are_not_taken_from_the_agreement():
    """An agreement made at another level, or with its bound forged, changes nothing."""
    seen = agreement(TRUE[:60], TRUE[:60])
    forged = replace(seen, a=0.5, series=replace(seen.series, upper=0.0, rate=0.0))
    verdict = judge(Policy(), evidence(agreement=forged))
    assert status(verdict, "consistency.series") == "inconclusive"


def shrunk(k):
    """Of the cases, only the first k are still reported."""
    return TRUE[:k] + "." * (N - k)


@pytest.mark.parametrize("k", [0, 1, 50, 100, 150, 180, 185])
def test_a_rebuild_that_falls_silent_never_passes(k):
    """Whatever it still says agrees, and the floor is off: only the lost reports stop it."""
    verdict = judge(Policy(reportable_floor=0.0), evidence(TRUE, shrunk(k)))
    assert verdict.status != "pass"
    assert status(verdict, "lost:b1") == ("inconclusive" if k >= 180 else "fail")


def test_nothing_reported_anywhere_is_inconclusive():
    verdict = judge(Policy(), evidence("." * N, "." * N))
    assert verdict.status == "inconclusive"
    assert status(verdict, "reportable.floor") == "inconclusive"
    assert status(verdict, "lost:b1") == "inconclusive"
    (found,) = [f for f in verdict.findings if f.criterion == "consistency.series"]
    assert (found.figure, found.bound) == (None, None)


def test_lost_reports_at_their_limit():
    few, many = judge(Policy(), evidence(TRUE, shrunk(192))), Policy(delta=0.10)
    assert status(few, "lost:b1") == "pass"  # 8 of 200: bound 7.7%
    assert status(judge(many, evidence(TRUE, shrunk(185))), "lost:b1") == "inconclusive"
    assert status(judge(many, evidence(TRUE, shrunk(179))), "lost:b1") == "fail"


@pytest.mark.parametrize(
    ("k", "n", "p", "expected"),
    [
        (0, 72, 0.95, "pass"),
        (0, 71, 0.95, "inconclusive"),
        (0, 200, 0.99, "inconclusive"),
        (3, 200, 0.95, "pass"),  # bound 4.3%
        (4, 200, 0.95, "inconclusive"),  # bound 5.04%
        (10, 200, 0.95, "inconclusive"),  # exactly 5% seen is not more than 5%
        (11, 200, 0.95, "fail"),
        (20, 200, 0.90, "inconclusive"),
        (21, 200, 0.90, "fail"),
    ],
)
def test_consistency_at_its_limit(k, n, p, expected):
    verdict = judge(Policy(p=p), evidence(TRUE[:n], swapped(k, TRUE[:n])))
    for name in ("series", "pair:b1", "ever"):
        assert status(verdict, f"consistency.{name}") == expected
    assert verdict.status == expected


def test_later_attempts_have_to_show_more():
    two = evidence(TRUE[:72], TRUE[:72], attempt=2)
    assert status(judge(Policy(), two), "consistency.series") == "inconclusive"
    enough = TRUE[:86]  # 1 - 0.0125^(1/86) = 4.97%
    assert judge(Policy(), evidence(enough, enough, attempt=2)).status == "pass"


def test_patients_not_cases_decide():
    """Two hundred cases of forty patients are forty."""
    patients = [f"p{i % 40}" for i in range(N)]
    verdict = judge(Policy(), evidence(TRUE, TRUE, patients=patients))
    assert status(verdict, "consistency.series") == "inconclusive"
    (found,) = [f for f in verdict.findings if f.criterion == "consistency.series"]
    assert "72 patients" in found.said
    assert "with 40 this can never be shown" in found.said


def test_many_discordant_cases_of_one_patient_fail_by_cases():
    patients = ["p"] * 20 + [f"q{i}" for i in range(180)]
    verdict = judge(Policy(), evidence(TRUE, swapped(20), patients=patients))
    assert status(verdict, "consistency.series") == "fail"  # 1 of 181 patients, 20 of 200 cases


def test_drift_that_the_last_step_hides():
    """b3 is near b2 and b2 near b1, but b3 is far from b1."""
    verdict = judge(Policy(), evidence(TRUE, swapped(7), swapped(14)))
    pair_b2 = status(verdict, "consistency.pair:b2")
    assert (pair_b2, status(verdict, "consistency.pair:b1")) == ("inconclusive", "fail")
    assert status(verdict, "consistency.ever") == "fail"


def test_a_silent_middle_hides_nothing():
    middle = "." * 20 + TRUE[20:]
    verdict = judge(Policy(delta=0.5, reportable_floor=0.0), evidence(TRUE, middle, swapped(20)))
    assert status(verdict, "consistency.series") == "pass"
    assert status(verdict, "consistency.ever") == "fail"
    assert verdict.status == "fail"


def test_plain_limits():
    two = evidence(TRUE, swapped(2))
    assert judge(Policy(max_discordant=2), two).status == "pass"
    broken = judge(Policy(max_discordant=1), two)
    assert (broken.status, status(broken, "discordant.count")) == ("fail", "fail")
    more = evidence("..." + TRUE[3:], TRUE)
    assert status(judge(Policy(max_gained=3), more), "gained:b1") == "pass"
    assert status(judge(Policy(max_gained=2), more), "gained:b1") == "fail"
    assert status(judge(Policy(max_discordant=0), evidence()), "discordant.count") == "pass"


def test_reportable_floor():
    half = evidence(TRUE[:100] + "." * 100, TRUE[:100] + "." * 100)
    assert status(judge(Policy(), half), "reportable.floor") == "pass"
    assert status(judge(Policy(reportable_floor=0.51), half), "reportable.floor") == "fail"


def test_critical_classes_stand_alone():
    policy = Policy(critical=("A",))
    verdict = judge(policy, evidence())  # 67 cases of A: 72 are needed
    names = ["critical.A.series", "critical.A.ever", "critical.A.pair:b1"]
    assert [status(verdict, name) for name in names] == ["inconclusive"] * 3
    assert judge(Policy(critical=("A",), p=0.9), evidence()).status == "pass"
    only_a = "".join("B" if x == "A" and i < 30 else x for i, x in enumerate(TRUE))
    broken = judge(Policy(critical=("A",), p=0.9), evidence(TRUE, only_a))
    assert status(broken, "critical.A.ever") == "fail"
    assert status(broken, "consistency.series") != "fail"


def test_lost_reports_of_a_critical_class():
    quiet = "".join("." if x == "A" and i < 30 else x for i, x in enumerate(TRUE))
    verdict = judge(Policy(critical=("A",)), evidence(TRUE, quiet))
    assert status(verdict, "lost:b1") in ("pass", "inconclusive")
    assert status(verdict, "lost:b1:A") == "fail"


def test_a_critical_class_that_nobody_calls_cannot_be_shown():
    none = TRUE.replace("C", "B")
    verdict = judge(Policy(critical=("C",)), evidence(none, none))
    assert status(verdict, "critical.C.series") == "inconclusive"
    assert status(verdict, "lost:b1:C") == "inconclusive"


def test_a_refused_tau_of_a_critical_class():
    closed = replace(CUT, status="provisional", evidence=dict(CUT.evidence, refused_yes=["A"]))
    assert judge(Policy(), evidence(cutoffs=closed)).status == "pass"
    assert status(judge(Policy(critical=("A",)), evidence(cutoffs=closed)), "tau") == "inconclusive"


def test_margins():
    policy = Policy(margins=Margins(sensitivity={"A": 0.2}, specificity={"A": 0.1}))
    verdict = judge(policy, evidence())
    assert verdict.status == "pass"
    assert status(verdict, "sensitivity.A:b1") == status(verdict, "specificity.A:b1") == "pass"
    quiet = "".join("." if x == "A" and i < 60 else x for i, x in enumerate(TRUE))
    assert status(judge(policy, evidence(TRUE, quiet)), "sensitivity.A:b1") == "fail"
    strict = Policy(margins=Margins(sensitivity={"A": 0.01}))
    assert status(judge(strict, evidence()), "sensitivity.A:b1") == "inconclusive"


def test_margins_without_labels_or_without_a_reference():
    policy = Policy(margins=Margins(sensitivity={"A": 0.2}))
    calls = call(build(TRUE), CUT)
    for figures in (
        frozen_figures(calls, None, {"b1": calls}),
        frozen_figures(calls, build(TRUE).labels, {"b9": calls}),
    ):
        verdict = judge(policy, evidence(frozen=figures))
        assert (verdict.status, status(verdict, "sensitivity.A")) == ("inconclusive",) * 2


def test_actions():
    stated = {"A": "de-escalate", "B": "standard", "C": "standard"}
    policy = Policy(p=0.9, actions=stated, max_action_discordant=1)
    seen = agreement(TRUE, swapped(3), actions=stated)  # A -> B, B -> C, C -> A: two change
    assert status(judge(policy, evidence(agreement=seen)), "actions.count") == "fail"
    two = replace(policy, max_action_discordant=2)
    assert judge(two, evidence(agreement=seen)).status == "pass"
    without = judge(two, evidence(agreement=agreement(TRUE, swapped(3))))
    assert status(without, "actions.count") == "inconclusive"


def test_rehearsals():
    policy = Policy(rehearsals=4)
    assert status(judge(policy, evidence(rehearsals=3)), "rehearsals") == "inconclusive"
    assert judge(policy, evidence(rehearsals=4)).status == "pass"


def test_another_unit_than_the_policy_wants():
    verdict = judge(Policy(unit="component"), evidence())
    assert (verdict.status, status(verdict, "evidence")) == ("inconclusive", "inconclusive")


def test_identity_needs_no_patients_but_must_be_true():
    few = evidence(TRUE[:5], TRUE[:5], basis="identity", attempt=0)
    verdict = judge(Policy(), few)
    assert (verdict.status, verdict.basis) == ("pass", "identity")
    assert not [f for f in verdict.findings if f.criterion.startswith("consistency.s")]
    assert verdict.shown["level"] is None
    lie = judge(Policy(), evidence(TRUE[:5], swapped(1, TRUE[:5]), basis="identity", attempt=0))
    assert (lie.status, status(lie, "consistency.identity")) == ("fail", "fail")
    quiet = judge(Policy(), evidence("AB..", "ABC.", basis="identity", attempt=0))
    assert quiet.status == "fail"


def test_first_build():
    verdict = judge(Policy(), first_build())
    assert (verdict.status, verdict.basis, verdict.shown["level"]) == ("pass", "first build", None)
    assert "consistency" in verdict.shown["not_applicable"]
    assert not [f for f in verdict.findings if f.criterion.startswith("consistency")]
    low = replace(HoldoutFigures(1.0, 0.9, 30, 33, 0.1, 0.9), precision=0.99, recall=0.4)
    failed = judge(Policy(), first_build(holdout=low))
    assert status(failed, "holdout.precision") == status(failed, "holdout.recall") == "fail"


def test_classes_too_small_to_speak_of():
    verdict = judge(Policy(min_cases_per_class=67), first_build())
    assert status(verdict, "classes.minimum") == "inconclusive"  # 67, 67 and 66
    assert judge(Policy(min_cases_per_class=66), first_build()).status == "pass"
    unlabelled = first_build(frozen=frozen_figures(call(build(TRUE), CUT), None))
    assert "classes.minimum" in judge(Policy(), unlabelled).shown["not_applicable"]


def test_unreleased_reference_is_judged_alike_and_says_so():
    verdict = judge(Policy(), evidence(basis="unreleased reference"))
    assert (verdict.status, verdict.basis) == ("pass", "unreleased reference")
    bad = judge(Policy(), evidence(TRUE, swapped(40), basis="unreleased reference"))
    assert bad.status == "fail"


def test_pure_and_bound_to_its_policy():
    given = evidence(TRUE, swapped(3))
    assert judge(Policy(), given) == judge(Policy(), given)
    assert judge(Policy(), given).policy == policy_digest(Policy()) != policy_digest(Policy(p=0.9))


def test_a_comparison_without_an_attempt():
    found = judge_consistency(Policy(), agreement(TRUE, TRUE), None)
    assert {f.status for f in found} == {"inconclusive"}
    assert {f.status for f in judge_consistency(Policy(), agreement(TRUE, TRUE), 0.05)} == {"pass"}


@pytest.mark.parametrize(("n", "words"), [(72, None), (71, "needs 72"), (35, "needs 36")])
def test_can_ever_show(n, words):
    warning = can_ever_show(Policy(), n)
    assert (warning is None) if words is None else (words in warning)


JUDGED = ("c", "e" * 64)


def test_what_is_kept_is_the_decision_and_no_sentence():
    verdict = judge(Policy(critical=("A",)), evidence(TRUE, swapped(3)))
    text = canonical_json(to_record(verdict, *JUDGED))
    back = from_record(json.loads(text), "v.json", verdict.build, *JUDGED)
    assert back == verdict
    assert difference(back, verdict) is None
    assert canonical_json(to_record(back, *JUDGED)) == text
    assert all(len(f.said) > 9 for f in verdict.findings)
    assert not any(f.said in text.decode() for f in verdict.findings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.update(status="pass"), "amount to fail"),
        (lambda v: v["findings"].clear(), "amount to inconclusive"),
        (lambda v: v.update(status="fine"), "field status: 'fine' is none of"),
        (lambda v: v.update(note=""), "field note: not a known field"),
        (lambda v: v.pop("policy"), "field policy: missing"),
        (lambda v: v["findings"][0].update(figure="0"), r"findings\[0\].figure: not a number"),
        (lambda v: v["findings"][0].update(said="Well."), r"findings\[0\].said: not a known field"),
    ],
)
def test_a_kept_verdict_is_read_strictly(change, words):
    value = to_record(judge(Policy(), evidence(TRUE, swapped(40))), *JUDGED)
    place = ("v.json", value["build"], *JUDGED)
    change(value)
    with pytest.raises(IntegrityError, match="field digest"):
        from_record(value, *place)
    body = {k: v for k, v in value.items() if k != "digest"}
    with pytest.raises(IntegrityError, match=words):
        from_record({**body, "digest": digest_of(body)}, *place)


@pytest.mark.parametrize(
    ("place", "field"),
    [
        ((1, *JUDGED), "build"),
        ((2, "other", JUDGED[1]), "classifier"),
        ((2, "c", "f" * 64), "weights"),
    ],
)
def test_a_verdict_on_another_build_is_none_on_this_one(place, field):
    """Two files that changed places would each be whole."""
    value = to_record(judge(Policy(), evidence(TRUE, swapped(0))), *JUDGED)
    assert from_record(value, "v.json", 2, *JUDGED).build == 2
    with pytest.raises(IntegrityError, match=f"field {field}"):
        from_record(value, "v.json", *place)


def test_two_verdicts_differ_where_something_decides():
    verdict = judge(Policy(), evidence(TRUE, swapped(3)))
    worse = judge(Policy(), evidence(TRUE, swapped(40)))
    assert difference(verdict, worse) == "status"
    assert difference(verdict, replace(verdict, rules="gate/1")) == "rules"
    assert difference(verdict, replace(verdict, findings=verdict.findings[1:])) == "findings"
    at = next(i for i, f in enumerate(verdict.findings) if f.bound is not None)

    def with_bound(bound):
        changed = replace(verdict.findings[at], bound=bound, said="In other words.")
        findings = (*verdict.findings[:at], changed, *verdict.findings[at + 1 :])
        return replace(verdict, findings=findings)

    bound = verdict.findings[at].bound
    name = verdict.findings[at].criterion
    assert difference(verdict, with_bound(bound)) is None
    # another release of a numerical library may change the last digit of a bound, not more
    assert difference(verdict, with_bound(math.nextafter(bound, 1))) is None
    assert difference(verdict, with_bound(bound + 1e-6)) == f"findings.{name}.bound"
    assert difference(verdict, with_bound(None)) == f"findings.{name}.bound"


def test_an_older_verdict_is_made_by_the_criteria_that_it_names(monkeypatch):
    given = evidence(TRUE, swapped(3))
    before = judge(Policy(), given)
    known = RULES[NOW]

    def newer(policy, evidence):
        return (Finding("mood", "fail", None, None, None, "It is Monday."),)

    monkeypatch.setitem(RULES, NOW, replace(known, criteria={**known.criteria, "mood": newer}))
    assert judge(Policy(), given).status == "fail"
    again = judge(Policy(), given, before.rules, before.criteria)
    assert difference(before, again) is None


def test_an_amendment_after_a_comparison_needs_a_second_person():
    changed = Amendment(1, 2, ("a", "b"), ("c",), ("a", "b"), 3)
    verdict = judge(Policy(), replace(evidence(TRUE, TRUE), amendment=changed))
    (found,) = (f for f in verdict.findings if f.criterion == "frozen.amended")
    assert (verdict.status, found.status) == ("inconclusive", "inconclusive")
    ever = evidence(TRUE, TRUE).agreement.ever
    assert found.figure == (ever.D + 2) / (ever.R + 3)  # what was dropped counts all the same
    assert "2 cases were dropped and 1 changed (a, b, c). 2 of them were discordant" in found.said
    before = judge(Policy(), replace(evidence(TRUE, TRUE), amendment=changed), "gate/1")
    assert before.status == "pass"  # a verdict of the rules before stays what it was
    assert judge(Policy(), evidence(TRUE, TRUE)).status == "pass"


def test_rules_and_criteria_that_are_not_known_here_are_a_newer_program_s():
    given = evidence(TRUE, swapped(3))
    names = tuple(RULES["gate/1"].criteria)
    with pytest.raises(UnusableInputError, match=r"rules 'gate/9'.*newer program"):
        judge(Policy(), given, "gate/9", names)
    with pytest.raises(UnusableInputError, match=r"criterion 'mood'.*newer program"):
        judge(Policy(), given, "gate/1", (*names, "mood"))
    for missing in names:
        with pytest.raises(IntegrityError, match=f"criterion '{missing}' is missing"):
            judge(Policy(), given, "gate/1", tuple(n for n in names if n != missing))
    with pytest.raises(IntegrityError, match="stands twice"):
        judge(Policy(), given, "gate/1", (*names, names[0]))


def test_the_digest_of_a_policy_does_not_change_with_the_program():
    # as lifecycle 0.1.0 wrote it into its records
    assert policy_digest(Policy()) == (
        "cb2428290429211ae4ca665043b1fb59a2f4c98ad9ccafd741e4bf8573982518"
    )
    later = make_dataclass(
        "Later", [("mood", str, field(default="calm"))], bases=(Policy,), frozen=True, slots=True
    )
    assert policy_digest(later()) == policy_digest(Policy())
    assert policy_digest(later(mood="grim")) != policy_digest(Policy())


def test_every_sentence_speaks():
    for given in (evidence(), first_build(), evidence(TRUE, swapped(40))):
        for finding in judge(Policy(critical=("A",), max_discordant=3), given).findings:
            assert finding.said.endswith(".")
            assert len(finding.said.split()) >= 3


def test_a_rate_of_just_the_limit_does_not_exceed_it():
    """9 patients, Z = 27/20 at p = 0.85: 15% of 9, which rounded sums take for more than 15%."""
    Z = Fraction(27, 20)
    figures = replace(
        agreement(TRUE, TRUE).series, S=20, R=20, D=2, m=9, Z=math.nextafter(float(Z), 2),
        exact=(Z.numerator, Z.denominator), cases_any=20,
    )  # fmt: skip
    whole = replace(agreement(TRUE, TRUE), series=figures)
    policy = Policy(p=0.85)
    (old,) = (
        f for f in judge_consistency(policy, whole, 0.05, exact=False) if "series" in f.criterion
    )
    (now,) = (f for f in judge_consistency(policy, whole, 0.05) if "series" in f.criterion)
    assert (old.status, now.status) == ("fail", "inconclusive")
    over = replace(figures, exact=(27 * 10**9 + 1, 20 * 10**9))
    more = judge_consistency(policy, replace(whole, series=over), 0.05)
    assert next(f for f in more if "series" in f.criterion).status == "fail"


def test_what_is_shown_of_a_comparison():
    middle = "." * 20 + TRUE[20:]
    shown = judge(Policy(), evidence(TRUE, middle, swapped(3))).shown
    assert shown["names"] == ["b1", "b2", "b3"]
    assert (shown["series"]["D"], shown["ever"]["D"]) == (0, 3)
    assert shown["discordant"] == ["c0000", "c0001", "c0002"]
    alone = judge(Policy(), first_build()).shown
    assert not {"names", "series", "ever", "discordant", "guaranteed"} & set(alone)


def test_how_many_are_needed_is_said_of_the_attempt():
    assert judge(Policy(), evidence()).shown["patients_needed"] == 72
    assert judge(Policy(), evidence(attempt=2)).shown["patients_needed"] == 86
    assert judge(Policy(), evidence(attempt=0)).shown["patients_needed"] == 72
    assert judge(Policy(), first_build()).shown["patients_needed"] == 72


@pytest.mark.parametrize(("n", "can"), [(71, False), (72, True)])
def test_whether_it_can_be_shown_at_all(n, can):
    seen = judge(Policy(), evidence(TRUE[:n], TRUE[:n])).shown
    assert (seen["patients"], seen["can_be_shown"]) == (n, can)
    assert (seen["warning"] is None) == can
    alone = judge(Policy(), first_build(frozen=evidence(TRUE[:n], TRUE[:n]).frozen)).shown
    assert (alone["patients"], alone["can_be_shown"]) == (n, can)
    assert (alone["warning"] is None) == can
    same = judge(Policy(), evidence(TRUE[:n], TRUE[:n], basis="identity", attempt=0)).shown
    assert (same["patients"], same["warning"]) == (n, None)
    none = judge(Policy(), first_build(frozen=None)).shown
    assert (none["patients"], none["can_be_shown"], none["warning"]) == (None, None, None)


def test_the_comparison_says_how_many_there_are():
    """Not the frozen set as it is now: an amendment may have left cases of it out."""
    more = evidence(TRUE, TRUE).frozen
    seen = judge(Policy(), evidence(TRUE[:80], TRUE[:80], frozen=more)).shown
    assert seen["patients"] == 80


def test_discordant_cases_are_counted_in_the_figure_that_has_more():
    good = agreement(TRUE, TRUE)
    for more, less in (("ever", "series"), ("series", "ever")):
        figures = replace(
            getattr(good, more), D=3, Z=3.0, exact=(3, 1), patterns=((1, 0, 197), (1, 1, 3))
        )
        seen = replace(good, **{more: figures})
        assert getattr(seen, less).D == 0
        verdict = judge(Policy(max_discordant=2), evidence(agreement=seen))
        assert status(verdict, "discordant.count") == "fail"
        allowed = judge(Policy(max_discordant=3), evidence(agreement=seen))
        assert status(allowed, "discordant.count") == "pass"


@pytest.mark.parametrize(
    ("limit", "criterion"),
    [
        ({"max_discordant": 0}, "discordant.count"),
        ({"max_gained": 0}, "gained"),
        ({"max_action_discordant": 0}, "actions.count"),
    ],
)
def test_a_plain_limit_needs_a_comparison_and_concerns_no_first_build(limit, criterion):
    policy = Policy(**limit)
    missing = judge(policy, replace(evidence(), agreement=None))
    assert status(missing, criterion) == "inconclusive"
    assert criterion in judge(policy, first_build()).shown["not_applicable"]
    assert criterion in judge(Policy(), evidence()).shown["not_applicable"]


@pytest.mark.parametrize(
    ("lost", "units", "expected"),
    [(0, 60, "pass"), (60, 60, "fail"), (61, 60, "inconclusive"), (-1, 60, "inconclusive"),
     (0, 0, "inconclusive"), (6, 60, "inconclusive"), (7, 60, "fail")],
)  # fmt: skip
def test_margins_at_their_limits_and_beyond_what_is_possible(lost, units, expected):
    given = evidence()
    margins = tuple(
        replace(one, lost=lost, units=units) if one.name == "A" else one
        for one in given.frozen.margins
    )
    policy = Policy(margins=Margins(sensitivity={"A": 0.1}))
    verdict = judge(policy, replace(given, frozen=replace(given.frozen, margins=margins)))
    assert status(verdict, "sensitivity.A:b1") == expected
