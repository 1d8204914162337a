"""JSON and base64 read so strictly that no other bytes can say the same."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from lifecycle.domain.digests import canonical_json
from lifecycle.errors import IntegrityError


class FieldError(ValueError):
    """A field does not hold what it must; the message names the field, the caller the file."""


@contextmanager
def faults_of(file: str) -> Iterator[None]:
    """Faults of fields inside the block are faults of this file.

    Raises:
        IntegrityError: names file, field and cure.
    """
    try:
        yield
    except FieldError as fault:
        raise IntegrityError(
            f"{file}: {fault}; the file was changed: restore it from git"
        ) from None


def strict_json(data: bytes, place: str) -> Any:
    """The value of canonical JSON bytes: UTF-8, no key twice, no NaN, no other spelling.

    Raises:
        FieldError: the bytes are not the canonical bytes of what they say.
    """
    if b"<<<<<<< " in data:
        raise FieldError(
            f"{place} holds git's conflict marks: two branches wrote this file; keep the one that "
            "others rely on, and write the other's again after it"
        )
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refuse)
        same = canonical_json(value) == data
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise FieldError(f"{place} is not strict JSON ({error})") from None
    if not same:
        raise FieldError(f"{place} is not written in canonical form")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice")
    return values


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def strict_base64(text: str, place: str) -> bytes:
    """Bytes of the one base64 text that says them (a decoder alone overlooks trailing bits).

    Raises:
        FieldError: foreign characters, wrong padding, or bits that say nothing.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise FieldError(f"field {place}: not base64") from None
    if base64.b64encode(data).decode("ascii") != text:
        raise FieldError(f"field {place}: not canonical base64")
    return data
