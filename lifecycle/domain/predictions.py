"""From scores to calls: the values that every decision is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.domain.classifier import Task
from lifecycle.domain.digests import canonical_array, canonical_json, sha256


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Scores of one build on one set of cases.

    Attributes:
        ids: case ids.
        patients: patient of each case.
        groups: slide or batch of each case, "" where there is none.
        labels: reference class of each case ("" unknown), or None where the set has none. A
            multi-label case joins its classes with `|`.
        classes: class names, in score order.
        scores: (n, C) float64; rows of a single-label classifier sum to 1.
        task: `single` or `multi`.
        subgroups: attribute name -> value of each case.
    """

    ids: tuple[str, ...]
    patients: tuple[str, ...]
    groups: tuple[str, ...]
    labels: tuple[str, ...] | None
    classes: tuple[str, ...]
    scores: NDArray[np.float64]
    task: Task
    subgroups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 over everything above, independent of any file format."""
        header = canonical_json(
            {
                "ids": self.ids,
                "patients": self.patients,
                "groups": self.groups,
                "labels": self.labels,
                "classes": self.classes,
                "task": self.task,
                "subgroups": dict(self.subgroups),
            }
        )
        return sha256(header + canonical_array(self.scores))


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Critical values: at or above `yes` a class is called, at or below `no` it is ruled out.

    Attributes:
        yes: one value per class; the same value C times for one tau.
        no: one value per class, or None for single-label classifiers.
        status: `proposed`, `provisional` (too few true positives for the target bound) or
            `refused` (too few to choose at all; then nothing is reportable) or `given` (stated
            by a person; good for a look, inconclusive in the gate).
        evidence: how it was chosen: true positives, bounds, the class, the holdout; classes that
            were refused one by one stand in `refused_yes` and `refused_no`.
    """

    yes: tuple[float, ...]
    no: tuple[float, ...] | None
    status: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """What a build says of each case and class.

    Attributes:
        ids, patients, groups, classes: as in `Predictions`.
        state: (n, C) int8: 1 yes, -1 no, 0 inconclusive. A single-label case is either all 0
            (inconclusive) or 1 for its class and -1 for the others.
        argmax: (n,) index of the highest score (lowest index among ties).
        ties: how many cases have a tie for the highest score.
    """

    ids: tuple[str, ...]
    patients: tuple[str, ...]
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    state: NDArray[np.int8]
    argmax: NDArray[np.intp]
    ties: int
    task: Task
