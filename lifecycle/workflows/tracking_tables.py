"""The verdict and its cases as rows and as a note: the same rows become JSON, CSV and Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lifecycle.consistency.agree import Discordant
from lifecycle.domain.verdict import Finding, Status
from lifecycle.report.cases import firmest
from lifecycle.report.margins import Limits, limits
from lifecycle.report.source import ReportInput
from lifecycle.report.text import many, number, percent
from lifecycle.tracking.notes import markdown, table

SIGNS: dict[Status, str] = {"pass": "PASS ✓", "fail": "FAIL ✖", "inconclusive": "INCONCLUSIVE ?"}
SIMULATED = "SIMULATED DATA: this says nothing about patients."
VIEWED = "Anyone can edit this page; the signed files in `dossier/` are the truth."
_LISTED = 10  # discordant cases in a note; the tables list them all
_WORST_FIRST: dict[Status, int] = {"fail": 0, "inconclusive": 1, "pass": 2}

Row = dict[str, object]


def criteria_rows(data: ReportInput) -> list[Row]:
    """Every criterion with its figures, exact; what is not met stands first."""
    return [
        {
            "criterion": one.criterion,  # first: MLflow's table over runs groups by it
            "result": SIGNS[one.status],
            "figure": one.figure,
            "limit": one.limit,
            "bound": one.bound,
            "said": one.said,
        }
        for one in _sorted(data)
    ]


def _sorted(data: ReportInput) -> list[Finding]:
    return sorted(data.verdict.findings, key=lambda one: _WORST_FIRST[one.status])


def case_rows(data: ReportInput, kind: str) -> list[Row]:
    """Cases with what every build says of them, its scores, and how far they are from tau.

    Args:
        data: the report's values.
        kind: `discordant` or `conversions`.

    Returns:
        All of them, in the order of the report: the most certain first.
    """
    truth = dict(zip(data.frozen.ids, data.frozen.labels or (), strict=False))
    known = limits(data.frozen.classes, data.frozen.task, data.cutoffs)
    columns = case_columns(data)
    rows = (_case_row(one, truth, known) for one in _firmest(data, kind))
    return [{column: row[column] for column in columns} for row in rows]


def _firmest(data: ReportInput, kind: str) -> Sequence[Discordant]:
    agreement = data.agreement
    if agreement is None:
        return ()
    known = limits(data.frozen.classes, data.frozen.task, data.cutoffs)
    return firmest(agreement, kind, known, len(getattr(agreement, kind)))[0]


def case_columns(data: ReportInput) -> list[str]:
    """The columns of `case_rows`, also where there are no rows."""
    names = () if data.agreement is None else data.agreement.names
    parts = ("score", "margin") if data.frozen.task == "single" else ()
    known = ["reference class"] if data.frozen.labels else []
    figures = [f"{name} {part}" for name in names for part in parts]
    return ["case", "patient", *known, *names, "reported by", *figures, "scores"]


def _case_row(one: Discordant, truth: Mapping[str, str], known: Limits) -> Row:
    row: Row = {"case": one.case, "patient": one.patient, "reference class": truth.get(one.case)}
    row |= dict(one.calls)
    row["reported by"] = "all builds" if one.everywhere else "some builds"
    for name in one.calls:
        row[f"{name} score"], row[f"{name} margin"] = _margin(one.scores.get(name, {}), known)
    row["scores"] = "; ".join(
        f"{name}: {_scores_said(scores)}" for name, scores in one.scores.items()
    )
    return row


def _margin(scores: Mapping[str, float], known: Limits) -> tuple[float | None, float | None]:
    """Highest score and its margin; below 0 the case is inconclusive."""
    if not scores:
        return None, None
    top = max(scores, key=scores.__getitem__)
    return scores[top], known.margin(top, scores[top])


def _scores_said(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number(score)}" for name, score in scores.items())


def first_line(data: ReportInput) -> str:
    """The verdict in one line that needs no markup: MLflow cuts a description after three.

    It holds no word that came from a file.
    """
    sign, agreement = SIGNS[data.verdict.status], data.agreement
    if agreement is None:
        return f"{sign} first build: nothing to compare with"
    series = agreement.series
    return (
        f"{sign} {series.D:,} of {many(series.R, 'case')} reported by all builds discordant "
        f"({percent(series.D / series.R if series.R else None)}), "
        f"{many(series.conversions, 'conversion')}"
    )


def note(data: ReportInput, listed: int = _LISTED) -> list[str]:
    """The verdict as Markdown, by lines: what it is, why, which cases, and all criteria.

    Args:
        data: the report's values.
        listed: how many discordant cases are named.
    """
    basis = f"Basis: {markdown(data.verdict.basis)}. {VIEWED}"
    return [*headline(data), *_reasons(data), "", basis,
            *_discordant(data, listed), *_criteria(data)]  # fmt: skip


def headline(data: ReportInput) -> list[str]:
    """The first line, and below it whether the data are simulated."""
    return [first_line(data), *(["", f"**{SIMULATED}**"] if data.simulated else [])]


def _reasons(data: ReportInput) -> list[str]:
    open_ones = [one for one in _sorted(data) if one.status != "pass"]
    rows = [
        f"- {SIGNS[one.status]} {markdown(one.criterion)}: {markdown(one.said)}"
        for one in open_ones
    ]
    return ["", *rows] if rows else []


def _discordant(data: ReportInput, listed: int) -> list[str]:
    found = _firmest(data, "discordant")
    if data.agreement is None or not found:
        return []
    names, rest = data.agreement.names, len(found) - listed
    more = [f"And {rest:,} more: `tables/discordant_cases.csv` has them all."] if rest > 0 else []
    rows = [[one.case, one.patient, *(one.calls[name] for name in names)]
            for one in found[:listed]]  # fmt: skip
    title = f"**{many(len(found), 'discordant case')}, the most certain first**"
    return ["", title, "", *table(("case", "patient", *names), rows), "", *more]


def _criteria(data: ReportInput) -> list[str]:
    head = ("criterion", "result", "figure", "limit", "bound")
    rows = []
    for one in _sorted(data):
        limits = () if one.limit is None else (one.limit,)
        figures = (number(one.figure, limits), number(one.limit), number(one.bound, limits))
        rows.append([one.criterion, SIGNS[one.status], *figures])
    # MLflow leaves no room below a table of its own accord
    return ["", "\N{NO-BREAK SPACE}", "", "**Criteria**", "", *table(head, rows)]
