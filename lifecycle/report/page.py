"""The page that a laboratory director reads: one HTML file without script or outside resource."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lifecycle.report import cases, first_page, palette, words
from lifecycle.report.before import before_tables
from lifecycle.report.calibration import calibration_table
from lifecycle.report.comparison import agreement_tables
from lifecycle.report.conversions import conversion_tables
from lifecycle.report.evidence import (
    build_tables,
    criteria_table,
    frozen_tables,
    shown_table,
    tau_tables,
)
from lifecycle.report.faced import Faced, face
from lifecycle.report.figures import figures, positive_class
from lifecycle.report.lists import divergence_table, features_table
from lifecycle.report.rehearsal import rehearsal_tables
from lifecycle.report.series import reportable_table
from lifecycle.report.source import ReportInput, Validation
from lifecycle.report.strata import class_table, subgroup_table
from lifecycle.report.text import css_string, finalize, short

__all__ = ["ReportInput", "Validation", "figures", "render"]

TEMPLATE = "report.html"


def render(
    data: ReportInput, drawn: Mapping[str, str] | None = None, faced: Faced | None = None
) -> str:
    """The report as one HTML text; equal input gives equal bytes.

    Args:
        data: what it shows.
        drawn: what `figures` gave, to spare drawing twice.
        faced: what `face` gave, to spare calling twice.

    Raises:
        UnusableInputError: the builds' predictions are not of the same cases and classes.
    """
    faced = faced or face(data)
    context = _context(data, faced) | _figures(figures(data, faced) if drawn is None else drawn)
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


def _context(data: ReportInput, faced: Faced) -> dict[str, Any]:
    return (
        _first_page(data)
        | _compared(data, faced)
        | {
            "data": data,
            "words": words,
            "colours": palette,
            "status": data.verdict.status,
            "sign": words.SIGNS[data.verdict.status],
            "line": words.banner_line(data),
            "running": css_string(_running(data)),
            "marks": css_string(_marks(data)),
            "basis": words.BASES.get(data.verdict.basis, ""),
            "summary": " ".join(words.summary(data, faced)),
            "shown": shown_table(data),
            "before": before_tables(data),
            "tau_tables": tau_tables(data),
            "positive": positive_class(data),
            "reportable": reportable_table(data, faced),
            "calibration": calibration_table(faced),
            "classes": class_table(data, faced),
            "subgroups": subgroup_table(data, faced),
            "frozen_tables": frozen_tables(data, faced),
            "features": features_table(data.features),
            "divergence": divergence_table(data.divergence),
            "build_tables": build_tables(data),
            "rehearsal_tables": rehearsal_tables(data),
            "policy_then": str(data.run.get("policy", "")),
        }
    )


def _first_page(data: ReportInput) -> dict[str, Any]:
    changes = data.changes
    return {
        "alert": first_page.alert(data),
        "brief": first_page.brief_criteria(data),
        "criteria": criteria_table(data),
        "changes": None if changes is None else first_page.changes_table(changes),
        "all_changes": first_page.changes_table(changes, first_page.LINES)
        if changes is not None and first_page.overflow(changes)
        else None,
        "signatures": first_page.signature_table(data.signatures),
        "records": first_page.signature_table(data.signatures, whole=True),
        "built": str(data.run.get("built", "")),
    }


def _running(data: ReportInput) -> str:
    """What stands at the head of every printed page."""
    said = data.verdict.status.upper()
    return f"{short(words.banner_line(data), 60)} | {said} | {short(data.standing, 40)}"


def _marks(data: ReportInput) -> str:
    """What no printed page may go without: that data are simulated, that names are masked."""
    marks = ["SIMULATED DATA"] if data.simulated else []
    return " | ".join([*marks, *(["IDENTIFIERS MASKED"] if data.masked else [])])


def _compared(data: ReportInput, faced: Faced) -> dict[str, Any]:
    agreement = data.agreement
    if agreement is None:
        return {"cases": [], "whole": cases.WHOLE, "agreement_tables": [], "conversions": []}
    kinds = ("discordant", "conversions")
    return {
        "cases": [cases.case_table(data, agreement, kind) for kind in kinds],
        "whole": cases.WHOLE,
        "agreement_tables": agreement_tables(agreement),
        "conversions": conversion_tables(faced),
    }
