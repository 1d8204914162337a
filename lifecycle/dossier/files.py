"""Files written whole or not at all, and canonical JSON read strictly."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lifecycle.domain.digests import canonical_json
from lifecycle.errors import IntegrityError, UnusableInputError


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path`: readers see the old file or the new one, never a part.

    Raises:
        OSError: the disk is full or the folder cannot be written; `path` is as it was.
    """
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


def read_json(path: Path) -> Any:
    """A JSON file for working data.

    Raises:
        UnusableInputError: missing or malformed; the message names the file.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UnusableInputError(f"{path} is missing; `dvc repro` makes it") from None
    except (OSError, ValueError) as error:
        raise UnusableInputError(f"{path} cannot be read: {error}") from None


def read_record(path: Path) -> Any:
    """A record whose bytes must be canonical, so that no bit of it can change unseen.

    Raises:
        IntegrityError: the bytes are not the canonical bytes of what they say.
        UnusableInputError: the file is missing.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UnusableInputError(f"{path} is missing") from None
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
