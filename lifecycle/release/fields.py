"""JSON read so strictly that no other bytes can say the same, and its fields with their types."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from lifecycle.domain.digests import canonical_json
from lifecycle.domain.names import fault_of_name
from lifecycle.errors import IntegrityError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}")
_Item = TypeVar("_Item")


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


def time_of(text: str) -> datetime:
    """A moment as records write it: date, time with seconds, offset.

    Raises:
        ValueError: another form, or a moment that does not exist.
    """
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r} is not like 2026-11-30T14:05:09+01:00")
    return datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object with exactly the known fields; each is read with its type.

    Every method raises FieldError, naming the field by its whole place. `bool` is no number.

    Attributes:
        place: where the object stands, for example `predicate.lifecycle`.
        values: the fields.
    """

    place: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, value: object, known: Collection[str], place: str) -> Fields:
        """The object at `place`, which has all of the known fields and no other."""
        if not isinstance(value, dict):
            raise FieldError(f"field {place}: not an object")
        for name in sorted(set(value) - set(known)):
            shown = name if name.isprintable() else ascii(name)
            raise FieldError(f"field {place}.{shown}: not a known field")
        for name in sorted(set(known) - set(value)):
            raise FieldError(f"field {place}.{name}: missing")
        return cls(place, value)

    def fault(self, key: str, said: str) -> FieldError:
        """The fault of one field, to be raised."""
        return FieldError(f"field {self.place}.{key}: {said}")

    def child(self, key: str, known: Collection[str]) -> Fields:
        """An object inside."""
        return Fields.of(self.values[key], known, f"{self.place}.{key}")

    def text(self, key: str) -> str:
        """Any text."""
        value = self.values[key]
        if not isinstance(value, str):
            raise self.fault(key, "not a text")
        return value

    def name(self, key: str) -> str:
        """A printable name in one writing."""
        value = self.text(key)
        said = fault_of_name(value) if value else "it is empty"
        if said:
            raise self.fault(key, said)
        return value

    def prose(self, key: str) -> str:
        """What a person wrote: not blank; line ends allowed, terminal control codes not."""
        value = self.text(key)
        if not value.strip() or not value.replace("\n", "").isprintable():
            raise self.fault(key, "blank, or with characters that cannot be printed")
        return value

    def one_of(self, key: str, known: Collection[str]) -> str:
        """One of some words."""
        value = self.values[key]
        if not isinstance(value, str) or value not in known:
            raise self.fault(key, f"{value!r} is none of {', '.join(sorted(known))}")
        return value

    def digest(self, key: str) -> str:
        """A SHA-256 in hex."""
        value = self.text(key)
        if not _DIGEST.fullmatch(value):
            raise self.fault(key, "not a SHA-256 in hex")
        return value

    def number(self, key: str) -> int:
        """A whole number from 1."""
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.fault(key, "not a whole number from 1")
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.values[key]
        if not isinstance(value, bool):
            raise self.fault(key, "neither true nor false")
        return value

    def moment(self, key: str) -> str:
        """A moment with seconds and offset, as it is written."""
        try:
            time_of(self.text(key))
        except ValueError as error:
            raise self.fault(key, str(error)) from None
        return self.text(key)

    def items(self, key: str) -> list[Any]:
        """A list of anything."""
        value = self.values[key]
        if not isinstance(value, list):
            raise self.fault(key, "not a list")
        return value

    def each(self, key: str, read: Callable[[Fields], _Item]) -> tuple[_Item, ...]:
        """A list of values, each read by itself: `read` finds it in the field `item`."""
        return tuple(
            read(Fields(f"{self.place}.{key}[{at}]", {"item": value}))
            for at, value in enumerate(self.items(key))
        )

    def maybe(self, key: str, read: Callable[[str], _Item]) -> _Item | None:
        """Null, or what `read` finds there."""
        return None if self.values[key] is None else read(key)
