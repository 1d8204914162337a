"""What a report is made of: values that the workflows hand over, nothing read from disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle.consistency.agree import Agreement
from lifecycle.domain.classifier import Classifier
from lifecycle.domain.cohort import Pin
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.domain.verdict import Verdict

CurvePoint = tuple[float, float, float, int, int]


@dataclass(frozen=True, slots=True)
class Validation:
    """How the data met their expectations.

    Attributes:
        passed: all of them are met.
        checked: how many were looked at.
        failures, warnings: one sentence each.
    """

    passed: bool
    checked: int
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ReportInput:
    """Everything that the report of one build shows.

    Attributes:
        name: of the classifier.
        classifier: its section of params.yaml.
        verdict: the gate's.
        agreement: with the builds before it, None for the first build of a version.
        cutoffs: tau in force.
        holdout: the candidate's scores on the holdout.
        frozen: the candidate's scores on the frozen clinical test set.
        frozen_before: build name -> its scores on the same cases, oldest first.
        holdout_curve: (score, precision, recall, tp, fp) as `consistency.tau.curve` gives them;
            empty where there is none.
        epochs: mappings with `epoch`, `training_loss`, `holdout_loss`, `holdout_error`.
        number: of the build (2 for b2).
        content: the build's record.
        run: volatile facts of the build: MLflow run id, commit, time.
        pin: of the frozen clinical test set.
        validation: of the data.
        environment_changes: `group.key: old -> new` against the build before.
        attempts: counted attempts towards this release; 0 for the version's first network.
        rehearsals: runs of `lifecycle rehearse` that speak of this build, oldest first.
    """

    name: str
    classifier: Classifier
    verdict: Verdict
    agreement: Agreement | None
    cutoffs: Cutoffs
    holdout: Predictions
    frozen: Predictions
    frozen_before: Mapping[str, Predictions]
    holdout_curve: Sequence[CurvePoint]
    epochs: Sequence[Mapping[str, float]]
    number: int
    content: Mapping[str, Any]
    run: Mapping[str, Any]
    pin: Pin
    validation: Validation
    environment_changes: Sequence[str]
    attempts: int
    rehearsals: Sequence[Mapping[str, Any]] = ()

    @property
    def build(self) -> str:
        """The build's name, `b2`."""
        return f"b{self.number}"

    @property
    def simulated(self) -> bool:
        """Any part of the evidence comes from simulated cases."""
        return "simulated" in (self.content.get("origin"), self.pin.origin)
