"""Multi-label rebuilds: twelve classes, scores near their cutoffs, noise on the logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lifecycle.consistency.agree import Series, agree
from lifecycle.domain.classifier import Policy
from lifecycle.domain.predictions import Calls, Cutoffs
from lifecycle.domain.verdict import Verdict
from lifecycle.gate.evidence import (
    NOTHING_EARLIER,
    Evidence,
    Exposure,
    HoldoutFigures,
    frozen_figures,
)
from lifecycle.gate.judge import judge
from lifecycle.gate.rules import NOW
from lifecycle.stats.intervals import attempt_level

Array = NDArray[np.float64]
States = NDArray[np.int8]
# Share of patients with each class: one common, two frequent, nine rare, as of rhythms.
SHARES = (0.60, 0.14, 0.10, *([0.03] * 9))
# Logits where the class is present and absent (mean, SD), and the cutoffs: 70% of those present
# are called, 80% of those absent ruled out, and what lies between is left open.
PRESENT, ABSENT = (2.5, 1.2), (-4.0, 1.5)
YES, NO = 1.87, -2.74


def logits(n: int, rng: np.random.Generator) -> Array:
    """(n, 12) logits of the earlier build."""
    truth = rng.random((n, len(SHARES))) < np.array(SHARES)
    drawn = rng.standard_normal((n, len(SHARES)))
    return np.where(truth, PRESENT[0] + PRESENT[1] * drawn, ABSENT[0] + ABSENT[1] * drawn)


def states(values: Array) -> States:
    """Yes 1, no -1, open 0."""
    return np.where(values >= YES, 1, np.where(values <= NO, -1, 0)).astype(np.int8)


def noisy(values: Array, sd: float, rng: np.random.Generator) -> States:
    """The same network with noise on its logits."""
    return states(values + sd * rng.standard_normal(values.shape))


def contradicted(now: States, share: float, rng: np.random.Generator) -> States:
    """In this share of cases, the strongest statement turned into its contrary."""
    found = now.copy()
    hit = np.flatnonzero(rng.random(len(now)) < share)
    column = np.abs(now[hit]).argmax(axis=1)
    found[hit, column] = -found[hit, column]
    return found


def opened(now: States, side: int, share: float, rng: np.random.Generator) -> States:
    """Yes (1): this share of patients loses all calls. No (-1): of exclusions, patient by patient.

    Patients of either kind are drawn, not their number, so that the share is true of the clinic.
    """
    hit = rng.random(len(now)) < share
    return np.where((now == side) & hit[:, None], 0, now).astype(np.int8)


def calls_of(state: States) -> Calls:
    """One case a patient."""
    ids = tuple(f"c{i}" for i in range(len(state)))
    classes = tuple(f"R{k}" for k in range(state.shape[1]))
    top = state.argmax(axis=1).astype(np.intp)
    return Calls(ids, ids, ("",) * len(ids), classes, state, top, 0, "multi")


def verdicts(
    before: Calls, now: Calls, attempt: int, policy: Policy, *rules: str
) -> tuple[Verdict, ...]:
    """The product's own path from calls to a verdict, by each of the rules (today's where none)."""
    agreement = agree(Series(("b1", "b2"), (before, now)), attempt_level(policy.alpha, attempt))
    single = before.task == "single"
    k = len(before.classes)
    evidence = Evidence(
        build=2,
        basis="statistical",
        attempt=attempt,
        agreement=agreement,
        cutoffs=Cutoffs((0.5,) * k, None if single else (0.4,) * k, "proposed", {}),
        holdout=HoldoutFigures(1.0, 1.0, 60, 60, 0.0, 1.0),
        frozen=frozen_figures(now, None, {"b1": before}),
        validation_passed=True,
        pin_intact=True,
        policy_newer=False,
        same_fingerprint_other_weights=False,
        numerics_mode="deterministic",
        rehearsals=0,
        origin="simulated",
        task=before.task,
        followed=NOTHING_EARLIER,
        exposure=Exposure(1, (("simulated", "1", 1),)),
    )
    return tuple(judge(policy, evidence, one) for one in rules or (NOW,))
