"""PTB-XL in its own layout: ptbxl_database.csv, scp_statements.csv, records100/, records500/.

Labels. `rhythm`: a record has every statement that is a key of its `scp_codes`, whatever its
likelihood (that of rhythm statements is mostly 0). `superclass`: the `diagnostic_class` in
scp_statements.csv of every key whose `diagnostic` is 1, whatever its likelihood - the rule of the
PTB-XL benchmark (Strodthoff et al., IEEE J Biomed Health Inform 2021, doi
10.1109/JBHI.2020.3022989, and the data set's example_physionet.py).
"""

from __future__ import annotations

import ast
import csv
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lifecycle.cohorts.ecg.attributes import attribute, whole
from lifecycle.cohorts.ecg.faults import BadRecordError
from lifecycle.cohorts.ecg.headers import Header, inside, read_header
from lifecycle.cohorts.ecg.records import (
    Case,
    Listing,
    Row,
    Signal,
    folder_of,
    read_signal,
    window,
)
from lifecycle.cohorts.tables import similar
from lifecycle.domain.classifier import CohortSource, SignalPlan
from lifecycle.domain.digests import sha256
from lifecycle.errors import UnusableInputError

DATABASE, STATEMENTS = "ptbxl_database.csv", "scp_statements.csv"
SECONDS = 10  # of every PTB-XL record
_FILES = {100: ("filename_lr", "records100"), 500: ("filename_hr", "records500")}
_LONGEST_CODES = 10_000
_FOLDS = frozenset(str(fold) for fold in range(1, 11))
_CITATION = (
    "Wagner et al., PTB-XL, a large publicly available electrocardiography dataset, PhysioNet "
    "2022, doi 10.13026/kfzx-aw45; Sci Data 7, 154 (2020), doi 10.1038/s41597-020-0495-6"
)
# Records in the published table; 1.0.3 took 38 duplicates out.
_VERSIONS = {21799: "1.0.3", 21837: "1.0.1 or 1.0.2 (both have 21,837 records)"}


@dataclass(frozen=True, slots=True)
class _Set:
    """What every record of the set is read with."""

    folder: Path
    plan: SignalPlan
    rate: int
    subgroups: tuple[str, ...]
    superclasses: Mapping[str, str] | None


def list_ptbxl(source: CohortSource, plan: SignalPlan, root: Path) -> Listing:
    """Records of PTB-XL in the order of its table.

    Raises:
        UnusableInputError: a table is missing or torn, a column is missing, or a patient has
            records in two folds.
    """
    folder = folder_of(root / source.path, source.path)
    rows, digest = read_table(folder / DATABASE, f"{source.path}/{DATABASE}")
    rate = plan.read_rate or (100 if plan.rate <= 100 else 500)
    needed = ("ecg_id", "patient_id", "scp_codes", "strat_fold", _FILES[rate][0])
    _require_columns(source, rows[0], needed)
    _require_disjoint(rows, source.path)
    _require_own_files(rows, _FILES[rate][0], source.path)
    classes, digests = _superclasses(folder, source, plan)
    data = _Set(folder, plan, rate, source.subgroups, classes)
    return Listing(
        rows=[
            Row(_id(row, line), partial(_read, row, line, data)) for line, row in _numbered(rows)
        ],
        about=_about(len(rows), rate, {DATABASE: digest, **digests}, plan),
        folds=True,
    )


def _require_own_files(rows: list[dict[str, str]], column: str, path: str) -> None:
    """No two rows name one file: a training record would be tested under another name.

    Raises:
        UnusableInputError: names both rows.
    """
    seen: dict[str, tuple[int, str]] = {}
    for number, row in _numbered(rows):
        first, owner = seen.setdefault(row[column].strip(), (number, row["ecg_id"]))
        if owner != row["ecg_id"]:  # rows of one id are told as such
            raise UnusableInputError(
                f"{path}/{DATABASE}, rows {first} and {number}: {column} is "
                f"{row[column][:60]!r} in both; each record has its own file, correct the table"
            )


def read_table(path: Path, name: str) -> tuple[list[dict[str, str]], str]:
    """Rows of a CSV table by column, and the SHA-256 of its bytes; cells may hold newlines.

    Raises:
        UnusableInputError: missing, not UTF-8, torn, empty, or a row of another length.
    """
    try:
        data = path.read_bytes()
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except OSError as error:
        raise UnusableInputError(f"{name} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnusableInputError(f"{name} is damaged: {error}; fetch it again") from None
    lines = [line for line in lines if line]
    if len(lines) < 2:
        raise UnusableInputError(f"{name} has no rows")
    header = [cell.strip() for cell in lines[0]]
    double = next((cell for cell in header if header.count(cell) > 1), None)
    if double is not None:
        raise UnusableInputError(f"{name} has the column {double!r} twice; keep the right one")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise UnusableInputError(
                f"{name}, row {number}: {len(line)} cells under {len(header)} columns; the file is "
                "torn or was edited, fetch it again"
            )
    return [dict(zip(header, line, strict=True)) for line in lines[1:]], sha256(data)


def codes_of(text: str, record: str) -> tuple[str, ...]:
    """Statements of a record: the keys of its `scp_codes`, read as a literal, never evaluated.

    Raises:
        BadRecordError: it is not a dict of statements to numbers.
    """
    try:
        if len(text) > _LONGEST_CODES:
            raise ValueError
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an odd escape sequence is a warning of the parser
            codes = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, Warning):
        codes = None
    if not isinstance(codes, dict) or not all(_is_code(*item) for item in codes.items()):
        raise BadRecordError(
            record,
            "statements",
            f"scp_codes {text[:60]!r} is no dict of statements to likelihoods",
            f"correct {DATABASE}",
        )
    return tuple(codes)


