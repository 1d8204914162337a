"""Calls of two versions in the classes that both have: the class map of a new version.

A class without a counterpart cannot contradict anything. A single-label case that any build calls
such a class is left out whole, because what it stands for in the other version nobody has said; of
a multi-label case only the class is. How much is left out is counted: a map that leaves everything
out compares nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lifecycle.consistency.figures import any_cell
from lifecycle.domain.predictions import Calls

NO_COUNTERPART = "(no counterpart)"
ClassMap = Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """Calls of several builds in shared classes.

    Attributes:
        calls: name of the build -> its calls on the cases that are compared, in shared classes.
        rows: (n,) which of the given cases these are.
        unmatched: build -> class without a counterpart -> cases that the build calls so.
        called: calls of the reference builds: cases that any of them reports (single-label), or
            (case, class) cells that any of them calls (multi-label).
        compared: of these, those that are compared.
    """

    calls: Mapping[str, Calls]
    rows: NDArray[np.bool_]
    unmatched: Mapping[str, Mapping[str, int]]
    called: int
    compared: int


def through(named: Mapping[str, Calls], maps: Mapping[str, ClassMap], candidate: str) -> Mapped:
    """Bring calls of several versions to the classes that they share.

    Args:
        named: build -> calls, all on the same cases in the same order and of one task.
        maps: build -> class of its own -> shared class; what is not named has no counterpart.
        candidate: the judged build; the others are its references.
    """
    single = next(iter(named.values())).task == "single"
    outside = {name: _outside(calls, maps[name]) for name, calls in named.items()}
    rows = np.ones(len(next(iter(named.values())).ids), dtype=np.bool_)
    if single:
        for name in named:
            rows &= ~any_cell(outside[name])
    shared = sorted({target for one in maps.values() for target in one.values()})
    before = [name for name in named if name != candidate]
    reported = np.any([any_cell(named[name].state != 0) for name in before], axis=0)
    yes = {name: named[name].state == 1 for name in before}
    called = reported.sum() if single else sum(cells.sum() for cells in yes.values())
    compared = (
        (reported & rows).sum()
        if single
        else sum((yes[name] & ~outside[name]).sum() for name in before)
    )
    return Mapped(
        calls={name: _in(calls, maps[name], shared, rows) for name, calls in named.items()},
        rows=rows,
        unmatched={name: _counts(named[name], outside[name], maps[name]) for name in named},
        called=int(called),
        compared=int(compared),
    )


def _outside(calls: Calls, own: ClassMap) -> NDArray[np.bool_]:
    """(n, C) cells that are called of a class without a counterpart."""
    gone = np.array([name not in own for name in calls.classes], dtype=np.bool_)
    return np.asarray((calls.state == 1) & gone, dtype=np.bool_)


def _counts(calls: Calls, outside: NDArray[np.bool_], own: ClassMap) -> dict[str, int]:
    counts = outside.sum(axis=0).tolist()
    named = zip(calls.classes, counts, strict=True)
    return {name: int(count) for name, count in named if name not in own}


def _in(calls: Calls, own: ClassMap, shared: list[str], rows: NDArray[np.bool_]) -> Calls:
    """Calls of the chosen cases in shared classes: yes where any of its classes is, no where all.

    Single-label calls get a column for classes without a counterpart, which no case is called of;
    only the highest score of a case that is not reported can stand there.
    """
    names = [*shared, *([NO_COUNTERPART] if calls.task == "single" else [])]
    state = np.zeros((len(calls.ids), len(names)), dtype=np.int8)
    for j, name in enumerate(names):
        owned = [own.get(one, NO_COUNTERPART) == name for one in calls.classes]
        cells = calls.state[:, owned]
        if cells.shape[1]:
            state[(cells == -1).all(axis=1), j] = -1
            state[(cells == 1).any(axis=1), j] = 1
        elif calls.task == "single":  # no class of this build stands there: it says no
            state[any_cell(calls.state != 0), j] = -1
    at = {name: j for j, name in enumerate(names)}
    first = np.array([at.get(own.get(one, NO_COUNTERPART), 0) for one in calls.classes], np.intp)
    chosen = np.flatnonzero(rows).tolist()

    def pick(column: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(column[i] for i in chosen)

    return replace(
        calls,
        ids=pick(calls.ids),
        patients=pick(calls.patients),
        groups=pick(calls.groups),
        classes=tuple(names),
        state=state[rows],
        argmax=first[calls.argmax][rows],
    )
