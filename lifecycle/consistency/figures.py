"""Counting: from states of (case, class) cells to the figures of design 03.

A cell is one class of one case. It is reported by a build where its state is not 0. Of a
single-label case all cells are reported or none, so every rule below, said of cells, is the
paper's rule on cases (seed 002, II.B); of a multi-label case each class speaks for itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
from annotated_types import Predicate
from numpy.typing import NDArray

from lifecycle.domain.limits import NOT_KEPT, STRICT
from lifecycle.stats.betting import Pattern
from lifecycle.stats.intervals import upper_bound, wilson

Unit = Literal["patient", "component"]
Mask = NDArray[np.bool_]
Codes = NDArray[np.intp]
States = NDArray[np.int8]


def _absent(found: object) -> bool:
    """A file that states an exact Z is none of ours."""
    return found is None


SHOWN_ALPHA = 0.05  # Wilson intervals are shown at 95%, whatever level decides


@dataclass(frozen=True, slots=True)
class Figures:
    """Longitudinal consistency of some builds on some cases.

    Attributes:
        name: of what.
        S: cases looked at.
        R: cases that the builds report (a cell of which the builds report).
        D: cases of R whose reported results are not all equal.
        conversions: cases with a cell that some of the builds report and some do not.
        cases_any: cases that any of the builds reports.
        cells_reported, cells_discordant: |R| and |D| counted in (case, class) cells.
        reportable: share of all cells that the builds report; |R| / |S| for single-label.
        consistency: 1 - |D| / |R|, None where R is empty.
        consistency_all: 1 - |D| / |S|, None where S is empty.
        changed: (|D| + conversions) / cases_any, each case once; None where nothing is reported.
        m: units (patients or components) with a case in R.
        Z: sum over them of the discordant fraction of their cases in R.
        rate: Z / m, None where m = 0.
        upper: exact upper bound U(Z, m, a).
        units_any: units with any discordant case.
        upper_any: U(units_any, m, a).
        wilson: 95% Wilson interval of D / R, cases taken as independent (shown only).
        exact: Z as numerator and denominator, before any rounding; in no file, and None in
            figures that were read from one. What is held against a limit is held by it
            (`stats.limits.exceeds`).
        patterns: how many units have r cases in R of which d are discordant, sorted; in no file, as
            `exact`. What is guaranteed of cases rests on them (`stats.betting`).
    """

    __pydantic_config__ = STRICT
    name: str
    S: int
    R: int
    D: int
    conversions: int
    cases_any: int
    cells_reported: int
    cells_discordant: int
    reportable: float | None
    consistency: float | None
    consistency_all: float | None
    changed: float | None
    m: int
    Z: float
    rate: float | None
    upper: float
    units_any: int
    upper_any: float
    wilson: tuple[float, float]
    exact: Annotated[tuple[int, int] | None, Predicate(_absent)] = field(
        default=None, compare=False, repr=False, metadata=NOT_KEPT
    )
    patterns: Annotated[tuple[Pattern, ...] | None, Predicate(_absent)] = field(
        default=None, compare=False, repr=False, metadata=NOT_KEPT
    )


@dataclass(frozen=True, slots=True)
class Lost:
    """Reports of one build that another does not make.

    Attributes:
        name: `all`, or the class that the reference called.
        cases, reported_cases: cases with a lost report, cases that the reference reports.
        units, reported_units: the same counts of patients or components: a unit with any lost
            case counts whole.
        rate: units / reported_units, None where there is none.
        upper: U(units, reported_units, a).
    """

    __pydantic_config__ = STRICT
    name: str
    cases: int
    reported_cases: int
    units: int
    reported_units: int
    rate: float | None
    upper: float


@dataclass(frozen=True, slots=True)
class LostNo:
    """Exclusions of one build (a class ruled out of a case) that another leaves open.

    A patient has many of them, so each weighs as its share of the patient's own.

    Attributes:
        cells, excluded_cells: exclusions left open, exclusions made, in (case, class) cells.
        m: units with an exclusion.
        Z: sum over them of the share of their exclusions that is left open.
        rate: Z / m, None where m = 0.
        upper: U(Z, m, a).
        exact: Z before any rounding, as in `Figures`; in no file.
    """

    __pydantic_config__ = STRICT
    cells: int
    excluded_cells: int
    m: int
    Z: float
    rate: float | None
    upper: float
    exact: Annotated[tuple[int, int] | None, Predicate(_absent)] = field(
        default=None, compare=False, repr=False, metadata=NOT_KEPT
    )


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Which cells count as what; four (n, k) masks.

    Attributes:
        spoken: reported by any build.
        common: reported by the builds that are compared (R).
        discordant: common, and not all equal (D).
        partial: reported by some builds only (conversions).
    """

    spoken: Mask
    common: Mask
    discordant: Mask
    partial: Mask

    def pick(self, rows: Mask, column: int | None = None) -> Cells:
        """The cells of some cases, of one class or of all."""
        columns = slice(None) if column is None else slice(column, column + 1)
        masks = (self.spoken, self.common, self.discordant, self.partial)
        return Cells(*(mask[rows][:, columns] for mask in masks))


