"""A table of measured values with its cases: samples in rows or in columns, attributes beside it.

Which way round (`orientation: auto`): attributes are label, patient, group and subgroup columns.

* samples in rows, where an attribute other than the id heads a column, or the cells of the id
  column are ids of the annotation file;
* features in rows, where an attribute other than the id stands in the first column (as a row), or
  headings are ids of the annotation file;
* neither or both: an error that asks for `orientation`.

The id column is the one named by `id`, else the first; with features in rows that column holds the
feature names and the other headings are the case ids. An attribute is looked up in the annotation
file first, then in the table itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts.tables import MISSING, Table, open_table, similar
from lifecycle.domain.classifier import CohortSource, ColumnRule
from lifecycle.domain.cohort import Cohort
from lifecycle.errors import UnusableInputError

_WAYS = ("samples-in-rows", "features-in-rows")


@dataclass(frozen=True, slots=True)
class _Notes:
    """The annotation file: cases by id, attributes by column."""

    name: str
    digest: str
    header: tuple[str, ...]
    rows: Mapping[str, int]
    twice: frozenset[str]
    columns: Mapping[str, tuple[str, ...]]

    def of(self, column: str, ids: Sequence[str]) -> tuple[str, ...]:
        cells = self.columns[column]
        return tuple(cells[self.rows[case]] for case in ids)


@dataclass(frozen=True, slots=True, eq=False)
class _Matrix:
    """Measurements and the attributes that stand in the same table."""

    ids: tuple[str, ...]
    features: tuple[str, ...]
    values: NDArray[np.float64]
    attributes: Mapping[str, tuple[str, ...]]


def import_matrix(source: CohortSource, root: Path) -> Cohort:
    """Cases and measurements of a `beta_matrix` source, labels as they stand in the file.

    Args:
        source: where the columns are; paths are relative to `root`.
        root: the project's root.

    Raises:
        UnusableInputError: the file cannot be used; the message names file, line and column.
    """
    table = open_table(root / source.path, source.path, source.separator)
    notes = _read_notes(source, root)
    own = _own_attributes(source, notes)
    _require_named(source, table, notes, own)
    way = _orientation(source, table, notes)
    read = _samples_in_rows if way == _WAYS[0] else _features_in_rows
    matrix = read(source, table, own)
    _require_usable(table.name, matrix)
    columns = {**matrix.attributes, **_noted(source, notes, matrix.ids)}
    return _cohort(source, matrix, columns, _about(source, table, notes, matrix, way))


def _attribute_columns(source: CohortSource) -> tuple[str, ...]:
    rules = [rule.column for rule in (source.patient, source.group) if rule]
    label = [source.label] if source.label else []
    return tuple(dict.fromkeys([*label, *rules, *source.subgroups]))


def _own_attributes(source: CohortSource, notes: _Notes | None) -> tuple[str, ...]:
    """Attributes that the annotation file does not have."""
    known = notes.columns if notes else {}
    return tuple(column for column in _attribute_columns(source) if column not in known)


# ---- the annotation file


def _read_notes(source: CohortSource, root: Path) -> _Notes | None:
    if source.annotation is None:
        return None
    table = open_table(root / source.annotation.path, source.annotation.path)
    key = source.annotation.id
    if key not in table.header:
        raise _missing(table.name, "annotation.id", key, table.header)
    wanted = [key, *_attribute_columns(source)]
    columns = table.cells([c for c in table.header if c in wanted], []).text
    ids = columns[key]
    twice = frozenset(case for case, count in Counter(ids).items() if count > 1)
    rows = {case: i for i, case in enumerate(ids)}
    return _Notes(table.name, table.digest, table.header, rows, twice, columns)


def _noted(
    source: CohortSource, notes: _Notes | None, ids: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """Attributes from the annotation file, in the order of `ids`."""
    if notes is None:
        return {}
    without = [case for case in ids if case not in notes.rows]
    if without:
        raise UnusableInputError(
            f"{notes.name} has no row for case {without[0]!r}{_more(without)}; add it, or take the "
            f"case out of {source.path}"
        )
    twice = [case for case in ids if case in notes.twice]
    if twice:
        raise UnusableInputError(
            f"{notes.name} has more than one row for case {twice[0]!r}{_more(twice)}"
        )
    names = [column for column in _attribute_columns(source) if column in notes.columns]
    return {column: notes.of(column, ids) for column in names}


# ---- which way round


def _require_named(
    source: CohortSource, table: Table, notes: _Notes | None, own: tuple[str, ...]
) -> None:
    """What the source names is somewhere, whichever way round the table is."""
    if source.id is not None and source.id not in table.header:
        raise _missing(table.name, "id", source.id, table.header)
    if source.id is None and source.label == table.header[0] and source.label in own:
        raise UnusableInputError(
            f"{table.name}: `id` is not given and the first column is the label; name the id column"
        )
    for field, column in _fields(source):
        if column in own and column not in table.header:
            rows = table.first_column()
            if column not in rows:
                files = f"neither {notes.name} nor {table.name}" if notes else table.name
                names = (*(notes.header if notes else ()), *table.header, *rows)
                raise _missing(files, field, column, names)


def _orientation(source: CohortSource, table: Table, notes: _Notes | None) -> str:
    """`samples-in-rows` or `features-in-rows`, by the rule at the head of this module."""
    if source.orientation != "auto":
        return source.orientation
    key = _key_column(source, table)
    known = frozenset(notes.rows) - MISSING if notes else frozenset()
    others = set(_own_attributes(source, notes)) - {key}
    in_header = bool(others & set(table.header)) or _key_is_known(table, key, known)
    in_rows = bool(known & set(table.header)) or _rows_are_attributes(table, others)
    if in_header == in_rows:
        found = "both ways round fit" if in_header else "no label or annotated case id was found"
        raise UnusableInputError(
            f"{table.name}: it is not clear whether cases are rows or columns ({found}); set "
            f"`orientation` to {_WAYS[0]} or {_WAYS[1]}"
        )
    return _WAYS[0] if in_header else _WAYS[1]


def _key_is_known(table: Table, key: str, known: frozenset[str]) -> bool:
    return bool(known) and not known.isdisjoint(table.cells([key], []).text[key])


def _rows_are_attributes(table: Table, others: set[str]) -> bool:
    return bool(others) and not others.isdisjoint(table.first_column())


# ---- the two ways to read


def _samples_in_rows(source: CohortSource, table: Table, own: tuple[str, ...]) -> _Matrix:
    key = _key_column(source, table)
    for field, column in _fields(source):
        if column in own and column not in table.header:
            raise _missing(table.name, field, column, table.header)
    for column in source.drop:
        if column not in table.header:
            raise _missing(table.name, "drop", column, table.header)
    aside = {key, *_attribute_columns(source), *source.drop}
    features = tuple(column for column in table.header if column not in aside)
    text = tuple(dict.fromkeys([key, *own]))
    cells = table.cells(text, _some(features, table.name))
    return _Matrix(cells.text[key], features, cells.values, {c: cells.text[c] for c in own})


def _features_in_rows(source: CohortSource, table: Table, own: tuple[str, ...]) -> _Matrix:
    key = _key_column(source, table)
    if key != table.header[0]:
        raise UnusableInputError(
            f"{table.name}: with features in rows the feature names must stand in the first column "
            f"({table.header[0]!r}), not in {key!r}; leave `id` out and list other columns under "
            "`drop`"
        )
    ids = tuple(c for c in table.header[1:] if c not in source.drop)
    in_rows = frozenset(own) - {key}
    dropped = frozenset(source.drop) - set(table.header)
    attributes = _attribute_rows(source, table, in_rows | dropped)
    cells = table.cells([key], _some(ids, table.name), skip=in_rows | dropped)
    picked = {name: _pick(table.header, row, ids) for name, row in attributes.items()}
    columns = {c: ids if c == key else picked[c] for c in own}
    return _Matrix(ids, cells.text[key], np.ascontiguousarray(cells.values.T), columns)


def _attribute_rows(
    source: CohortSource, table: Table, wanted: frozenset[str]
) -> dict[str, tuple[str, ...]]:
    rows = table.rows(wanted)
    for field, name in [*_fields(source), *(("drop", name) for name in source.drop)]:
        if name in wanted and name not in rows:
            raise _missing(table.name, field, name, table.first_column(), "row")
    return rows


def _pick(
    header: tuple[str, ...], row: tuple[str, ...], wanted: tuple[str, ...]
) -> tuple[str, ...]:
    by_heading = dict(zip(header, row, strict=True))
    return tuple(by_heading[case] for case in wanted)


def _key_column(source: CohortSource, table: Table) -> str:
    return source.id or table.header[0]


def _some(columns: tuple[str, ...], name: str) -> tuple[str, ...]:
    if not columns:
        raise UnusableInputError(f"{name}: no column of measurements is left")
    return columns


def _fields(source: CohortSource) -> list[tuple[str, str]]:
    """Field of the source and the column that it names."""
    rules = [("patient", source.patient), ("group", source.group)]
    named = [(field, rule.column) for field, rule in rules if rule]
    label = [("label", source.label)] if source.label else []
    return [*label, *named, *(("subgroups", column) for column in source.subgroups)]


def _missing(
    name: str, field: str, column: str, names: Sequence[str], what: str = "column"
) -> UnusableInputError:
    has = "has a" if name.startswith("neither ") else "has no"
    return UnusableInputError(
        f"{name} {has} {what} {column!r}, which `{field}` names; {similar(column, names)}"
    )


def _more(found: Sequence[object]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""


# ---- checks and the cohort


def _require_usable(name: str, matrix: _Matrix) -> None:
    unnamed = [i for i, case in enumerate(matrix.ids, start=1) if not case]
    if unnamed:
        raise UnusableInputError(f"{name}: case {unnamed[0]}{_more(unnamed)} has no id")
    _require_features(name, matrix.features)
    infinite = np.argwhere(np.isinf(matrix.values))
    if len(infinite):
        case, feature = (int(i) for i in infinite[0])
        raise UnusableInputError(
            f"{name}: case {matrix.ids[case]!r}, feature {matrix.features[feature]!r} is infinite "
            f"({len(infinite)} such values); correct it or leave the cell empty"
        )


def _require_features(name: str, features: tuple[str, ...]) -> None:
    if not features:
        raise UnusableInputError(f"{name} has no features")
    twice = [feature for feature, count in Counter(features).items() if count > 1]
    if twice:
        raise UnusableInputError(f"{name}: feature {twice[0]!r} occurs twice{_more(twice)}")
    bad = [feature for feature in features if not feature or "\n" in feature]
    if bad:
        raise UnusableInputError(f"{name}: feature name {bad[0]!r} is empty or has a line break")


def _cohort(
    source: CohortSource,
    matrix: _Matrix,
    columns: Mapping[str, tuple[str, ...]],
    about: Mapping[str, object],
) -> Cohort:
    blank = ("",) * len(matrix.ids)
    patients = _ruled(source.patient, columns, matrix.ids, blank)
    if source.patient is not None and not all(patients):
        case = matrix.ids[patients.index("")]
        raise UnusableInputError(
            f"{source.path}: case {case!r} has no patient in {source.patient.column!r}; name "
            "the patient, or leave `patient` out if every case is its own"
        )
    return Cohort(
        ids=matrix.ids,
        patients=tuple(p or case for p, case in zip(patients, matrix.ids, strict=True)),
        groups=_ruled(source.group, columns, matrix.ids, blank),
        labels=columns[source.label] if source.label else blank,
        features=matrix.features,
        values=matrix.values,
        origin="real",
        subgroups={name: columns[name] for name in source.subgroups},
        about=about,
    )


def _ruled(
    rule: ColumnRule | None,
    columns: Mapping[str, tuple[str, ...]],
    ids: tuple[str, ...],
    blank: tuple[str, ...],
) -> tuple[str, ...]:
    """Attribute of each case under a rule; "" where the cell is missing."""
    if rule is None:
        return blank
    cells = zip(columns[rule.column], ids, strict=True)
    return tuple(_shortened(rule, cell, case) for cell, case in cells)


def _shortened(rule: ColumnRule, cell: str, case: str) -> str:
    """The part of a cell that a rule keeps: before a text, then the first characters.

    A cell without that text is refused: taken whole it would be a slide or patient of its own, and
    could straddle a split unseen.
    """
    if cell in MISSING:
        return ""
    if rule.before is not None:
        if rule.before not in cell:
            raise UnusableInputError(
                f"case {case!r}: {rule.column} is {cell!r}, which has no {rule.before!r}"
            )
        cell = cell.split(rule.before, 1)[0]
    return cell if rule.first is None else cell[: rule.first]


def _about(
    source: CohortSource, table: Table, notes: _Notes | None, matrix: _Matrix, way: str
) -> dict[str, object]:
    about: dict[str, object] = {
        "source": "beta_matrix",
        "path": source.path,
        "sha256": table.digest,
        "measures": source.measures,
        "orientation": way,
        "missing": int(np.isnan(matrix.values).sum()),
    }
    if notes:
        unused = len(set(notes.rows) - set(matrix.ids))
        extra = {"path": notes.name, "sha256": notes.digest, "unused_rows": unused}
        about["annotation"] = extra
    return about
