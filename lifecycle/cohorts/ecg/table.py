"""ECG records as plain tables: an index (CSV or Parquet) that names one signal table a record.

The index has the columns that the cohort's `id`, `label`, `patient`, `group` and `subgroups` name,
and two of fixed names: `path` (relative to the index) and `rate` (samples a second). A signal table
has a column a lead, in millivolt, and a row a sample.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np

from lifecycle.cohorts.ecg.faults import BadRecordError, foreign
from lifecycle.cohorts.ecg.headers import inside, size_of
from lifecycle.cohorts.ecg.leads import columns_of
from lifecycle.cohorts.ecg.records import (
    LARGEST_SIGNAL,
    Case,
    Listing,
    Row,
    Signal,
    require_amplitude,
    window,
)
from lifecycle.cohorts.tables import MISSING, open_table, similar
from lifecycle.domain.classifier import CohortSource, ColumnRule, SignalPlan
from lifecycle.errors import UnusableInputError

PATH, RATE = "path", "rate"
_NUMBER = re.compile(r"\d{1,6}(?:\.\d{1,6})?", re.ASCII)


def list_table(source: CohortSource, plan: SignalPlan, root: Path) -> Listing:
    """Records of the index in its order.

    Raises:
        UnusableInputError: the index cannot be read, or a column is missing.
    """
    index = open_table(root / source.path, source.path, source.separator)
    if source.id is None:
        raise UnusableInputError(f"{source.path}: give `id`, the column of the record's name")
    if source.label is None and not source.keep_unlabelled:
        raise UnusableInputError(f"{source.path}: give `label`, or set `keep_unlabelled: true`")
    rules = [rule.column for rule in (source.patient, source.group) if rule]
    label = [source.label] if source.label else []
    wanted = list(dict.fromkeys([source.id, PATH, RATE, *label, *rules, *source.subgroups]))
    for name in wanted:
        if name not in index.header:
            raise UnusableInputError(
                f"{source.path} has no column {name!r}; {similar(name, index.header)}"
            )
    columns = index.cells(wanted, []).text
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    folder = (root / source.path).parent
    return Listing(
        rows=[Row(row[source.id], partial(_read, row, folder, source, plan)) for row in rows],
        about={
            "dataset": source.path,
            "labels": f"column {source.label!r}, classes joined with |",
            "sha256": {"index": index.digest},
            "citation": "the laboratory's own",
            "licence": "the laboratory's own",
        },
    )


def read_table_signal(path: Path, rate: Fraction, plan: SignalPlan, record: str) -> Signal:
    """Wanted leads of a signal table in whole microvolt, half to even.

    Raises:
        BadRecordError: missing, unreadable, a lead missing, a value that is no number or too large.
    """
    if size_of(path, record) > LARGEST_SIGNAL:
        raise BadRecordError(record, "file too large", path.name, "split the record")
    try:
        with foreign(record, path.name):
            opened = open_table(path, path.name)
            columns = columns_of(opened.header, plan.leads, record, plan.leads_as)
            names = [opened.header[i] for i in columns]
            millivolts = opened.cells([], names).values
    except BadRecordError:
        raise
    except UnusableInputError as error:
        raise BadRecordError(record, "unreadable file", str(error), "correct the file") from None
    with np.errstate(over="ignore"):
        microvolts = np.rint(millivolts * 1000.0)
    require_amplitude(microvolts, plan.leads, record)
    return Signal(rate, microvolts)


def _read(
    row: Mapping[str, str], folder: Path, source: CohortSource, plan: SignalPlan
) -> list[Case | BadRecordError]:
    record = row[source.id or ""]
    path = inside(folder, row[PATH], record)
    signal = read_table_signal(path, _rate(row[RATE], record), plan, record)
    case = Case(
        id=record,
        patient=_ruled(source.patient, row, record, "patient") if source.patient else record,
        statements=_statements(row, source.label),
        values=window(signal, plan, record),
        rate=signal.rate,
        subgroups={name: row[name] for name in source.subgroups},
    )
    if source.group is not None:
        case = replace(case, group=_ruled(source.group, row, record, "group"))
    return [case]


def _rate(text: str, record: str) -> Fraction:
    rate = Fraction(text) if _NUMBER.fullmatch(text) else Fraction(0)
    if not rate:
        raise BadRecordError(
            record, "rate", f"column {RATE!r} is {text[:40]!r}", "give samples a second"
        )
    return rate


def _statements(row: Mapping[str, str], label: str | None) -> tuple[str, ...] | None:
    """Parts of the label cell; an empty cell is not annotated."""
    if label is None or row[label] in MISSING:
        return None
    return tuple(part.strip() for part in row[label].split("|") if part.strip())


def _ruled(rule: ColumnRule, row: Mapping[str, str], record: str, what: str) -> str:
    """The part of a cell that a rule keeps; a missing patient is a fault, a missing group is ""."""
    cell = row[rule.column]
    if cell in MISSING and what == "group":
        return ""
    lacking = rule.before is not None and rule.before not in cell
    if cell in MISSING or lacking:
        raise BadRecordError(
            record, "patient", f"{what} {rule.column!r} is {cell[:40]!r}", "correct the index"
        )
    if rule.before is not None:
        cell = cell.split(rule.before, 1)[0]
    return cell[: rule.first] if rule.first is not None else cell
