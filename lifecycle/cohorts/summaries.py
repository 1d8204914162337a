"""Tables of a cohort, small enough to hold expectations against: cases, features and the split.

A cohort of 700 cases and 50,000 probes has no place in a validation tool: 5,000 column expectations
on the raw matrix take over a minute (design 09.17). One row a case and one row a feature say the
same. The values are read once, in blocks of rows, so that a memory-mapped cohort stays on disk.

Nothing is judged here: the tables state counts, shares and extremes, and where the extremes stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lifecycle.domain.classifier import Part, Task
from lifecycle.domain.cohort import Cohort, as_float64
from lifecycle.errors import UnusableInputError

SIDES: tuple[Part, ...] = ("training", "holdout", "frozen")  # `aside` is used by nothing: no side
UNASSIGNED = "unassigned"
COHORT = "cohort"
FROZEN_SET = "frozen set"
BETWEEN_CLASSES = "|"  # joins the classes of a multi-label case (domain.predictions)
_BLOCK_VALUES = 1 << 20  # float64 values in memory at a time: 8 MiB, and as much again in masks


@dataclass(frozen=True, slots=True, eq=False)
class Summaries:
    """What the expectations look at.

    Attributes:
        cases: one row a case of the cohort, then of a frozen set with a source of its own. `case`
            names it to a person, `source` and `row` (from 1) say where it stands; `case_id`,
            `patient`, `part` (`unassigned` where the split does not name it), `label` (null where
            unknown); `missing` is the share of NaN, `infinite` a count; `minimum` and `maximum`
            are over finite values; `..._at` name the feature where each stands.
        features: one row a feature of the cohort: `named` for a person, `feature`, `missing` (share
            of all its cases), `training_missing`, `training_spread` (maximum - minimum over finite
            training values), `in_frozen` (columns of that name in the frozen set),
            `frozen_missing`; null where there is nothing to take it from.
        split: one row a case id, patient, group and class (`kind`). `sides` counts training,
            holdout and frozen; `part` and `where` list them (`part` null where nowhere); `rows`
            counts the cases of that id; a class has its cases in `training`, `holdout`, `frozen`.
    """

    cases: pd.DataFrame
    features: pd.DataFrame
    split: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Per feature over some cases: how many are missing, lowest and highest finite value."""

    cases: int
    missing: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def share(self) -> NDArray[np.float64]:
        """Share of missing values; NaN where there are no cases."""
        if self.cases == 0:
            return np.full(self.missing.shape, np.nan)
        return self.missing / self.cases

    def join(self, other: _Columns) -> _Columns:
        """Both sets of cases together."""
        return _Columns(
            self.cases + other.cases,
            self.missing + other.missing,
            np.fmin(self.low, other.low),
            np.fmax(self.high, other.high),
        )


def summarise(
    cohort: Cohort,
    frozen: Cohort | None,
    parts: Mapping[str, Part],
    classes: Sequence[str],
    task: Task,
) -> Summaries:
    """Tables of a cohort, its split and the frozen set.

    Args:
        cohort: the cases that were split.
        frozen: the frozen set, where it has a source of its own.
        parts: case id -> part; ids of `frozen` may be left out.
        classes: class names, in order.
        task: `multi` counts a case for each of its classes.

    Raises:
        UnusableInputError: the attributes of a cohort are not as long as its values.
    """
    _check_shape(cohort, COHORT)
    where = [parts.get(case, UNASSIGNED) for case in cohort.ids]
    cases, columns = _scan(cohort, where, COHORT)
    pinned: Sequence[str] = cohort.features
    if frozen is not None:
        _check_shape(frozen, FROZEN_SET)
        pinned = frozen.features
        more, of_frozen = _scan(frozen, ["frozen"] * len(frozen.ids), FROZEN_SET)
        cases = pd.concat([cases, more], ignore_index=True)
        columns["frozen"] = of_frozen["frozen"]
    members = members_of(cohort, where, frozen)
    return Summaries(
        cases=cases,
        features=_features(cohort, pinned, columns),
        split=split_table(members, parts, classes, task),
    )


def _check_shape(cohort: Cohort, source: str) -> None:
    expected = (len(cohort.ids), len(cohort.features))
    if cohort.values.shape != expected:
        raise UnusableInputError(
            f"the {source} names {expected[0]} cases and {expected[1]} features, but its values "
            f"have the shape {cohort.values.shape}; import it again"
        )
    check_attributes(cohort, source)


