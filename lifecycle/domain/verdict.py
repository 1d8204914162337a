"""What the gate returns: findings and their worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["pass", "fail", "inconclusive"]
_ORDER: dict[Status, int] = {"pass": 0, "inconclusive": 1, "fail": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One criterion, judged.

    Attributes:
        criterion: short stable name, for example `consistency.series`.
        status: pass, fail or inconclusive.
        figure: what was measured, None where nothing could be.
        limit: what the policy allows.
        bound: the confidence bound that decides, where the criterion is a test.
        said: one sentence for a person, made when it is shown and never kept: it decides nothing.
    """

    criterion: str
    status: Status
    figure: float | None
    limit: float | None
    bound: float | None
    said: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst of the findings, with what they rest on.

    Attributes:
        status: worst status of the findings; no finding at all is inconclusive.
        basis: `first build`, `identity`, `statistical` or `unreleased reference`.
        build: number of the judged build.
        findings: every criterion, in order.
        policy: SHA-256 of the policy that was applied.
        rules: the numbered rules that it was made by, `gate/1`.
        criteria: names of the criteria that were applied, also those without a finding.
        shown: figures that are shown, do not decide and are not kept.
    """

    status: Status
    basis: str
    build: int
    findings: tuple[Finding, ...]
    policy: str
    rules: str
    criteria: tuple[str, ...]
    shown: Mapping[str, Any] = field(default_factory=dict, compare=False)


def worst(statuses: tuple[Status, ...]) -> Status:
    """The worst of some statuses; `inconclusive` for none, because nothing was shown."""
    if not statuses:
        return "inconclusive"
    return max(statuses, key=lambda status: _ORDER[status])
