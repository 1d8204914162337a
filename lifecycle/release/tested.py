"""A verdict as the fields of a record: in-toto's test result."""

from __future__ import annotations

from typing import Any

from lifecycle.domain.verdict import Status, Verdict


def tested_fields(verdict: Verdict, refused: bool) -> dict[str, Any]:
    """What a record says of a verdict; each criterion once, under the worst of its findings."""
    worst: dict[str, Status] = {}
    order = ("pass", "inconclusive", "fail")
    for one in verdict.findings:
        now = worst.get(one.criterion, "pass")
        worst[one.criterion] = max(now, one.status, key=order.index)
    lists = {s: tuple(k for k, v in worst.items() if v == s) for s in order}
    result = "PASSED" if verdict.status == "pass" else "WARNED"
    return {
        "verdict": verdict.status,
        "policy": verdict.policy,
        "result": "FAILED" if refused or verdict.status == "fail" else result,
        "passed": lists["pass"],
        "warned": lists["inconclusive"],
        "failed": lists["fail"],
    }
