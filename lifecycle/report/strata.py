"""The candidate class by class and subgroup by subgroup, with intervals. Shown; nothing decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lifecycle.consistency.agree import Agreement
from lifecycle.consistency.figures import Figures
from lifecycle.report.faced import Faced, Mask, coded, reported
from lifecycle.report.source import ReportInput
from lifecycle.report.tables import Cell, Table, table
from lifecycle.report.text import NOTHING, number, percent
from lifecycle.stats.auc import auc
from lifecycle.stats.intervals import wilson

SHOWN_ALPHA = 0.05
SMALL = 20  # cases below which a row is marked: its intervals are wide
LISTED = 60  # rows of a table

Parts = tuple[Mask, Mask]  # what is counted, and of what


def class_table(data: ReportInput, faced: Faced) -> Table:
    """Recall, precision and reported share of every class at tau, and its AUC."""
    areas = data.verdict.shown.get("areas") or {}
    found = areas.get("per_class") or {}
    rows = [
        _class(faced, j, name, found.get(name))
        for j, name in enumerate(faced.frozen.classes[:LISTED])
    ]
    head = ["class", "cases", *_heads(faced.multi), "AUC"]
    note = (
        "With 95% Wilson intervals over cases; AUC one against the rest, with its 95% interval "
        f"over patients where the gate took one. Fewer than {SMALL} cases: marked small."
    )
    rest = len(faced.frozen.classes) - LISTED
    note += f" {rest:,} more classes are not listed." if rest > 0 else ""
    return table("Class by class, at tau", head, rows, note=note, wide=True)


def _heads(multi: bool) -> list[str]:
    if multi:
        return ["called present, of those that have it", "has it, of those called present",
                "ruled out, of those without it", "reported share"]  # fmt: skip
    return ["recall: called so, of the class", "precision: of the class, of those called so",
            "reported share of the class"]  # fmt: skip


def _class(faced: Faced, j: int, name: str, area: Mapping[str, Any] | None) -> list[Cell | str]:
    state, has, known = faced.now.state[:, j], faced.truth[:, j], faced.known
    yes = state == 1
    parts: list[Parts] = [(yes & has, has), (yes & has, yes & known)]
    if faced.multi:
        lacks = known & ~has
        parts += [((state == -1) & lacks, lacks), (state != 0, np.ones_like(yes))]
    else:
        parts.append(((state != 0) & has, has))
    n = int(has.sum())
    return [Cell(name), _size(n), *(_share(*part) for part in parts), _area(faced, j, area)]


def _size(n: int) -> Cell:
    return Cell(f"{n:,}", "small" if n < SMALL else "")


def _share(part: Mask, whole: Mask) -> Cell:
    """Masks of cases give an interval; results (case, class) of one case hang together: none."""
    x, n = int(np.count_nonzero(part)), int(np.count_nonzero(whole))
    if part.ndim == 1 or not n:
        return share_cell(x, n)
    return Cell(percent(x / n), f"{x:,} of {n:,}")


def share_cell(x: int, n: int) -> Cell:
    """A share of n as a percentage, with its interval below; nothing where n is 0."""
    if not n:
        return Cell(NOTHING)
    low, high = wilson(x, n, SHOWN_ALPHA)
    return Cell(percent(x / n), f"{x:,} of {n:,}; {percent(low)} to {percent(high)}")


def _area(faced: Faced, j: int, area: Mapping[str, Any] | None) -> Cell:
    """The gate's figure where it took one, so that no two places show two."""
    if area is None:
        known = faced.known
        return Cell(number(auc(faced.frozen.scores[known, j], faced.truth[known, j])))
    if area["area"] is None or area["low"] is None:
        return Cell(number(area["area"]))
    return Cell(number(area["area"]), f"{number(area['low'])} to {number(area['high'])}")


def subgroup_table(data: ReportInput, faced: Faced) -> Table | None:
    """Every subgroup: accuracy, reportable fraction, discordant cases; None where there is none."""
    groups, rest = _groups(faced)
    if not groups:
        return None
    figures = _by_name(data.agreement)
    told, right = _told(faced)
    rows = [_subgroup(name, mask, faced, told, right, figures.get(name)) for name, mask in groups]
    head = ("subgroup", "cases", "reportable fraction", "accuracy among reported",
            "discordant, of cases that all builds report")  # fmt: skip
    note = (
        f"With 95% Wilson intervals over cases. Fewer than {SMALL} cases: marked small, read them "
        "with care. Shown only, unless the policy declared the subgroup beforehand."
    )
    note += f" The largest of each attribute; {rest:,} more are not listed." if rest else ""
    if faced.multi:
        note += (
            " The first two shares are counted in results (case and class); those of one case hang "
            "together, so they have no interval."
        )
    return table("Subgroup by subgroup", head, rows, note=note)


def _groups(faced: Faced) -> tuple[list[tuple[str, Mask]], int]:
    """Names and cases, in order of their names; beyond `LISTED` the largest, and how many more."""
    found, rest = [], 0
    for attribute, column in faced.frozen.subgroups.items():
        values, codes = coded(column)
        largest = np.argsort(-np.bincount(codes), kind="stable")[:LISTED].tolist()
        rest += len(values) - len(largest)
        named = sorted((values[k], k) for k in largest)
        found += [(f"{attribute}={value}", codes == k) for value, k in named]
    return found, rest


def _by_name(agreement: Agreement | None) -> dict[str, Figures]:
    return {} if agreement is None else {one.name: one for one in agreement.by_subgroup}


def _told(faced: Faced) -> tuple[Mask, Mask]:
    """Reported, and reported and right: (n,) cases, or (n, C) results."""
    if faced.multi:
        told = faced.now.state != 0
        return told, told & ((faced.now.state == 1) == faced.truth)
    rows = np.arange(len(faced.known))
    told = reported(faced.now)
    return told, told & faced.truth[rows, faced.now.argmax]


def _subgroup(
    name: str, mask: Mask, faced: Faced, told: Mask, right: Mask, figures: Figures | None
) -> list[Cell]:
    labelled = mask & faced.known
    said = told[mask]
    discordant = Cell(NOTHING) if figures is None else share_cell(figures.D, figures.R)
    if figures is not None and figures.D:
        discordant = Cell(f"✕ {discordant.text}", discordant.small, kind="fail")
    return [
        Cell(f"{name}(none stated)" if name.endswith("=") else name),
        _size(int(mask.sum())),
        _share(said, np.ones_like(said)),
        _share(right[labelled], told[labelled]),
        discordant,
    ]
