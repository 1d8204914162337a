"""Random lives: nothing is released that the model forbids, nothing forbidden that it allows."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from stateful import tables
from stateful.day import KEYS, SEEDS, STAFF, Day
from stateful.yard import MODES, POLICIES, STARTS, yard

MEANINGS = ("review", "approval", "override", "authorship")
who = st.sampled_from(KEYS)
often = st.sampled_from([True, True, True, False])


class Dossier(RuleBasedStateMachine):
    """A life of a dossier."""

    day: Day
    stack: ExitStack

    @initialize(mode=st.sampled_from(MODES), how=st.sampled_from(STARTS))
    def begin(self, mode: str, how: str) -> None:
        self.day = yard().start(mode, how)
        self.stack = self.day.lab.stand_ins()

    def teardown(self) -> None:
        if hasattr(self, "day"):
            self.stack.close()
            yard().counted.update(self.day.counted)
            yard().counted["lives"] += 1
            shutil.rmtree(self.day.lab.root.parent, ignore_errors=True)

    @rule(
        training=st.sampled_from(tables.TRAINING),
        machine=st.sampled_from(["one", "two", "three"]),
        path=st.sampled_from([0, 0, 1, 2]),
        builder=st.sampled_from(["bob", "bob", "bob", "rev", "aut"]),
        keep=often,
    )
    def rebuild(self, training: str, machine: str, path: int, builder: str, keep: bool) -> None:
        self.day.rebuild(training, machine, path, builder)
        self._kept(keep)

    def _kept(self, keep: bool) -> None:
        if keep:
            self.day.commit()

    @precondition(lambda self: self.day.books.pins.get(self.day.books.version))
    @rule(variant=st.sampled_from(tables.FROZEN), again=often, keep=often)
    def amend(self, variant: str, again: bool, keep: bool) -> None:
        self.day.amend(variant)
        if again:
            self.day.rebuild(self.day.training, "one", 0)
        self._kept(keep)

    @rule(stated=st.sampled_from(POLICIES), again=often, keep=often)
    def change_policy(self, stated: Any, again: bool, keep: bool) -> None:
        self.day.set_policy(stated)
        if again and self.day.books.current:
            self.day.judge()
        self._kept(keep)

    @rule(version=st.sampled_from(sorted(SEEDS)), keep=often)
    def another_version(self, version: str, keep: bool) -> None:
        self.day.set_version(version)
        pins = self.day.books.pins.get(version)
        if pins and pins[-1] != self.day.books.imported:
            self.day.amend(self.day.frozen)
        self.day.rebuild(self.day.training, "one", 0)
        self._kept(keep)

    @precondition(lambda self: self.day.books.current)
    @rule()
    def judge(self) -> None:
        self.day.judge()

    @rule()
    def commit(self) -> None:
        self.day.commit()

    @rule(key=who, meaning=st.sampled_from(MEANINGS))
    def sign(self, key: str, meaning: str) -> None:
        self.day.sign(key, meaning)

    @precondition(lambda self: self.day.books.current)
    @rule(tidy=often)
    def release(self, tidy: bool) -> None:
        if tidy and not self.day.books.seen:
            self.day.judge()
        if tidy:
            self.day.commit()
        self.day.release()

    @rule(key=st.sampled_from(["app", "app", "two", "rev"]))
    def refuse(self, key: str) -> None:
        self.day.refuse(key)

    @precondition(lambda self: self.day.books.builds)
    @rule(key=st.sampled_from(["app", "app", "two", "rev"]), at=st.integers(0, 9))
    def withdraw(self, key: str, at: int) -> None:
        self.day.withdraw(key, 1 + at % len(self.day.books.builds))

    @precondition(lambda self: self.day.books.builds)
    @rule(key=who, at=st.integers(0, 9))
    def remark(self, key: str, at: int) -> None:
        self.day.remark(key, 1 + at % len(self.day.books.builds))

    @rule(user=st.sampled_from(["rev", "app"]), own=st.booleans())
    def another_key(self, user: str, own: bool) -> None:
        roles = STAFF[user] if own else ("author",)
        self.day.enrol(user, f"{user}2", roles)

    @rule(user=st.sampled_from(["rev", "app", "two", "eve"]))
    def revoke(self, user: str) -> None:
        self.day.revoke(user)

    @precondition(lambda self: self.day.books.builds and not self.day.books.gone)
    @rule(back=st.booleans(), keep=often)
    def take_the_newest_build_away(self, back: bool, keep: bool) -> None:
        self.day.delete_build(len(self.day.books.builds))
        self._kept(keep)
        if back:
            self.day.check()
            self.day.restore()

    @precondition(lambda self: len(self.day.books.builds) > 1 and not self.day.books.gone)
    @rule(at=st.integers(0, 9), keep=st.booleans())
    def take_an_older_build_away(self, at: int, keep: bool) -> None:
        self.day.delete_build(1 + at % (len(self.day.books.builds) - 1))
        self._kept(keep)

    @precondition(lambda self: any(self.day.books.attempts.values()) and not self.day.books.gone)
    @rule(at=st.integers(0, 9), keep=st.booleans())
    def take_an_attempt_away(self, at: int, keep: bool) -> None:
        there = [(v, w) for v, ks in sorted(self.day.books.attempts.items()) for w in sorted(ks)]
        self.day.delete_attempt(*there[at % len(there)])
        self._kept(keep)

    @precondition(lambda self: self.day.books.judged)
    @rule(at=st.integers(0, 9))
    def take_a_verdict_away(self, at: int) -> None:
        there = sorted(self.day.books.judged)
        self.day.delete_verdict(there[at % len(there)])

    @precondition(lambda self: self.day.books.builds)
    @rule()
    def take_the_newest_roster_away(self) -> None:
        self.day.lose_roster()

    @rule(key=who, meaning=st.sampled_from(MEANINGS), at=st.integers(1, 8))
    def sign_and_be_killed(self, key: str, meaning: str, at: int) -> None:
        self.day.sign_killed(key, meaning, at)

    @rule(user=st.sampled_from(["rev", "app", "two"]), at=st.integers(1, 5))
    def revoke_and_be_killed(self, user: str, at: int) -> None:
        self.day.revoke_killed(user, at)

    @rule(
        training=st.sampled_from(tables.TRAINING),
        path=st.sampled_from([0, 1]),
        at=st.integers(1, 40),
        keep=often,
    )
    def rebuild_and_be_killed(self, training: str, path: int, at: int, keep: bool) -> None:
        self.day.rebuild_killed(training, path, at)
        self._kept(keep)

    @precondition(lambda self: self.day.books.gone)
    @rule(keep=often)
    def restore(self, keep: bool) -> None:
        self.day.restore()
        self._kept(keep)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "day"):
            self.day.check()


SHARDS = int(os.environ.get("LIFECYCLE_SHARDS", "6"))
LIVES = int(os.environ.get("LIFECYCLE_LIVES", "100"))  # of a shard
SEED = int(os.environ.get("LIFECYCLE_LIVES_SEED", "0"))


def _live(number: int, lives: int, steps: int) -> None:
    """Lives of one seed; another one tries others (LIFECYCLE_LIVES_SEED)."""
    yard().counted.clear()
    numbered = seed(1000 * SEED + number)(type(f"Dossier{number}", (Dossier,), {}))
    run_state_machine_as_test(
        numbered,
        settings=settings(
            max_examples=lives,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # a life takes a second: shrinking one takes an hour
        ),
        _min_steps=2,
    )
    told = ", ".join(f"{what} {n}" for what, n in sorted(yard().counted.items()))
    print(f"{told}; {time.process_time():.0f} s of this process")  # noqa: T201


def test_some_lives() -> None:
    """A few, in every run of the tests."""
    _live(0, 30, 10)
    assert yard().counted["release"]  # and not refusals alone


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shard", range(1, SHARDS + 1))
def test_many_lives(shard: int) -> None:
    """Many, and longer ones; `LIFECYCLE_LIVES` says how many a shard has."""
    _live(shard, LIVES, 14)
    assert yard().counted["release"] >= LIVES // 25  # and not refusals alone
