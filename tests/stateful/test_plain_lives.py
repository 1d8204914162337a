"""Lives that once ended badly, each told by itself; the random ones found them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from stateful.day import Day
from stateful.yard import POLICIES, yard


@pytest.fixture
def day(request: pytest.FixtureRequest) -> Iterator[Day]:
    """A laboratory that stands at the mode and start of the test's parameter."""
    found = yard().start(*request.param)
    with ExitStack() as stack:
        stack.enter_context(found.lab.stand_ins())
        yield found
    shutil.rmtree(found.lab.root.parent)


@pytest.mark.parametrize("day", [("exact", "released")], indirect=True)
def test_a_frozen_set_that_is_restored_ends_no_release(day: Day) -> None:
    """Amended twice and back again: what was signed of the first set still follows from it."""
    for variant in ("relabelled", "other", "plain"):
        assert day.amend(variant)
        assert day.rebuild("plain", "one", 0)
        day.check()


@pytest.mark.parametrize("day", [("exact", "released")], indirect=True)
def test_a_later_amendment_changes_nothing_of_an_earlier_case(day: Day) -> None:
    """b3 was compared after an amendment and accepted; then the frozen set is restored."""
    assert day.rebuild("plain", "two", 0)  # b2, compared on the first set
    assert day.amend("other")
    assert day.rebuild("plain", "one", 0)
    day.commit()
    assert dict(day.books.judged[3][1].findings)["frozen.amended"] == "inconclusive"
    assert day.release()
    assert day.amend("plain")
    day.check()
    assert day.rebuild("plain", "one", 0)
    day.check()


@pytest.mark.parametrize("day", [("exact", "released")], indirect=True)
def test_a_signature_binds_the_amendments_between_a_set_and_the_same_set_restored(day: Day) -> None:
    for variant in ("other", "plain"):
        assert day.amend(variant)
        assert day.rebuild("plain", "one", 0)
    day.commit()
    assert day.release()
    newest = day.lab.verify().value.standings[0].releases[-1].links[-1].record
    pins = {name.partition("#")[2] for name in newest.subjects if "#" in name}
    assert pins == {"1/1", "1/2", "1/3"}


@pytest.mark.parametrize("day", [("native", "released")], indirect=True)
def test_tau_of_a_version_that_nobody_signed_may_stand_there(day: Day) -> None:
    """Also where builds of another version came after its own."""
    for version, training in (("2", "plain"), ("1", "more"), ("2", "plain")):
        day.set_version(version)
        assert day.rebuild(training, "one", 0)
        day.check()
    assert [one.version for one in day.books.builds] == ["1", "2", "1"]


@pytest.mark.parametrize("day", [("exact", "released")], indirect=True)
def test_an_amended_frozen_set_hides_no_fault_of_arithmetic(day: Day) -> None:
    assert day.amend("other")
    assert day.rebuild("plain", "one", 1)  # a machine that computes otherwise
    assert dict(day.books.judged[2][1].findings)["arithmetic"] == "fail"


@pytest.mark.parametrize("day", [("native", "released")], indirect=True)
def test_a_build_that_was_released_twice_is_withdrawn_as_one(day: Day) -> None:
    """Judged anew by another policy and signed again, then withdrawn: nothing of it is in use."""
    day.set_policy(POLICIES[1])
    assert day.judge()
    day.commit()
    assert day.release()
    assert day.withdraw("app", 1)
    day.check()
    assert day.books.in_force("1") == set()


@pytest.mark.parametrize("day", [("native", "released")], indirect=True)
def test_a_review_from_before_a_withdrawal_counts_no_more(day: Day) -> None:
    """A withdrawn build is signed again by all who must."""
    day.set_policy(POLICIES[1])
    assert day.judge()
    day.commit()
    assert day.sign("two", "override")
    assert day.sign("rev", "review")
    assert day.withdraw("app", 1)
    assert not day.sign("app", "approval")  # nobody has overridden since
    assert day.sign("two", "override")
    assert day.sign("app", "approval")
    day.check()
    assert day.books.in_force("1") == set()
    assert day.sign("rev", "review")
    day.check()
    assert day.books.in_force("1") == {1}
