"""Criteria that look beyond a version, negative first: nothing compared is never a pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from following_site import evidence_with

from lifecycle.domain.classifier import Policy, PredecessorPlan
from lifecycle.domain.cohort import Pin
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.errors import IntegrityError
from lifecycle.gate.evidence import NOTHING_EARLIER, Evidence, Exposure, Followed
from lifecycle.gate.following import exposure, predecessor, shown_of
from lifecycle.gate.judge import judge
from lifecycle.gate.rules import NOW, RULES
from lifecycle.release.followed import Facts, Scored, followed_of

N = 200
TRUE = "".join("ABC"[i % 3] for i in range(N))
FOLLOWS = Policy(predecessor=PredecessorPlan("1"))
FACTS = Facts("1", (1,), 1)


def scored(name: str, letters: str, classes: str = "ABC", **pin: object) -> Scored:
    rows = [[0.8 if x == c else 0.3 if x == "." else 0.1 for c in classes] for x in letters]
    ids = tuple(f"c{i:03d}" for i in range(len(letters)))
    frozen = Predictions(ids, ids, ("",) * len(ids), None, tuple(classes), np.array(rows), "single")
    cases = {case: f"{i:064x}" for i, case in enumerate(ids)}
    made = Pin("1", 1, cases, "0" * 64, "", "real")
    cut = Cutoffs((0.6,) * len(classes), None, "proposed", {})
    return Scored(name, frozen, replace(made, **pin), cut)  # type: ignore[arg-type]


def statuses(policy: Policy, followed: Followed) -> dict[str, str]:
    found = predecessor(policy, evidence_with(followed))
    return {one.criterion.removeprefix("predecessor").lstrip("."): one.status for one in found}


def followed(policy: Policy = FOLLOWS, old: str = TRUE, new: str = TRUE, **more: object):
    return followed_of(FACTS, policy, scored("b2", new, **more), [scored("b1", old)])


def swapped(k: int) -> str:
    return "".join("BCA"["ABC".index(x)] if i < k else x for i, x in enumerate(TRUE))


def test_all_that_there_is_to_pass() -> None:
    found = statuses(FOLLOWS, followed())
    assert set(found.values()) == {"pass"}
    assert list(found) == ["", "coverage", "frozen", "series", "pair:b1", "ever", "lost:b1",
                           "floor"]  # fmt: skip


def test_without_an_earlier_release_and_a_name_there_is_nothing_to_say() -> None:
    assert predecessor(Policy(), evidence_with(NOTHING_EARLIER)) == ()
    assert shown_of(evidence_with(NOTHING_EARLIER)) == {}


def test_missing_evidence_is_inconclusive() -> None:
    bare: Evidence = replace(evidence_with(NOTHING_EARLIER), followed=None)
    assert [one.status for one in predecessor(FOLLOWS, bare)] == ["inconclusive"]
    assert [one.status for one in exposure(Policy(), bare)] == ["inconclusive"]
    assert {"predecessor", "exposure"} <= set(RULES[NOW].demanded)
    assert not {"predecessor", "exposure"} & set(RULES["gate/1"].criteria)
    assert judge(FOLLOWS, bare).status != "pass"


@pytest.mark.parametrize(
    ("policy", "facts"),
    [
        (Policy(), Facts("1", (), 1)),
        (FOLLOWS, Facts("2", (1,), 1)),
        (FOLLOWS, Facts(None, (), 1)),
        (FOLLOWS, Facts("1", (), 1)),
    ],
    ids=["no version named", "another version", "never released", "all withdrawn"],
)
def test_nothing_or_another_version_is_inconclusive(policy: Policy, facts: Facts) -> None:
    before = [scored("b1", TRUE)] if facts.builds else []
    found = followed_of(facts, policy, scored("b2", TRUE), before)
    (first, *_) = predecessor(policy, evidence_with(found))
    assert first.status == "inconclusive"


def test_a_wrong_version_is_compared_all_the_same() -> None:
    """Else naming a wrong one would turn a failure into a matter of override."""
    found = followed_of(
        Facts("2", (1,), 1), FOLLOWS, scored("b2", swapped(60)), [scored("b1", TRUE)]
    )
    said = statuses(FOLLOWS, found)
    assert (said[""], said["pair:b1"]) == ("inconclusive", "fail")


@pytest.mark.parametrize(("wrong", "status"), [(0, "pass"), (9, "inconclusive"), (30, "fail")])
def test_contradictions_decide_as_in_a_rebuild(wrong: int, status: str) -> None:
    assert statuses(FOLLOWS, followed(new=swapped(wrong)))["pair:b1"] == status


def test_a_version_that_falls_silent_does_not_pass() -> None:
    said = statuses(FOLLOWS, followed(new=TRUE[:80] + "." * 120))
    assert said["lost:b1"] == "fail"
    assert said["floor"] == "fail"
    assert statuses(FOLLOWS, followed(new="." * N))["pair:b1"] == "inconclusive"


def test_cases_that_were_taken_away_or_changed_are_named() -> None:
    pin = scored("b2", TRUE).pin
    changed = {**pin.cases, "c000": "f" * 64}
    found = followed(cases=changed)
    assert (found.common, found.changed) == (N - 1, ("c000",))
    assert statuses(FOLLOWS, found)["frozen"] == "inconclusive"
    found = followed(old=TRUE + "A")
    assert (found.only_then, found.common) == (("c200",), N)
    assert statuses(FOLLOWS, found)["frozen"] == "inconclusive"
    found = followed(new=TRUE + "AAA")
    assert (len(found.only_now), found.common) == (3, N)
    assert statuses(FOLLOWS, found)["frozen"] == "pass"


def test_a_case_of_another_patient_is_not_the_same_though_its_values_are() -> None:
    new, old = scored("b2", TRUE), scored("b1", TRUE)
    values = dict(zip(old.frozen.ids, (f"{i:064x}" for i in range(N)), strict=True))
    other = dict.fromkeys(new.pin.cases, "f" * 64)
    new = replace(new, pin=replace(new.pin, cases=other, values=values))
    old = replace(old, pin=replace(old.pin, values=values))
    assert followed_of(FACTS, FOLLOWS, new, [old]).common == N
    swap = replace(new.frozen, patients=("somebody", *new.frozen.patients[1:]))
    found = followed_of(FACTS, FOLLOWS, replace(new, frozen=swap), [old])
    assert (found.common, found.changed) == (N - 1, ("c000",))


def test_one_content_under_two_patients_ends_it() -> None:
    new = scored("b2", TRUE)
    swap = replace(new.frozen, patients=("somebody", *new.frozen.patients[1:]))
    with pytest.raises(IntegrityError, match="two patients"):
        followed_of(FACTS, FOLLOWS, replace(new, frozen=swap), [scored("b1", TRUE)])


def test_nothing_in_common_is_inconclusive() -> None:
    cases = dict.fromkeys(scored("b2", TRUE).pin.cases, "f" * 64)
    said = statuses(FOLLOWS, followed(cases=cases))
    assert said == {"": "pass", "frozen": "inconclusive"}


def test_each_side_has_the_tau_of_its_own_version() -> None:
    """Scores of 0.5 are reported at the one tau and not at the other."""
    rows = [[0.5 if x == c else 0.25 for c in "ABC"] for x in TRUE]
    new = scored("b2", TRUE)
    new = replace(new, frozen=replace(new.frozen, scores=np.array(rows)))
    low = replace(new, tau=Cutoffs((0.4,) * 3, None, "proposed", {}))
    old = scored("b1", TRUE)
    for one, reported in ((new, 0), (low, N)):
        agreement = followed_of(FACTS, FOLLOWS, one, [old]).agreement
        assert agreement is not None
        assert agreement.reported["b2"] == reported
        assert agreement.reported["b1"] == N


def test_critical_classes_and_counts_hold_across_versions() -> None:
    policy = replace(FOLLOWS, critical=("A",), max_discordant=0)
    said = statuses(policy, followed(policy, new=swapped(1)))
    assert said["discordant.count"] == "fail"
    assert "critical.A.pair:b1" in said


@pytest.mark.parametrize(
    ("networks", "limit", "status"),
    [(0, None, "inconclusive"), (1, None, "pass"), (40, None, "pass"), (3, 3, "pass"),
     (4, 3, "inconclusive")],
)  # fmt: skip
def test_exposure_is_shown_and_limited(networks: int, limit: int | None, status: str) -> None:
    seen = replace(
        evidence_with(NOTHING_EARLIER), exposure=Exposure(networks, (("w", "1", networks),))
    )
    (found,) = exposure(replace(Policy(), exposure=limit), seen)
    assert found.status == status
    if networks:
        assert found.figure == networks
        assert f"w 1 ({networks})" in found.said
