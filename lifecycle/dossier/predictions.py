"""Predictions as files: Parquet of ours, CSV for exchange (design 09.12 and 09.13).

Whatever is read has passed the same checks, so that nothing downstream ever meets a NaN, a
doubled case or a row that is no distribution.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.domain.classifier import Task
from lifecycle.domain.names import RESERVED, SUBGROUP, fault_of_class, fault_of_name, fault_of_twins
from lifecycle.domain.numbers import plain_float
from lifecycle.domain.predictions import Predictions
from lifecycle.domain.sheets import csv_text, fault_in_sheets
from lifecycle.dossier.files import read_regular, write_whole
from lifecycle.dossier.packed import DamagedError, gunzip
from lifecycle.dossier.parquet import table_in
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.records.builds import PREDICTIONS

OURS = 1e-9  # rows of our own files sum to 1 within this
IMPORTED = 1e-6  # rows of other people's files
_KEY = b"lifecycle.predictions"
_GZIP = b"\x1f\x8b"


def write_parquet(path: Path | str, predictions: Predictions) -> None:
    """Write predictions whole or not at all; `read_parquet` gives back the same digest.

    Raises:
        UnusableInputError: the predictions are malformed (the checks of `check`).
        OSError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    check(predictions, str(path), OURS)
    fields = {"task": predictions.task, "classes": list(predictions.classes)}
    about = PREDICTIONS.write(fields, str(path))
    columns: dict[str, Any] = dict(_text_columns(predictions))
    for j, name in enumerate(predictions.classes):
        columns[name] = pa.array(np.ascontiguousarray(predictions.scores[:, j]), type=pa.float64())
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about)})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    write_whole(Path(path), sink.getvalue())


def read_parquet(path: Path | str) -> Predictions:
    """Read predictions that `write_parquet` wrote.

    Raises:
        UnusableInputError: missing, torn, not a Parquet file, not predictions, or malformed.
    """
    return parquet_in(_bytes(Path(path)), str(path))


