"""Other bits in an exact rehearsal are a finding, whether rehearsals are asked for or not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lifecycle.domain.classifier import Policy
from lifecycle.domain.predictions import Cutoffs
from lifecycle.gate.criteria import rehearsals
from lifecycle.gate.evidence import Evidence

BASE = Evidence(
    build=1, basis="first build", attempt=0, agreement=None,
    cutoffs=Cutoffs((0.5,), None, "proposed", {}), holdout=None, frozen=None,
    validation_passed=True, pin_intact=True, policy_newer=False,
    same_fingerprint_other_weights=False, numerics_mode="exact", rehearsals=2, origin="real",
    task="single",
)  # fmt: skip


def _found(policy: Policy, **change: Any) -> dict[str, str]:
    evidence = replace(BASE, **change)
    return {finding.criterion: finding.status for finding in rehearsals(policy, evidence)}


def test_without_a_rehearsal_there_is_no_finding() -> None:
    assert _found(Policy()) == {}


@pytest.mark.parametrize("fault", ["fail", "inconclusive"])
def test_other_bits_are_what_the_policy_says_of_arithmetic(fault: Any) -> None:
    policy = Policy(arithmetic_fault=fault)
    assert _found(policy, rehearsed_other_bits=("sse-1 (CPU)",)) == {"rehearsals.bits": fault}


def test_enough_that_agree_do_not_outweigh_one_with_other_bits() -> None:
    policy = Policy(rehearsals=2)
    assert _found(policy) == {"rehearsals": "pass"}
    found = _found(policy, rehearsed_other_bits=("sse-1 (CPU)",))
    assert found == {"rehearsals": "pass", "rehearsals.bits": "fail"}
    (_, bits) = rehearsals(policy, replace(BASE, rehearsed_other_bits=("sse-1 (CPU)",)))
    assert "sse-1 (CPU)" in bits.said
