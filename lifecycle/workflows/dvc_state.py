"""DVC's own files, looked at before DVC is started: what a killed DVC left is healed or named.

DVC writes some of its files in place. Killed at the wrong moment it leaves them empty or torn, and
every later command of it then ends without a cure.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lifecycle.dossier.files import read_regular
from lifecycle.errors import UnusableInputError
from lifecycle.workflows.boundary import say

WAIT = 120.0  # seconds that another DVC process is waited for
_STEP = 0.5
_LARGEST = 64 << 20  # bytes of a file of DVC's own
# What DVC says where another process of it is at work; it has waited three seconds by then.
_BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")


def require_whole(root: Path) -> None:
    """DVC's files can be read; an empty or torn note of running processes is removed.

    Raises:
        UnusableInputError: a file is empty or torn; names it, and the command that restores it.
    """
    _heal_notes(root / ".dvc" / "tmp")
    for path in _configs(root):
        _require(root, path, _is_config)
    for path in _locks(root):
        _require(root, path, _is_lock)
    for path in _pointers(root):
        _require(root, path, _is_pointer)


def output(
    root: Path,
    command: Sequence[str],
    wait: float = WAIT,
    environment: Mapping[str, str] | None = None,
) -> tuple[str | None, str]:
    """Standard output of a DVC command, None where it fails; and the last that it said of that.

    Another DVC process is waited for: two people may sign at the same time.

    Args:
        root: where it runs.
        command: program and arguments.
        wait: seconds.
        environment: of the command; this process's own where None.
    """
    end = time.monotonic() + wait
    told = False
    while True:
        try:
            done = subprocess.run(
                command, cwd=root, env=environment, capture_output=True, text=True, check=False
            )
        except OSError as error:
            return None, str(error)
        if done.returncode == 0:
            return done.stdout, ""
        said = " ".join(done.stderr.split())
        if not any(sign in said for sign in _BUSY) or time.monotonic() >= end:
            return None, said[-300:]
        if not told:
            say("another DVC process is at work here; waiting for it")
            told = True
        time.sleep(_STEP)


def wait_until_free(root: Path, wait: float = WAIT) -> None:
    """Wait for another DVC process that has the project to itself, then go on.

    Raises:
        UnusableInputError: it still had it after `wait` seconds.
    """
    path = root / ".dvc" / "tmp" / "lock"
    if not path.is_file():
        return
    with _alone(path, wait) as free:
        if not free:
            raise UnusableInputError(
                f"another DVC process holds {path}, and did after {wait:g} seconds; wait for it to "
                "end and run the command again"
            )


def _heal_notes(folder: Path) -> None:
    """Remove `rwlock` where it cannot be read: notes of running processes, no more.

    DVC changes it under `rwlock.lock`, which dies with its process. Whoever holds that lock and
    finds it torn knows that its writer is dead. A whole one is never touched: DVC itself forgets
    the processes in it that have ended.

    Raises:
        UnusableInputError: a DVC process is writing it all the time.
    """
    path = folder / "rwlock"
    if not path.is_file() or _is_notes(path.read_bytes()):
        return
    with _alone(folder / "rwlock.lock", WAIT) as free:
        if not free:
            raise UnusableInputError(
                f"another DVC process is writing {path}; wait for it to end and run the command "
                "again"
            )
        if path.is_file() and not _is_notes(path.read_bytes()):
            path.unlink()
            say(f"{path} was empty or torn (a DVC process was killed); removed")


@contextmanager
def _alone(path: Path, wait: float) -> Iterator[bool]:
    """Hold a lock file of DVC's as DVC does; whether it could be had."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        yield _taken(handle, time.monotonic() + wait)
    finally:
        os.close(handle)


def _taken(handle: int, end: float) -> bool:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)
        else:
            return True


def _is_notes(data: bytes) -> bool:
    """Whether DVC could read it: `{"read": {path: [note]}, "write": {path: note}}`."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict) or set(value) - {"read", "write"}:
        return False
    read, write = value.get("read", {}), value.get("write", {})
    if not isinstance(read, dict) or not isinstance(write, dict):
        return False
    lists = all(isinstance(one, list) for one in read.values())
    return lists and all(
        map(_is_note, [*write.values(), *(n for one in read.values() for n in one)])
    )


def _is_note(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"pid", "cmd"}
        and type(value["pid"]) is int
        and isinstance(value["cmd"], str)
    )


def _configs(root: Path) -> list[Path]:
    return [root / ".dvc" / name for name in ("config", "config.local")]


def _locks(root: Path) -> list[Path]:
    """`dvc.lock` beside every `dvc.yaml`."""
    return [root / "dvc.lock", *sorted((root / "pipelines").glob("*/dvc.lock"))]


def _pointers(root: Path) -> list[Path]:
    return sorted((root / "weights").glob("*/*.dvc"))


def _require(root: Path, path: Path, whole: Callable[[bytes], bool]) -> None:
    try:
        data, _ = read_regular(path, _LARGEST, follow=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > _LARGEST or not whole(data):
        raise UnusableInputError(
            f"{path} is {'torn' if data else 'empty'} (a DVC process was killed while it wrote "
            f"it): {_cure(root, path)}, and run the command again"
        )


def _cure(root: Path, path: Path) -> str:
    """The command that brings a file back."""
    name = path.relative_to(root).as_posix()
    if _in_git(root, name):
        return f"run `git checkout -- {name}`"
    if path.suffix == ".dvc":
        return f"run `rm {name}` and `dvc add {name.removesuffix('.dvc')}`"
    if path.name == "dvc.lock":
        return f"run `rm {name}` (git does not have it yet; the stages then run anew)"
    return f"run `rm {name}` and set again what it said"


def _in_git(root: Path, name: str) -> bool:
    """Whether the newest commit has the file, and not empty as well."""
    try:
        done = subprocess.run(
            ["git", "cat-file", "-s", f"HEAD:./{name}"],
            cwd=root, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() not in ("", "0")


def _mapping(data: bytes) -> Mapping[Any, Any]:
    """The mapping that all of DVC's YAML files are; an empty one where it is none, or was cut off.

    One that was cut off between two lines may be whole YAML: DVC then finds a stage changed, and
    runs it again.
    """
    if not data.endswith(b"\n"):
        return {}
    try:
        value = YAML(typ="safe").load(data.decode("utf-8"))
    except (ValueError, KeyError, RecursionError, YAMLError):
        return {}
    return value if isinstance(value, Mapping) else {}


def _is_lock(data: bytes) -> bool:
    """Whether each stage of a `dvc.lock` has its command, and each file of it its path."""
    value = _mapping(data)
    stages = value.get("stages")
    return (
        isinstance(value.get("schema"), str)
        and isinstance(stages, Mapping)
        and all(isinstance(one, Mapping) and "cmd" in one and _has_paths(one, ("deps", "outs"))
                for one in stages.values())
    )  # fmt: skip


def _is_pointer(data: bytes) -> bool:
    """Whether a `.dvc` file names what it points to."""
    value = _mapping(data)
    return bool(value.get("outs")) and _has_paths(value, ("outs",))


def _has_paths(value: Mapping[Any, Any], keys: Sequence[str]) -> bool:
    lists = [value.get(key, []) for key in keys]
    return all(
        isinstance(one, list) and all(isinstance(e, Mapping) and "path" in e for e in one)
        for one in lists
    )


def _is_config(data: bytes) -> bool:
    """Whether it can be read; empty is what a project without remotes has."""
    try:
        ConfigParser(interpolation=None).read_string(data.decode("utf-8"))
    except (ValueError, ConfigError):
        return False
    return b"\0" not in data
