"""CPSC2018 as first published: one .mat struct a record (sex, age, data) and REFERENCE.csv.

`data` is 12 x N, in millivolt, 500 samples a second, leads I, II, III, aVR, aVL, aVF, V1 to V6 (Liu
et al. 2018; the file itself names neither unit, rate nor leads). REFERENCE.csv has one to three
labels a record, numbers 1 to 9.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts.ecg.attributes import age_group, sex_of, whole
from lifecycle.cohorts.ecg.cinc2021 import require_subgroups
from lifecycle.cohorts.ecg.faults import BadRecordError, foreign
from lifecycle.cohorts.ecg.headers import inside, read_bytes
from lifecycle.cohorts.ecg.labels import names_by
from lifecycle.cohorts.ecg.leads import columns_of
from lifecycle.cohorts.ecg.matfile import Field, TooLargeError, read_struct
from lifecycle.cohorts.ecg.ptbxl import read_table
from lifecycle.cohorts.ecg.records import (
    Case,
    Listing,
    Row,
    Signal,
    folder_of,
    require_amplitude,
    window,
)
from lifecycle.domain.classifier import LEADS, CohortSource, SignalPlan
from lifecycle.errors import UnusableInputError

REFERENCE = "REFERENCE.csv"
RATE = Fraction(500)
LARGEST = 1 << 26  # bytes, packed and unpacked; the longest published record has 7 million
_LABELS = ("First_label", "Second_label", "Third_label")
_CITATION = (
    "Liu et al., An open access database for evaluating the algorithms of electrocardiogram rhythm "
    "and morphology abnormality detection, J Med Imaging Health Inform 8, 1368 (2018), doi "
    "10.1166/jmihi.2018.2442"
)


def list_cpsc2018(source: CohortSource, plan: SignalPlan, root: Path) -> Listing:
    """Records of REFERENCE.csv in its order, then .mat files that it does not name.

    Raises:
        UnusableInputError: no such folder, no or a torn REFERENCE.csv, an unknown subgroup.
    """
    folder = folder_of(root / source.path, source.path)
    require_subgroups(source, ("age", "sex"))
    table, digest = read_table(folder / REFERENCE, f"{source.path}/{REFERENCE}")
    for column in ("Recording", "First_label"):
        if column not in table[0]:
            raise UnusableInputError(f"{source.path}/{REFERENCE} has no column {column!r}")
    named = [(row["Recording"].strip(), _numbers(row)) for row in table]
    known = {name for name, _ in named}
    extra = sorted(path.stem for path in folder.glob("*.mat") if path.stem not in known)
    records = [*named, *((name, None) for name in extra)]
    return Listing(
        rows=[
            Row(name, partial(_read, folder, name, numbers, plan, source.subgroups))
            for name, numbers in records
        ],
        about={
            "dataset": "CPSC2018",
            "labels": "numbers of REFERENCE.csv, named by the label table",
            "sha256": {REFERENCE: digest},
            "citation": _CITATION,
            "licence": "CC BY 4.0",
        },
        names=names_by("cpsc2018"),
    )


def _numbers(row: Mapping[str, str]) -> tuple[str, ...]:
    """Labels of a record as text, blank ones left out."""
    cells = [row.get(column, "").strip() for column in _LABELS]
    return tuple(dict.fromkeys(whole(cell) or cell for cell in cells if cell))


def _read(
    folder: Path,
    record: str,
    numbers: tuple[str, ...] | None,
    plan: SignalPlan,
    wanted: tuple[str, ...],
) -> list[Case | BadRecordError]:
    strange = [number for number in numbers or () if not re.fullmatch("[1-9]", number)]
    if strange or numbers == ():
        found = f"label {strange[0][:40]!r} is not 1 to 9" if strange else "it has no label"
        raise BadRecordError(record, "statements", found, f"correct {REFERENCE}")
    path = inside(folder, record, record)
    parts = read_fields(path.with_name(path.name + ".mat"), record)
    signal = Signal(RATE, _microvolts(parts["data"], plan, record))
    known = {"age": age_group(_text(parts["age"])), "sex": sex_of(_text(parts["sex"]))}
    case = Case(
        id=record,
        patient=record,
        statements=numbers,
        values=window(signal, plan, record),
        rate=RATE,
        subgroups={name: known[name] for name in wanted},
    )
    return [case]


def read_fields(path: Path, record: str) -> dict[str, Field]:
    """Fields sex, age and data of the struct ECG in a MAT-file of level 5.

    Raises:
        BadRecordError: missing, larger than 64 MiB packed or unpacked, not such a file, no such
            struct.
    """
    data = read_bytes(path, record, LARGEST)
    with foreign(record, path.name):
        try:
            found = read_struct(data, "ECG", LARGEST)
            return {name: found[name] for name in ("sex", "age", "data")}
        except TooLargeError as error:
            raise BadRecordError(
                record, "file too large", f"{path.name} {error}", "check that it is a record"
            ) from None


def _microvolts(data: Field, plan: SignalPlan, record: str) -> NDArray[np.float64]:
    """Wanted leads of the 12 x N millivolts: (N, leads) whole microvolt, half to even."""
    values = np.asarray(data)
    if values.ndim != 2 or len(values) != len(LEADS) or values.dtype.kind not in "fiu":
        raise BadRecordError(
            record,
            "missing lead",
            f"data is {values.dtype} of shape {values.shape}, not 12 leads x samples",
            "fetch the file again",
        )
    columns = columns_of(LEADS, plan.leads, record)
    millivolts = np.asarray(values[columns].T, dtype=np.float64)
    with np.errstate(over="ignore"):
        microvolts = np.rint(millivolts * 1000.0)
    require_amplitude(microvolts, plan.leads, record)
    return np.ascontiguousarray(microvolts)


def _text(cell: Field) -> str:
    """A cell of the struct as text; "" where it is empty."""
    if isinstance(cell, str):
        return cell
    return str(cell.flat[0]) if cell.size else ""
