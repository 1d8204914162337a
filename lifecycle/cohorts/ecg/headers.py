"""WFDB headers, read strictly (format: header(5) of the WFDB Applications Guide).

wfdb's own parser takes a malformed line without a word: a gain of `nan` leaves every later field
empty, and the values are then wrong by a factor. Here a line is whole or the record is bad.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath

from lifecycle.cohorts.ecg.faults import BadRecordError
from lifecycle.domain.numbers import plain_float

LARGEST_HEADER = 1 << 20
_RECORD = re.compile(
    r"(?P<name>[^\s/]+)\s+(?P<channels>\d{1,4})\s+(?P<rate>\d{1,9}(?:\.\d{1,9})?)(?:/\S*)?"
    r"(?:\s+(?P<samples>\d{1,12})(?:\s.*)?)?",
    re.ASCII,
)
_CHANNEL = re.compile(
    r"(?P<file>\S+)\s+(?P<format>\d{1,4})(?P<layout>(?:x\d{1,4})?(?::\d{1,6})?)"
    r"(?:\+(?P<offset>\d{1,9}))?"
    r"\s+(?P<gain>[^\s(/]+)(?:\((?P<baseline>[+-]?\d{1,10})\))?(?:/(?P<unit>\S+))?"
    r"\s+(?P<resolution>\d{1,4})\s+(?P<zero>[+-]?\d{1,10})\s+(?P<first>[+-]?\d{1,10})"
    r"\s+(?P<checksum>[+-]?\d{1,10})\s+(?P<block>\d{1,9})\s+(?P<name>\S.*)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Channel:
    """One signal line: where the samples are, and what a step of the converter means.

    Attributes:
        file: name of the signal file, in the header's folder.
        format: WFDB storage format (16, 212).
        offset: bytes before the first sample.
        gain: converter steps a unit, as text ("" never occurs; checked where it is used).
        baseline: converter value of 0 units.
        unit: as written; mV where the header leaves it out (header(5)).
        checksum: sum of the samples modulo 65536.
        name: the lead, as written.
    """

    file: str
    format: str
    offset: int
    gain: str
    baseline: int
    unit: str
    checksum: int
    name: str


@dataclass(frozen=True, slots=True)
class Header:
    """A WFDB header.

    Attributes:
        record: what the data set calls it.
        path: the file.
        rate: samples a second of each channel.
        samples: samples of each channel as stated, None where the header does not say.
        channels: signal lines in file order.
        comments: lines after `#`, without it.
    """

    record: str
    path: Path
    rate: Fraction
    samples: int | None
    channels: tuple[Channel, ...]
    comments: tuple[str, ...]

    def comment(self, key: str) -> str | None:
        """What stands after `key:` in the first comment of that name, whatever its case."""
        for line in self.comments:
            name, colon, value = line.partition(":")
            if colon and name.strip().lower() == key:
                return value.strip()
        return None


def read_header(path: Path, record: str) -> Header:
    """A header whose every line is whole.

    Raises:
        BadRecordError: the file is missing or not a header, a line is malformed, the record is of
            several segments, its name is not the file's, channels have rates of their own.
    """
    text = read_bytes(path, record, LARGEST_HEADER).decode("latin-1")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    plain = [line for line in lines if not line.startswith("#")]
    if not plain:
        raise _bad(record, f"{path.name} is empty")
    match = _RECORD.fullmatch(plain[0])
    if match is None:
        raise _bad(record, f"the record line {plain[0][:80]!r} is not of header(5)")
    if match["name"] != path.stem:
        raise _bad(record, f"{path.name} is the header of record {match['name'][:40]!r}")
    channels = tuple(_channel(line, record) for line in plain[1:])
    if not channels or len(channels) != int(match["channels"]):
        raise _bad(record, f"{match['channels']} channels stated, {len(channels)} lines of them")
    return Header(
        record=record,
        path=path,
        rate=_rate(match["rate"], record),
        samples=int(match["samples"]) if match["samples"] and int(match["samples"]) else None,
        channels=channels,
        comments=tuple(line.lstrip("#").strip() for line in lines if line.startswith("#")),
    )


def read_bytes(path: Path, record: str, largest: int) -> bytes:
    """A file's bytes, at most `largest` of them.

    Raises:
        BadRecordError: missing, a folder, unreadable or larger.
    """
    size = size_of(path, record)
    if size > largest:
        raise BadRecordError(
            record, "file too large", f"{path.name} has {size} bytes", "check that it is a record"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadRecordError(
            record, "unreadable file", f"{path.name}: {error.strerror}", "check the file"
        ) from None


def size_of(path: Path, record: str) -> int:
    """Bytes of a file.

    Raises:
        BadRecordError: there is no such file.
    """
    try:
        found = path.is_file()
        if found:
            return path.stat().st_size
    except (OSError, ValueError):  # a name that no file can have (too long, a NUL in it)
        pass
    raise BadRecordError(
        record, "missing file", f"{path.name[:80]!r} does not exist", "fetch the data set again"
    )


def inside(folder: Path, name: str, record: str) -> Path:
    """The path of a file that a table or header names, which must lie in the folder.

    Raises:
        BadRecordError: the name is empty, absolute, or climbs out of the folder.
    """
    parts = PurePosixPath(name)
    climbs = ".." in parts.parts or "\\" in name or ":" in name or "\0" in name
    if not name.strip() or parts.is_absolute() or climbs:
        raise BadRecordError(
            record,
            "path outside the folder",
            f"{name[:80]!r} is no path within {folder.name}",
            "correct the table or header",
        )
    return folder / parts


def _channel(line: str, record: str) -> Channel:
    match = _CHANNEL.fullmatch(line)
    if match is None:
        raise _bad(record, f"the signal line {line[:80]!r} is not complete (header(5))")
    if match["layout"] not in ("", "x1"):
        raise _bad(record, f"{match['name'][:20]!r} has several samples a frame or a skew")
    zero = int(match["zero"])
    return Channel(
        file=match["file"],
        format=match["format"],
        offset=int(match["offset"] or 0),
        gain=match["gain"],
        baseline=int(match["baseline"]) if match["baseline"] else zero,
        unit=match["unit"] or "mV",
        checksum=int(match["checksum"]),
        name=match["name"].strip(),
    )


def gain_of(channel: Channel, record: str) -> float:
    """Converter steps a unit: finite and positive.

    Raises:
        BadRecordError: it is not a number, not finite, or not above 0 (0 is "not calibrated").
    """
    try:
        gain = plain_float(channel.gain)
    except ValueError:
        gain = math.nan
    if not math.isfinite(gain) or gain <= 0:
        raise BadRecordError(
            record,
            "gain",
            f"lead {channel.name[:20]!r} has a gain of {channel.gain[:20]!r}",
            "the record is not calibrated; correct its header",
        )
    return gain


def _rate(text: str, record: str) -> Fraction:
    rate = Fraction(text)
    if rate <= 0:
        raise _bad(record, "a rate of 0 samples a second")
    return rate


def _bad(record: str, found: str) -> BadRecordError:
    return BadRecordError(record, "header", found, "fetch the record again or correct its header")
