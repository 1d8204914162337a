from __future__ import annotations

import pytest
from signing import SIGNED, Lab

from lifecycle.release.standing import (
    NEEDS,
    latest_release,
    released_builds,
    standing,
    tau_is_frozen,
    versions,
)

WEAK = {"verdict": "inconclusive", "result": "WARNED"}


def _now(lab: Lab, needs=NEEDS):
    return standing(lab.chain(), "1", lambda case: needs)


def test_nothing_signed_is_nothing(lab: Lab) -> None:
    now = _now(lab)
    assert (now.releases, now.partial, now.current, now.tau_frozen) == ((), (), None, False)
    assert latest_release(lab.chain()) is None


def test_review_and_approval_make_a_release(lab: Lab) -> None:
    one = lab.add("rev")
    (partial,) = _now(lab).partial
    assert (partial.links, partial.missing) == ((one,), ("approver",))
    assert released_builds(lab.chain(), "1") == frozenset()
    assert not tau_is_frozen(lab.chain(), "1")
    two = lab.add("app", "approval")
    now = _now(lab)
    assert now.partial == ()
    assert now.current is not None
    assert (now.current.links, now.current.number) == ((one, two), 2)
    assert released_builds(lab.chain(), "1") == {1}
    assert tau_is_frozen(lab.chain(), "1")
    assert now.signers(1) == {"rev", "app"}
    assert versions(lab.chain()) == ("1",)


def test_one_person_is_not_two(lab: Lab) -> None:
    lab.add("two", "review")
    lab.add("two", "approval")
    assert _now(lab).partial[0].missing in (("approver",), ("reviewer",))
    lab.add("app", "approval")
    assert released_builds(lab.chain(), "1") == {1}  # two reviewed, app approved


def test_the_builder_and_the_author_do_not_count(lab: Lab) -> None:
    lab.add("rev", built_by="rev")
    lab.add("app", "approval", built_by="rev")
    assert _now(lab).partial[0].missing == ("reviewer",)
    people = [lab.person("ada", roles=("admin", "author", "reviewer")), *lab.people()[1:]]
    lab.roster(people, SIGNED)
    lab.add("ada", "authorship", build=2)
    lab.add("ada", "review", build=2)
    lab.add("app", "approval", build=2)
    assert _now(lab).partial[1].missing == ("reviewer",)


@pytest.mark.parametrize(
    "other",
    [{"build": 2}, {"case": "e" * 64}, {"demonstration": True}, {"version": "2"}],
)
def test_signatures_on_different_things_never_add_up(lab: Lab, other: dict) -> None:
    lab.add("rev")
    lab.add("app", "approval", **other)
    assert latest_release(lab.chain()) is None
    assert _now(lab).partial[0].missing == ("approver",)


def test_other_meanings_fill_no_need(lab: Lab) -> None:
    lab.add("rev")
    lab.add("app", "responsibility")
    assert _now(lab).partial[0].missing == ("approver",)


def test_needs_are_the_policys(lab: Lab) -> None:
    lab.add("app", "approval")
    assert _now(lab, needs=("approver",)).current is not None
    assert _now(lab, needs=("author", "approver")).partial[0].missing == ("author",)
    lab.add("ada", "authorship")
    assert _now(lab, needs=("author", "approver")).current is not None
    # two approvers: two people
    assert _now(lab, needs=("approver", "approver")).current is None
    lab.add("two", "approval")
    assert _now(lab, needs=("approver", "approver")).current is not None


def test_an_inconclusive_verdict_needs_an_override_before_the_approval(lab: Lab) -> None:
    lab.add("rev", **WEAK)
    assert _now(lab).partial[0].missing == ("override", "approver")
    lab.add("app", "approval", **WEAK)
    assert _now(lab).partial[0].missing == ("override", "approver")
    lab.add("two", "override", reason="seen", **WEAK)
    assert _now(lab).partial[0].missing == ("approver",)  # app approved before it was overridden
    lab.add("two", "approval", **WEAK)
    assert _now(lab).partial[0].missing == ("approver",)  # one cannot override and approve
    lab.add("app", "approval", **WEAK)
    assert _now(lab).current is not None


def test_a_refusal_ends_open_signatures_and_no_release(lab: Lab) -> None:
    lab.add("rev")
    refusal = lab.decide("refusal", "app", "approval", result="PASSED")
    lab.add("app", "approval")
    now = _now(lab)
    assert now.refusals == (refusal,)
    assert now.partial[0].missing == ("reviewer",)
    lab.add("rev")
    assert released_builds(lab.chain(), "1") == {1}
    lab.decide("refusal", "two", "approval", result="PASSED")
    assert released_builds(lab.chain(), "1") == {1}


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_withdrawal_of_any_signature_ends_the_release(lab: Lab, at: int) -> None:
    links = [lab.add("rev"), lab.add("app", "approval"), lab.add("two", "responsibility")]
    end = lab.decide("withdrawal", target=links[at].digest)
    now = _now(lab)
    assert now.current is None
    assert now.releases[0].withdrawn == end
    assert now.signers(1) == frozenset()
    assert released_builds(lab.chain(), "1") == frozenset()
    assert released_builds(lab.chain(), "1", withdrawn=True) == {1}
    assert tau_is_frozen(lab.chain(), "1")
    # its signatures are spent
    lab.add("app", "approval")
    assert _now(lab).partial[0].missing == ("reviewer",)
    lab.add("rev")
    assert _now(lab).current is not None
    assert len(_now(lab).releases) == 2


def test_a_withdrawal_of_an_open_signature(lab: Lab) -> None:
    one = lab.add("rev")
    lab.add("app", "responsibility")
    end = lab.decide("withdrawal", target=one.digest)
    lab.add("app", "approval")
    now = _now(lab)
    assert now.partial[0].missing == ("reviewer",)
    assert (now.withdrawals, now.releases) == ((end,), ())


def test_amendments_and_drills_change_nothing(lab: Lab) -> None:
    one = lab.add("rev")
    lab.add("app", "approval")
    before = _now(lab)
    note = lab.decide("amendment", target=one.digest)
    lab.decide("drill", "rev", "responsibility", drill={"seconds": 3})
    now = _now(lab)
    assert now.amendments == (note,)
    assert now.releases == before.releases


def test_the_latest_release_of_all_versions(lab: Lab) -> None:
    for build in (1, 2):
        lab.add("rev", build=build)
        lab.add("app", "approval", build=build)
    lab.add("rev", build=3, version="2")
    last = lab.add("app", "approval", build=3, version="2")
    version, release = latest_release(lab.chain())
    assert (version, release.subject.build) == ("2", 3)
    assert released_builds(lab.chain(), "1") == {1, 2}
    lab.decide("withdrawal", target=last.digest, version="2", build=3)
    version, release = latest_release(lab.chain())
    assert (version, release.subject.build) == ("1", 2)


def test_each_case_keeps_the_needs_of_its_own_policy(lab: Lab) -> None:
    lab.add("rev")
    lab.decide("refusal", "app", "approval")
    lab.add("rev", case="e" * 64)
    needs = {"c" * 64: ("reviewer", "approver"), "e" * 64: ("reviewer",)}
    found = standing(lab.chain(), "1", lambda case: needs[case])
    # the looser policy of today releases what was judged by it, and nothing else
    assert [release.subject.case for release in found.releases] == ["e" * 64]
    assert not found.partial and len(found.refusals) == 1