def series_cells(states: States) -> Cells:
    """R as the paper defines it: reported by every build.

    Args:
        states: (builds, n, k) int8.
    """
    reported = states != 0
    spoken, common = reported.any(axis=0), reported.all(axis=0)
    differ = (states == 1).any(axis=0) & (states == -1).any(axis=0)
    return Cells(spoken, common, common & differ, spoken & ~common)


def ever_cells(states: States) -> Cells:
    """Contradictions between any two builds, over cells that at least two report."""
    reported = states != 0
    spoken, common = reported.any(axis=0), reported.sum(axis=0) >= 2
    differ = (states == 1).any(axis=0) & (states == -1).any(axis=0)
    return Cells(spoken, common, differ, spoken & ~reported.all(axis=0))


def count(name: str, cells: Cells, unit: Codes, a: float) -> Figures:
    """All figures of some cells.

    Args:
        name: of what.
        cells: masks (n, k).
        unit: (n,) code of each case's patient or component.
        a: one-sided level of the bounds.
    """
    in_r, in_d = any_cell(cells.common), any_cell(cells.discordant)
    converted, spoken = any_cell(cells.partial), any_cell(cells.spoken)
    S, R, D, heard = len(in_r), _n(in_r), _n(in_d), _n(spoken)
    m, Z, units_any = _by_unit(in_r, in_d, unit)
    return Figures(
        name=name,
        S=S,
        R=R,
        D=D,
        conversions=_n(converted),
        cases_any=heard,
        cells_reported=_n(cells.common),
        cells_discordant=_n(cells.discordant),
        reportable=_n(cells.common) / cells.common.size if cells.common.size else None,
        consistency=1.0 - D / R if R else None,
        consistency_all=1.0 - D / S if S else None,
        changed=_n(in_d | converted) / heard if heard else None,
        m=m,
        Z=Z,
        rate=Z / m if m else None,
        upper=upper_bound(Z, m, a),
        units_any=units_any,
        upper_any=upper_bound(units_any, m, a),
        wilson=wilson(D, R, SHOWN_ALPHA),
        exact=exact_sum(in_r, in_d, unit).as_integer_ratio(),
        patterns=patterns_of(in_r, in_d, unit),
    )


def patterns_of(in_r: Mask, in_d: Mask, unit: Codes) -> tuple[Pattern, ...]:
    """How many units have r cases that count, d of them discordant: (r, d, units), sorted.

    Units without a case that counts are left out; the arguments are those of `exact_sum`.
    """
    r = np.bincount(unit[in_r])
    d = np.bincount(unit[in_d & in_r], minlength=len(r))
    pairs, units = np.unique(np.stack([r, d])[:, r > 0], axis=1, return_counts=True)
    rows = zip(*pairs.tolist(), units.tolist(), strict=True)
    return tuple((int(cases), int(discordant), int(n)) for cases, discordant, n in rows)


