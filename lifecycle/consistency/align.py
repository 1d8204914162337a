"""The same cases in the same order for every build, or a refusal that names what differs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lifecycle.domain.predictions import Predictions
from lifecycle.errors import UnusableInputError


def align(named: Mapping[str, Predictions], allow_missing: bool = False) -> dict[str, Predictions]:
    """Bring predictions of several builds to the same cases, sorted by case id.

    Args:
        named: name of a build or file -> its predictions.
        allow_missing: compare the cases that all have, instead of refusing.

    Returns:
        The same names, each with the same ids, patients and groups in the same order.

    Raises:
        UnusableInputError: tasks or class columns differ (a permutation counts), a case is
            missing from one, no case is common, a case is there twice, or has two patients,
            groups or reference labels.
    """
    if not named:
        raise UnusableInputError("nothing to align: no predictions were given")
    first = next(iter(named))
    rows = {name: _rows(predictions, name) for name, predictions in named.items()}
    for name in named:
        _same_columns(named, first, name)
    common = set.intersection(*(set(r) for r in rows.values()))
    if not allow_missing:
        _none_missing(rows)
    if not common:
        raise UnusableInputError(f"{', '.join(named)} have no case in common")
    order = sorted(common)
    chosen = {name: take(named[name], [rows[name][case] for case in order]) for name in named}
    for name in named:
        _same_facts(chosen, first, name)
    _labels_agree(chosen)
    return chosen


def _rows(predictions: Predictions, name: str) -> dict[str, int]:
    rows: dict[str, int] = {}
    for i, case in enumerate(predictions.ids):
        if case in rows:
            raise UnusableInputError(f"{name}: case {case!r} is there twice")
        rows[case] = i
    return rows


def _same_columns(named: Mapping[str, Predictions], first: str, name: str) -> None:
    one, two = named[first], named[name]
    if one.task != two.task:
        raise UnusableInputError(f"{first} is {one.task}-label, {name} is {two.task}-label")
    if one.classes == two.classes:
        return
    only = [f"{c!r} only in {first}" for c in one.classes if c not in two.classes]
    only += [f"{c!r} only in {name}" for c in two.classes if c not in one.classes]
    moved = [
        f"column {j + 1} is {a!r} in {first} and {b!r} in {name}"
        for j, (a, b) in enumerate(zip(one.classes, two.classes, strict=False))
        if a != b
    ]
    raise UnusableInputError(
        f"class columns of {first} and {name} differ: {'; '.join(only or moved)}. "
        "Scores are compared column by column, so both must name the same classes in one order"
    )


def _none_missing(rows: Mapping[str, Mapping[str, int]]) -> None:
    every = set().union(*rows.values())
    for name, there in rows.items():
        missing = sorted(every - set(there))
        if missing:
            raise UnusableInputError(
                f"{name} lacks case {missing[0]!r}"
                + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
                + ", which another build has; compare builds on the same cases"
            )


def take(predictions: Predictions, at: list[int]) -> Predictions:
    """The predictions of some cases, by row, in the order asked for."""

    def pick(column: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(column[i] for i in at)

    return Predictions(
        ids=pick(predictions.ids),
        patients=pick(predictions.patients),
        groups=pick(predictions.groups),
        labels=None if predictions.labels is None else pick(predictions.labels),
        classes=predictions.classes,
        scores=predictions.scores[np.asarray(at, dtype=np.intp)],
        task=predictions.task,
        subgroups={name: pick(column) for name, column in predictions.subgroups.items()},
    )


def _same_facts(chosen: Mapping[str, Predictions], first: str, name: str) -> None:
    one, two = chosen[first], chosen[name]
    facts = (("patient", one.patients, two.patients), ("group", one.groups, two.groups))
    for what, ours, theirs in facts:
        for case, a, b in zip(one.ids, ours, theirs, strict=True):
            if a != b:
                raise UnusableInputError(
                    f"case {case!r} has {what} {a!r} in {first} and {b!r} in {name}; "
                    f"a case has one {what}"
                )


def _labels_agree(chosen: Mapping[str, Predictions]) -> None:
    """Known labels must agree; a build may know fewer."""
    known: dict[str, tuple[str, str]] = {}
    for name, predictions in chosen.items():
        for case, label in zip(predictions.ids, predictions.labels or (), strict=False):
            there = known.setdefault(case, (label, name)) if label else (label, name)
            if there[0] != label:
                raise UnusableInputError(
                    f"case {case!r} has label {there[0]!r} in {there[1]} and {label!r} in {name}"
                )
