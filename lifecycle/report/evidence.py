"""Tables of what the verdict rests on: criteria, tau, the frozen set, the build, its digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.consistency.calls import STATES
from lifecycle.domain.names import INCONCLUSIVE
from lifecycle.domain.verdict import Finding
from lifecycle.report.faced import Faced, reported
from lifecycle.report.source import ReportInput
from lifecycle.report.tables import Cell, Table, record_table, table
from lifecycle.report.text import NOTHING, flat, number, percent, plainly
from lifecycle.report.words import SIGNS
from lifecycle.stats.intervals import wilson

SHOWN_ALPHA = 0.05  # of the Wilson intervals, which decide nothing
SQUARE = 12  # classes up to which a confusion table is printed whole
CONFUSIONS = 50  # most frequent confusions listed where it is not
SHOWN_ROWS = 60  # figures listed of those that do not decide
# entries of a verdict's `shown` that have a place of their own in the report
ELSEWHERE = frozenset(
    ("names", "series", "ever", "discordant", "remarks", "guaranteed", "predecessor", "exposure")
)

_ORDER = {"fail": 0, "inconclusive": 1, "pass": 2}


def criteria_table(data: ReportInput) -> Table:
    """Every criterion with its figure, limit and bound; what is not met stands first."""
    findings = sorted(data.verdict.findings, key=lambda finding: _ORDER[finding.status])
    head = ("criterion", "result", "figure", "limit", "bound", "in words")
    note = (
        "Where there is a bound, the bound decides, not the figure. "
        f"Policy applied: SHA-256 {data.verdict.policy}."
    )
    return table("Criteria of the policy", head, [_criterion(f) for f in findings], (0, 1, 5), note)


def _criterion(finding: Finding) -> list[Cell | str]:
    limits = () if finding.limit is None else (finding.limit,)
    result = Cell(f"{SIGNS[finding.status]} {finding.status.upper()}", kind=finding.status)
    return [
        Cell(finding.criterion, kind="code"),
        result,
        number(finding.figure, limits),
        number(finding.limit),
        number(finding.bound, limits),
        finding.said,
    ]


def shown_table(data: ReportInput) -> list[Table]:
    """What the gate shows without deciding on it; empty where there is nothing."""
    shown = {key: value for key, value in data.verdict.shown.items() if key not in ELSEWHERE}
    rows = [(place, text) for place, text in flat(shown, rounded=True) if text != NOTHING]
    if not rows:
        return []
    rest = len(rows) - SHOWN_ROWS
    note = f"And {rest:,} more in the verdict's record." if rest > 0 else ""
    caption = "Also shown; decides nothing"
    return [table(caption, ("figure", "value"), rows[:SHOWN_ROWS], (0, 1), note)]


def tau_tables(data: ReportInput) -> list[Table]:
    """The cutoffs in force and what they rest on."""
    cutoffs = data.cutoffs
    yes = {} if cutoffs.status == "refused" else dict(zip(data.frozen.classes, cutoffs.yes))  # noqa: B905
    no = dict(zip(data.frozen.classes, cutoffs.no or (), strict=False))
    closed = {side: set(cutoffs.evidence.get(f"refused_{side}", ())) for side in ("yes", "no")}
    head = ["class", "called at or above", *(["ruled out at or below"] if no else [])]
    rows = [
        [
            name,
            "never" if name in closed["yes"] or name not in yes else number(yes[name]),
            *(["never" if name in closed["no"] or not yes else number(no[name])] if no else []),
        ]
        for name in data.frozen.classes
    ]
    return [table("Critical values in force", head, rows), *_choices(cutoffs.evidence)]


def _choices(evidence: Mapping[str, Any]) -> list[Table]:
    chosen = evidence.get("chosen")
    if not isinstance(chosen, (list, tuple)) or not chosen:
        return [record_table("Evidence of tau", evidence)] if evidence else []
    head = ("chosen for", "tau", "status", "patients with", "without", "true positives",
            "false positives", "recall (cases)", "precision at least",
            "false-positive rate at most", "95% interval of tau")  # fmt: skip
    plan = {key: evidence[key] for key in _PLAN if key in evidence}
    note = f"Counts are patients unless they say cases; bounds at confidence {_level(evidence)}."
    return [
        table("What tau rests on (holdout of the version's first build)", head,
              [_choice(choice) for choice in chosen], (0, 2), note, wide=True),
        record_table("How tau was asked for", plan),
    ]  # fmt: skip


_PLAN = ("mode", "precision", "alpha", "refuse_below", "target", "holdout_cases",
         "holdout_patients", "holdout_digest")  # fmt: skip


def _level(evidence: Mapping[str, Any]) -> str:
    alpha = evidence.get("alpha")
    return plainly(1 - alpha) if isinstance(alpha, float) else NOTHING


def _choice(choice: Mapping[str, Any]) -> list[Cell | str]:
    absent = "" if choice["side"] == "yes" else "absence of "
    interval = choice["interval"]
    return [
        f"{absent}{choice['positive']}",
        number(choice["tau"]),
        choice["status"],
        *(f"{choice[key]:,}" for key in ("n_pos", "n_neg", "tp", "fp")),
        percent(choice["recall"]),
        number(choice["precision_bound"]),
        number(choice["fp_bound"]),
        f"{number(interval[0])} to {number(interval[1])}" if interval else NOTHING,
    ]


def frozen_tables(data: ReportInput, faced: Faced) -> list[Table]:
    """The pinned set, its classes, and how the candidate does on those that are labelled."""
    found = [_pin(data), _class_counts(faced)]
    if not faced.known.any():
        return found
    if faced.multi:
        return [*found, _multi_accuracy(faced)]
    return [*found, _accuracy(faced), _confusion(faced)]


def _pin(data: ReportInput) -> Table:
    facts = {
        "pin": data.pin.number,
        "version": data.pin.version,
        "cases": len(data.pin.cases),
        "patients": len(set(data.frozen.patients)),
        "origin": data.pin.origin,
        "total digest (SHA-256)": data.pin.total,
        "amended because": data.pin.reason or "not amended",
    }
    return record_table("The frozen clinical test set", facts)


def _class_counts(faced: Faced) -> Table:
    frozen, truth = faced.frozen, faced.truth
    rows = []
    for j, name in enumerate(frozen.classes):
        patients = {frozen.patients[i] for i in np.flatnonzero(truth[:, j]).tolist()}
        called = int((faced.now.state[:, j] == 1).sum())
        rows.append([name, f"{int(truth[:, j].sum()):,}", f"{len(patients):,}", f"{called:,}"])
    unknown = int((~faced.known).sum())
    note = f"{unknown:,} of {len(frozen.ids):,} cases have no reference class." if unknown else ""
    head = ("class", "cases by reference", "patients", "cases called by the candidate")
    return table("Classes of the frozen set", head, rows, note=note)


def _accuracy(faced: Faced) -> Table:
    known = faced.known
    right = faced.truth[np.arange(len(known)), faced.now.argmax] & known
    told = reported(faced.now)
    rows = [
        _share("accuracy at full recall (every case called)", right, known),
        _share("reportable fraction, labelled cases", told & known, known),
        _share("accuracy among reported cases", right & told, known & told),
        _share("reported and wrong", known & told & ~right, known),
    ]
    head = ("figure", "cases", "of", "share", "95% Wilson interval")
    note = "Intervals take cases as independent; they are shown and decide nothing."
    return table("The candidate against the reference classes", head, rows, note=note)


def _share(name: str, part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> list[str]:
    x, n = int(part.sum()), int(whole.sum())
    if not n:
        return [name, "0", "0", NOTHING, NOTHING]
    low, high = wilson(x, n, SHOWN_ALPHA)
    return [name, f"{x:,}", f"{n:,}", percent(x / n), f"{percent(low)} to {percent(high)}"]


def _confusion(faced: Faced) -> Table:
    """Reference class against what is reported, with a column for inconclusive."""
    frozen, known, truth, C = faced.frozen, faced.known, faced.truth, len(faced.frozen.classes)
    says = np.where(reported(faced.now), faced.now.argmax, C)
    counts = np.zeros((C, C + 1), dtype=np.int64)
    for j in range(C):
        counts[j] = np.bincount(says[known & truth[:, j]], minlength=C + 1)
    columns = (*frozen.classes, INCONCLUSIVE)
    if C > SQUARE:
        return _confusion_list(counts, columns)
    rows = [
        [Cell(name), *(_count(int(n), i == j) for j, n in enumerate(counts[i]))]
        for i, name in enumerate(frozen.classes)
    ]
    head = ("reference class (row), reported as (column)", *columns)
    note = "Cells on the diagonal, in bold, agree with the reference. Zero is left empty."
    return table("Confusion table at tau", head, rows, note=note, wide=C > 6)


def _count(n: int, agrees: bool) -> Cell:
    return Cell(f"{n:,}" if n else "", kind="strong" if agrees else "")


def _confusion_list(counts: NDArray[np.int64], columns: Sequence[str]) -> Table:
    found = [(int(counts[i, j]), i, int(j)) for i, j in zip(*np.nonzero(counts), strict=True)
             if i != j]  # fmt: skip
    found.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    rows = [[columns[i], columns[j], f"{n:,}"] for n, i, j in found[:CONFUSIONS]]
    rest = len(found) - CONFUSIONS
    note = f"The most frequent; {rest:,} more pairs are not listed." if rest > 0 else ""
    caption = "Confusions at tau, and cases left inconclusive"
    return table(caption, ("reference class", "reported as", "cases"), rows, (0, 1), note)


def _multi_accuracy(faced: Faced) -> Table:
    known, truth = faced.known, faced.truth
    rows = []
    for j, name in enumerate(faced.frozen.classes):
        state = faced.now.state[:, j]
        cells = [(known & (truth[:, j] == has) & (state == says)) for has in (True, False)
                 for says in (1, 0, -1)]  # fmt: skip
        rows.append([name, *(f"{int(cell.sum()):,}" for cell in cells)])
    said = [STATES[state] for state in (1, 0, -1)]
    head = ("class", *(f"{has}: {state}" for has in ("has it", "has it not") for state in said))
    return table("The candidate against the reference classes, by class", head, rows)


def build_tables(data: ReportInput) -> list[Table]:
    """Digests, surroundings, recipe and run of the build, as its record has them."""
    parts = (
        ("Digests of the build", ("weights", "predictions")),
        ("What it was made from", ("inputs",)),
        ("Recipe", ("recipe",)),
        ("Training, last epoch", ("training",)),
        ("Environment", ("environment", "framework")),
    )
    found = [record_table("Run (MLflow run id, commit, time)", data.run)] if data.run else []
    for caption, keys in parts:
        record = {key: data.content[key] for key in keys if key in data.content}
        if record:
            only = record[keys[0]] if len(keys) == 1 else record
            found.append(record_table(caption, only))
    return found
