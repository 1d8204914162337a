"""Short tables of facts: the feature list against the build before, the result of a divergence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lifecycle.report.source import Features
from lifecycle.report.tables import Cell, Table, table
from lifecycle.report.text import NOTHING, listed, number

NAMED = 20  # features named of those added or dropped


def features_table(features: Features | None) -> Table | None:
    """Which features came and went; None where there is no build before."""
    if features is None:
        return None
    rows: list[list[Cell | str]] = [
        ["kept", f"{features.kept:,}", NOTHING],
        ["added", f"{len(features.added):,}", _names(features.added)],
        ["dropped", f"{len(features.dropped):,}", _names(features.dropped)],
    ]
    note = "The list is the same; its order is part of the preprocessing's digest."
    moved = features.added or features.dropped
    caption = f"Features against {features.before}"
    head = ("features", "how many", "which")
    return table(caption, head, rows, (0, 2), "" if moved else note)


def _names(features: Sequence[str]) -> Cell:
    return Cell(listed(features, NAMED) or NOTHING, kind="code" if features else "")


def divergence_table(report: Mapping[str, Any] | None) -> Table | None:
    """The kept result of `lifecycle divergence` in figures; None where there is none."""
    if report is None:
        return None
    one, two = report["builds"]
    facts = [
        ("builds", f"{one} and {two}"),
        ("weights", "the same" if report["same"] else "differ"),
    ]
    facts += [("epochs of steps", f"{report['epochs']:,} of {report['steps']:,}")]
    facts += _parting(report)
    caption = f"How {two} goes apart from {one}"
    return table(caption, ("what", "found"), facts, (0, 1))


def _parting(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    trace, first, points = report["trace"], report["first"], report["growth"]
    found = []
    if trace is not None:
        found.append(("traces part", f"in {trace['where']}, step {trace['step']:,}"))
    if first is not None:
        place = f"step {first['step']:,}: {first['operation']}, {first['tensor']}"
        found.append(("first differing operation", place))
    if points:
        found.append(("vector sine at the end", number(float(points[-1]["sine"]))))
        changed = points[-1]["changed"]
        told = NOTHING if changed is None else f"{changed:,} of {report['cases']:,}"
        found.append(("holdout calls changed at the end", told))
    return found
