"""Criteria that look beyond a version: the one that it follows, and the networks that came before.

Consistency is owed across versions too, so a new version is held against the releases of the one
that it follows, through its class map. And a frozen set tells less with each network that was
judged on it, under whatever version or name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lifecycle.consistency.agree import Agreement
from lifecycle.domain.classifier import Policy
from lifecycle.domain.verdict import Finding, Status
from lifecycle.gate.criteria import (
    Findings,
    discordant_count,
    judge_consistency,
    judge_kept,
    percent,
    reportable,
    some,
)
from lifecycle.gate.criteria import critical as critical_classes
from lifecycle.gate.evidence import Evidence, Followed
from lifecycle.records.format import plain
from lifecycle.stats.intervals import allowed, attempt_level
from lifecycle.stats.limits import exceeds

NAME = "predecessor"
_SHOWN = 50  # discordant cases of the comparison that `shown` names


def predecessor(policy: Policy, evidence: Evidence) -> Findings:
    """The build does not contradict the releases of the version that it follows.

    Where the classifier never had a release of an earlier version, and the policy names none, there
    is nothing to follow, and no finding.
    """
    found = evidence.followed
    if found is None:
        said = "No evidence of earlier versions was given."
        return (Finding(NAME, "inconclusive", None, None, None, said),)
    if found.earlier is None and policy.predecessor is None:
        return ()
    named = _named(policy, found)
    if found.agreement is None:
        return (named, *(_nothing(found) if found.builds else ()))
    return (named, *_classes(found), _coverage(policy, found), _frozen(found),
            *_compared(policy, evidence, found.agreement, found.attempt))  # fmt: skip


def _named(policy: Policy, found: Followed) -> Finding:
    """The policy names the last released version, and there is a release of it to agree with."""
    plan, last = policy.predecessor, found.earlier
    status: Status = "inconclusive"
    if plan is None:
        said = (
            f"Version {last} was released before, and `policy.predecessor` names no version: the "
            "build was compared with nothing that patients have results of. Name it, or let a "
            "second person accept it."
        )
    elif plan.version != last:
        said = (
            f"`policy.predecessor` names version {plan.version}, and the last version that was "
            f"released before this one is {last or 'none'}: name that one, or let a second person "
            "accept it."
        )
    elif not found.builds:
        said = (
            f"Every release of version {plan.version} was withdrawn: there is nothing left to "
            "agree with, though patients have its results. A second person has to accept it."
        )
    else:
        status, said = "pass", f"The build follows version {last}, released as {_builds(found)}."
    return Finding(NAME, status, None, None, None, said)


def _builds(found: Followed) -> str:
    return ", ".join(f"b{number}" for number in found.builds)


def _nothing(found: Followed) -> Findings:
    said = (
        f"Nothing can be compared: {found.why or 'no figures were given'}. A second person has to "
        "accept that consistency with the version before was not shown."
    )
    return (Finding(f"{NAME}.frozen", "inconclusive", 0.0, None, None, said),)


def _classes(found: Followed) -> Findings:
    """A class that both versions have by one name and that does not go by it was taken away."""
    if not found.astray:
        return ()
    said = (
        f"The class map leaves out, or calls otherwise, what both versions name alike: "
        f"{some(found.astray)}. A second person has to accept that they are not the same class."
    )
    return (Finding(f"{NAME}.classes", "inconclusive", float(len(found.astray)), 0.0, None, said),)


def _coverage(policy: Policy, found: Followed) -> Finding:
    """What cannot be compared is no more than what may be lost."""
    limit = allowed(policy.delta)
    without = "; ".join(
        f"{name} of {build}: {count} cases"
        for build, classes in found.unmatched.items()
        for name, count in classes.items()
    )
    tail = f" Without a counterpart: {without}." if without else ""
    if found.called == 0:
        said = f"The builds of the version before report nothing on the common cases.{tail}"
        return Finding(f"{NAME}.coverage", "inconclusive", None, limit, None, said)
    share = found.compared / found.called
    less = exceeds(found.called - found.compared, found.called, policy.delta)
    status: Status = "inconclusive" if less else "pass"
    said = (
        f"{found.compared} of {found.called} calls of the version before are of cases that can be "
        f"compared ({percent(share)}); at least {percent(limit)} are due.{tail}"
    )
    return Finding(f"{NAME}.coverage", status, share, limit, None, said)


def _frozen(found: Followed) -> Finding:
    """No case that the version before was judged on was taken away or changed."""
    gone = (*found.only_then, *found.changed)
    said = (
        f"{found.common} frozen cases are the same in both versions; {len(found.only_now)} are new"
        f" and were never scored by the version before."
    )
    status: Status = "pass"
    if gone:
        status = "inconclusive"
        said += (
            f" {len(found.only_then)} of its cases are gone and {len(found.changed)} are not as "
            f"they were ({some(gone)}): a second person has to accept it."
        )
    return Finding(f"{NAME}.frozen", status, float(len(gone)), 0.0, None, said)


def _compared(policy: Policy, evidence: Evidence, agreement: Agreement, attempt: int) -> Findings:
    """The tests that a rebuild has to pass, against the version before and at this attempt."""
    shared = [name for name in policy.critical if name in agreement.classes]
    own = replace(policy, critical=tuple(shared))
    seen = replace(
        evidence, agreement=agreement, basis="statistical", attempt=max(1, attempt), followed=None
    )
    a = attempt_level(policy.alpha, max(1, attempt))
    found = [
        *judge_consistency(own, agreement, a),
        *critical_classes(own, seen, exact=True),
        *judge_kept(own, agreement, a),
        *reportable(own, seen),
        *discordant_count(own, seen),
    ]
    return tuple(replace(one, criterion=f"{NAME}.{_short(one.criterion)}") for one in found)


def _short(criterion: str) -> str:
    return criterion.removeprefix("consistency.").removeprefix("reportable.")


def exposure(policy: Policy, evidence: Evidence) -> Findings:
    """How many networks the frozen cases have judged, under whatever version or name."""
    found = evidence.exposure
    limit = None if policy.exposure is None else float(policy.exposure)
    if found.networks < 1:
        said = "How many networks were judged on these frozen cases was not counted."
        return (Finding("exposure", "inconclusive", None, limit, None, said),)
    where = ", ".join(f"{name} {version} ({count})" for name, version, count in found.of)
    were = "network was" if found.networks == 1 else "networks were"
    said = f"{found.networks} {were} judged on these frozen cases so far: {where}."
    status: Status = "pass"
    if policy.exposure is not None and found.networks > policy.exposure:
        status = "inconclusive"
        said += (
            f" The policy allows {policy.exposure}: use cases that no network was judged on, or "
            "let a second person accept it."
        )
    return (Finding("exposure", status, float(found.networks), limit, None, said),)


@dataclass(frozen=True, slots=True)
class _Case:
    """A discordant case as `shown` names it."""

    case: str
    calls: Mapping[str, str]


def shown_of(evidence: Evidence) -> dict[str, Any]:
    """What stands beside the verdict of these criteria; empty where there is nothing."""
    found: dict[str, Any] = {}
    if evidence.exposure.networks:
        found["exposure"] = plain(evidence.exposure)
    followed = evidence.followed
    if followed is None or (followed.earlier is None and not followed.version):
        return found
    shown = {
        key: plain(getattr(followed, key))
        for key in ("version", "earlier", "builds", "attempt", "common", "unmatched", "astray",
                    "called", "compared", "why")
    }  # fmt: skip
    for key in ("only_then", "changed", "only_now"):
        names = getattr(followed, key)
        shown[key] = {"cases": len(names), "first": list(names[:_SHOWN])}
    if followed.agreement is not None:
        shown |= _figures(followed.agreement)
    return {**found, NAME: shown}


def _figures(agreement: Agreement) -> dict[str, Any]:
    discordant = agreement.discordant
    return {
        "names": list(agreement.names),
        "series": plain(agreement.series),
        "ever": plain(agreement.ever),
        "pairs": [
            {
                "reference": pair.reference,
                "figures": plain(pair.figures),
                "lost": plain(pair.lost),
                "gained": plain(pair.gained),
                "directions": plain(pair.directions),
            }
            for pair in agreement.candidate_pairs()
        ],
        "discordant": len(discordant),
        "first": [plain(_Case(one.case, one.calls)) for one in discordant[:_SHOWN]],
    }
