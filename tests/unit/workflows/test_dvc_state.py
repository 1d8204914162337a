"""What a killed DVC leaves is healed where it is a note only, else named with the cure."""

from __future__ import annotations

import fcntl
import json
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lifecycle.errors import UnusableInputError
from lifecycle.workflows import dvc_state, readiness, rebuild
from lifecycle.workflows.dvc_state import output, require_whole, wait_until_free

LOCK = b"""\
schema: '2.0'
stages:
  gate@wine:
    cmd: python -m pipelines.gate wine
    deps:
    - path: work/wine/a.json
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 3
    outs:
    - path: dossier/wine/current.json
      hash: md5
      md5: 0123456789abcdef0123456789abcdef
      size: 3
"""
POINTER = b"outs:\n- md5: 0123456789abcdef0123456789abcdef\n  size: 3\n  hash: md5\n  path: a\n"
NOTES = {"write": {"/p/a": {"pid": 1, "cmd": "dvc repro"}}, "read": {}}
FILES = {
    "dvc.lock": LOCK,
    "pipelines/environment/dvc.lock": LOCK,
    "weights/wine/a.safetensors.dvc": POINTER,
    ".dvc/config": b"[core]\n    analytics = false\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / ".dvc/tmp").mkdir()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def commit(root: Path) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run(["git", *identity, *command], cwd=root, check=True)


def test_what_is_whole_is_left_alone(root: Path) -> None:
    notes = root / ".dvc/tmp/rwlock"
    for said in (NOTES, {}, {"read": {"/p/a": [{"pid": 2, "cmd": "dvc status"}]}, "write": {}}):
        notes.write_text(json.dumps(said))
        require_whole(root)
        assert json.loads(notes.read_text()) == said
    assert {name: (root / name).read_bytes() for name in FILES} == FILES


def test_a_project_without_any_of_the_files(tmp_path: Path) -> None:
    require_whole(tmp_path)
    wait_until_free(tmp_path)


TORN = [b"", b"{", json.dumps(NOTES).encode()[:-3], b"[]", b'{"other": 1}', b'{"write": []}',
        b'{"read": {"a": 3}}', b'{"write": {"a": {"pid": "1", "cmd": "x"}}}', b"\0" * 40,
        b"[" * 100_000]  # fmt: skip


@pytest.mark.parametrize("data", TORN)
def test_torn_notes_of_running_processes_are_removed(root: Path, data: bytes) -> None:
    (root / ".dvc/tmp/rwlock").write_bytes(data)
    require_whole(root)
    assert not (root / ".dvc/tmp/rwlock").exists()


def test_notes_that_a_living_process_is_writing_are_not_removed(root: Path) -> None:
    path = root / ".dvc/tmp/rwlock"
    path.write_bytes(b"")
    with (root / ".dvc/tmp/rwlock.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def finish() -> None:
            time.sleep(0.3)
            path.write_text(json.dumps(NOTES))
            fcntl.flock(held, fcntl.LOCK_UN)

        writer = threading.Thread(target=finish)
        writer.start()
        require_whole(root)
        writer.join()
    assert json.loads(path.read_text()) == NOTES


def test_notes_that_are_written_for_ever_are_not_waited_for_for_ever(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_state, "WAIT", 0.1)
    (root / ".dvc/tmp/rwlock").write_bytes(b"")
    with (root / ".dvc/tmp/rwlock.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UnusableInputError, match="another DVC process is writing"):
            require_whole(root)


DAMAGED = [
    (name, data)
    for name in FILES
    for data in (b"", FILES[name][: len(FILES[name]) // 2], b"\0" * 30, b"[1", b"\xff\xfe")
    if name != ".dvc/config" or data[:1] not in (b"", b"[")
]


@pytest.mark.parametrize(("name", "data"), DAMAGED)
def test_a_torn_file_is_named_with_the_command_that_brings_it_back(
    root: Path, name: str, data: bytes
) -> None:
    commit(root)
    (root / name).write_bytes(data)
    with pytest.raises(UnusableInputError) as found:
        require_whole(root)
    assert str(root / name) in str(found.value)
    cure = f"git checkout -- {name}"
    assert f"`{cure}`" in str(found.value)
    subprocess.run(cure.split(), cwd=root, check=True)  # it is the cure
    require_whole(root)


def test_a_torn_file_that_git_does_not_have_yet(root: Path) -> None:
    for name, cure in (
        ("dvc.lock", "`rm dvc.lock`"),
        ("weights/wine/a.safetensors.dvc",
         "`rm weights/wine/a.safetensors.dvc` and `dvc add weights/wine/a.safetensors`"),
    ):  # fmt: skip
        before = (root / name).read_bytes()
        (root / name).write_bytes(b"")
        with pytest.raises(UnusableInputError) as found:
            require_whole(root)
        assert cure in str(found.value)
        (root / name).write_bytes(before)


def test_a_file_that_was_empty_in_git_too_is_not_fetched_from_there(root: Path) -> None:
    (root / "dvc.lock").write_bytes(b"")
    commit(root)
    with pytest.raises(UnusableInputError, match=r"`rm dvc\.lock`"):
        require_whole(root)


def fake(root: Path, code: str) -> list[str]:
    (root / "fake.py").write_text(code)
    return ["python", "fake.py"]


def test_another_dvc_process_is_waited_for(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dvc_state, "_STEP", 0.01)
    command = fake(
        root,
        """
import pathlib, sys
count = pathlib.Path("count"); n = int(count.read_text()) if count.exists() else 0
count.write_text(str(n + 1))
if n < 2:
    sys.exit("ERROR: Unable to acquire lock. Most likely another DVC process is running")
print("{}")
""",
    )
    assert output(root, command) == ("{}\n", "")
    assert (root / "count").read_text() == "3"
    assert capsys.readouterr().err.count("waiting for it") == 1


def test_it_is_waited_for_with_a_bound(root: Path) -> None:
    command = fake(root, "import sys; sys.exit(\"'a' is busy, it is being blocked by: (PID 1)\")")
    found, said = output(root, command, wait=0)
    assert found is None
    assert "is busy" in said


def test_another_failure_is_not_tried_again(root: Path) -> None:
    command = fake(root, "open('n', 'a').write('x'); raise SystemExit('ERROR: no such stage')")
    assert output(root, command) == (None, "ERROR: no such stage")
    assert (root / "n").read_text() == "x"
    assert output(root, ["/no/such/program"])[0] is None


def test_a_held_project_is_waited_for_with_a_bound(root: Path) -> None:
    with (root / ".dvc/tmp/lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UnusableInputError, match="another DVC process holds"):
            wait_until_free(root, wait=0.1)
    wait_until_free(root, wait=0)


def test_a_lock_of_a_dead_process_holds_nobody(root: Path) -> None:
    (root / ".dvc/tmp/lock").write_text(" 99999999\n")
    wait_until_free(root, wait=0)


def test_it_is_looked_at_before_dvc_is_started(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rebuild (and build, report, gate: the same function) and of a sign-off's `dvc status`."""
    (root / "dvc.lock").write_bytes(b"")
    started: list[object] = []
    monkeypatch.setattr(subprocess, "run", lambda *given, **named: started.append(given))
    monkeypatch.setattr(dvc_state, "_in_git", lambda *given: False)
    with pytest.raises(UnusableInputError, match=r"dvc\.lock is empty"):
        rebuild._repro(root, [])

    class Project:
        name = "wine"

    project = Project()
    project.root = root  # type: ignore[attr-defined]
    with pytest.raises(UnusableInputError, match=r"dvc\.lock is empty"):
        readiness._status_said(project)  # type: ignore[arg-type]
    assert not started
