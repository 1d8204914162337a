"""Cases with measurements: the cohort, the pin of its frozen part, the fitted preprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.domain.classifier import Origin

SIGNAL = 3  # dimensions of the values of signals: cases, samples, leads
MICROVOLTS = 1000.0  # in a millivolt; the division rounds once, the same way everywhere
U16_UNIT = 1.0 / 65536.0  # the simulator keeps a beta value as floor(65536 beta + 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Cases, their attributes and their measurements.

    Attributes:
        ids: case ids, in file order.
        patients: patient of each case (the case itself where none is given).
        groups: slide or batch of each case, "" where there is none.
        labels: class of each case, "" where it has none.
        subgroups: further attributes, each one value a case.
        features: feature names (probes), in file order; of signals the leads.
        values: (n, features) float64, or uint16 in units of 1/65536; of signals (n, samples, leads)
            int16 in microvolt. May be memory-mapped.
        origin: `simulated` cases are marked so in every output.
        about: source, digests, citation: facts that are shown with the cohort; of signals also
            `rate`, samples a second.
        folds: fold of each case as published, "" where it has none; () where no case has.
    """

    ids: tuple[str, ...]
    patients: tuple[str, ...]
    groups: tuple[str, ...]
    labels: tuple[str, ...]
    features: tuple[str, ...]
    values: NDArray[Any]
    origin: Origin
    subgroups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    folds: tuple[str, ...] = ()

    def rows(self, indices: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float64]:
        """Measurements of some cases as float64."""
        return as_float64(self.values[np.asarray(indices, dtype=np.intp)])

    def take(self, indices: Sequence[int] | NDArray[np.intp]) -> Cohort:
        """The cohort of some cases, in the order asked for."""
        chosen = [int(i) for i in indices]

        def pick(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[i] for i in chosen)

        return Cohort(
            ids=pick(self.ids),
            patients=pick(self.patients),
            groups=pick(self.groups),
            labels=pick(self.labels),
            features=self.features,
            values=self.values[np.asarray(chosen, dtype=np.intp)],
            origin=self.origin,
            subgroups={name: pick(column) for name, column in self.subgroups.items()},
            about=self.about,
            folds=pick(self.folds) if self.folds else (),
        )


def as_float64(values: NDArray[Any]) -> NDArray[np.float64]:
    """Measurements in float64: uint16 in units of 1/65536 (exact), int16 microvolt in millivolt."""
    if values.dtype == np.int16:
        return np.asarray(values, dtype=np.float64) / MICROVOLTS
    if values.dtype == np.uint16:
        return np.asarray(values, dtype=np.float64) * U16_UNIT
    return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Pin:
    """The frozen clinical test set of a version, case by case.

    Attributes:
        version: version of the classifier that the pin belongs to.
        number: 1 for the first lock; an amendment adds one.
        cases: case id -> SHA-256 of its canonical bytes.
        total: SHA-256 over all of them and the feature list.
        reason: why it was amended ("" for the first lock).
        origin: real or simulated.
        values: case id -> SHA-256 of its measured values alone: by these a case is known again
            whose label or name is another; empty in pins from before they were kept.
    """

    version: str
    number: int
    cases: Mapping[str, str]
    total: str
    reason: str
    origin: Origin
    values: Mapping[str, str] = field(default_factory=dict)

    def contents(self) -> set[str]:
        """What a case of another pin can be known by: whole cases, and values alone."""
        return {*self.cases.values(), *self.values.values()}


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessing:
    """Fitted preprocessing: which features, and how each becomes network input.

    Attributes:
        convention, epsilon: as in `PreprocessPlan`.
        features: kept features, in network order.
        mean, sd: (p,) of the converted training values; the mean stands in for missing values.
        digest: SHA-256 of all of the above.
    """

    convention: str
    epsilon: float
    features: tuple[str, ...]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    digest: str
