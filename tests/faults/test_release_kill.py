"""Killed while a record is put in its place: none or a whole one, and the next try is right."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from signing import Lab, new_lab

from lifecycle.release import files
from lifecycle.release.keys import create, unlock

CALLS = ("open", "write", "fchmod", "fsync", "link", "unlink", "close", "listdir", "mkdir", "read")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return new_lab(tmp_path / "lab")


def _child(work: Callable[[], None]) -> int:
    """Run in a process of its own; it never returns into the tests."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(3)
    return pid


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _die_at(call: int) -> None:
    """From now on, the process kills itself before its n-th call to the system's files."""
    left = [call]

    def deadly(real):
        def wrapped(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return wrapped

    for name in CALLS:
        setattr(os, name, deadly(getattr(os, name)))
    fcntl.flock = deadly(fcntl.flock)


def _killed_at(call: int, work: Callable[[], None]) -> bool:
    """Whether the work was killed; false once it has fewer calls."""

    def run() -> None:
        _die_at(call)
        work()
        os._exit(0)

    code = _ended(_child(run))
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.mark.parametrize("unnamed", [True, False])
def test_killed_at_every_file_operation(
    lab: Lab, unnamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not unnamed:
        monkeypatch.setattr(files, "_unnamed", lambda *args: False)
    lab.add("rev")
    seen = set()
    for call in range(1, 100):
        here = Lab(Path(shutil.copytree(lab.root, lab.root.with_name(f"at-{call}"))), lab.keys)
        before = here.chain().links
        killed = _killed_at(call, lambda here=here: here.add("rev") and None)
        after = here.chain().links
        assert [link.digest for link in after[:1]] == [link.digest for link in before]
        seen.add(len(after) - len(before))
        if not killed:
            break
        here.add("rev")  # the command runs again
        assert list(here.releases.glob(".new-*")) == []
    assert not killed
    assert call > 10
    assert seen == {0, 1}


def test_a_key_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    for call in range(1, 50):
        path = tmp_path / f"{call}.pem"
        killed = _killed_at(call, lambda path=path: create(path, "passphrase") and None)
        if path.exists():
            assert unlock(path, "passphrase")
        if not killed:
            break
    assert path.exists()
    assert call > 5


def _kill_at_random(root: Path, kills: int, seed: int) -> int:
    """Children append without end and are killed; returns how many records they left."""
    rng, made = random.Random(seed), 0
    for at in range(kills):
        if at % 20 == 0:  # short chains: the more appends, the more kills within one
            lab = new_lab(root / str(at))
        start = time.monotonic()
        lab.add("rev")
        took = time.monotonic() - start
        known = lab.chain().links
        pid = _child(lambda lab=lab: _endless(lab))
        time.sleep(rng.uniform(0.0, min(3 * took, 0.1)))
        os.kill(pid, signal.SIGKILL)
        assert _ended(pid) == -signal.SIGKILL
        links = lab.chain().links
        assert links[: len(known)] == known
        made += len(links) - len(known)
    return made


def _endless(lab: Lab) -> None:
    while True:
        lab.add("rev")


def test_killed_at_random_moments(tmp_path: Path) -> None:
    assert _kill_at_random(tmp_path, 60, 1) > 5


@pytest.mark.slow
def test_killed_at_random_moments_250_times(tmp_path: Path) -> None:
    assert _kill_at_random(tmp_path, 250, 2) > 20
