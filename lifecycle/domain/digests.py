"""Digests over canonical bytes: what "the same" means everywhere in the product.

Two things are the same when their canonical bytes are. JSON is canonical when keys are sorted,
separators are `,` and `:`, text is ASCII, NaN is refused and one newline ends the file. Arrays are
little-endian, C order, negative zeros turned into zeros (kernels disagree on the sign of zero).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def canonical_json(value: object) -> bytes:
    """The one byte string for a JSON value.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON cannot say.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return text.encode("ascii") + b"\n"


def sha256(data: bytes | memoryview) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: object) -> str:
    """SHA-256 of a JSON value's canonical bytes."""
    return sha256(canonical_json(value))


def canonical_array(values: NDArray[Any]) -> bytes:
    """Little-endian C-order bytes of an array, zeros canonicalised."""
    array = np.ascontiguousarray(values)
    if np.issubdtype(array.dtype, np.floating):
        array = array + array.dtype.type(0)  # -0.0 + 0.0 is +0.0; every other value keeps its bits
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _tensor_header(name: str, array: NDArray[Any]) -> bytes:
    return canonical_json([name, array.dtype.name, list(array.shape)])


def tensors_digests(tensors: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """MD5 and SHA-256 over named tensors: sorted names, each with dtype, shape and bytes.

    MD5 is what the bit-identity paper prints (seed 000); SHA-256 is what we decide on.
    """
    md5 = hashlib.md5(usedforsecurity=False)
    sha = hashlib.sha256()
    for name in sorted(tensors):
        for part in (_tensor_header(name, tensors[name]), canonical_array(tensors[name])):
            md5.update(part)
            sha.update(part)
    return {"md5": md5.hexdigest(), "sha256": sha.hexdigest()}


def lines_digest(lines: Iterable[str]) -> str:
    """SHA-256 of an ordered list of names (a feature list, a class list)."""
    return digest_of(list(lines))
