"""Several who sign at once: one after the other, and no fork."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from signing import Lab, new_lab

from lifecycle.errors import SignOffRefusedError
from lifecycle.release.chain import Chain, append
from lifecycle.release.files import locked

EACH = 8


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return new_lab(tmp_path)


def _at_once(*works: Callable[[], None]) -> list[int]:
    """Processes that start together; 0 where the work was done, 22 where it was refused."""
    start = time.time() + 0.1
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            code = 3
            try:
                time.sleep(max(0.0, start - time.time()))
                work()
                code = 0
            except SignOffRefusedError:
                code = 22
            finally:
                os._exit(code)
        pids.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def test_writers_of_different_kinds_follow_one_another(lab: Lab) -> None:
    def sign() -> None:
        for _ in range(EACH):
            lab.add("rev")

    def refuse() -> None:
        for _ in range(EACH):
            lab.decide("refusal", "app", "approval")

    assert _at_once(sign, refuse, sign, refuse) == [0] * 4
    links = lab.chain().links
    assert len(links) == 4 * EACH
    assert {link.record.kind for link in links} == {"sign-off", "refusal"}


def test_of_two_who_want_the_same_the_second_is_told(lab: Lab) -> None:
    def once() -> None:
        def make(chain: Chain) -> tuple[str, bytes]:
            if chain.links:
                raise SignOffRefusedError("signed already")
            time.sleep(0.1)
            return lab.sealed(lab.record(chain))

        append(lab.releases, "wine", lab.rosters, make)

    assert sorted(_at_once(once, once, once)) == [0, 22, 22]
    assert len(lab.chain().links) == 1


def test_two_rosters_at_once_follow_one_another(lab: Lab) -> None:
    def add() -> None:
        lab.roster(lab.people())

    assert _at_once(add, add, add) == [0] * 3
    assert [roster.version for roster in lab.rosters()] == [1, 2, 3, 4]


def test_readers_see_whole_chains_only(lab: Lab) -> None:
    def write() -> None:
        for _ in range(20):
            lab.add("rev")

    def look() -> None:
        while len(lab.chain().links) < 20:
            pass

    assert _at_once(write, look) == [0, 0]


def test_a_signer_who_never_ends_is_told_of(lab: Lab) -> None:
    def hold() -> None:
        with locked(lab.releases):
            time.sleep(1.5)

    def try_it() -> None:
        time.sleep(0.3)
        append(lab.releases, "wine", lab.rosters, lambda c: lab.sealed(lab.record(c)), wait=0.2)

    assert _at_once(hold, try_it) == [0, 22]
    assert lab.add("rev").record.number == 1  # the lock went with its holder
