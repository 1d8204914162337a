"""Small hand-made inputs of the report, for its unit tests and for the browser's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lifecycle.consistency.agree import Series, agree
from lifecycle.consistency.calls import call
from lifecycle.consistency.tau import choose, curve
from lifecycle.domain.classifier import (
    Classifier,
    CohortSource,
    FrozenPlan,
    Policy,
    PreprocessPlan,
    Recipe,
    SearchPlan,
    SplitPlan,
    TauPlan,
)
from lifecycle.domain.cohort import Pin
from lifecycle.domain.networks import ModelPlan
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.domain.verdict import Finding, Verdict, worst
from lifecycle.report.page import ReportInput, Validation
from lifecycle.report.source import Changes

CLASSES = ("RTK I", "RTK II", "mesenchymal")


def predictions(
    n: int,
    seed: int,
    classes: Sequence[str] = CLASSES,
    noise: float = 0.3,
    labelled: bool = True,
    task: Any = "single",
    prefix: str = "case",
) -> Predictions:
    """Scores that mostly agree with the labels; two cases a patient, the same truth per prefix."""
    C = len(classes)
    truth = np.random.default_rng(len(prefix)).integers(C, size=n)
    rng = np.random.default_rng(seed)
    logits = 4.0 * np.eye(C)[truth] + np.random.default_rng(1).normal(size=(n, C)) * 1.3
    logits = logits + noise * rng.normal(size=(n, C))
    scores = np.exp(logits)
    scores /= scores.sum(axis=1, keepdims=True)
    if task == "multi":
        scores = 1 / (1 + np.exp(2 - logits))
    labels = tuple(classes[i] for i in truth)
    return Predictions(
        ids=tuple(f"{prefix}-{i:03d}" for i in range(n)),
        patients=tuple(f"patient-{i // 2:03d}" for i in range(n)),
        groups=("",) * n,
        labels=labels if labelled else None,
        classes=tuple(classes),
        scores=scores,
        task=task,
        subgroups={"sex": tuple("fm"[i % 2] for i in range(n))},
    )


def classifier(classes: Sequence[str] = CLASSES, **changes: Any) -> Classifier:
    plain = Classifier(
        version="1.0.0",
        title="Methylation classes of glioblastoma",
        classes=tuple(classes),
        cohort=CohortSource(source="simulated", path="simulator.yaml"),
        frozen=FrozenPlan(fraction=0.25),
        task="single",
        split=SplitPlan(),
        preprocess=PreprocessPlan(),
        model=ModelPlan(),
        recipe=Recipe(lr=1e-3, l2=1e-2, epochs=20),
        search=SearchPlan(),
        tau=TauPlan(positive=classes[0]),
        policy=Policy(actions={classes[0]: "de-escalate"}),
    )
    return replace(plain, **changes)


FINDINGS = (
    Finding("data.validation", "pass", None, None, None, "The data meet their expectations."),
    Finding("consistency.series", "fail", 0.0491, 0.05, 0.0684,
            "14 of 285 reportable cases are discordant; at most 5% of patients may be."),
    Finding("conversions.lost", "inconclusive", 0.05, 0.1, 0.12, "Too few patients to show it."),
)  # fmt: skip

CONTENT: dict[str, Any] = {
    "classifier": "gbm-methylation",
    "origin": "real",
    "environment": {
        "machine": {"cpu": "Example CPU @ 2.4 GHz", "cores": "8", "gpu": ""},
        "libraries": {"torch": "2.13.0", "numpy": "2.4.0"},
        "variables": {"OMP_NUM_THREADS": "1"},
    },
    "framework": {"blas": "openblas"},
    "inputs": {"cohort": "ab" * 32, "pin": {"number": 1, "total": "cd" * 32}},
    "recipe": {"lr": 0.001, "l2": 0.01, "epochs": 18, "numerics": {"mode": "deterministic"}},
    "training": {"epoch": 18, "loss": 0.01},
    "weights": {"md5": "0" * 32, "sha256": "1" * 64, "file": "2" * 64},
    "predictions": {"frozen": "3" * 64, "holdout": "4" * 64},
}
RUN = {"run": "5f3a", "commit": "0123abc", "clean": True, "built": "2026-11-20T10:00:00+01:00",
       "policy": "b" * 64}  # fmt: skip


def verdict(findings: tuple[Finding, ...] = FINDINGS, basis: str = "statistical") -> Verdict:
    status = worst(tuple(finding.status for finding in findings))
    return Verdict(
        status, basis, 2, findings, "a" * 64, "gate/1", (), {"power": {"needed": 59, "auc": 0.99}}
    )


def rebuild(
    n: int = 120,
    classes: Sequence[str] = CLASSES,
    builds: int = 2,
    task: Any = "single",
    labelled: bool = True,
    cutoffs: Cutoffs | None = None,
    name: str = "gbm-methylation",
    noise: float = 0.3,
) -> ReportInput:
    """A last build and the ones before it on the same frozen cases."""
    holdout = predictions(100, 9, classes, task=task, prefix="held")
    mode: Any = {"mode": "per-class", "positive": None} if task == "multi" else {}
    plan = replace(TauPlan(positive=classes[0], refuse_below=0.5, precision=0.95), **mode)
    taken = cutoffs or choose(holdout, plan)
    members = {
        f"b{i + 1}": predictions(n, i, classes, noise, labelled, task) for i in range(builds)
    }
    calls = tuple(call(one, taken) for one in members.values())
    last = members[f"b{builds}"]
    agreement = builds > 1 and agree(
        Series(tuple(members), calls),
        0.025,
        subgroups=last.subgroups,
        scores=[one.scores for one in members.values()],
        actions={classes[0]: "de-escalate"},
    )
    return ReportInput(
        name=name,
        classifier=classifier(classes, task=task, tau=plan),
        verdict=verdict(),
        agreement=agreement or None,
        cutoffs=taken,
        holdout=holdout,
        frozen=last,
        frozen_before={key: one for key, one in members.items() if one is not last},
        holdout_curve=curve(holdout, classes[0]),
        epochs=[
            {"epoch": e, "training_loss": 1 / e, "holdout_loss": 1 / e + 0.1,
             "holdout_error": 0.3 / e}
            for e in range(1, 21)
        ],
        number=builds,
        content=CONTENT,
        run=RUN,
        pin=Pin("1.0.0", 1, dict.fromkeys(last.ids, "e" * 64), "cd" * 32, "", "real"),
        validation=Validation(True, 41, (), ("feature x7 is constant",)),
        changes=Changes(
            f"b{builds - 1}",
            ["commit 0123abc: Learning rate halved", "lifecycle/models/mlp.py"],
            ["recipe.lr: 0.002 -> 0.001"],
            ["cohort: abab -> cdcd"],
            ["libraries.torch: 2.12.0 -> 2.13.0"],
        ),
        attempts=1,
    )  # fmt: skip


def first_build(**more: Any) -> ReportInput:
    """The first build of a version: nothing to compare with."""
    alone = rebuild(**more)
    return replace(alone, agreement=None, frozen_before={}, number=1, attempts=0,
                   changes=None,
                   verdict=replace(verdict(FINDINGS[:1], "first build"), build=1))  # fmt: skip