def parquet_in(data: bytes, path: str) -> Predictions:
    """Predictions out of the bytes of a file that `write_parquet` wrote.

    Raises:
        UnusableInputError: torn, not a Parquet file, not predictions, or malformed; names `path`.
    """
    try:
        table = table_in(data, path)
        about = json.loads((table.schema.metadata or {})[_KEY])
    except KeyError:
        raise UnusableInputError(
            f"{path} is a Parquet file but holds no predictions of this product; "
            "give other people's scores as CSV"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UnusableInputError(f"{path} is not a readable Parquet file: {error}") from None
    predictions = _from_table(table, about, path)
    check(predictions, path, OURS)
    return predictions


def read_csv(
    path: Path | str,
    classes: Sequence[str] | None = None,
    tolerance: float = IMPORTED,
    task: Task = "single",
) -> Predictions:
    """Read scores from CSV (gzip too): one row a case, one column a class.

    Columns: `case_id`; optional `patient_id` (where absent every case is its own patient),
    `group_id`, `label`, `subgroup:<name>`; every other column is a class.

    Args:
        path: the file.
        classes: class names in the order wanted; columns are found by name. Where None, the
            order of the file.
        tolerance: how far a single-label row's sum may lie from 1.
        task: `multi` leaves the sum free.

    Raises:
        UnusableInputError: anything malformed, naming file, row (the first data row is 1) and
            column.
    """
    header, rows = _csv_rows(Path(path))
    names = _class_columns(header, classes, str(path))
    at = {name: j for j, name in enumerate(header)}

    def column(name: str) -> tuple[str, ...]:
        return tuple(row[at[name]] for row in rows)

    ids = column("case_id")
    predictions = Predictions(
        ids=ids,
        patients=column("patient_id") if "patient_id" in at else ids,
        groups=column("group_id") if "group_id" in at else ("",) * len(ids),
        labels=column("label") if "label" in at else None,
        classes=names,
        scores=_scores(rows, [at[name] for name in names], names, str(path)),
        task=task,
        subgroups={n.removeprefix(SUBGROUP): column(n) for n in header if n.startswith(SUBGROUP)},
    )
    check(predictions, str(path), tolerance)
    require_foreign_names(predictions, str(path))
    return predictions


def require_foreign_names(predictions: Predictions, where: str) -> None:
    """Refuse names of another's file that would be taken for another thing, or for two, or be run.

    Files of our own are not asked: params.yaml and the import refuse such names, and what was
    signed before they did so must be readable for ever.

    Raises:
        UnusableInputError: names `where`, the name and why.
    """
    for column, names in (("case_id", predictions.ids), ("patient_id", predictions.patients),
                          ("group_id", predictions.groups)):  # fmt: skip
        for row, name in enumerate(names, 1):
            fault = fault_of_name(name) or fault_in_sheets(name)
            if fault is not None:
                raise UnusableInputError(f"{where}, row {row}: {column} {name!r}: {fault}")
    for kind, names in (("patient", predictions.patients), ("group", predictions.groups)):
        fault = fault_of_twins(kind, names)
        if fault is not None:
            raise UnusableInputError(f"{where}: {fault}")
    for name in predictions.classes:
        fault = fault_of_class(name)
        if fault is not None:
            raise UnusableInputError(f"{where}: class column {name!r}: {fault}; rename it")


def write_csv(path: Path | str, predictions: Predictions) -> None:
    """Write CSV whose decimals are the shortest that read back to the same float64.

    For programs, which read it back: no character of a name is changed, so a spreadsheet may run
    one that begins with `=`.

    A path ending in `.gz` is compressed (without a time stamp: same content, same bytes).

    Raises:
        UnusableInputError: the predictions are malformed.
        OSError: the file cannot be written; `path` is as it was.
    """
    check(predictions, str(path), IMPORTED)
    texts = _text_columns(predictions)
    rows = [[*texts, *predictions.classes]]
    for i, scores in enumerate(predictions.scores.tolist()):
        rows.append([*(column[i] for column in texts.values()), *map(repr, scores)])
    data = csv_text(rows).encode("utf-8")
    write_whole(Path(path), gzip.compress(data, mtime=0) if str(path).endswith(".gz") else data)


def check(predictions: Predictions, where: str, tolerance: float) -> None:
    """Hold predictions to what every reader relies on.

    Unique non-empty case ids, a patient for each, at least two distinct classes, scores finite
    and within [0, 1], single-label rows summing to 1 within `tolerance`.

    Raises:
        UnusableInputError: names `where`, the row (from 1), the case and the column.
    """
    if predictions.task not in ("single", "multi"):
        raise UnusableInputError(f"{where}: task {predictions.task!r} is neither single nor multi")
    _check_shape(predictions, where)
    _check_classes(predictions.classes, where)
    _check_ids(predictions, where)
    _check_scores(predictions, where)
    if predictions.task == "single":
        _check_sums(predictions, where, tolerance)


def _check_shape(predictions: Predictions, where: str) -> None:
    n = len(predictions.ids)
    if n == 0:
        raise UnusableInputError(f"{where} has no case; at least one row is needed")
    if predictions.scores.shape != (n, len(predictions.classes)):
        raise UnusableInputError(
            f"{where}: scores have shape {predictions.scores.shape}, "
            f"but there are {n} cases and {len(predictions.classes)} classes"
        )
    columns = {"patient_id": predictions.patients, "group_id": predictions.groups}
    columns |= {SUBGROUP + name: column for name, column in predictions.subgroups.items()}
    columns |= {} if predictions.labels is None else {"label": predictions.labels}
    for name, column in columns.items():
        if len(column) != n:
            raise UnusableInputError(f"{where}: column {name!r} has {len(column)} of {n} values")


def _check_classes(classes: Sequence[str], where: str) -> None:
    if len(classes) < 2:
        raise UnusableInputError(
            f"{where} has {len(classes)} class column(s); a classifier has at least two"
        )
    for j, name in enumerate(classes):
        if not name.strip() or name in RESERVED or name.startswith(SUBGROUP):
            raise UnusableInputError(f"{where}: {name!r} cannot be the name of a class column")
        if name in classes[:j]:
            raise UnusableInputError(f"{where}: class column {name!r} is there twice")


def _check_ids(predictions: Predictions, where: str) -> None:
    seen: dict[str, int] = {}
    for row, (case, patient) in enumerate(
        zip(predictions.ids, predictions.patients, strict=True), 1
    ):
        if not case.strip():
            raise UnusableInputError(f"{where}, row {row}: column 'case_id' is empty")
        if not patient.strip():
            raise UnusableInputError(
                f"{where}, row {row} (case {case!r}): column 'patient_id' is empty; name the "
                "patient, or leave the whole column out if every case is its own patient"
            )
        for column, name in (("case_id", case), ("patient_id", patient)):
            fault = fault_of_name(name)
            if fault is not None:
                raise UnusableInputError(f"{where}, row {row}: {column} {name!r}: {fault}")
        if case in seen:
            raise UnusableInputError(
                f"{where}, row {row}: case {case!r} is already in row {seen[case]}; "
                "every case may be there once"
            )
        seen[case] = row


def _check_scores(predictions: Predictions, where: str) -> None:
    scores = predictions.scores
    wrong = np.argwhere(~((scores >= 0.0) & (scores <= 1.0)))
    if len(wrong):
        i, j = (int(k) for k in wrong[0])
        raise UnusableInputError(
            f"{where}, row {i + 1} (case {predictions.ids[i]!r}), column "
            f"{predictions.classes[j]!r}: the score is {scores[i, j]}; "
            "scores are numbers from 0 to 1"
        )


def _check_sums(predictions: Predictions, where: str, tolerance: float) -> None:
    for i, row in enumerate(predictions.scores.tolist()):
        total = math.fsum(row)
        if abs(total - 1.0) > tolerance:
            raise UnusableInputError(
                f"{where}, row {i + 1} (case {predictions.ids[i]!r}): the class columns sum to "
                f"{total!r}, not to 1 within {tolerance:g}; single-label scores are a "
                "distribution over the classes (for rounded scores give a larger --tolerance)"
            )


def _text_columns(predictions: Predictions) -> dict[str, list[str]]:
    columns = {
        "case_id": list(predictions.ids),
        "patient_id": list(predictions.patients),
        "group_id": list(predictions.groups),
    }
    if predictions.labels is not None:
        columns["label"] = list(predictions.labels)
    for name, column in predictions.subgroups.items():
        columns[SUBGROUP + name] = list(column)
    return columns


def _bytes(path: Path) -> bytes:
    try:
        return read_regular(path, follow=True)[0]
    except FileNotFoundError:
        raise UnusableInputError(f"{path} is missing") from None
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be read: {error.strerror or error}") from None


def _from_table(table: Any, about: Any, where: str) -> Predictions:
    try:
        about = PREDICTIONS.read(about, where)
    except IntegrityError as error:
        raise UnusableInputError(f"{error} (its metadata)") from None
    classes = tuple(about["classes"])
    names = list(table.column_names)
    labelled = ("label",) if "label" in names else ()
    needed = ("case_id", "patient_id", "group_id", *classes)
    for name in needed:
        if names.count(name) != 1:
            raise UnusableInputError(f"{where}: column {name!r} is missing or there twice")
    texts = {
        name: _text(table, name, where)
        for name in (*needed[:3], *labelled, *(n for n in names if n.startswith(SUBGROUP)))
    }
    return Predictions(
        ids=texts["case_id"],
        patients=texts["patient_id"],
        groups=texts["group_id"],
        labels=texts["label"] if labelled else None,
        classes=classes,
        scores=np.column_stack([_floats(table, name, where) for name in classes]),
        task=about["task"],
        subgroups={n.removeprefix(SUBGROUP): c for n, c in texts.items() if SUBGROUP in n},
    )


def _text(table: Any, name: str, where: str) -> tuple[str, ...]:
    column = table.column(name)
    if not pa.types.is_string(column.type) or column.null_count:
        raise UnusableInputError(f"{where}: column {name!r} must hold text in every row")
    return tuple(column.to_pylist())


def _floats(table: Any, name: str, where: str) -> NDArray[np.float64]:
    column = table.column(name)
    if column.type != pa.float64() or column.null_count:
        raise UnusableInputError(f"{where}: column {name!r} must hold a float64 in every row")
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _csv_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and data rows, every row as long as the header."""
    data = _bytes(path)
    try:
        if data.startswith(_GZIP) or path.suffix == ".gz":
            data = gunzip(data, str(path))
        text = data.decode("utf-8-sig")
        lines = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except DamagedError as error:
        raise UnusableInputError(f"{path} is torn or no gzip file: {error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnusableInputError(f"{path} is not a CSV file in UTF-8: {error}") from None
    if not lines:
        raise UnusableInputError(f"{path} is empty; a header and at least one row are needed")
    header, rows = lines[0], lines[1:]
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise UnusableInputError(
                f"{path}, row {number}: {len(row)} fields where the header has {len(header)}"
            )
    return header, rows


def _class_columns(
    header: Sequence[str], classes: Sequence[str] | None, where: str
) -> tuple[str, ...]:
    doubled = [name for j, name in enumerate(header) if name in header[:j]]
    if doubled:
        raise UnusableInputError(f"{where}: column {doubled[0]!r} is there twice")
    if "case_id" not in header:
        raise UnusableInputError(
            f"{where}: column 'case_id' is missing; the header is {', '.join(header)!r}"
        )
    found = tuple(n for n in header if n not in RESERVED and not n.startswith(SUBGROUP))
    if classes is None:
        return found
    for name in classes:
        if name not in found:
            raise UnusableInputError(f"{where}: column {name!r} of the classifier is missing")
    for name in found:
        if name not in classes:
            raise UnusableInputError(
                f"{where}: column {name!r} is no class of the classifier; further attributes "
                f"are named {SUBGROUP}{name}"
            )
    return tuple(classes)


def _scores(
    rows: Sequence[Sequence[str]], at: Sequence[int], names: Sequence[str], where: str
) -> NDArray[np.float64]:
    scores = np.empty((len(rows), len(at)), dtype=np.float64)
    for i, row in enumerate(rows):
        for j, k in enumerate(at):
            scores[i, j] = _number(row[k], where, i + 1, names[j])
    return scores


def _number(text: str, where: str, row: int, column: str) -> float:
    try:
        return plain_float(text)
    except ValueError:
        raise UnusableInputError(
            f"{where}, row {row}, column {column!r}: {text!r} is not a number; "
            "every column besides case_id, patient_id, group_id, label and subgroup:... is a class"
        ) from None
