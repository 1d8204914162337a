"""What stands on the first page: who must not be overlooked, the criteria, changes, signatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lifecycle.consistency.agree import Agreement, Discordant
from lifecycle.domain.verdict import Finding
from lifecycle.report.cases import firmest
from lifecycle.report.margins import limits
from lifecycle.report.source import Changes, ReportInput, Signature
from lifecycle.report.tables import Cell, Kind, Table, table
from lifecycle.report.text import NOTHING, listed, many, number, percent, plainly, short
from lifecycle.report.words import SIGNS, at_most, criterion_words

CRITERIA = 14  # of the policy on the first page; those not passed stand first
REASONS = 3  # criteria whose reason stands there too
RECORDS = 4  # latest signatures on the first page
NAMED = 5  # discordant cases named on the first page
BRIEF = 4  # lines of each kind of change on the first page; all of them stand further down
MANY = 10  # lines of all kinds together from which on each kind gets half as many
LINES = 200  # of each kind further down
_LONG = 60  # characters of a name on the first page
ORDER = {"fail": 0, "inconclusive": 1, "pass": 2}
_KINDS = (("code", "Code"), ("parameters", "Parameters"), ("data", "Data"),
          ("environment", "Environment"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Alert:
    """Whether patients could be told two things; nobody may overlook it.

    Attributes:
        kind: `pass` (none could), `fail` or `inconclusive` (nothing to compare).
        head: one line.
        lines: sentences below it.
        cases: one line a discordant case, the most certain first.
        rest: how many more there are.
    """

    kind: Kind
    head: str
    lines: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    rest: int = 0


def alert(data: ReportInput) -> Alert | None:
    """What the first page says of discordant cases; None for a first build without any."""
    agreement = data.agreement
    if agreement is None:
        return _against_the_version_before(data)
    ever, series = agreement.ever, agreement.series
    moved = many(series.conversions, "conversion") + " between reported and inconclusive."
    moved += _lost(agreement)
    if ever.D:
        return _discordant(data, agreement, moved)
    if not ever.R:
        names = listed(agreement.names)
        return Alert("inconclusive", f"? No case is reported by two of {names}",
                     ("Nothing can be said of their agreement.", moved))  # fmt: skip
    head = f"✓ No discordant case among {many(ever.R, 'case')} that two builds report"
    return Alert("pass", head, (_bound(agreement), moved))


def _against_the_version_before(data: ReportInput) -> Alert | None:
    """A first build that contradicts the version that it follows; None where it does not."""
    found = data.verdict.shown.get("predecessor", {})
    many_of = found.get("discordant", 0)
    if not many_of:
        return None
    named = listed([one["case"] for one in found["first"]], NAMED)
    head = f"✖ {many(many_of, 'discordant case')} of {found['ever']['R']:,} with the version before"
    return Alert("fail", head, (f"They are {named}; what each build calls stands further down.",))


def _discordant(data: ReportInput, agreement: Agreement, moved: str) -> Alert:
    ever = agreement.ever
    known = limits(data.frozen.classes, data.frozen.task, data.cutoffs)
    cases, _ = firmest(agreement, "discordant", known, NAMED)
    head = (
        f"✖ {many(ever.D, 'discordant case')} of {ever.R:,} "
        f"({many(ever.units_any, _unit(agreement))}): two builds report different results"
    )
    lines = (
        f"{agreement.series.D:,} of {many(agreement.series.R, 'case')} that all builds report "
        f"({percent(_share(agreement))}). {_bound(agreement)} {moved}",
    )
    return Alert(
        "fail", head, lines, tuple(_case(agreement, one) for one in cases), ever.D - len(cases)
    )


def _lost(agreement: Agreement) -> str:
    """Who lost the report that an earlier build gave, multi-label a call of it: the worst pair."""
    several = agreement.task == "multi"
    gone = {
        pair.reference: (pair.lost_yes if several else pair.lost).units
        for pair in agreement.candidate_pairs()
    }
    worst = max(gone, key=lambda name: gone[name], default=None)
    if worst is None or not gone[worst]:
        return ""
    people, what = many(gone[worst], _unit(agreement)), "a call" if several else "the report"
    return f" {people} lost {what} that {worst} gave."


def _unit(agreement: Agreement) -> str:
    return "patient" if agreement.unit == "patient" else "component"


def _share(agreement: Agreement) -> float | None:
    series = agreement.series
    return series.D / series.R if series.R else None


def _bound(agreement: Agreement) -> str:
    return f"With {plainly(1 - agreement.a)} confidence {at_most(agreement)}."


def _case(agreement: Agreement, one: Discordant) -> str:
    """One line a case; builds that say the same stand together."""
    by_call: dict[str, list[str]] = {}
    for build, call in one.calls.items():
        by_call.setdefault(call, []).append(short(build))
    said = "; ".join(f"{listed(builds)}: {short(call, _LONG)}" for call, builds in by_call.items())
    of = ""
    if agreement.task == "multi":
        of = f" on {listed((short(name) for name in one.classes), 3)}"
    return f"case {short(one.case, _LONG)} (patient {short(one.patient, _LONG)}){of}: {said}"


def brief_criteria(data: ReportInput) -> Table:
    """Every criterion with figure, limit and bound; what is not met stands first, with its why."""
    findings = sorted(data.verdict.findings, key=lambda finding: ORDER[finding.status])
    head = ("criterion", "result", "figure", "limit", "bound", "name in the policy")
    rows = [_criterion(finding, i < REASONS) for i, finding in enumerate(findings[:CRITERIA])]
    note = f"Where there is a bound, the bound decides, not the figure.{_more(findings[CRITERIA:])}"
    return table("Criteria of the policy", head, rows, (0, 1, 5), note)


def _more(rest: Sequence[Finding]) -> str:
    if not rest:
        return ""
    unmet = sum(finding.status != "pass" for finding in rest)
    of_them = f", {unmet:,} of them not passed" if unmet else ", all passed"
    return (
        f" {many(len(rest), 'more criterion', 'more criteria')}{of_them}: all stand under the "
        "gate's reasons in full."
    )


def _criterion(finding: Finding, why: bool) -> list[Cell | str]:
    sides = () if finding.limit is None else (finding.limit,)
    reason = finding.said if why and finding.status != "pass" else ""
    return [
        Cell(criterion_words(finding.criterion), reason),
        Cell(f"{SIGNS[finding.status]} {finding.status.upper()}", kind=finding.status),
        number(finding.figure, sides),
        number(finding.limit),
        number(finding.bound, sides),
        Cell(finding.criterion, kind="code"),
    ]


def changes_table(changes: Changes, most: int | None = None) -> Table:
    """What differs from the build before, by kind.

    Args:
        changes: against that build.
        most: lines of each kind that are printed, the rest is counted; None for the first page's.
    """
    shown = _brief(changes) if most is None else most
    rows = [
        [Cell(name), Cell("", lines=_lines(getattr(changes, key), shown), kind="diff")]
        for key, name in _KINDS
    ]
    return table(f"Changed since {changes.before}", ("what", "before → now"), rows, (0, 1))


def _lines(found: Sequence[str], most: int) -> tuple[str, ...]:
    lines = [line.replace(" -> ", " → ") for line in found[:most]]
    rest = len(found) - most
    if rest > 0:
        lines[-1] += f" … and {rest:,} more"
    return tuple(lines) or ("no change",)


def _sizes(changes: Changes) -> list[int]:
    return [len(getattr(changes, key)) for key, _ in _KINDS]


def _brief(changes: Changes) -> int:
    return BRIEF if sum(_sizes(changes)) <= MANY else BRIEF // 2


def overflow(changes: Changes) -> bool:
    """The first page cannot hold all lines."""
    return max(_sizes(changes)) > _brief(changes)


def signature_table(signatures: Sequence[Signature], whole: bool = False) -> Table | None:
    """Who signed what, the oldest first; None where nobody has signed.

    Args:
        signatures: records of this build's release.
        whole: all of them with digests in full; else the latest.
    """
    if not signatures:
        return None
    rows = [_signature(one, whole) for one in (signatures if whole else signatures[-RECORDS:])]
    head = ("signed by", "as", "what", "build", "when", "record")
    caption = "Signed records, with their digests" if whole else "Signatures"
    return table(caption, head, rows, range(6))


def _signature(one: Signature, whole: bool) -> list[Cell | str]:
    return [
        Cell(one.name),
        Cell(f"{one.meaning} ({one.role})" if one.role else one.meaning),
        Cell(one.kind, one.reason or ""),
        Cell(one.build),
        Cell(one.at or NOTHING),
        Cell(f"no. {one.number}", one.digest, kind="code")
        if whole
        else Cell(f"no. {one.number} {one.digest[:10]}…", kind="code"),
    ]
