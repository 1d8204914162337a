"""One struct of numbers and texts out of a MAT-file of level 5 (MathWorks, MAT-File Format).

scipy's reader ends the whole process (a bus error) on some damaged files, where no `except` helps;
what CPSC2018 needs of the format is this much, and every size is checked before it is used.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_CHAR, _STRUCT, _NUMBERS = 4, 2, range(6, 16)  # array classes
_TYPES = {
    1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8",
    12: "<i8", 13: "<u8",
}  # fmt: skip
_TEXTS = {1: "ascii", 2: "utf-8", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}

Field = NDArray[Any] | str


class TooLargeError(ValueError):
    """A file unpacks to more than it may."""


def read_struct(data: bytes, name: str, largest: int) -> dict[str, Field]:
    """Fields of the 1 x 1 struct of a name: arrays in their own shape, texts as str.

    Args:
        data: the file's bytes.
        name: the variable.
        largest: bytes that packed elements may unpack to, all together.

    Raises:
        TooLargeError: they unpack to more.
        ValueError: not such a file, torn, or no such struct.
    """
    if not data.startswith(b"MATLAB 5.0 MAT-file") or data[126:_HEADER] != b"IM":
        raise ValueError("no MAT-file of level 5, little-endian")
    left = largest
    for kind, body in _elements(data[_HEADER:]):
        inner = [(kind, body)]
        if kind == _COMPRESSED:
            plain = _unpacked(body, left)
            left -= len(plain)
            inner = list(_elements(plain))
        for what, matrix in inner:
            if what == _MATRIX and _name_of(matrix) == name:
                return _fields(matrix)
    raise ValueError(f"no variable {name}")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and data of each element; small ones hold their size in the type's upper half."""
    position = 0
    while position < len(data):
        kind, size = _unpack("<II", data, position)
        start, step = position + 8, size + (0 if kind == _COMPRESSED else -size % 8)
        if kind >> 16:
            kind, size = kind & 0xFFFF, kind >> 16
            start, step = position + 4, 4
            if size > 4:
                raise ValueError("a small element of more than 4 bytes")
        if start + size > len(data):
            raise ValueError("an element reaches beyond the end")
        yield kind, data[start : start + size]
        position = start + step


def _unpack(layout: str, data: bytes, position: int) -> tuple[int, int]:
    if position + 8 > len(data):
        raise ValueError("torn within a tag")
    first, second = struct.unpack_from(layout, data, position)
    return first, second


def _unpacked(body: bytes, largest: int) -> bytes:
    """Zlib data of a bounded size: a few kilobytes can hold gigabytes of zeros."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(body, largest + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(plain) > largest:
        raise TooLargeError(f"unpacks to over {largest} bytes")
    if not stream.eof:
        raise ValueError("packed data end early")
    return plain


def _parts(matrix: bytes) -> tuple[int, tuple[int, ...], str, list[tuple[int, bytes]]]:
    """Array class, dimensions, name and the elements that follow."""
    flags, shape, name, *rest = [*_elements(matrix)] + [(0, b"")] * 3
    if len(flags[1]) != 8 or len(shape[1]) % 4:
        raise ValueError("no array header")
    dims = tuple(int(size) for size in np.frombuffer(shape[1], "<i4"))
    return flags[1][0], dims, name[1].decode("ascii"), [one for one in rest if one[0]]


def _name_of(matrix: bytes) -> str:
    return _parts(matrix)[2]


def _fields(matrix: bytes) -> dict[str, Field]:
    kind, dims, _, rest = _parts(matrix)
    if kind != _STRUCT or dims != (1, 1) or len(rest) < 2 or len(rest[0][1]) != 4:
        raise ValueError("the variable is no single struct")
    width = int.from_bytes(rest[0][1], "little")
    names = rest[1][1]
    if not 0 < width <= 64 or len(names) % width:
        raise ValueError("field names are damaged")
    texts = [
        names[start : start + width].split(b"\0")[0].decode("ascii")
        for start in range(0, len(names), width)
    ]
    values = [_value(body) for what, body in rest[2:] if what == _MATRIX]
    return dict(zip(texts, values, strict=True))


def _value(matrix: bytes) -> Field:
    """An array in its own shape, or a text."""
    kind, dims, _, rest = _parts(matrix)
    if not rest:
        return np.zeros(0)
    what, body = rest[0]
    if kind == _CHAR and what in _TEXTS:
        return body.decode(_TEXTS[what])
    if kind not in _NUMBERS or what not in _TYPES or len(rest) != 1:
        raise ValueError("a field is neither real numbers nor text")
    numbers = np.frombuffer(body, _TYPES[what])
    if math.prod(dims) != numbers.size or min(dims, default=0) < 0:
        raise ValueError("an array is not of its stated size")
    return numbers.reshape(dims, order="F")
