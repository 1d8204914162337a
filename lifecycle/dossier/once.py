"""Every file read one time, so that what was checked is what is used.

A check of a file that is read again afterwards says nothing of what is read then: the file, or the
folder above it, may be exchanged in between. Inside `reading_once` every reader of evidence gets
the bytes of the first reading, so whatever was held to a signed digest is what is judged, shown and
loaded.

A context and not an argument: the readers are many and lie deep, and one that forgot to pass the
argument on would open the gap again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from lifecycle.domain.digests import sha256
from lifecycle.errors import IntegrityError

LARGE = 32 << 20  # bytes; of larger files (weights) the last one alone is held in memory


@dataclass(frozen=True, slots=True)
class Digests:
    """What one reading of a file came to.

    Attributes:
        sha256: of its bytes.
        md5: of its bytes, as DVC's pointers have it; no protection.
        size: in bytes.
    """

    sha256: str
    md5: str
    size: int


@dataclass(slots=True)
class Once:
    """What was read so far: bytes of each file, of large ones their digests and the last alone."""

    small: dict[str, bytes] = field(default_factory=dict)
    large: dict[str, Digests] = field(default_factory=dict)
    last: tuple[str, bytes] | None = None

    def bytes_of(self, path: Path, read: Callable[[], bytes]) -> bytes:
        """The bytes of the first reading.

        Raises:
            IntegrityError: a large file, which had to be read again, is another one now.
        """
        key = os.path.abspath(path)  # noqa: PTH100  # a link stays the name of what was read
        if key in self.small:
            return self.small[key]
        if self.last is not None and self.last[0] == key:
            return self.last[1]
        return self._kept(key, path, read)

    def _kept(self, key: str, path: Path, read: Callable[[], bytes]) -> bytes:
        before = self.large.get(key)
        data = read()
        if before is not None and sha256(data) != before.sha256:
            raise IntegrityError(f"{path} was changed while it was checked; begin again")
        if len(data) <= LARGE and before is None:
            self.small[key] = data
        else:
            self.large[key] = before or _digests(data)
            self.last = (key, data)
        return data

    def digests_of(self, path: Path, read: Callable[[], bytes]) -> Digests:
        """Digests of the first reading."""
        key = os.path.abspath(path)  # noqa: PTH100
        if key in self.large:
            return self.large[key]
        return _digests(self.bytes_of(path, read))


def _digests(data: bytes) -> Digests:
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Digests(sha256(data), md5, len(data))


_HELD: ContextVar[Once | None] = ContextVar("read once", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """Inside, a file of evidence has the bytes of its first reading, however often it is asked for.

    Usable as a decorator too. A block within a block shares what the outer one has read. Never
    around a wait for a lock: what others wrote meanwhile would not be seen.
    """
    if _HELD.get() is not None:
        yield
        return
    token = _HELD.set(Once())
    try:
        yield
    finally:
        _HELD.reset(token)


def held(path: Path, read: Callable[[], bytes]) -> bytes:
    """The bytes of a file: those of its first reading inside `reading_once`, else read now."""
    store = _HELD.get()
    return read() if store is None else store.bytes_of(path, read)


def held_digests(path: Path, read: Callable[[], bytes]) -> Digests:
    """Digests of a file: of its first reading inside `reading_once`, else of what is there now."""
    store = _HELD.get()
    return _digests(read()) if store is None else store.digests_of(path, read)
