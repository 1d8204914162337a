"""Tables of how builds agree: the series, pairs, classes, subgroups, reports lost and gained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lifecycle.consistency.agree import Agreement, Pair
from lifecycle.consistency.figures import Figures, Lost, LostNo
from lifecycle.report.tables import Table, table
from lifecycle.report.text import MINUS, NOTHING, many, number, percent
from lifecycle.report.words import unit_words

DIRECTIONS = 100  # contradictions listed by their direction
_COUNTS = ("|S| cases", "|R| all report", "|D| discordant", "conversions")
_SHARES = (
    f"consistency 1 {MINUS} |D|/|R|",
    f"1 {MINUS} |D|/|S|",
    "(|D| + conversions) / any report",
)


def agreement_tables(agreement: Agreement) -> list[Table]:
    """All tables of the agreement, the most telling first."""
    rows = [("all builds together", agreement.series)]
    rows += [(_pair_name(pair, agreement), pair.figures) for pair in agreement.pairs]
    rows += [("ever: any two builds", agreement.ever)]
    found = [_in_cases("Consistency in cases", rows), _in_units(agreement, rows)]
    found += [_in_cells(agreement, rows)] if agreement.task == "multi" else []
    found += [_of_parts("Consistency by class", "class", agreement, agreement.by_class)]
    found += _subgroups(agreement)
    found += [_kept(agreement), _directions(agreement), _per_build(agreement)]
    return found + action_tables(agreement)


def _pair_name(pair: Pair, agreement: Agreement) -> str:
    judged = pair.candidate == agreement.candidate
    return f"{pair.reference} and {pair.candidate}{' (candidate)' if judged else ''}"


def _in_cases(caption: str, rows: Sequence[tuple[str, Figures]]) -> Table:
    body = [
        [name, *_counts(f), percent(f.consistency), percent(f.consistency_all), percent(f.changed)]
        for name, f in rows
    ]
    return table(caption, ("compared", *_COUNTS, *_SHARES), body)


def _counts(f: Figures) -> list[str]:
    return [f"{value:,}" for value in (f.S, f.R, f.D, f.conversions)]


def _in_units(agreement: Agreement, rows: Sequence[tuple[str, Figures]]) -> Table:
    unit = unit_words(agreement)
    head = (
        "compared",
        "m",
        "Z",
        "Z/m",
        "upper bound U",
        "with any contradiction",
        "its bound",
        "95% Wilson, cases (shown only)",
    )
    body = [[name, f"{f.m:,}", number(f.Z), percent(f.rate), percent(f.upper), f"{f.units_any:,}",
             percent(f.upper_any), _wilson(f)] for name, f in rows]  # fmt: skip
    note = (
        f"Bounds at level a = {number(agreement.a)}; they decide where consistency is asked of "
        f"{unit}; what is asked of cases stands under the criteria. {agreement.units:,} {unit}, "
        f"with at most {many(agreement.largest, 'case')} each."
    )
    return table(f"Consistency in {unit}", head, body, note=note)


def _wilson(f: Figures) -> str:
    return f"{percent(f.wilson[0])} to {percent(f.wilson[1])}" if f.R else NOTHING


def _in_cells(agreement: Agreement, rows: Sequence[tuple[str, Figures]]) -> Table:
    head = ("compared", "results reported by all", "of them discordant", "consistency",
            "share of all results that all report")  # fmt: skip
    body = []
    for name, f in rows:
        share = 1 - f.cells_discordant / f.cells_reported if f.cells_reported else None
        counts = (f"{f.cells_reported:,}", f"{f.cells_discordant:,}")
        body.append([name, *counts, percent(share), percent(f.reportable)])
    note = f"One result is one class of one case; {len(agreement.classes)} classes."
    return table("Consistency in single results (case and class)", head, body, note=note)


def _of_parts(caption: str, what: str, agreement: Agreement, parts: Sequence[Figures]) -> Table:
    """Per class or subgroup; `ever` stands beside it where it was counted."""
    ever = {f.name: f for f in agreement.by_class_ever} if what == "class" else {}
    head = (what, *_COUNTS, "consistency", "m", "Z", "upper bound U")
    body = [
        [f.name, *_counts(f), percent(f.consistency), f"{f.m:,}", number(f.Z), percent(f.upper)]
        + ([f"{ever[f.name].D:,} of {ever[f.name].R:,}"] if f.name in ever else [])
        for f in parts
    ]
    notes = {
        "class": "Over cases that any of the builds calls so; a case can stand in two rows.",
        "subgroup": "Shown only, unless the policy declared the subgroup beforehand.",
    }
    heads = (*head, "ever") if ever else head
    return table(caption, heads, body, note=notes[what], wide=True)


def _subgroups(agreement: Agreement) -> list[Table]:
    if not agreement.by_subgroup:
        return []
    return [_of_parts("Consistency by subgroup", "subgroup", agreement, agreement.by_subgroup)]


def _kept(agreement: Agreement) -> Table:
    rows = []
    for pair in agreement.candidate_pairs():
        rows.append(_lost(f"lost against {pair.reference}", pair.lost))
        if agreement.task == "multi":
            rows.append(_lost(f"calls lost against {pair.reference}", pair.lost_yes))
            rows.append(_opened(f"exclusions left open against {pair.reference}", pair.lost_no))
        rows += [
            _lost(f"lost against {pair.reference}: {lost.name}", lost)
            for lost in pair.lost_by_class
            if lost.reported_cases
        ]
        rows.append(_lost(f"gained against {pair.reference}", pair.gained))
    head = ("reports", "cases", "of reported cases", f"{unit_words(agreement)}", "of",
            "rate", "upper bound U")  # fmt: skip
    note = "Lost by class: the class that the earlier build called."
    if agreement.task == "multi":
        note += " Of exclusions: single results, and the sum of patients' shares."
    return table("Reports lost and gained by the candidate", head, rows, note=note)


def _opened(name: str, lost: LostNo) -> list[str]:
    """Exclusions in single results; of patients the sum of their shares."""
    counts = (f"{lost.cells:,}", f"{lost.excluded_cells:,}", number(lost.Z), f"{lost.m:,}")
    return [name, *counts, percent(lost.rate), percent(lost.upper)]


def _lost(name: str, lost: Lost) -> list[str]:
    counts = (lost.cases, lost.reported_cases, lost.units, lost.reported_units)
    return [name, *(f"{value:,}" for value in counts), percent(lost.rate), percent(lost.upper)]


def _directions(agreement: Agreement) -> Table:
    return _direction_table("Contradictions by direction", agreement.candidate_pairs())


def _direction_table(caption: str, pairs: Iterable[Pair]) -> Table:
    found = [(pair, direction, n) for pair in pairs for direction, n in pair.directions.items()]
    if len(found) > DIRECTIONS:
        found.sort(key=lambda one: -one[2])
    rows = [
        [f"{pair.reference} to {pair.candidate}", direction.replace(" -> ", " → "), f"{n:,}"]
        for pair, direction, n in found[:DIRECTIONS]
    ]
    note = "" if rows else "No contradiction between the candidate and a build before it."
    rest = len(found) - DIRECTIONS
    note = f"The most frequent; {rest:,} more are not listed." if rest > 0 else note
    return table(caption, ("builds", "from → to", "cases"), rows, (0, 1), note)


def _per_build(agreement: Agreement) -> Table:
    changes = {pair.reference: pair.argmax_changes for pair in agreement.candidate_pairs()}
    rows = [
        [
            f"{name}{' (candidate)' if name == agreement.candidate else ''}",
            f"{agreement.reported[name]:,}",
            f"{agreement.ties[name]:,}",
            f"{changes[name]:,}" if name in changes else NOTHING,
        ]
        for name in agreement.names
    ]
    head = ("build", "cases reported", "ties for the highest score",
            "highest class differs from the candidate's")  # fmt: skip
    note = "Of a tie the first class is taken. The last column counts unreported cases too."
    return table("Each build by itself", head, rows, note=note)


def action_tables(agreement: Agreement) -> list[Table]:
    """The same after classes became clinical actions; none where the policy states none."""
    actions = agreement.actions
    if actions is None:
        return []
    rows = [("all builds together", actions.series)]
    rows += [(_pair_name(pair, agreement), pair.figures) for pair in actions.pairs]
    rows += [("ever: any two builds", actions.ever)]
    caption = f"Consistency of clinical actions ({many(len(actions.actions), 'action')})"
    judged = [pair for pair in actions.pairs if pair.candidate == agreement.candidate]
    return [_in_cases(caption, rows), _direction_table("Actions by direction", judged)]
