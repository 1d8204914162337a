"""Longitudinal consistency of a series of builds: the agreement that the gate judges.

Source: seed 002, II.B (definition), and design 03 (patients, `ever`, conversions, actions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from lifecycle.consistency.calls import said
from lifecycle.consistency.figures import (
    Codes,
    Figures,
    Lost,
    LostNo,
    Mask,
    States,
    Unit,
    any_cell,
    count,
    count_lost,
    count_lost_no,
    ever_cells,
    largest_unit,
    series_cells,
    unit_codes,
)
from lifecycle.domain.classifier import Task
from lifecycle.domain.digests import canonical_json
from lifecycle.domain.limits import STRICT
from lifecycle.domain.predictions import Calls
from lifecycle.errors import UnusableInputError, UsageError
from lifecycle.records.format import explain, plain

NO_ACTION = "(no action stated)"


@dataclass(frozen=True, slots=True)
class Series:
    """Calls of several builds on the same cases, in the same order.

    Attributes:
        names: one distinct name a build, oldest first.
        calls: their calls.
    """

    names: tuple[str, ...]
    calls: tuple[Calls, ...]

    def __post_init__(self) -> None:
        """Anything that would make a comparison meaningless is refused here.

        Raises:
            UsageError: fewer than two builds, or names that do not fit.
            UnusableInputError: cases, patients, groups, classes or tasks differ, or states are
                impossible.
        """
        if len(self.names) != len(self.calls) or len(set(self.names)) != len(self.names):
            raise UsageError("a series needs one distinct name a build")
        if len(self.calls) < 2:
            raise UsageError("a series needs at least two builds to compare")
        for name, calls in zip(self.names, self.calls, strict=True):
            _check_calls(name, calls)
            _check_same(self.names[0], self.calls[0], name, calls)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two builds compared.

    Attributes:
        reference, candidate: names; the candidate of the series is always the candidate.
        figures: consistency of the two.
        by_class: the same over cases that either calls of that class.
        lost: reports of the reference that the candidate does not make.
        lost_by_class: the same of each class that the reference calls.
        lost_yes: cases of which the reference calls a class and the candidate leaves it open.
        lost_no: exclusions of the reference that the candidate leaves open.
        lost_no_by_class: cases of which it rules the class out, and the candidate leaves it open.
        gained: reports of the candidate that the reference does not make.
        argmax_changes: cases whose highest-scored class differs, reported or not.
        directions: discordant cases by what the two say, `reference call -> candidate call`.
    """

    __pydantic_config__ = STRICT
    reference: str
    candidate: str
    figures: Figures
    by_class: tuple[Figures, ...]
    lost: Lost
    lost_by_class: tuple[Lost, ...]
    lost_yes: Lost
    lost_no: LostNo
    lost_no_by_class: tuple[Lost, ...]
    gained: Lost
    argmax_changes: int
    directions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Discordant:
    """A case that a director has to look at.

    Attributes:
        case, patient: who.
        everywhere: every build reports it (it counts in the series), not only two of them.
        classes: the classes whose cells disagree or convert.
        calls: build -> what it says.
        scores: build -> class -> score of those classes; empty where no scores were given.
    """

    __pydantic_config__ = STRICT
    case: str
    patient: str
    everywhere: bool
    classes: tuple[str, ...]
    calls: Mapping[str, str]
    scores: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class ActionFigures:
    """The same comparison after classes became clinical actions.

    Attributes:
        actions: names of the actions.
        series, ever, pairs: as in `Agreement`; the pairs' `directions` say from which action to
            which.
    """

    __pydantic_config__ = STRICT
    actions: tuple[str, ...]
    series: Figures
    ever: Figures
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Everything that is known of how a candidate agrees with earlier builds.

    Attributes:
        names: builds, in series order.
        candidate: name of the judged build.
        task, classes: of the classifier.
        unit: what counts as one.
        a: level at which the bounds were taken (the gate takes its own).
        units: patients or components on the frozen set.
        largest: cases of the one of them that has most.
        series: R = cases that every build reports (the paper's figure).
        ever: contradictions between any two builds, over cases that two report.
        pairs: all pairs.
        by_class, by_class_ever: per class, over cases that any build calls of that class.
        by_subgroup: per value of each attribute, named `attribute=value`.
        reported, ties: per build, cases reported and cases with a tie for the highest score.
        discordant: cases with a contradiction between any two builds.
        conversions: cases reported in some builds only.
        actions: the comparison of actions, where the policy states any.
    """

    __pydantic_config__ = STRICT
    names: tuple[str, ...]
    candidate: str
    task: Task
    classes: tuple[str, ...]
    unit: Unit
    a: float
    units: int
    largest: int
    series: Figures
    ever: Figures
    pairs: tuple[Pair, ...]
    by_class: tuple[Figures, ...]
    by_class_ever: tuple[Figures, ...]
    by_subgroup: tuple[Figures, ...]
    reported: Mapping[str, int]
    ties: Mapping[str, int]
    discordant: tuple[Discordant, ...]
    conversions: tuple[Discordant, ...]
    actions: ActionFigures | None

    def candidate_pairs(self) -> tuple[Pair, ...]:
        """The pairs that face the candidate."""
        return tuple(pair for pair in self.pairs if pair.candidate == self.candidate)


def agree(
    series: Series,
    a: float,
    unit: Unit = "patient",
    candidate: int = -1,
    subgroups: Mapping[str, tuple[str, ...]] | None = None,
    scores: Sequence[NDArray[np.float64]] | None = None,
    actions: Mapping[str, str] | None = None,
) -> Agreement:
    """Compare builds: the whole series, `ever`, all pairs, per class and per subgroup.

    Args:
        series: calls on the same cases in the same order.
        a: one-sided level of the bounds, within (0, 1).
        unit: `patient`, or `component` of patients that share a group.
        candidate: index of the judged build.
        subgroups: attribute -> value of each case.
        scores: one (n, C) float64 a build, only to print them beside discordant cases.
        actions: class -> clinical action; classes left out share "no action stated".

    Returns:
        The agreement; where no case is reported by all, its R is 0, its consistency None and
        its bound 1.

    Raises:
        UsageError: level, candidate, unit or scores do not fit.
        UnusableInputError: a subgroup column has the wrong length.
    """
    if unit not in ("patient", "component"):
        raise UsageError(f"the unit is patient or component, not {unit!r}")
    if not -len(series.names) <= candidate < len(series.names):
        raise UsageError(f"there is no build {candidate} in a series of {len(series.names)}")
    if scores is not None and len(scores) != len(series.names):
        raise UsageError("scores are given for all builds or for none")
    states, codes, first = _states(series), _codes(series, unit), series.calls[0]
    cells, ever = series_cells(states), ever_cells(states)
    return Agreement(
        names=series.names,
        candidate=series.names[candidate],
        task=first.task,
        classes=first.classes,
        unit=unit,
        a=a,
        units=len(np.unique(codes)),
        largest=largest_unit(codes),
        series=count("series", cells, codes, a),
        ever=count("ever", ever, codes, a),
        pairs=_pairs(series, codes, a, candidate),
        by_class=_by_class(states, first.classes, codes, a, "series"),
        by_class_ever=_by_class(states, first.classes, codes, a, "ever"),
        by_subgroup=_by_subgroup(states, codes, a, subgroups or {}),
        reported={n: int(any_cell(c.state != 0).sum()) for n, c in _named(series)},
        ties={n: c.ties for n, c in _named(series)},
        discordant=_listed(series, ever.discordant, cells.common, scores),
        conversions=_listed(series, cells.partial, cells.common, scores),
        actions=action_figures(series, actions, a, unit, candidate) if actions else None,
    )


def action_figures(
    series: Series,
    actions: Mapping[str, str],
    a: float,
    unit: Unit = "patient",
    candidate: int = -1,
) -> ActionFigures:
    """Consistency of what is done to the patient, with direction.

    Raises:
        UsageError: the map names a class that the classifier does not have.
    """
    calls = tuple(to_actions(calls, actions) for calls in series.calls)
    mapped = Series(series.names, calls)
    states, codes = _states(mapped), _codes(mapped, unit)
    return ActionFigures(
        actions=calls[0].classes,
        series=count("actions.series", series_cells(states), codes, a),
        ever=count("actions.ever", ever_cells(states), codes, a),
        pairs=_pairs(mapped, codes, a, candidate),
    )


def to_actions(calls: Calls, actions: Mapping[str, str]) -> Calls:
    """Calls of actions: yes where any of its classes is yes, no where all are no.

    Raises:
        UsageError: the map names a class that the classifier does not have.
    """
    unknown = sorted(set(actions) - set(calls.classes))
    if unknown:
        raise UsageError(f"actions name class {unknown[0]!r}, which the classifier does not have")
    of_class = [actions.get(name, NO_ACTION) for name in calls.classes]
    names = tuple(sorted(set(of_class)))
    state = np.zeros((len(calls.ids), len(names)), dtype=np.int8)
    for j, name in enumerate(names):
        own = calls.state[:, [k for k, action in enumerate(of_class) if action == name]]
        state[(own == -1).all(axis=1), j] = -1
        state[(own == 1).any(axis=1), j] = 1
    top = np.array([names.index(action) for action in of_class], dtype=np.intp)[calls.argmax]
    return replace(calls, classes=names, state=state, argmax=top)


def to_json(agreement: Agreement) -> dict[str, Any]:
    """The agreement as JSON; `from_json` gives back an equal value."""
    value: dict[str, Any] = plain(agreement)
    return value


def from_json(value: Any) -> Agreement:
    """The agreement that `to_json` wrote.

    Raises:
        UnusableInputError: a key is unknown, missing or of another type.
    """
    try:
        return _agreements().validate_json(canonical_json(value), strict=True)
    except ValidationError as error:
        raise UnusableInputError(explain(error, "agreement")) from None


@cache
def _agreements() -> TypeAdapter[Agreement]:
    return TypeAdapter(Agreement)


def _named(series: Series) -> list[tuple[str, Calls]]:
    return list(zip(series.names, series.calls, strict=True))


def _states(series: Series) -> States:
    return np.stack([calls.state for calls in series.calls])


def _codes(series: Series, unit: Unit) -> Codes:
    return unit_codes(series.calls[0].patients, series.calls[0].groups, unit)


def _by_class(
    states: States, classes: tuple[str, ...], codes: Codes, a: float, kind: str
) -> tuple[Figures, ...]:
    cells = series_cells(states) if kind == "series" else ever_cells(states)
    called = (states == 1).any(axis=0)
    return tuple(
        count(name, cells.pick(called[:, j], j), codes[called[:, j]], a)
        for j, name in enumerate(classes)
    )


def _by_subgroup(
    states: States, codes: Codes, a: float, subgroups: Mapping[str, tuple[str, ...]]
) -> tuple[Figures, ...]:
    cells, found = series_cells(states), []
    for attribute, column in subgroups.items():
        if len(column) != len(codes):
            raise UnusableInputError(
                f"subgroup {attribute!r} has {len(column)} values for {len(codes)} cases"
            )
        values = np.asarray(column, dtype=np.str_)
        for value in sorted(set(column)):
            rows = values == value
            found.append(count(f"{attribute}={value}", cells.pick(rows), codes[rows], a))
    return tuple(found)


def _pairs(series: Series, codes: Codes, a: float, candidate: int) -> tuple[Pair, ...]:
    """All pairs; the earlier build is the reference, except that the candidate never is."""
    judged = candidate % len(series.names)
    found = []
    for i, j in combinations(range(len(series.names)), 2):
        before, now = (j, i) if i == judged else (i, j)
        found.append(_pair(series, before, now, codes, a))
    return tuple(found)


def _pair(series: Series, before: int, now: int, codes: Codes, a: float) -> Pair:
    old, new = series.calls[before], series.calls[now]
    states = np.stack([old.state, new.state])
    cells = series_cells(states)
    lost, gained = (old.state != 0) & (new.state == 0), (old.state == 0) & (new.state != 0)
    return Pair(
        reference=series.names[before],
        candidate=series.names[now],
        figures=count(f"{series.names[before]} and {series.names[now]}", cells, codes, a),
        by_class=_by_class(states, old.classes, codes, a, "series"),
        lost=count_lost("all", any_cell(old.state != 0), any_cell(lost), codes, a),
        lost_by_class=_lost_of(1, old, lost, codes, a),
        lost_yes=count_lost(
            "yes", any_cell(old.state == 1), any_cell(lost & (old.state == 1)), codes, a
        ),
        lost_no=count_lost_no(old.state == -1, lost & (old.state == -1), codes, a),
        lost_no_by_class=_lost_of(-1, old, lost, codes, a),
        gained=count_lost("all", any_cell(new.state != 0), any_cell(gained), codes, a),
        argmax_changes=int(np.count_nonzero(old.argmax != new.argmax)),
        directions=_directions(old, new, any_cell(cells.discordant)),
    )


def _lost_of(side: int, old: Calls, lost: Mask, codes: Codes, a: float) -> tuple[Lost, ...]:
    """Reports of one side (1 yes, -1 no) that are lost, of each class."""
    return tuple(
        count_lost(name, said, said & lost[:, j], codes, a)
        for j, (name, said) in enumerate(zip(old.classes, (old.state == side).T, strict=True))
    )


def _directions(old: Calls, new: Calls, discordant: Mask) -> dict[str, int]:
    table: dict[str, int] = {}
    for i in np.flatnonzero(discordant).tolist():
        key = f"{said(old, i)} -> {said(new, i)}"
        table[key] = table.get(key, 0) + 1
    return dict(sorted(table.items()))


def _listed(
    series: Series, cells: Mask, common: Mask, scores: Sequence[NDArray[np.float64]] | None
) -> tuple[Discordant, ...]:
    """The cases with a marked cell, in the order of the series."""
    first = series.calls[0]
    return tuple(
        Discordant(
            case=first.ids[i],
            patient=first.patients[i],
            everywhere=bool((cells[i] & common[i]).any()),
            classes=(names := _names_at(series, i, cells[i])),
            calls={name: said(calls, i) for name, calls in _named(series)},
            scores=_scores_at(series, i, names, scores),
        )
        for i in np.flatnonzero(any_cell(cells)).tolist()
    )


def _names_at(series: Series, i: int, marked: Mask) -> tuple[str, ...]:
    """Single-label: the classes that any build favours. Multi-label: the marked classes."""
    first = series.calls[0]
    if first.task == "single":
        chosen = sorted({int(calls.argmax[i]) for calls in series.calls})
    else:
        chosen = np.flatnonzero(marked).tolist()
    return tuple(first.classes[j] for j in chosen)


def _scores_at(
    series: Series,
    i: int,
    names: tuple[str, ...],
    scores: Sequence[NDArray[np.float64]] | None,
) -> dict[str, dict[str, float]]:
    classes = series.calls[0].classes
    return {
        build: {name: float(values[i, classes.index(name)]) for name in names}
        for build, values in zip(series.names, scores or (), strict=False)
    }


def _check_calls(name: str, calls: Calls) -> None:
    n, C = len(calls.ids), len(calls.classes)
    if n == 0 or calls.state.shape != (n, C) or calls.argmax.shape != (n,):
        raise UnusableInputError(f"{name}: calls do not fit their {n} cases and {C} classes")
    if len(calls.patients) != n or len(calls.groups) != n or not all(calls.patients):
        raise UnusableInputError(f"{name}: every case needs a patient and a place for its group")
    if len(set(calls.ids)) != n:
        raise UnusableInputError(f"{name}: a case is there twice")
    if not np.isin(calls.state, (-1, 0, 1)).all():
        raise UnusableInputError(f"{name}: a state is neither yes (1), no (-1) nor 0")
    if calls.task == "single":
        yes, none = (calls.state == 1).sum(axis=1), (calls.state == 0).all(axis=1)
        if not (none | ((yes == 1) & (calls.state != 0).all(axis=1))).all():
            raise UnusableInputError(f"{name}: a single-label case has one call or none")


def _check_same(first: str, one: Calls, name: str, two: Calls) -> None:
    for what in ("ids", "patients", "groups", "classes", "task"):
        if getattr(one, what) != getattr(two, what):
            raise UnusableInputError(
                f"{first} and {name} differ in their {what}; align them before comparing"
            )
