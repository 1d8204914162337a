"""The types that fields of records have: strict, closed, and each with one way to write it."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Any

from annotated_types import Ge, Le, MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}")


class Part(BaseModel):
    """An object inside a record: exactly these fields, each of its own type (no 1 for true)."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Record(Part):
    """A kept file as one program wrote it."""

    program: Annotated[
        str,
        StringConstraints(pattern=r"^lifecycle [0-9A-Za-z][0-9A-Za-z.+-]{0,63}$"),
        Field(description="The program that wrote the record, for example `lifecycle 0.2.0`."),
    ]


def time_of(text: str) -> datetime:
    """A moment as records write it: date, time with seconds, offset.

    Raises:
        ValueError: another form, or a moment that does not exist.
    """
    if not _TIME.fullmatch(text):
        raise ValueError(f"{text!r} is not like 2026-11-30T14:05:09+01:00")
    return datetime.fromisoformat(text)


def _name(text: str) -> str:
    """A name as published formats have it: the program may refuse more by now, records may not."""
    if not text:
        raise ValueError("it is empty")
    if text != text.strip():
        raise ValueError("it begins or ends with a blank")
    if not text.isprintable():
        raise ValueError("it holds a character that cannot be printed")
    if unicodedata.normalize("NFC", text) != text:
        raise ValueError("its accents are not in the composed form (NFC)")
    return text


def _prose(text: str) -> str:
    if not text.strip() or not text.replace("\n", "").isprintable():
        raise ValueError("blank, or with characters that cannot be printed")
    return text


def _moment(text: str) -> str:
    time_of(text)
    return text


def _path(text: str) -> str:
    """A path below the project: it will be opened, so it must not lead out of it."""
    steps = text.split("/")
    _name(text or ".")
    if "\\" in text or any(step in ("", ".", "..") for step in steps):
        raise ValueError(f"{text!r} is no path below the project")
    return text


Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]  # SHA-256 in hex
Md5 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Text = Annotated[str, MinLen(1)]
Name = Annotated[str, AfterValidator(_name)]  # printable, in one writing
Prose = Annotated[str, AfterValidator(_prose)]  # what a person wrote; line ends are allowed
Moment = Annotated[str, AfterValidator(_moment)]
FilePath = Annotated[str, AfterValidator(_path)]
_MOST = 2**53  # beyond it a number of JSON is not the same everywhere
Number = Annotated[int, Ge(1), Le(_MOST)]
Count = Annotated[int, Ge(0), Le(_MOST)]
Size = Annotated[float, Ge(0)]  # finite, not negative
Facts = Annotated[dict[str, Any], MinLen(1)]  # an object whose keys the format leaves open


def _true_or_false(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def _whole(value: object) -> object:
    if type(value) is not int:
        raise ValueError("not a whole number")
    return value


# Before a Literal, for which 0 is False and 1.0 is 1.
OnlyBool = BeforeValidator(_true_or_false)
OnlyWhole = BeforeValidator(_whole)
