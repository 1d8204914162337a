"""What the gate returns: findings and their worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
        said: one sentence for a person.
    """

    criterion: str
    status: Status
    figure: float | None
    limit: float | None
    bound: float | None
    said: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worst of the findings, with what they rest on.

    Attributes:
        status: worst status of the findings; no finding at all is inconclusive.
        basis: `first build`, `identity`, `statistical` or `unreleased reference`.
        build: number of the judged build.
        findings: every criterion, in order.
        policy: SHA-256 of the policy that was applied.
        shown: figures that are shown and do not decide.
    """

    status: Status
    basis: str
    build: int
    findings: tuple[Finding, ...]
    policy: str
    shown: Mapping[str, Any]


def worst(statuses: tuple[Status, ...]) -> Status:
    """The worst of some statuses; `inconclusive` for none, because nothing was shown."""
    if not statuses:
        return "inconclusive"
    return max(statuses, key=lambda status: _ORDER[status])