def largest_unit(unit: Codes) -> int:
    """Cases of the unit that has most of them; 0 where there is no case."""
    return int(np.bincount(unit).max(initial=0))


def count_lost(name: str, reported: Mask, lost: Mask, unit: Codes, a: float) -> Lost:
    """Lost reports by case and by unit; both masks are (n,), `lost` within `reported`."""
    m, _, units = _by_unit(reported, lost, unit)
    return Lost(
        name=name,
        cases=_n(lost),
        reported_cases=_n(reported),
        units=units,
        reported_units=m,
        rate=units / m if m else None,
        upper=upper_bound(units, m, a),
    )


def count_lost_no(excluded: Mask, opened: Mask, unit: Codes, a: float) -> LostNo:
    """Exclusions that are lost; both masks are (n, k) cells, `opened` within `excluded`."""
    r = _cells_of_units(excluded, unit)
    d = _cells_of_units(opened, unit)
    there = r > 0
    m, exact = _n(there), _share_sum(r[there], d[there])
    Z = min(float(exact), float(m))
    return LostNo(
        cells=_n(opened),
        excluded_cells=_n(excluded),
        m=m,
        Z=Z,
        rate=Z / m if m else None,
        upper=upper_bound(Z, m, a),
        exact=exact.as_integer_ratio(),
    )


def _cells_of_units(cells: Mask, unit: Codes) -> NDArray[np.int64]:
    """Marked cells of each unit."""
    found = np.zeros(int(unit.max(initial=-1)) + 1, dtype=np.int64)
    np.add.at(found, unit, np.count_nonzero(cells, axis=1))
    return found


def unit_codes(patients: Sequence[str], groups: Sequence[str], unit: Unit) -> Codes:
    """Code of each case's unit: its patient, or the component of patients that share groups.

    Two patients are in one component when a chain of shared non-empty groups (slides) joins
    them, since their flips could come from the slide.
    """
    codes = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)[1].astype(np.intp)
    if unit == "patient":
        return codes
    parent = list(range(int(codes.max(initial=-1)) + 1))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[str, int] = {}
    for code, group in zip(codes.tolist(), groups, strict=True):
        if group:
            parent[root(code)] = root(first.setdefault(group, code))
    return np.array([root(code) for code in codes.tolist()], dtype=np.intp)


def exact_sum(in_r: Mask, in_d: Mask, unit: Codes) -> Fraction:
    """Z without any rounding: the sum of the units' discordant fractions d / r.

    Args:
        in_r: (n,) cases that count.
        in_d: (n,) cases that are discordant; those outside of `in_r` do not count.
        unit: (n,) code of each case's patient or component.
    """
    r = np.bincount(unit[in_r])
    d = np.bincount(unit[in_d & in_r], minlength=len(r))
    return _share_sum(r, d)


def _share_sum(r: NDArray[np.int64], d: NDArray[np.int64]) -> Fraction:
    """The sum of d / r, exactly."""
    # units with the same r are added up first: there are few different ones
    return sum(
        (Fraction(int(d[r == cases].sum()), int(cases)) for cases in np.unique(r[d > 0])),
        Fraction(0),
    )


def any_cell(mask: Mask) -> Mask:
    """(n,) cases with any marked cell of an (n, k) mask."""
    return np.asarray(mask.any(axis=1), dtype=np.bool_)


def _n(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _by_unit(in_r: Mask, in_d: Mask, unit: Codes) -> tuple[int, float, int]:
    """m, Z and units with any; `fsum` makes Z independent of the order of cases."""
    r = np.bincount(unit[in_r])
    d = np.bincount(unit[in_d & in_r], minlength=len(r))
    there = r > 0
    Z = math.fsum((d[there] / r[there]).tolist())
    return int(there.sum()), Z, int((d > 0).sum())