def check_attributes(cohort: Cohort, source: str) -> None:
    """Every case has a patient, group and label.

    Raises:
        UnusableInputError: the attributes are not as many as the cases.
    """
    expected = len(cohort.ids)
    for name in ("patients", "groups", "labels"):
        found = len(getattr(cohort, name))
        if found != expected:
            raise UnusableInputError(
                f"the {source} has {expected} cases but {found} {name}; import it again"
            )


# --- cases and features, in one pass over the values


def _blocks(values: NDArray[Any]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    rows, features = values.shape
    step = max(1, _BLOCK_VALUES // max(1, features))
    for start in range(0, rows, step):
        chosen = slice(start, min(start + step, rows))
        yield chosen, as_float64(values[chosen])


def _scan(
    cohort: Cohort, where: list[str], source: str
) -> tuple[pd.DataFrame, dict[str, _Columns]]:
    """Rows of the table of cases, and what the features need, by part and over `all`."""
    part = np.array(where, dtype=object)
    empty = _columns_of(np.empty((0, len(cohort.features))))
    columns = {"all": empty, "training": empty, "frozen": empty}
    facts = [_case_facts(np.empty((0, len(cohort.features))), cohort.features)]
    for chosen, block in _blocks(cohort.values):
        facts.append(_case_facts(block, cohort.features))
        for name, so_far in columns.items():
            rows = block if name == "all" else block[part[chosen] == name]
            columns[name] = so_far.join(_columns_of(rows))
    attributes = case_attributes(cohort, where, source)
    measured = {key: np.concatenate([fact[key] for fact in facts]) for key in facts[0]}
    return attributes.assign(**measured), columns


def _columns_of(block: NDArray[np.float64]) -> _Columns:
    finite = np.isfinite(block)
    if finite.all():
        missing = np.zeros(block.shape[1], dtype=np.int64)
    else:
        missing = np.isnan(block).sum(axis=0, dtype=np.int64)
        block = np.where(finite, block, np.nan)
    start = np.full(block.shape[1], np.nan)
    low = np.fmin.reduce(block, axis=0) if len(block) else start
    high = np.fmax.reduce(block, axis=0) if len(block) else start
    return _Columns(len(block), missing, low, high)


def _case_facts(block: NDArray[np.float64], features: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Missing share, infinities and extremes of each row, with the feature where they stand."""
    finite = np.isfinite(block)
    infinite = np.isinf(block)
    minimum, lowest = _extreme(np.where(finite, block, np.inf), finite, np.argmin)
    maximum, highest = _extreme(np.where(finite, block, -np.inf), finite, np.argmax)
    _, first_infinite = _extreme(infinite.astype(np.float64), infinite, np.argmax)
    missing = np.isnan(block).sum(axis=1, dtype=np.int64)
    return {
        "missing": missing / max(1, block.shape[1]),
        "infinite": infinite.sum(axis=1, dtype=np.int64),
        "infinite_at": _named(features, first_infinite),
        "minimum": minimum,
        "minimum_at": _named(features, lowest),
        "maximum": maximum,
        "maximum_at": _named(features, highest),
    }


def _extreme(
    block: NDArray[np.float64], counts: NDArray[np.bool_], pick: Any
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Extreme of each row and its position; NaN and -1 where no value of the row counts."""
    rows = len(block)
    if block.shape[1] == 0 or rows == 0:
        return np.full(rows, np.nan), np.full(rows, -1, dtype=np.intp)
    position = pick(block, axis=1)
    there = counts[np.arange(rows), position]
    value = np.where(there, block[np.arange(rows), position], np.nan)
    return value, np.where(there, position, -1)


def _named(features: Sequence[str], positions: NDArray[np.intp]) -> NDArray[Any]:
    return np.array([visible(features[i]) if i >= 0 else "" for i in positions], dtype=object)


def case_attributes(cohort: Cohort, where: list[str], source: str) -> pd.DataFrame:
    """Who a case is and where it stands: the first columns of the table of cases."""
    rows = np.arange(1, len(cohort.ids) + 1)
    return pd.DataFrame(
        {
            "case": text_column(visible(case) for case in cohort.ids),
            "source": text_column([source] * len(rows)),
            "row": rows,
            "part": text_column(where),
            "case_id": text_column(cohort.ids),
            "patient": text_column(cohort.patients),
            "label": text_column(label or None for label in cohort.labels),
        }
    )


def visible(name: str) -> str:
    """A name as a person can see it: quoted where it is blank at an end or has control characters.

    One sentence stays one line, whatever a file has put into an id.
    """
    return name if name and name == name.strip() and name.isprintable() else repr(name)


def text_column(values: Any) -> pd.Series[Any]:
    """Texts, None where there is none."""
    return pd.Series(list(values), dtype="str")


def _features(
    cohort: Cohort, pinned: Sequence[str], columns: Mapping[str, _Columns]
) -> pd.DataFrame:
    """One row a feature; `pinned` are the features of the frozen set."""
    present = Counter(pinned)
    in_frozen = np.array([present[feature] for feature in cohort.features], dtype=np.int64)
    of_frozen = dict(zip(pinned, columns["frozen"].share(), strict=True))
    training = columns["training"]
    return pd.DataFrame(
        {
            "named": text_column(visible(feature) for feature in cohort.features),
            "feature": text_column(cohort.features),
            "missing": columns["all"].share(),
            "training_missing": training.share(),
            "training_spread": training.high - training.low,
            "in_frozen": in_frozen,
            "frozen_missing": np.array([of_frozen.get(f, np.nan) for f in cohort.features]),
        }
    )


# --- the split


@dataclass(frozen=True, slots=True)
class Member:
    """A case with what must not straddle the split."""

    id: str
    patient: str
    group: str
    label: str
    part: str


def members_of(cohort: Cohort, where: Sequence[str], frozen: Cohort | None) -> list[Member]:
    """The cases of the cohort, then of a frozen set with a source of its own."""

    def of(one: Cohort, part: Sequence[str]) -> list[Member]:
        columns = (one.ids, one.patients, one.groups, one.labels, part)
        return [Member(*row) for row in zip(*columns, strict=True)]

    return of(cohort, where) + (of(frozen, ["frozen"] * len(frozen.ids)) if frozen else [])


def split_table(
    members: list[Member], parts: Mapping[str, Part], classes: Sequence[str], task: Task
) -> pd.DataFrame:
    """The table of the split (see `Summaries.split`)."""
    rows = chain(
        _ids(members, parts),
        _owners("patient", members),
        _owners("group", members),
        _classes(members, classes, task),
    )
    numbers = ["rows", "sides", *SIDES]
    texts = ["kind", "named", "part", "where"]
    table = pd.DataFrame(list(rows), columns=[*texts, *numbers])
    return table.astype(dict.fromkeys(texts, "str") | dict.fromkeys(numbers, "float64"))


def _sides(parts: set[str]) -> list[str]:
    return [side for side in SIDES if side in parts]


def _ids(members: list[Member], parts: Mapping[str, Part]) -> Iterator[dict[str, Any]]:
    """One row a case id, those that only the split knows included."""
    found: dict[str, set[str]] = {}
    for member in members:
        found.setdefault(member.id, set()).add(member.part)
    for case, part in parts.items():
        found.setdefault(case, set()).add(part)
    rows = Counter(member.id for member in members)
    for case, where in found.items():
        listed = [*_sides(where), *(["aside"] if "aside" in where else [])]
        text = ", ".join(listed) or None
        yield {
            "kind": "case",
            "named": visible(case),
            "part": text,
            "where": text,
            "rows": rows[case],
            "sides": len(_sides(where)),
        }


def _owners(kind: str, members: list[Member]) -> Iterator[dict[str, Any]]:
    """One row a patient or group that is given, with the first of its cases on each side."""
    found: dict[str, dict[str, str]] = {}
    for member in members:
        owner = getattr(member, kind)
        if owner:
            found.setdefault(owner, {}).setdefault(member.part, visible(member.id))
    for owner, first in found.items():
        sides = _sides(set(first))
        where = ", ".join(f"{side} (case {first[side]})" for side in sides)
        yield {"kind": kind, "named": visible(owner), "where": where, "sides": len(sides)}


def _classes(members: list[Member], classes: Sequence[str], task: Task) -> Iterator[dict[str, Any]]:
    """One row a class with its cases on each side."""
    count: Counter[tuple[str, str]] = Counter()
    for member in members:
        labels = set(member.label.split(BETWEEN_CLASSES)) if task == "multi" else {member.label}
        count.update((label, member.part) for label in labels)
    for name in classes:
        yield {"kind": "class", "named": visible(name)} | {
            side: count[name, side] for side in SIDES
        }
