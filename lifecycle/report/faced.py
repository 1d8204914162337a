"""The builds of a report face to face: the same cases in the same order, each called once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lifecycle.consistency.align import align
from lifecycle.consistency.calls import call
from lifecycle.domain.predictions import Calls, Cutoffs, Predictions
from lifecycle.report.source import ReportInput

Mask = NDArray[np.bool_]
LATEST = 4  # earlier builds that the candidate is shown against case by case
BLOCK = 1 << 16  # cases called in one go
_SAME = ("ids", "patients", "groups", "classes", "task", "labels")


@dataclass(frozen=True, slots=True)
class Reported:
    """What a build reports.

    Attributes:
        cases: of which it reports any result.
        results: (case, class) that it reports.
        mean, spread: mean and standard deviation, over cases, of the share of a case's results
            that are reported.
    """

    cases: int
    results: int
    mean: float
    spread: float


@dataclass(frozen=True, slots=True, eq=False)
class Faced:
    """What every part of the report counts from, so that no two of them count apart.

    Attributes:
        names: of the builds, oldest first; the candidate last.
        reported: what each of them reports.
        predictions, calls: of the latest `LATEST` builds and the candidate, on the same cases in
            the same order.
        known: (n,) cases that have a reference class.
        truth: (n, C) which classes each case has by its label; a label that is no class counts
            nowhere.
    """

    names: tuple[str, ...]
    reported: Mapping[str, Reported]
    predictions: tuple[Predictions, ...]
    calls: tuple[Calls, ...]
    known: Mask
    truth: Mask

    @property
    def frozen(self) -> Predictions:
        """The candidate's scores."""
        return self.predictions[-1]

    @property
    def now(self) -> Calls:
        """The candidate's calls."""
        return self.calls[-1]

    @property
    def latest(self) -> tuple[str, ...]:
        """Names of `predictions` and `calls`, the candidate last."""
        return self.names[-len(self.calls) :]

    @property
    def multi(self) -> bool:
        """Each class of a case speaks for itself."""
        return self.frozen.task == "multi"


def face(data: ReportInput) -> Faced:
    """Bring all builds of a report to the same cases, and call them at the cutoffs in force.

    Raises:
        UnusableInputError: the builds' predictions are not of the same cases and classes.
    """
    members = {**data.frozen_before, data.build: data.frozen}
    aligned = members if _same_order(members) else align(members)
    known, truth = _reference(aligned[data.build])
    latest, told, calls = list(aligned)[-LATEST - 1 :], {}, []
    for name, one in aligned.items():
        found = _called(one, data.cutoffs)
        told[name] = _reported(found)
        calls += [found] if name in latest else []
    return Faced(
        names=tuple(aligned),
        reported=told,
        predictions=tuple(aligned[name] for name in latest),
        calls=tuple(calls),
        known=known,
        truth=truth,
    )


def _called(one: Predictions, cutoffs: Cutoffs) -> Calls:
    """`call` block by block: what it needs on the way stays small."""
    blocks = [
        call(_rows(one, start, start + BLOCK), cutoffs) for start in range(0, len(one.ids), BLOCK)
    ]
    return replace(
        blocks[0],
        ids=one.ids,
        patients=one.patients,
        groups=one.groups,
        state=np.concatenate([block.state for block in blocks]),
        argmax=np.concatenate([block.argmax for block in blocks]),
        ties=sum(block.ties for block in blocks),
    )


def _rows(one: Predictions, start: int, end: int) -> Predictions:
    return replace(
        one,
        ids=one.ids[start:end],
        patients=one.patients[start:end],
        groups=one.groups[start:end],
        labels=None,
        scores=one.scores[start:end],
        subgroups={},
    )


def _same_order(members: Mapping[str, Predictions]) -> bool:
    """Nothing has to be sorted or copied: a million cases take their time."""
    first, *others = members.values()
    return all(getattr(one, key) == getattr(first, key) for one in others for key in _SAME)


def _reported(calls: Calls) -> Reported:
    told = calls.state != 0
    shares = told.mean(axis=1)
    cases = int(np.count_nonzero(told.any(axis=1)))
    return Reported(cases, int(np.count_nonzero(told)), float(shares.mean()), float(shares.std()))


def _reference(frozen: Predictions) -> tuple[Mask, Mask]:
    names, at = coded(frozen.labels or ("",) * len(frozen.ids))
    rows = np.array([_row(label, frozen) for label in names], dtype=np.bool_)
    given = np.array([label != "" for label in names], dtype=np.bool_)
    return given[at], rows[at]


def _row(label: str, frozen: Predictions) -> list[bool]:
    names = label.split("|") if frozen.task == "multi" else [label]
    return [name in names for name in frozen.classes]


def coded(column: Sequence[str]) -> tuple[list[str], NDArray[np.intp]]:
    """Distinct values in order of their first case, and the (n,) index of each case's value.

    An array of texts would take the room of the longest for every case.
    """
    known: dict[str, int] = {}
    at = (known.setdefault(value, len(known)) for value in column)
    codes = np.fromiter(at, np.intp, len(column))
    return list(known), codes


def reported(calls: Calls) -> Mask:
    """(n,) cases of which any result is reported."""
    return np.asarray((calls.state != 0).any(axis=1), dtype=np.bool_)
