"""Tables of the cases that a director has to look at: who, what each build said, how firmly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import nsmallest

import numpy as np

from lifecycle.consistency.agree import Agreement, Discordant
from lifecycle.consistency.calls import STATES, call
from lifecycle.report.margins import Limits, firmness, limits, signed
from lifecycle.report.source import ReportInput
from lifecycle.report.tables import Cell, Table, table
from lifecycle.report.text import NOTHING, number

LISTED = 200  # cases listed in the report; the comparison's table of cases holds all
LINES = 400  # lines of cases whose builds stand below each other
COLUMNS = 4  # more builds than this go below each other instead of beside each other
WHOLE = "discordant.csv"  # of the comparison: every case

_CAPTIONS = {
    "discordant": "Discordant cases: what each build reports, with its scores",
    "conversions": "Conversions: reported by some builds, inconclusive in others",
}
_FIRM = {"discordant": "margin of the weaker result", "conversions": "change of margin"}
_NOTES = {
    "discordant": "Most certain first: by the margin of the weaker of two contradicting results. "
    "A margin is a score minus its nearest critical value.",
    "conversions": "Largest change first: how far the margin moved between the builds.",
}


def case_table(data: ReportInput, agreement: Agreement, kind: str) -> tuple[Table, int]:
    """Discordant or converted cases with what every build said, the most certain first.

    Args:
        data: the report's values.
        agreement: where the cases stand.
        kind: `discordant` or `conversions`.

    Returns:
        The table of the first cases, and how many more there are.
    """
    known = limits(data.frozen.classes, data.frozen.task, data.cutoffs)
    beside = len(agreement.names) <= COLUMNS
    most = LISTED if beside else LINES // len(agreement.names)
    found, firm = firmest(agreement, kind, known, most)
    truth = _truth(data, found)
    builds = agreement.names if beside else ("what each build said",)
    head = ["case", "patient", *(["reference class"] if truth else []), *builds, _FIRM[kind]]
    head += ["reported by"] if kind == "discordant" else []
    rows = []
    for one, margin in zip(found, firm, strict=True):
        row = [Cell(one.case, kind="code"), Cell(one.patient, kind="code")]
        row += [Cell(truth.get(one.case) or NOTHING)] if truth else []
        row += _said(data, known, one, agreement.names, beside)
        row += [Cell(NOTHING if margin is None else number(margin))]
        row += [Cell("all" if one.everywhere else "some")] if kind == "discordant" else []
        rows.append(row)
    left = {i for i, name in enumerate(head) if name != _FIRM[kind]}
    total = len(agreement.discordant if kind == "discordant" else agreement.conversions)
    note = _NOTES[kind] if rows else ""
    wide = len(head) > 6 or not beside
    return table(_CAPTIONS[kind], head, rows, left, note, wide), total - len(found)


def firmest(
    agreement: Agreement, kind: str, known: Limits, most: int = LISTED
) -> tuple[list[Discordant], list[float | None]]:
    """The most certain cases of a kind, and their margins; in order of the series among equals."""
    cases = agreement.discordant if kind == "discordant" else agreement.conversions
    firm = [firmness(one, kind, known) for one in cases]
    order = nsmallest(most, range(len(cases)), key=lambda i: (-(firm[i] or 0.0), i))
    return [cases[i] for i in order], [firm[i] for i in order]


def _truth(data: ReportInput, found: Sequence[Discordant]) -> Mapping[str, str]:
    """Reference class of the listed cases; empty where the set has none."""
    wanted = {one.case for one in found}
    pairs = zip(data.frozen.ids, data.frozen.labels or (), strict=False)
    return {case: label for case, label in pairs if case in wanted}


def _said(
    data: ReportInput, known: Limits, one: Discordant, names: Sequence[str], beside: bool
) -> list[Cell]:
    if beside:
        return [
            Cell(one.calls[name], _scores(data, known, one.scores.get(name, {})), kind="call")
            for name in names
        ]
    return [Cell("", lines=tuple(_line(data, known, one, name) for name in names))]


def _line(data: ReportInput, known: Limits, one: Discordant, name: str) -> str:
    """A build among many: of a one-of-many case only the score of the class that it favours."""
    scores, said = one.scores.get(name, {}), one.calls[name]
    if not scores:
        return f"{name}: {said}"
    if data.frozen.task == "multi":
        return f"{name}: {said} — {_scores(data, known, scores)}"
    top = max(scores, key=scores.__getitem__)
    told = _scores(data, known, {top: scores[top]})
    return f"{name}: {told}" if said == top else f"{name}: {said}, {told}"


def _scores(data: ReportInput, known: Limits, scores: Mapping[str, float]) -> str:
    sides = {*data.cutoffs.yes, *(data.cutoffs.no or ())}
    return " · ".join(
        f"{name} {number(value, sides)}{_beside(data, known, name, scores)}"
        for name, value in scores.items()
    )


def _beside(data: ReportInput, known: Limits, name: str, scores: Mapping[str, float]) -> str:
    """State and margin of a score; of a one-of-many case only that of the favoured class counts."""
    single = data.frozen.task == "single"
    if single and name != max(scores, key=scores.__getitem__):
        return ""
    margin = known.margin(name, scores[name])
    said = [] if single else [_state(data, name, scores[name])]
    said += [] if margin is None else [f"margin {signed(margin)}"]
    return f" ({', '.join(said)})" if said else ""


def _state(data: ReportInput, name: str, score: float) -> str:
    """What the score amounts to, where a call does not say it: the classes of a multi-label case.

    One score of one class is called by the module that calls them all.
    """
    at = data.frozen.classes.index(name)
    row = np.zeros((1, len(data.frozen.classes)))
    row[0, at] = score
    alone = replace(
        data.frozen, ids=("",), patients=("",), groups=("",), labels=None, scores=row, subgroups={}
    )
    return STATES[int(call(alone, data.cutoffs).state[0, at])]