def version_of(records: int) -> str:
    """The version as far as the length of the table tells it; the tables carry no version."""
    return _VERSIONS.get(records, f"not known: no published table has {records} records")


def _is_code(key: object, value: object) -> bool:
    return isinstance(key, str) and isinstance(value, int | float) and 0 <= value <= 100


def _numbered(rows: list[dict[str, str]]) -> enumerate[dict[str, str]]:
    return enumerate(rows, start=2)


def _id(row: Mapping[str, str], line: int) -> str:
    return whole(row["ecg_id"]) or f"(row {line})"


def _read(row: Mapping[str, str], line: int, data: _Set) -> list[Case | BadRecordError]:
    record = _id(row, line)
    if whole(row["ecg_id"]) is None:
        raise BadRecordError(
            record, "name", f"ecg_id is {row['ecg_id'][:40]!r}", f"correct {DATABASE}"
        )
    patient = whole(row["patient_id"])
    if patient is None:
        raise BadRecordError(
            record, "patient", f"patient_id is {row['patient_id'][:40]!r}", f"correct {DATABASE}"
        )
    fold = _fold(row["strat_fold"], record)
    codes = codes_of(row["scp_codes"], record)
    signal = read_signal(_header(row, data, record), data.plan.leads)
    _require_duration(signal, data, record)
    case = Case(
        id=record,
        patient=patient,
        statements=_statements(codes, data.superclasses),
        values=window(signal, data.plan, record),
        rate=signal.rate,
        fold=fold,
        subgroups={name: attribute(name, row[name]) for name in data.subgroups},
    )
    return [case]


def _statements(codes: tuple[str, ...], classes: Mapping[str, str] | None) -> tuple[str, ...]:
    if classes is None:
        return codes
    return tuple(dict.fromkeys(classes.get(code, code) for code in codes))


def _fold(text: str, record: str) -> str:
    fold = whole(text)
    if fold not in _FOLDS:
        raise BadRecordError(
            record, "fold", f"strat_fold is {text[:40]!r}, not 1 to 10", f"correct {DATABASE}"
        )
    return fold


def _header(row: Mapping[str, str], data: _Set, record: str) -> Header:
    """The record's header, if column, folder and header all say the same rate."""
    column, folder = _FILES[data.rate]
    name = row[column].strip()
    path = inside(data.folder, name, record)
    if Path(name).parts[:1] != (folder,):
        raise _other_rate(record, f"{column} is {name[:60]!r}, which is not in {folder}/", data)
    header = read_header(path.with_name(path.name + ".hea"), record)
    if header.rate != data.rate:
        raise _other_rate(record, f"its header says {float(header.rate):g} Hz", data)
    return header


def _require_duration(signal: Signal, data: _Set, record: str) -> None:
    """A 500 Hz file whose header says 100 Hz shows as 50 seconds."""
    if len(signal.values) != data.rate * SECONDS:
        told = f"{len(signal.values)} samples are not {SECONDS} seconds"
        raise _other_rate(record, told, data)


def _other_rate(record: str, found: str, data: _Set) -> BadRecordError:
    return BadRecordError(
        record,
        "rate",
        f"{found} (read as {data.rate} Hz)",
        "correct `signal.read_rate` or the file",
    )


def _require_columns(source: CohortSource, row: Mapping[str, str], needed: tuple[str, ...]) -> None:
    for name in (*needed, *source.subgroups):
        if name not in row:
            raise UnusableInputError(
                f"{source.path}/{DATABASE} has no column {name!r}; {similar(name, list(row))}"
            )


def _require_disjoint(rows: list[dict[str, str]], name: str) -> None:
    """A patient in two folds would be trained on and tested with: always a stop."""
    folds: dict[str, tuple[str, str]] = {}
    for row in rows:
        patient, fold = whole(row["patient_id"]), whole(row["strat_fold"])
        if patient is None or fold is None:
            continue
        before, record = folds.setdefault(patient, (fold, row["ecg_id"]))
        if before != fold:
            raise UnusableInputError(
                f"{name}/{DATABASE}: patient {patient} is in fold {before} (record {record}) and "
                f"in fold {fold} (record {row['ecg_id']}); correct strat_fold"
            )


def _superclasses(
    folder: Path, source: CohortSource, plan: SignalPlan
) -> tuple[dict[str, str] | None, dict[str, str]]:
    """SCP code -> superclass, and the digest of the table that says so."""
    if plan.statements != "superclass":
        return None, {}
    name = f"{source.path}/{STATEMENTS}"
    rows, digest = read_table(folder / STATEMENTS, name)
    for column in ("", "diagnostic", "diagnostic_class"):
        if column not in rows[0]:
            raise UnusableInputError(f"{name} has no column {column!r}; fetch it again")
    classes = {
        row[""].strip(): row["diagnostic_class"].strip()
        for row in rows
        if whole(row["diagnostic"]) == "1" and row["diagnostic_class"].strip()
    }
    return classes, {STATEMENTS: digest}


def _about(records: int, rate: int, digests: Mapping[str, str], plan: SignalPlan) -> dict[str, Any]:
    rules = {
        "rhythm": "every key of scp_codes, whatever its likelihood",
        "superclass": "diagnostic_class of every key with diagnostic 1, whatever its likelihood",
    }
    return {
        "dataset": "PTB-XL",
        "version": version_of(records),
        "read_rate": rate,
        "labels": rules[plan.statements],
        "sha256": dict(digests),
        "citation": _CITATION,
        "licence": "CC BY 4.0",
    }
