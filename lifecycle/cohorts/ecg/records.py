"""One record: its samples in microvolt, verified against its header, cut to the window.

A microvolt is (sample - baseline) x factor / gain: the product is an exact integer, the division
rounds once, and the result is rounded half to even, so that every machine holds the same number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts.ecg.faults import BadRecordError, foreign
from lifecycle.cohorts.ecg.headers import (
    Channel,
    Header,
    gain_of,
    inside,
    read_bytes,
    size_of,
)
from lifecycle.cohorts.ecg.leads import columns_of
from lifecycle.cohorts.ecg.resample import resampled
from lifecycle.domain.classifier import Lead, SignalPlan
from lifecycle.domain.digests import digest_of, sha256
from lifecycle.errors import UnusableInputError

LARGEST_SIGNAL = 1 << 30
LARGEST_MICROVOLT = 32767  # what int16 holds; -32768 stays free
_UNITS = {"mV": 1000, "mv": 1000, "uV": 1, "uv": 1, "µV": 1, "μV": 1, "V": 1_000_000}
# Bits of a sample, and the value that means "no sample" (signal(5) of the WFDB Applications Guide).
_FORMATS = {
    "16": (16, -(1 << 15)),
    "24": (24, -(1 << 23)),
    "32": (32, -(1 << 31)),
    "61": (16, -(1 << 15)),
    "80": (8, -(1 << 7)),
    "160": (16, -(1 << 15)),
    "212": (12, -(1 << 11)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """Wanted leads of a record.

    Attributes:
        rate: samples a second.
        values: (samples, leads) float64, whole microvolt; NaN where a sample is missing.
    """

    rate: Fraction
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One case of a cohort.

    Attributes:
        id, patient, group, fold: as in `Cohort`.
        statements: what the data set says of it, None where it is not annotated.
        values: (samples, leads) int16, microvolt.
        rate: samples a second of the file.
        subgroups: attribute -> value.
    """

    id: str
    patient: str
    statements: tuple[str, ...] | None
    values: NDArray[np.int16]
    rate: Fraction
    fold: str = ""
    group: str = ""
    subgroups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A record that is still to be read; reading gives its cases and the windows that are bad."""

    id: str
    read: Callable[[], Sequence[Case | BadRecordError]]
    cases: int = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """The records of a data set, and what is to be said of it.

    Attributes:
        rows: records in a fixed order.
        about: facts of the data set.
        names: statement of the files -> our name (the label table).
        folds: whether cases have published folds.
    """

    rows: Sequence[Row]
    about: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict)
    folds: bool = False


def read_signal(
    header: Header, leads: Sequence[str], stated: Mapping[str, Lead] | None = None
) -> Signal:
    """Leads of a WFDB record in whole microvolt.

    Args:
        header: of the record.
        leads: that are read, in this order.
        stated: leads of channels with names of their own.

    Raises:
        BadRecordError: a lead is missing, a unit or gain unusable, file and header of different
            length, a checksum wrong, a value beyond 32.767 mV.
    """
    record = header.record
    names = [channel.name for channel in header.channels]
    columns = columns_of(names, leads, record, stated)
    chosen = [header.channels[column] for column in columns]
    scales = [(_factor(channel, record), gain_of(channel, record)) for channel in chosen]
    digital = _digital(header)
    _require_checksums(header, digital)
    values = np.empty((len(digital), len(columns)))
    for lead, (column, channel) in enumerate(zip(columns, chosen, strict=True)):
        raw = digital[:, column]
        factor, gain = scales[lead]
        exact = (raw - channel.baseline) * factor
        with np.errstate(over="ignore"):  # a gain near 0 gives infinities, refused below
            values[:, lead] = np.rint(exact.astype(np.float64) / gain)
        values[raw == _FORMATS[channel.format][1], lead] = np.nan
    require_amplitude(values, leads, record)
    return Signal(header.rate, values)


def window(signal: Signal, plan: SignalPlan, record: str) -> NDArray[np.int16]:
    """The first window of a record at the plan's rate: (samples, leads) int16, microvolt.

    Raises:
        BadRecordError: shorter than the window, or samples are missing in it.
    """
    return cut(at_rate(signal, plan, record), 0, plan, record)


def at_rate(signal: Signal, plan: SignalPlan, record: str) -> NDArray[np.float64]:
    """A signal at the plan's rate, whole microvolt.

    Raises:
        BadRecordError: the file's rate is not `read_rate`, or no usable ratio to the plan's.
    """
    require_rate(signal.rate, plan, record)
    return resampled(signal.values, signal.rate, plan.rate, record)


def cut(
    values: NDArray[np.float64], number: int, plan: SignalPlan, record: str
) -> NDArray[np.int16]:
    """Window `number` (from 0) of a signal at the plan's rate.

    Raises:
        BadRecordError: it reaches beyond the signal, lacks samples, or exceeds int16.
    """
    size = samples_of(plan)
    part = values[number * size : (number + 1) * size]
    if len(part) < size:
        seconds = len(part) / plan.rate
        raise BadRecordError(
            record,
            "too short",
            f"{seconds:g} seconds, and the window has {plan.seconds:g}",
            "shorten `signal.seconds`",
        )
    missing = int(np.isnan(part).sum())
    if missing:
        raise BadRecordError(
            record,
            "missing samples",
            f"{missing} of {part.size} values are missing",
            "complete or remove the record",
        )
    require_amplitude(part, plan.leads, record)
    return part.astype(np.int16)


def samples_of(plan: SignalPlan) -> int:
    """Samples of a window.

    Raises:
        UnusableInputError: seconds times rate is not a whole number.
    """
    samples = Fraction(str(plan.seconds)) * plan.rate
    if samples.denominator != 1 or samples < 1:
        raise UnusableInputError(
            f"`signal.seconds` {plan.seconds:g} at `signal.rate` {plan.rate} is {float(samples):g} "
            "samples; choose a whole number"
        )
    return int(samples)


def require_rate(rate: Fraction, plan: SignalPlan, record: str) -> None:
    """The file's rate is `read_rate` where the plan states one.

    Raises:
        BadRecordError: it is another.
    """
    if plan.read_rate is not None and rate != plan.read_rate:
        raise BadRecordError(
            record,
            "rate",
            f"the file has {float(rate):g} samples a second, `signal.read_rate` says "
            f"{plan.read_rate}",
            "correct `signal.read_rate` or the file",
        )


def require_amplitude(values: NDArray[np.float64], leads: Sequence[str], record: str) -> None:
    """No value is beyond +-32.767 mV, nor infinite.

    Raises:
        BadRecordError: one is; a wrong unit or gain shows so.
    """
    beyond = np.abs(values) > LARGEST_MICROVOLT
    if beyond.any():
        row, lead = (int(i) for i in np.argwhere(beyond)[0])
        raise BadRecordError(
            record,
            "amplitude",
            f"lead {leads[lead]}, sample {row} is {values[row, lead] / 1000:g} mV, beyond 32.767",
            "check unit and gain",
        )


def _factor(channel: Channel, record: str) -> int:
    """Microvolt of a unit; latin-1 reading of an UTF-8 micro sign is undone."""
    unit = channel.unit.replace("Â", "").replace("Î¼", "μ")
    if unit not in _UNITS:
        raise BadRecordError(
            record,
            "unit",
            f"lead {channel.name[:20]!r} is in {channel.unit[:20]!r}",
            f"known are {', '.join(_UNITS)}; correct the header",
        )
    return _UNITS[unit]


def _digital(header: Header) -> NDArray[np.int64]:
    """Samples of all channels as the converter gave them: (samples, channels) int64."""
    samples = _require_lengths(header)
    if {channel.format for channel in header.channels} == {"16"}:
        return _format16(header, samples)
    return _by_wfdb(header, samples)


def _require_lengths(header: Header) -> int:
    """Samples of a channel: what the header says and what every signal file holds."""
    counts = [_samples_in(header, file) for file in _files(header)]
    stated = header.samples if header.samples is not None else counts[0][1]
    for file, held, spare in counts:
        if held != stated or spare:
            more = f" and {spare} bytes" if spare else ""
            raise BadRecordError(
                header.record,
                "length",
                f"the header says {stated} samples a lead, {file} holds {held}{more}",
                "fetch the record again",
            )
    return stated


def _files(header: Header) -> dict[str, list[Channel]]:
    files: dict[str, list[Channel]] = {}
    for channel in header.channels:
        files.setdefault(channel.file, []).append(channel)
    return files


def _samples_in(header: Header, file: str) -> tuple[str, int, int]:
    """File, samples of each of its channels, bytes left over."""
    channels = _files(header)[file]
    kinds = {(channel.format, channel.offset) for channel in channels}
    first = channels[0]
    if len(kinds) != 1 or first.format not in _FORMATS:
        raise BadRecordError(
            header.record,
            "header",
            f"{file[:40]} is of format {', '.join(sorted(kind[0] for kind in kinds))}",
            f"formats {', '.join(_FORMATS)} are read; convert the record",
        )
    size = size_of(inside(header.path.parent, file, header.record), header.record)
    if size > LARGEST_SIGNAL:
        raise BadRecordError(
            header.record, "file too large", f"{file} has {size} bytes", "split the record"
        )
    bits = (size - first.offset) * 8
    width = _FORMATS[first.format][0] * len(channels)
    held = max(0, bits) // width
    return file, held, size - first.offset - -(-held * width // 8)


def _format16(header: Header, samples: int) -> NDArray[np.int64]:
    """Format 16: little-endian int16, channel by channel (wfdb takes 20 times as long)."""
    digital = np.empty((samples, len(header.channels)), dtype=np.int64)
    for file, channels in _files(header).items():
        path = inside(header.path.parent, file, header.record)
        data = read_bytes(path, header.record, LARGEST_SIGNAL)
        block = np.frombuffer(data, "<i2", samples * len(channels), channels[0].offset)
        places = [i for i, channel in enumerate(header.channels) if channel.file == file]
        digital[:, places] = block.reshape(samples, len(channels))
    return digital


def _by_wfdb(header: Header, samples: int) -> NDArray[np.int64]:
    with foreign(header.record, header.path.name):
        import wfdb  # noqa: PLC0415  # two thirds of a second, for packed formats only

        read = wfdb.rdrecord(str(header.path.with_suffix("")), physical=False)
        digital = np.asarray(read.d_signal, dtype=np.int64)
    if digital.shape != (samples, len(header.channels)):
        raise BadRecordError(
            header.record,
            "length",
            f"wfdb finds {digital.shape[0]} samples of {digital.shape[1:]} channels",
            "fetch the record again",
        )
    return digital


def _require_checksums(header: Header, digital: NDArray[np.int64]) -> None:
    sums = digital.sum(axis=0)
    for channel, total in zip(header.channels, sums, strict=True):
        if (int(total) - channel.checksum) % 65536:
            raise BadRecordError(
                header.record,
                "checksum",
                f"lead {channel.name[:20]!r} sums to {int(total) % 65536}, the header says "
                f"{channel.checksum % 65536}",
                "the file was changed or torn; fetch the record again",
            )


def twice(names: Sequence[str]) -> frozenset[str]:
    """Names that occur more than once."""
    return frozenset(name for name, count in Counter(names).items() if count > 1)


def folder_of(path: Path, name: str) -> Path:
    """A data set's folder.

    Raises:
        UnusableInputError: there is none.
    """
    if not path.is_dir():
        raise UnusableInputError(f"{name} is no folder; `path` must name the data set's folder")
    return path


def digest_of_files(folder: Path, paths: Sequence[Path]) -> str:
    """One digest over files by name, absent or unreadable ones left to the reading of records."""
    digests: dict[str, str] = {}
    for path in paths:
        try:
            digests[path.relative_to(folder).as_posix()] = sha256(path.read_bytes())
        except OSError:
            continue
    return digest_of(digests)
