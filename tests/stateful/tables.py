"""Small tables of made-up measurements, in variants: what a laboratory trains on and freezes.

A training variant decides what a network learns, so how much it contradicts the network before it;
a frozen variant is what an amendment makes of the frozen clinical test set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

CLASSES = ("A", "B", "C")
_CENTRES = {"A": (2.2, 0.0, 0.4), "B": (-1.1, 1.9, -0.4), "C": (-1.1, -1.9, 0.0)}
_SPREAD = 0.9
TRAINING = ("plain", "more", "noisy", "swapped")
FROZEN = ("plain", "fewer", "other", "relabelled", "measured", "added")


@dataclass(frozen=True)
class Row:
    """One case: who, what it is, what was measured."""

    case: str
    label: str
    patient: str
    values: tuple[float, ...]

    @property
    def line(self) -> str:
        """As it stands in the file; two rows are the same case if their lines are the same."""
        return ",".join((self.case, self.label, self.patient, *(f"{v!r}" for v in self.values)))


def written(rows: list[Row]) -> str:
    """The CSV file."""
    return "\n".join(["id,label,patient,f1,f2,f3", *(row.line for row in rows)]) + "\n"


def _drawn(prefix: str, each: int, seed: int, shared: int = 0) -> list[Row]:
    """`each` cases a class; the first `shared` patients have two cases."""
    rng, rows = np.random.default_rng(seed), []
    for label in CLASSES:
        for i in range(each):
            x = np.asarray(_CENTRES[label]) + _SPREAD * rng.standard_normal(3)
            values = tuple(round(float(v), 3) for v in x)
            name = f"{prefix}{label}{i:02d}"
            patient = f"{prefix}p{label}{i % (each - shared):02d}"
            rows.append(Row(name, label, patient, values))
    return rows


def _with(row: Row, label: str = "", values: tuple[float, ...] = ()) -> Row:
    return Row(row.case, label or row.label, row.patient, values or row.values)


@cache
def training(variant: str) -> tuple[Row, ...]:
    """Cases that are trained on or held out."""
    rows = _drawn("t", 34, 1)
    if variant == "more":
        rows += _drawn("m", 3, 2)
    if variant == "noisy":  # every ninth measured anew
        again = _drawn("t", 34, 3)
        rows = [again[i] if i % 9 == 4 else row for i, row in enumerate(rows)]
    if variant == "swapped":  # B and C mixed up in a part of the cases
        other = {"A": "A", "B": "C", "C": "B"}
        rows = [_with(row, other[row.label]) if i % 3 else row for i, row in enumerate(rows)]
    return tuple(rows)


@cache
def frozen(variant: str) -> tuple[Row, ...]:
    """The frozen cases: 96 of 84 patients, and what amendments make of them."""
    rows = _drawn("z", 32, 4, shared=4)
    near = sorted(rows, key=lambda row: abs(row.values[1]) + (row.label == "A") * 9)
    doubtful = {row.case for row in near[:14]}  # those that two networks are least agreed on
    if variant == "fewer":
        rows = [row for row in rows if row.case not in doubtful]
    if variant == "other":
        rows = rows[3:]
    if variant == "relabelled":
        rows = [_with(rows[0], "B"), *rows[1:]]
    if variant == "measured":
        rows = [_with(row, values=(0.0, 0.1, 0.2)) if row in near[:2] else row for row in rows]
    if variant == "added":
        rows += _drawn("y", 2, 5)
    return tuple(rows)
