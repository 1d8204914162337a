"""Files written whole or not at all, and read strictly: regular files, canonical JSON."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lifecycle.domain.digests import canonical_json
from lifecycle.dossier.once import Digests, held, held_digests
from lifecycle.errors import IntegrityError, UnusableInputError

# What a file system says that is full, or cannot be written at all.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_OTHER_KIND = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV, errno.ENOTDIR)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Tell of a full disk by the name of what was to be written.

    The system names no file then, or the source of a copy.

    Raises:
        OSError: that names `target`; every other error as it was.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from None


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path`: readers see the old file or the new one, never a part.

    Raises:
        OSError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    with writing(path):
        _write_whole(path, data)


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: object) -> None:
    """Canonical JSON at `path`, whole or not at all."""
    write_whole(path, canonical_json(value))


def read_regular(
    path: Path, most: int | None = None, *, follow: bool = False
) -> tuple[bytes, os.stat_result]:
    """A regular file's bytes, and its state as it was read; no pipe is waited for.

    Args:
        path: the file.
        most: at most this many bytes and one more; all of them where None.
        follow: whether it may be a symbolic link to a regular file.

    Raises:
        OSError: ELOOP for a symbolic link, EISDIR for whatever else is not a regular file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EISDIR, "it is not a file", str(path))
        with open(handle, "rb", closefd=False) as file:
            return file.read(-1 if most is None else most + 1), state
    finally:
        os.close(handle)


def read_evidence(path: Path, most: int | None = None, *, follow: bool = False) -> bytes:
    """The bytes of a file that a decision rests on: of a regular file, at its very place.

    Args:
        path: the file.
        most: how large it may be, in bytes; None for any size.
        follow: whether it may be a symbolic link to a regular file (DVC links weights so).

    Inside `reading_once` these are the bytes of the first reading.

    Raises:
        IntegrityError: a link, a folder, a pipe or a device stands there, or it is too large.
        UnusableInputError: it is missing or cannot be read.
    """
    return held(path, lambda: _evidence(path, most, follow))


def evidence_digests(path: Path, *, follow: bool = False) -> Digests:
    """Digests of a file that a decision rests on; a large one is read once inside `reading_once`.

    Raises:
        IntegrityError: a link, a folder, a pipe or a device stands there.
        UnusableInputError: it is missing or cannot be read.
    """
    return held_digests(path, lambda: _evidence(path, None, follow))


def _evidence(path: Path, most: int | None, follow: bool) -> bytes:
    try:
        data, _ = read_regular(path, most, follow=follow)
    except OSError as error:
        if error.errno in _OTHER_KIND:
            raise IntegrityError(not_a_file(path)) from None
        if error.errno == errno.ENOENT:
            raise UnusableInputError(f"{path} is missing") from None
        raise UnusableInputError(f"{path} cannot be read: {error.strerror}") from None
    if most is not None and len(data) > most:
        raise IntegrityError(f"{path} is larger than {most} bytes; restore it from git")
    return data


def not_a_file(path: Path) -> str:
    """What is said where something else stands in a file's place."""
    if path.is_symlink():
        return f"{path} is a symbolic link; put in its place what it leads to"
    return f"{path} is not a file; take it away, and restore the file from git or by `dvc pull`"


def read_json(path: Path) -> Any:
    """A JSON file of our own working data.

    Raises:
        UnusableInputError: missing, or it cannot be read; the message names the file.
        IntegrityError: it was changed or is torn.
    """
    try:
        data, _ = read_regular(path, follow=True)
    except FileNotFoundError:
        raise UnusableInputError(f"{path} is missing; `dvc repro` makes it") from None
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be read: {error}") from None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} was changed or is torn: {error}; run `dvc repro`") from None


def read_fields(path: Path, fields: Mapping[str, type]) -> Any:
    """A JSON file of our own working data that has the fields which its reader needs.

    Args:
        path: the file.
        fields: dotted name -> type; a whole number is a `float` too.

    Raises:
        UnusableInputError: missing, or it cannot be read; the message names the file.
        IntegrityError: it was changed or is torn; names the field.
    """
    value = read_json(path)
    for name, kind in fields.items():
        found = value
        for key in name.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        whole = isinstance(found, int) and not isinstance(found, bool)
        if not (whole if kind is int else isinstance(found, kind) or (kind is float and whole)):
            raise IntegrityError(
                f"{path} was changed: field {name} is missing or no {_KINDS[kind]}; run `dvc repro`"
            )
    return value


_KINDS = {int: "whole number", float: "number", str: "text", dict: "object", list: "list"}


def read_record(path: Path) -> Any:
    """A record whose bytes must be canonical, so that no bit of it can change unseen.

    Raises:
        IntegrityError: the bytes are not the canonical bytes of what they say, or no regular file
            stands there.
        UnusableInputError: the file is missing or cannot be read.
    """
    return record_in(read_evidence(path), path)


def record_in(data: bytes, path: Path) -> Any:
    """The record that a file's bytes are.

    Raises:
        IntegrityError: they are not the canonical bytes of what they say.
    """
    try:
        value = json.loads(data)
        same = canonical_json(value) == data
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} was changed: it is not a record ({error})") from None
    if not same:
        raise IntegrityError(f"{path} was changed: its bytes are not those that were written")
    return value


@contextmanager
def folder_whole(target: Path) -> Iterator[Path]:
    """A folder to fill; it takes the place of `target` only when the block ends well.

    Raises:
        OSError: the disk is full or the parent cannot be written; `target` is as it was.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
        try:
            aside.chmod(0o755)
            yield aside
            _swap(aside, target)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def _swap(new: Path, target: Path) -> None:
    """Put a folder in another's place; the old one goes only when the new one stands."""
    if not target.exists():
        new.rename(target)
        return
    old = new.with_name(f"{new.name}.old")
    target.rename(old)
    try:
        new.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old)
