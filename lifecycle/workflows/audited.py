"""What a person reads of a proposal, a chain and an audit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.dossier.layout import Layout
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.release.case import Judged
from lifecycle.release.chain import Link
from lifecycle.release.roster import read_rosters
from lifecycle.release.standing import Partial, Release, Standing
from lifecycle.workflows.auditing import (
    Audit,
    classifiers_of,
    history,
    verify,
    where_it_stands,
)
from lifecycle.workflows.auditing_beside import BUNDLE_FILE
from lifecycle.workflows.boundary import say

if TYPE_CHECKING:
    from lifecycle.workflows.signing import Proposal

SIMULATED = "DEMONSTRATION on a SIMULATED cohort: never for patients"
MOST_CASES = 20  # discordant cases that are named in the terminal; the report has all


def described(proposal: Proposal) -> str:
    """Everything that the signer is about to sign."""
    head = (
        f"{proposal.kind} ({proposal.meaning}) of {proposal.project.name} "
        f"{proposal.version} b{proposal.build}, built by {proposal.built_by}"
    )
    lines = [head, *([SIMULATED] if proposal.demonstration else [])]
    if proposal.judged is not None:
        lines += _verdict_lines(proposal.judged)
    if proposal.target is not None:
        lines.append(f"speaks of {proposal.target.path.name}")
    lines += [f"held against it: {text}" for text in proposal.findings]
    lines += [f"REFUSED BEFORE by {text}" for text in proposal.refused]
    lines += [f"reason: {proposal.reason}"] if proposal.reason else []
    lines.append(f"{len(proposal.subjects)} files are bound by their SHA-256")
    return "\n".join(lines)


def _verdict_lines(judged: Judged) -> list[str]:
    verdict, case = judged.verdict, judged.case
    faced = ", ".join(f"b{n}" for n in case.references) or "nothing: the version's first build"
    lines = [
        f"verdict: {verdict.status.upper()} (basis: {verdict.basis}), compared with {faced}",
        *(f"  {one.status:<12} {one.criterion:<28} {one.said}" for one in verdict.findings),
    ]
    discordant = list(verdict.shown.get("discordant", ()))
    if discordant:
        lines.append(f"discordant cases ({len(discordant)}): {_first(discordant, len(discordant))}")
    return lines + _before_lines(judged)


def _first(names: Sequence[object], count: int) -> str:
    """The first of some cases, and how many more there are."""
    more = f" and {count - MOST_CASES} more" if count > MOST_CASES else ""
    return f"{', '.join(map(str, names[:MOST_CASES]))}{more}"


def _before_lines(judged: Judged) -> list[str]:
    """Whom of the version before the build was compared with, and where they contradict it."""
    plan, followed = judged.case.policy.predecessor, judged.case.followed
    if followed is None or (followed.earlier is None and plan is None):
        return []
    if plan is None or not followed.builds:
        return [f"of version {followed.earlier}, released before, it was compared with NOTHING"]
    named = ", ".join(f"b{number}" for number in followed.builds)
    lines = [f"of version {plan.version} it was compared with {named}"]
    shown = judged.verdict.shown.get("predecessor", {})
    if "discordant" not in shown:
        return [f"of version {plan.version} nothing could be compared: {shown.get('why', '')}"]
    if shown["discordant"]:
        cases = _first([one["case"] for one in shown["first"]], shown["discordant"])
        lines.append(f"discordant cases with it ({shown['discordant']}): {cases}")
    return lines


def show_history(root: Path, name: str, as_json: bool) -> str:
    """Every record, and where each version stands."""
    rows = list(history(root, name))
    if as_json:
        return json.dumps(rows, indent=2)
    if not rows:
        return f"{name}: nothing was signed yet"
    head = ("no.", "kind", "version", "build", "verdict", "meaning", "signer", "signed")
    keys = ("number", "kind", "version", "build", "verdict", "meaning", "signer", "signed")
    table = [head, *(tuple(str(row[key]) for key in keys) for row in rows)]
    widths = [max(len(line[j]) for line in table) for j in range(len(head))]
    lines = []
    for line, row in zip(table, [None, *rows], strict=True):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        lines.append(text.rstrip())
        lines += _remarks(row) if row else []
    return "\n".join([*lines, *_standing_lines(where_it_stands(root, name))])


def _standing_lines(standings: Iterable[Standing]) -> list[str]:
    return [f"  {one.version}: {line}" for one in standings for line in standing_said(one)]


def _remarks(row: dict[str, Any]) -> list[str]:
    lines = [f"     {SIMULATED}"] if row["demonstration"] else []
    return lines + ([f"     reason: {row['reason']}"] if row["reason"] else [])


@dataclass(frozen=True, slots=True)
class Audited:
    """What verifying one or more classifiers came to.

    Attributes:
        text: for people or, as JSON, for programs.
        faults: what does not match, a sentence each.
        code: 0, or the exit code of the first fault.
    """

    text: str
    faults: tuple[str, ...]
    code: int


def show_audit(
    root: Path, name: str | None, trust: str | None, head: str | None, weights: bool, as_json: bool
) -> Audited:
    """Verify one classifier, or all that have a chain: a fault of one does not hide the others.

    Raises:
        UsageError: there is no classifier of that name.
        UnusableInputError: no classifier has a chain.
    """
    names = _with_a_chain(root) if name is None else [name]
    audits, faults = {}, {}
    for one in names:
        try:
            audits[one] = verify(root, one, trust=trust, head=head, weights=weights, progress=say)
        except (IntegrityError, UnusableInputError) as error:
            faults[one] = error
    code = next((int(error.exit_code) for error in faults.values()), 0)
    if as_json:
        entries = [_plain(audit) for audit in audits.values()]
        entries += [{"classifier": one, "fault": str(error)} for one, error in faults.items()]
        text = json.dumps(entries, indent=2)
    else:
        text = "\n".join(line for audit in audits.values() for line in _audit_lines(audit))
    return Audited(text, tuple(map(str, faults.values())), code)


def _with_a_chain(root: Path) -> list[str]:
    """Classifiers with a chain: those that are here, and those that the newest roster knows.

    A bundle holds one of them.
    """
    names = set(classifiers_of(root))
    if not (root / BUNDLE_FILE).exists():
        rosters = read_rosters(Layout(root, "").signers)
        names |= set((rosters[-1].chains if rosters else None) or ())
    if not names:
        raise UnusableInputError(f"no classifier in {root / 'dossier'} has a chain of records")
    return sorted(names)


def _plain(audit: Audit) -> dict[str, Any]:
    return {
        "classifier": audit.classifier,
        "head": audit.head,
        "records": audit.records,
        "files": audit.files,
        "verdicts": audit.verdicts,
        "weights_checked": audit.weights_checked,
        "fingerprint": audit.fingerprint,
        "versions": {one.version: standing_said(one) for one in audit.standings},
    }


def _audit_lines(audit: Audit) -> list[str]:
    if not audit.records:
        return [f"{audit.classifier}: nothing was signed yet"]
    weights = "" if audit.weights_checked else "; weights that are not here were left out"
    return [
        f"{audit.classifier}: {audit.records} records hold, {audit.files} files, "
        f"{audit.verdicts} verdicts computed anew{weights}",
        *_standing_lines(audit.standings),
        f"  head {audit.head}",
        f"  roster fingerprint {audit.fingerprint}",
    ]


def standing_said(one: Standing) -> list[str]:
    """Where a version stands, a sentence each."""
    lines = [_refusal_said(link, one) for link in one.refusals]
    lines += [_release_said(release) for release in one.releases]
    return lines + [_part_said(part, one) for part in one.partial]


def _refusal_said(link: Link, one: Standing) -> str:
    """A refusal, and whether a release of the same build came after it."""
    record = link.record
    later = any(r.subject.build == record.build and r.number > record.number for r in one.releases)
    after = ", before its release" if later else ""
    return f"b{record.build} was refused at {record.signature.signed_at}{after}"


def _part_said(part: Partial, one: Standing) -> str:
    """Signatures that do not make a release: of a build that has none, or that was judged anew."""
    number, missing = part.subject.build, " and ".join(part.missing)
    stands = any(r.subject.build == number and r.withdrawn is None for r in one.releases)
    if stands:
        return f"b{number} was judged anew since, and that is signed in part: missing {missing}"
    return f"b{number} is signed in part, not released: missing {missing}"


def _release_said(release: Release) -> str:
    mark = " (DEMONSTRATION, SIMULATED cohort)" if release.subject.demonstration else ""
    if release.withdrawn is not None:
        signed = release.withdrawn.record.signature
        return f"b{release.subject.build} was withdrawn at {signed.signed_at}{mark}"
    warned = ", WARNED: inconclusive and overridden" if release.subject.verdict != "pass" else ""
    return f"b{release.subject.build} is released since {release.at}{warned}{mark}"
