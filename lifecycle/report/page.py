"""The page that a laboratory director reads: one HTML file without script or outside resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lifecycle.consistency.calls import call
from lifecycle.report import palette, words
from lifecycle.report.comparison import agreement_tables, case_table
from lifecycle.report.evidence import (
    build_tables,
    criteria_table,
    frozen_tables,
    shown_table,
    tau_tables,
)
from lifecycle.report.figures import figures, positive_class
from lifecycle.report.rehearsal import rehearsal_tables
from lifecycle.report.source import ReportInput, Validation
from lifecycle.report.text import css_string, finalize, short

__all__ = ["ReportInput", "Validation", "figures", "render"]

TEMPLATE = "report.html"


def render(data: ReportInput, drawn: Mapping[str, str] | None = None) -> str:
    """The report as one HTML text; equal input gives equal bytes.

    Args:
        data: what it shows.
        drawn: what `figures` gave, to spare drawing twice.

    Raises:
        UnusableInputError: the builds' predictions are not of the same cases and classes.
    """
    context = _context(data) | _figures(figures(data) if drawn is None else drawn)
    return _environment().get_template(TEMPLATE).render(context)


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("lifecycle.report"),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _figures(drawn: Mapping[str, str]) -> dict[str, Any]:
    # SVG of ours: every text in it went through an XML writer
    return {"figures": {name: Markup(svg) for name, svg in drawn.items()}}  # noqa: S704


def _context(data: ReportInput) -> dict[str, Any]:
    calls = call(data.frozen, data.cutoffs)
    return {
        "data": data,
        "words": words,
        "colours": palette,
        "status": data.verdict.status,
        "sign": words.SIGNS[data.verdict.status],
        "line": words.banner_line(data),
        "running": css_string(_running(data)),
        "basis": words.BASES.get(data.verdict.basis, ""),
        "summary": " ".join(words.summary(data, calls)),
        "criteria": criteria_table(data),
        "shown": shown_table(data),
        "tau_tables": tau_tables(data),
        "positive": positive_class(data),
        "built": str(data.run.get("built", "")),
        "frozen_tables": frozen_tables(data, calls),
        "build_tables": build_tables(data),
        "rehearsal_tables": rehearsal_tables(data),
        "policy_then": str(data.run.get("policy", "")),
    } | _compared(data)


def _running(data: ReportInput) -> str:
    """What stands at the head of every printed page."""
    marked = " | SIMULATED DATA" if data.simulated else ""
    return f"{short(words.banner_line(data), 60)} | {data.verdict.status.upper()}{marked}"


def _compared(data: ReportInput) -> dict[str, Any]:
    agreement = data.agreement
    if agreement is None:
        return {"cases": [], "agreement_tables": []}
    cases = [case_table(data, agreement, kind) for kind in ("discordant", "conversions")]
    return {"cases": cases, "agreement_tables": agreement_tables(agreement)}
