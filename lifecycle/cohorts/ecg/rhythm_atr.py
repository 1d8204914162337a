"""WFDB records with rhythm annotations (.atr), as AFDB and MITDB: windows cut from long records.

A rhythm annotation (`(AFIB`) holds until the next one. A window has every rhythm that is in force
at any of its samples; a window before the first annotation is not annotated. Windows follow each
other without overlap from the record's beginning; what is left at its end is no case.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

from lifecycle.cohorts.ecg.cinc2021 import require_subgroups
from lifecycle.cohorts.ecg.faults import BadRecordError, foreign
from lifecycle.cohorts.ecg.headers import read_bytes, read_header, size_of
from lifecycle.cohorts.ecg.labels import names_by
from lifecycle.cohorts.ecg.records import (
    Case,
    Listing,
    Row,
    at_rate,
    cut,
    digest_of_files,
    folder_of,
    read_signal,
    samples_of,
)
from lifecycle.domain.classifier import CohortSource, SignalPlan
from lifecycle.errors import UnusableInputError

LARGEST_ANNOTATION = 1 << 26
_END = b"\0\0"  # of an annotation file in the MIT format, annot(5)
# Noise is no rhythm: the one before goes on (annotations of the VFDB).
_NO_RHYTHM = frozenset({"(NOISE"})
_CITATION = (
    "Goldberger et al., PhysioBank, PhysioToolkit, and PhysioNet, Circulation 101, e215 (2000)"
)


@dataclass(frozen=True, slots=True)
class Change:
    """A rhythm annotation: from this sample of the file on, this rhythm."""

    sample: int
    rhythm: str


def list_rhythm_atr(source: CohortSource, plan: SignalPlan, root: Path) -> Listing:
    """Records of a folder that have a header, by name.

    Raises:
        UnusableInputError: no such folder, no headers, subgroups (the format has none).
    """
    folder = folder_of(root / source.path, source.path)
    require_subgroups(source, ())
    paths = sorted(path for path in folder.glob("*.hea") if path.is_file())
    if not paths:
        raise UnusableInputError(f"{source.path} holds no .hea files")
    files = [path.with_suffix(end) for path in paths for end in (".hea", ".atr")]
    return Listing(
        rows=[Row(path.stem, partial(_read, path, plan)) for path in paths],
        about={
            "dataset": "WFDB records with rhythm annotations",
            "labels": "every rhythm in force within the window, named by the label table",
            "sha256": {"headers and annotations": digest_of_files(folder, files)},
            "citation": _CITATION,
            "licence": "as stated by the data set (AFDB and MITDB: ODC-By 1.0)",
        },
        names=names_by("rhythm"),
    )


def rhythms_within(
    changes: tuple[Change, ...], first: Fraction, end: Fraction
) -> tuple[str, ...] | None:
    """Rhythms in force at any sample within [first, end), None before any annotation."""
    found: list[str] = []
    for number, change in enumerate(changes):
        later = changes[number + 1].sample if number + 1 < len(changes) else None
        if change.sample < end and (later is None or later > first):
            found.append(change.rhythm)
    return tuple(dict.fromkeys(found)) or None


def changes_of(path: Path, record: str, rate: Fraction) -> tuple[Change, ...]:
    """Rhythm annotations of a record in order of time.

    The format has no checksum: a torn file shows by its missing end mark, a text that was changed
    does not show.

    Raises:
        BadRecordError: there is no annotation file, it is damaged, or its times are counted at
            another rate than the signal's.
    """
    if not read_bytes(path, record, LARGEST_ANNOTATION).endswith(_END):
        raise BadRecordError(
            record,
            "unreadable file",
            f"{path.name} has no end mark; it is torn, or not in the MIT format",
            "fetch it again",
        )
    with foreign(record, path.name):
        import wfdb  # noqa: PLC0415  # two thirds of a second, for this format only

        notes = wfdb.rdann(str(path.with_suffix("")), "atr")
        marks = zip(notes.sample, notes.symbol, notes.aux_note, strict=True)
        found = [
            Change(int(sample), text)
            for sample, symbol, aux in marks
            if symbol == "+" and (text := str(aux).rstrip("\0 ").strip()) not in _NO_RHYTHM
        ]
    if notes.fs is not None and float(notes.fs) != float(rate):
        raise BadRecordError(
            record,
            "rate",
            f"{path.name} counts {notes.fs:g} a second, the signal {float(rate):g}",
            "annotation and signal are not of one record; fetch both again",
        )
    return tuple(sorted(found, key=lambda change: change.sample))


def _read(path: Path, plan: SignalPlan) -> list[Case | BadRecordError]:
    record = path.stem
    size_of(path.with_suffix(".atr"), record)
    header = read_header(path, record)
    signal = read_signal(header, plan.leads, plan.leads_as)
    changes = changes_of(path.with_suffix(".atr"), record, signal.rate)
    if changes and changes[-1].sample >= len(signal.values):
        raise BadRecordError(
            record,
            "length",
            f"a rhythm is marked at sample {changes[-1].sample} of {len(signal.values)}",
            "annotation and signal are not of one record; fetch both again",
        )
    values = at_rate(signal, plan, record)
    size = samples_of(plan)
    cases: list[Case | BadRecordError] = []
    for number in range(max(1, len(values) // size)):
        step = Fraction(size) * signal.rate / plan.rate
        name = f"{record}-{number + 1:04d}"
        try:
            window = cut(values, number, plan, name)
        except BadRecordError as fault:
            cases.append(fault)
            continue
        rhythms = rhythms_within(changes, number * step, (number + 1) * step)
        cases.append(Case(name, record, rhythms, window, signal.rate))
    return cases
