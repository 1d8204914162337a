"""`lifecycle release sign-off` killed with -9 at any moment, and two sign-offs at once."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from unittest import mock

import pytest
from release_site import PASSPHRASE, Site, new_site, quiet_dvc
from support import environment

from lifecycle.release.keys import unlock
from lifecycle.workflows import signing
from lifecycle.workflows.auditing import verify
from lifecycle.workflows.boundary import guarded
from lifecycle.workflows.project import open_project
from lifecycle.workflows.signing import Proposal, propose_sign_off, sign

REFUSED = 22


@dataclass(frozen=True)
class Desk:
    """A site where everything before the signature is done."""

    site: Site
    proposals: dict[str, Proposal]
    keys: Mapping[Path, object]

    @property
    def releases(self) -> Path:
        return self.site.root / "dossier/wine/releases"

    def clear(self) -> None:
        """As before anybody signed."""
        shutil.rmtree(self.releases, ignore_errors=True)

    def sign(self, user: str, meaning: str) -> int:
        """The exit code of the signing itself: no question, no key to unlock."""

        def work() -> int:
            sign(self.proposals[meaning], self.site.key(user), PASSPHRASE)
            return 0

        with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
            return guarded(work)

    def records(self) -> int:
        """How many there are; the whole release verifies."""
        return verify(self.site.root, "wine").records


@pytest.fixture(scope="module")
def _desk(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    site = new_site(_built, tmp_path_factory.mktemp("desk"), ("ada", "rev", "app", "two"))
    with quiet_dvc():
        project = open_project("wine", site.root)
        proposals = {
            meaning: propose_sign_off(project, meaning) for meaning in ("review", "approval")
        }
    keys = {site.key(user): unlock(site.key(user), PASSPHRASE) for user in ("rev", "app", "two")}
    return Desk(site, proposals, keys)


@pytest.fixture
def desk(_desk: Desk) -> Iterator[Desk]:
    _desk.clear()
    with mock.patch.object(signing, "unlock", lambda path, passphrase: _desk.keys[path]):
        yield _desk


def _child(work: Callable[[], int]) -> int:
    """Its process number; it never returns into the tests."""
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            code = work()
        finally:
            os._exit(code)
    return pid


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _seconds(desk: Desk) -> float:
    """How long a signature takes in a child."""
    start = time.monotonic()
    assert _ended(_child(lambda: desk.sign("rev", "review"))) == 0
    desk.clear()
    return time.monotonic() - start


def _killed(desk: Desk, kills: int, seed: int) -> tuple[int, int, int]:
    """Kills until so many children died of them.

    Returns:
        How many tries left a record, how many left none, and how many of these left a case.
    """
    rng, whole, empty, orphans, done = random.Random(seed), 0, 0, 0, 0
    took = _seconds(desk)
    while done < kills:
        desk.clear()
        pid = _child(lambda: desk.sign("rev", "review"))
        time.sleep(rng.uniform(0.0, 1.2 * took))
        os.kill(pid, signal.SIGKILL)
        done += _ended(pid) == -signal.SIGKILL
        there = desk.records()
        whole += there
        empty += there == 0
        orphans += there == 0 and any((desk.releases / "cases").glob("*.json"))
        # the command runs again: done, or told that it was done
        assert desk.sign("rev", "review") == (REFUSED if there else 0)
        assert desk.records() == 1
        assert list(desk.releases.rglob(".new-*")) == []
    return whole, empty, orphans


@pytest.mark.slow
def test_killed_at_random_moments(desk: Desk) -> None:
    whole, empty, _ = _killed(desk, 40, 1)
    assert whole and empty
    assert desk.sign("app", "approval") == 0
    assert verify(desk.site.root, "wine").standings[0].releases


def _deadly(real: Callable[..., object], left: list[int]) -> Callable[..., object]:
    def wrapped(*args: object, **kwargs: object) -> object:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    return wrapped


def _sign_and_die_at(desk: Desk, call: int) -> int:
    """The process kills itself before its n-th call that touches files."""
    left = [call]
    for name in ("open", "write", "fchmod", "fsync", "link", "mkdir", "close", "unlink"):
        setattr(os, name, _deadly(getattr(os, name), left))
    fcntl.flock = _deadly(fcntl.flock, left)  # type: ignore[assignment]
    return desk.sign("rev", "review")


def test_killed_at_every_file_operation(desk: Desk) -> None:
    left = set()
    for call in range(1, 200):
        desk.clear()
        killed = _ended(_child(partial(_sign_and_die_at, desk, call))) == -signal.SIGKILL
        there = desk.records()
        left.add((there, any((desk.releases / "cases").glob("*.json"))))
        if not killed:
            break
        assert desk.sign("rev", "review") == (REFUSED if there else 0)
        assert desk.records() == 1
    assert not killed and call > 20
    # nothing, a case without its record, both; never a record without its case
    assert left == {(0, False), (0, True), (1, True)}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments_220_times(desk: Desk) -> None:
    whole, empty, orphans = _killed(desk, 220, 2)
    assert whole and empty
    assert orphans > 0  # killed between the case and the record: the next try takes the case up


def _command(site: Site, user: str, meaning: str) -> subprocess.Popen[str]:
    words = ("--meaning", meaning, "--key", str(site.key(user)), "--yes")
    return subprocess.Popen(
        ["lifecycle", "release", "sign-off", "wine", *words], cwd=site.root, text=True,
        env=environment(LIFECYCLE_PASSPHRASE=PASSPHRASE), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def _end(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out + err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_installed_command_killed(desk: Desk) -> None:
    rng, start = random.Random(3), time.monotonic()
    code, said = _end(_command(desk.site, "rev", "review"))
    took = time.monotonic() - start
    assert code == 0, said
    for _ in range(8):
        desk.clear()
        process = _command(desk.site, "rev", "review")
        time.sleep(rng.uniform(0.5 * took, 1.1 * took))
        os.killpg(process.pid, signal.SIGKILL)
        _end(process)
        there = desk.records()
        code, said = _end(_command(desk.site, "rev", "review"))
        assert code == (REFUSED if there else 0), said
        assert desk.records() == 1


# ---- two at once


def _at_once(desk: Desk, *who: tuple[str, str]) -> list[int]:
    """Exit codes of signatures that begin together."""
    start = time.time() + 0.1

    def at(user: str, meaning: str) -> int:
        time.sleep(max(0.0, start - time.time()))
        return desk.sign(user, meaning)

    pids = [_child(partial(at, *one)) for one in who]
    return [_ended(pid) for pid in pids]


def test_two_people_at_once_sign_one_after_the_other(desk: Desk) -> None:
    for _ in range(10):
        desk.clear()
        assert _at_once(desk, ("rev", "review"), ("app", "approval")) == [0, 0]
        assert desk.records() == 2
        assert verify(desk.site.root, "wine").standings[0].releases


def test_of_one_person_twice_at_once_one_is_refused(desk: Desk) -> None:
    for _ in range(5):
        desk.clear()
        codes = _at_once(desk, ("two", "review"), ("two", "approval"), ("two", "review"))
        assert sorted(codes) == [0, REFUSED, REFUSED]
        assert desk.records() == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_installed_commands_at_once(desk: Desk) -> None:
    who = (("rev", "review"), ("app", "approval"))
    ended = [_end(process) for process in [_command(desk.site, *one) for one in who]]
    codes = [code for code, _ in ended]
    assert 0 in codes and set(codes) <= {0, REFUSED}, ended
    assert desk.records() == codes.count(0)
    for (code, said), one in zip(ended, who, strict=True):
        if code == REFUSED:  # DVC lets one process ask at a time
            assert "`dvc status` does not answer" in said
            assert _end(_command(desk.site, *one))[0] == 0
    assert desk.records() == 2
