"""Arrays of ours in files (.npy), read strictly: a header as NumPy writes it, and nothing beyond.

`np.load` hands the header to Python's own parser, which answers a changed byte with nearly any
exception, and believes a shape of any size. Here a header is one pattern, and the file must be as
long as its array says, before a byte of it is read.
"""

from __future__ import annotations

import math
import os
import re
import stat
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.errors import IntegrityError, UnusableInputError

_MAGIC = b"\x93NUMPY"
_LONGEST = 1 << 16  # bytes of a header; ours have 128
_HEADER = re.compile(
    rb"\{'descr': '(?P<kind>[<|][fiub][1248])', 'fortran_order': (?P<order>False|True), "
    rb"'shape': \((?P<shape>|[0-9]{1,18},|[0-9]{1,18}(?:, [0-9]{1,18}){1,31})\), \} *\n"
)


def read_array(path: Path, cure: str = "run `dvc repro`", *, mapped: bool = False) -> NDArray[Any]:
    """An array that `np.save` wrote.

    Args:
        path: the file.
        cure: what to do where it cannot be used.
        mapped: leave the values on the disk until they are used, and read-only.

    Raises:
        UnusableInputError: it is missing or cannot be read.
        IntegrityError: it is no such file, or not as long as its header says; names it.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise UnusableInputError(f"{path} is missing; {cure}") from None
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be read ({error.strerror}); {cure}") from None
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise IntegrityError(f"{path} is not a file; {cure}")
        try:
            start, dtype, shape, order = _layout(file.read(_LONGEST))
            if start + math.prod(shape) * dtype.itemsize != state.st_size:
                raise ValueError("its length is not that of its values")
        except (ValueError, TypeError, struct.error) as error:
            raise IntegrityError(f"{path} was changed or is torn: {error}; {cure}") from None
        if mapped and state.st_size > start:
            return np.memmap(file, dtype, "r", start, shape, order)
        file.seek(start)
        values = np.fromfile(file, dtype, math.prod(shape))
    if values.size != math.prod(shape):
        raise IntegrityError(f"{path} was changed while it was read; {cure}")
    return values.reshape(shape, order=order)


def _layout(head: bytes) -> tuple[int, np.dtype[Any], tuple[int, ...], Any]:
    """Where the values begin, and their type, shape and order."""
    if head[:6] != _MAGIC or head[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("it is no array file")
    width = "<H" if head[6] == 1 else "<I"
    (size,) = struct.unpack_from(width, head, 8)
    first = 8 + struct.calcsize(width)
    match = _HEADER.fullmatch(head[first : first + size])
    if match is None or first + size > len(head):
        raise ValueError("its header is not one that we write")
    shape = tuple(int(part) for part in match["shape"].replace(b" ", b"").split(b",") if part)
    order = "F" if match["order"] == b"True" else "C"
    return first + size, np.dtype(match["kind"].decode("ascii")), shape, order
