"""Tables of the rehearsals of the build: profile by profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lifecycle.dossier.rehearsals import agrees
from lifecycle.report.source import ReportInput
from lifecycle.report.tables import Cell, Table, table
from lifecycle.report.text import NOTHING

_HEAD = ("profile", "result", "weights", "first epoch with other weights", "sine",
         "largest score difference", "discordant at tau", "conversions",
         "discordant at any tau")  # fmt: skip


def rehearsal_tables(data: ReportInput) -> list[Table]:
    """One table a rehearsal, the newest first; empty where none was made."""
    return [_table(run) for run in reversed(data.rehearsals)]


def _table(run: Mapping[str, Any]) -> Table:
    caption = f"{run['mode']} mode, {run['made']}, on {run['machine'].get('cpu', 'unknown')}"
    rows = [_row(run, profile) for profile in run["profiles"]]
    failed = [f"{name} could not be carried out: {why}" for name, why in run["failed"].items()]
    return table(caption, _HEAD, rows, (0, 1, 2), " ".join([*failed, run["note"]]), wide=True)


def _row(run: Mapping[str, Any], profile: Mapping[str, Any]) -> list[Cell | str]:
    figures = profile["against"]
    holds = agrees(profile, run["bound"]["weights"], run["mode"])
    result = Cell("AGREES", kind="pass") if holds else Cell("DIFFERS", kind="fail")
    first = figures["first_epoch"]
    return [
        Cell(profile["name"], kind="code"),
        result,
        Cell(profile["weights"]["sha256"][:16], kind="code"),
        "none" if first is None else str(first),
        _small(figures["sine"]),
        _small(figures["frozen_difference"]),
        f"{figures['discordant']:,} of {figures['reported']:,}",
        f"{figures['conversions']:,}",
        f"{figures['any_tau']:,}",
    ]


def _small(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2g}"
