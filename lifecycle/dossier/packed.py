"""Packed files of people, unpacked within a bound: two megabytes can hold two thousand.

A file may unpack to `SMALLEST` bytes, or to `RATIO` times its own size where that is more; tables
of decimals shrink to a third or a tenth. `LIFECYCLE_LARGEST_UNPACKED` sets another limit.
"""

from __future__ import annotations

import os
import re
import zlib

from lifecycle.errors import UnusableInputError

VARIABLE = "LIFECYCLE_LARGEST_UNPACKED"
SMALLEST = 1 << 30
RATIO = 20
_SIZE = re.compile(r"(?P<number>[1-9][0-9]{0,14})(?P<unit>[KMGT]?)")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_STEP = 1 << 20


class DamagedError(ValueError):
    """Packed bytes that end early or are damaged; the message says which."""

    def __init__(self, torn: bool, said: str) -> None:
        super().__init__(said)
        self.torn = torn


def largest(packed: int) -> int:
    """Bytes that a file of `packed` bytes may unpack to.

    Raises:
        UnusableInputError: the environment names a limit that is none.
    """
    named = os.environ.get(VARIABLE)
    if named is None:
        return max(SMALLEST, RATIO * packed)
    match = _SIZE.fullmatch(named)
    if match is None:
        raise UnusableInputError(
            f"{VARIABLE} is {named!r}; give bytes, or a number with K, M, G or T, such as 8G"
        )
    return int(match["number"]) * _UNITS[match["unit"]]


def require_size(size: int, packed: int, name: str) -> None:
    """A file unpacks to no more than it may.

    Raises:
        UnusableInputError: it unpacks to more; names it, the limit and how to raise it.
    """
    limit = largest(packed)
    if size > limit:
        raise UnusableInputError(
            f"{name} has {packed} bytes and unpacks to more than {limit}; if it is meant to, set "
            f"{VARIABLE} to a larger limit, such as 8G"
        )


def gunzip(data: bytes, name: str) -> bytes:
    """The content of a gzip file of one or more members, never more of it than it may have.

    Raises:
        DamagedError: it ends early or is damaged.
        UnusableInputError: it unpacks to more than it may.
    """
    limit = largest(len(data))
    parts: list[bytes] = []
    size, rest = 0, data
    while rest:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while not stream.eof:
            try:
                part = stream.decompress(rest, _STEP)
            except zlib.error as error:
                raise DamagedError(False, str(error)) from None
            rest = stream.unconsumed_tail
            size += len(part)
            require_size(size, len(data), name) if size > limit else None
            parts.append(part)
            if not part and not rest and not stream.eof:
                raise DamagedError(True, "the gzip stream ends early")
        rest = stream.unused_data.lstrip(b"\0")  # padding after the last member is allowed
    return b"".join(parts)
