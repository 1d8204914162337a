"""Files that are written once and never again: whole or not at all, by one writer at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from lifecycle.dossier import files
from lifecycle.dossier.files import read_evidence
from lifecycle.errors import IntegrityError, SignOffRefusedError, UnusableInputError

LOCK = ".lock"
MOST_BYTES = 4 << 20  # no record of ours is a hundredth of it
WAIT = 30.0  # seconds; an append takes milliseconds
_LEFT_OVER = re.compile(r"\.new-[0-9a-f]{16}")
_NO_UNNAMED = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.EPERM}


def place_once(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put `data` at `path` for ever: killed at any moment, it is there whole or not at all.

    Raises:
        FileExistsError: something is there; it stays as it is.
        OSError: the disk is full or the folder cannot be written; nothing is there.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not _unnamed(folder, path.name, data, mode):
            _named(folder, path.name, data, mode)
        os.fsync(folder)
    finally:
        os.close(folder)


def _unnamed(folder: int, name: str, data: bytes, mode: int) -> bool:
    """Write a file without a name, then name it; False where the file system cannot."""
    try:
        handle = os.open(".", os.O_TMPFILE | os.O_WRONLY, mode, dir_fd=folder)
    except OSError as error:
        if error.errno in _NO_UNNAMED:
            return False
        raise
    try:
        _fill(handle, data, mode)
        # with a folder given, os.link is linkat(2), which follows the link in /proc
        os.link(f"/proc/self/fd/{handle}", name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileNotFoundError:  # no /proc here
        return False
    finally:
        os.close(handle)
    return True


def _named(folder: int, name: str, data: bytes, mode: int) -> None:
    """Write a file beside, then give it its name; what a kill leaves is ignored by readers."""
    aside = f".new-{secrets.token_hex(8)}"
    handle = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode, dir_fd=folder)
    try:
        try:
            _fill(handle, data, mode)
        finally:
            os.close(handle)
        os.link(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.unlink(aside, dir_fd=folder)


def _fill(handle: int, data: bytes, mode: int) -> None:
    os.fchmod(handle, mode)
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.fsync(handle)


def read_plain(path: Path, most: int = MOST_BYTES) -> bytes:
    """A regular file's bytes; no symbolic link is followed, no pipe waited for.

    Raises:
        IntegrityError: it is a link, a folder or a device, or larger than `most` bytes.
        UnusableInputError: it is missing or cannot be read.
    """
    return read_evidence(path, most)


def read_regular(path: Path, most: int) -> tuple[bytes, os.stat_result]:
    """At most `most` + 1 bytes of a regular file, and its state as it was read.

    Raises:
        OSError: ELOOP for a symbolic link, EISDIR for whatever else is not a regular file.
    """
    return files.read_regular(path, most)


@contextmanager
def locked(folder: Path, wait: float = WAIT) -> Iterator[None]:
    """Alone with a folder, against every other process that asks; a kill frees it.

    Raises:
        SignOffRefusedError: another process holds it for longer than `wait` seconds.
        UnusableInputError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise UnusableInputError(f"{folder} cannot be written: {error.strerror}") from None
    try:
        _take(handle, folder, wait)
        _sweep(folder)
        yield
    finally:
        os.close(handle)


def _take(handle: int, folder: Path, wait: float) -> None:
    end = time.monotonic() + wait
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise SignOffRefusedError(
                    f"{folder / LOCK}: someone else is signing here, and was after {wait:g} "
                    "seconds; nothing was written: run the command again when they are done"
                ) from None
            time.sleep(0.02)


def _sweep(folder: Path) -> None:
    """Remove what a killed writer left; under the lock there is no other writer."""
    for name in os.listdir(folder):  # noqa: PTH208 - names, not paths
        if _LEFT_OVER.fullmatch(name):
            (folder / name).unlink(missing_ok=True)


def numbered(
    folder: Path, pattern: re.Pattern[str], also: Collection[str] = ()
) -> list[tuple[re.Match[str], Path]]:
    """Files 00001…, 00002…, … of a folder, in order; none where there is no folder.

    Args:
        folder: where they stand.
        pattern: what a whole name looks like; its group `number` has five digits.
        also: names of folders that may stand there too.

    Raises:
        IntegrityError: a stranger, a link, a gap, or a number that two files have; the folder or
            the one above is a link, or no folder.
    """
    for place in (folder.parent, folder):
        require_folder(place)
    if not folder.exists():
        return []
    found = []
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names, not paths
        path, match = folder / name, pattern.fullmatch(name)
        if match is not None and not path.is_symlink():
            found.append((match, path))
        elif not _harmless(path, also):
            raise IntegrityError(f"{path} does not belong there: take it away, or restore from git")
    _require_contiguous(folder, found)
    return found


def require_folder(path: Path) -> None:
    """What stands there is a folder itself; nothing may stand there.

    Raises:
        IntegrityError: a link, which leads to what nobody signed, or a file.
    """
    if path.is_symlink():
        raise IntegrityError(f"{path} is a symbolic link; put in its place what it leads to")
    if path.exists() and not path.is_dir():
        raise IntegrityError(f"{path} is not a folder; restore it from git")


def _harmless(path: Path, also: Collection[str]) -> bool:
    if path.is_symlink():
        return False
    return bool(path.name == LOCK or _LEFT_OVER.fullmatch(path.name)) or (
        path.name in also and path.is_dir()
    )


def _require_contiguous(folder: Path, found: list[tuple[re.Match[str], Path]]) -> None:
    for at, (match, path) in enumerate(found):
        number = int(match["number"])
        if at and number == int(found[at - 1][0]["number"]):
            raise IntegrityError(
                f"{found[at - 1][1]} and {path.name} have the same number: two branches that each "
                "signed were merged; keep the records of the branch that others rely on, take the "
                "other's away (git keeps them), and have those decisions signed again"
            )
        if number != at + 1:
            raise IntegrityError(
                f"{folder}: number {at + 1:05d} is missing before {path.name}; restore it from git"
            )
