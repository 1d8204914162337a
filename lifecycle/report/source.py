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


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the build before, one line each.

    Attributes:
        before: name of that build, `b1`.
        code: commits and files of the project, and what was not committed.
        parameters: `recipe.lr: 0.001 -> 0.002`, of params.yaml.
        data: digests of the cohort, its split and its frozen part.
        environment: `libraries.torch: 2.12.0 -> 2.13.0`, of the fingerprint.
    """

    before: str
    code: Sequence[str] = ()
    parameters: Sequence[str] = ()
    data: Sequence[str] = ()
    environment: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """One record of the chain of signed records.

    Attributes:
        number: of the record in the chain.
        kind: of the record: `sign-off`, `refusal`, `withdrawal`, `amendment` or `drill`.
        meaning: what the signature means: `review`, `approval`, `override`, ...
        name, role: who signed, and as what.
        at: when, ISO 8601 with its time zone.
        build: name of the build that it speaks of.
        reason: as the person gave it, "" where none was.
        digest: SHA-256 of the record's bytes.
    """

    number: int
    kind: str
    meaning: str
    name: str
    role: str
    at: str
    build: str
    reason: str
    digest: str


@dataclass(frozen=True, slots=True)
class Features:
    """The feature list against that of the build before.

    Attributes:
        before: name of that build.
        kept: how many features both have.
        added, dropped: features that only this build has, and only the build before.
    """

    before: str
    kept: int
    added: Sequence[str] = ()
    dropped: Sequence[str] = ()


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
        changes: against the build before; None for the first build.
        attempts: counted attempts towards this release; 0 for the version's first network.
        rehearsals: runs of `lifecycle rehearse` that speak of this build, oldest first.
        standing: of the build, in words: `not signed`, `waits for approval`, `released`, ...
        signatures: records of this build's release, oldest first.
        features: the feature list against the build before; None where there is none.
        divergence: the kept result of `lifecycle divergence`; None where none was made.
        masked: identifiers of cases and patients are numbers, not those of the data.
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
    changes: Changes | None
    attempts: int
    rehearsals: Sequence[Mapping[str, Any]] = ()
    standing: str = "not signed"
    signatures: Sequence[Signature] = ()
    features: Features | None = None
    divergence: Mapping[str, Any] | None = None
    masked: bool = False

    @property
    def build(self) -> str:
        """The build's name, `b2`."""
        return f"b{self.number}"

    @property
    def simulated(self) -> bool:
        """Any part of the evidence comes from simulated cases."""
        return "simulated" in (self.content.get("origin"), self.pin.origin)
