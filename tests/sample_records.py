"""A small whole example of what records hold; tests change one field of it."""

from __future__ import annotations

from typing import Any

A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
AT = "2026-11-30T14:05:09+01:00"
NUMERICS = {"mode": "exact", "dtype": "float64", "threads": None, "slices": 1}
RECIPE = {
    "lr": 0.01, "l2": 0.001, "epochs": 12, "init": "uniform", "seed": 0, "order": "seeded",
    "positive_weights": "none", "optimiser": "adamax", "schedule": "constant", "cycles": 1,
    "warm_up": 0, "minibatch": 8, "stop": "fixed", "numerics": NUMERICS,
}  # fmt: skip
TAU = {"positive": "x", "mode": "one", "precision": 1.0, "alpha": 0.05, "refuse_below": 0.8,
       "target": 0.9}  # fmt: skip
POLICY = {
    "p": 0.95, "alpha": 0.05, "delta": 0.1, "unit": "patient", "max_discordant": None,
    "max_gained": None, "reportable_floor": 0.5, "critical": [],
    "margins": {"sensitivity": None, "specificity": None}, "holdout_precision": 1.0,
    "holdout_recall": 0.5, "min_cases_per_class": 1, "small_classes": "inconclusive",
    "min_macro_auc": None, "actions": None, "max_action_discordant": None,
    "arithmetic_fault": "fail", "rehearsals": 0, "signatures": ["reviewer", "approver"],
}  # fmt: skip
TERMS = {
    "task": "single",
    "classes": ["x", "y"],
    "split": {"holdout": 0.25, "folds": None, "seed": 0},
    "preprocess": {"convention": "none", "epsilon": 0.001, "features": None, "filters": []},
    "model": {"kind": "mlp", "hidden": [8, 4], "softshrink": 0.5},
    "recipe": RECIPE,
    "search": {"run": False, "points": 8, "epochs": 64},
    "tau": TAU,
    "frozen": {"fraction": 0.4, "folds": None},
}
RUN = {"run": "r", "commit": "", "clean": None, "built": AT, "policy": A, "by": "bob",
       "code": A}  # fmt: skip


def content(classifier: str = "c", version: str = "1", weights: str = A) -> dict[str, Any]:
    """The content of a build's record."""
    return {
        "classifier": classifier,
        "version": version,
        "task": "single",
        "classes": ["x", "y"],
        "origin": "real",
        "terms": TERMS,
        "environment": {"machine": {"cpu": "one"}},
        "framework": {"arithmetic": "lifecycle/arithmetic/1"},
        "inputs": {
            "sources": A,
            "cohort": B,
            "parts": C,
            "features": D,
            "pin": {"number": 1, "total": A},
        },
        "recipe": RECIPE,
        "training": {"epoch": 12, "loss": 0.5, "holdout_loss": 0.5, "holdout_error": 0.25},
        "weights": {"md5": "e" * 32, "sha256": weights, "file": B},
        "predictions": {"frozen": C, "holdout": D},
    }
