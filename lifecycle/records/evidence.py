"""Formats of what stands beside the builds: pins, rehearsals, tau and verdicts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import MinLen
from pydantic import Field

from lifecycle.records.format import Format, Value, same
from lifecycle.records.types import (
    Count,
    Digest,
    Moment,
    Name,
    Number,
    OnlyBool,
    Part,
    Record,
    Size,
    Text,
)

Status = Literal["pass", "fail", "inconclusive"]
Basis = Literal["first build", "identity", "statistical", "unreleased reference"]


class PinRecord(Part):
    """One pin of the frozen clinical test set; `digest` is over the other fields."""

    version: Name
    number: Number
    cases: dict[str, Digest]
    total: Digest
    reason: str
    origin: Literal["real", "simulated"]
    digest: Digest


class PinRecordV2(PinRecord):
    """Since pins/3: with digests of the values alone, absent where none were kept."""

    values: dict[str, Digest] = Field(default_factory=dict)


class PinsV1(Part):
    """Version 1, of lifecycle 0.1.0."""

    pins: list[PinRecord]


class PinsV2(PinsV1, Record):
    """Version 2: with the program."""


class PinsV3(Record):
    """Version 3: a case is known again by its values alone, too."""

    pins: list[PinRecordV2]


class PairFigures(Part):
    """Figures of two networks that were trained by one recipe."""

    pair: Annotated[list[Text], MinLen(2)]
    same_weights: bool
    first_epoch: Number | None
    sine: Size | None
    frozen_difference: Size
    holdout_difference: Size
    reported: Count
    discordant: Count
    conversions: Count
    argmax_changes: Count
    any_tau: Count
    any_tau_share: Size | None
    any_epoch: Count | None


class ProfileRecord(Part):
    """One rehearsed profile."""

    name: Text
    settings: dict[str, str]
    seen: dict[str, str]
    weights: dict[str, str]
    scores: dict[str, str]
    trace: Text
    against: PairFigures


class Bound(Part):
    """What a rehearsal speaks of."""

    weights: Digest
    recipe: Digest
    inputs: Digest
    pin: Digest
    tau: Digest


class RunOfProfiles(Part):
    """One call of `lifecycle rehearse`."""

    bound: Bound
    made: Moment
    mode: Literal["native", "deterministic", "exact"]
    machine: dict[str, str]
    libraries: dict[str, str]
    note: str
    releasable: Annotated[Literal[False], OnlyBool]
    profiles: Annotated[list[ProfileRecord], MinLen(1)]
    traces: dict[str, list[str]]
    series: dict[str, int]
    worst: PairFigures | None
    failed: dict[str, str]
    left_out: dict[str, str]


class RehearsalsV1(Part):
    """Version 1, of lifecycle 0.1.0."""

    classifier: Name
    build: Number
    runs: Annotated[list[RunOfProfiles], MinLen(1)]


class RehearsalsV2(RehearsalsV1, Record):
    """Version 2: with the program that wrote it last."""


class CutoffsV1(Part):
    """tau with its evidence, sentences among it."""

    yes: Annotated[list[float], MinLen(2)]
    no: list[float] | None
    status: Text
    evidence: dict[str, Any]


class ThresholdV1(Part):
    """Version 1, of lifecycle 0.1.0."""

    version: Name
    build: Text
    cutoffs: CutoffsV1


class ThresholdV2(Record):
    """Version 2: the values alone; their evidence follows from the holdout whenever it is shown."""

    version: Name
    build: Text
    yes: Annotated[list[float], MinLen(2)]
    no: list[float] | None
    status: Text


class FindingV1(Part):
    """One criterion, judged, in the sentence of its time."""

    criterion: Text
    status: Status
    figure: float | None
    limit: float | None
    bound: float | None
    said: str


class VerdictV1(Part):
    """A verdict as lifecycle 0.1.0 kept it."""

    status: Status
    basis: Basis
    build: Number
    findings: list[FindingV1]
    policy: Digest
    shown: dict[str, Any]


class FindingV2(Part):
    """What a criterion decided, and by which figures."""

    criterion: Text
    status: Status
    figure: float | None
    limit: float | None
    bound: float | None


class Decision(Part):
    """What was decided, by which rules and criteria; sentences are made when they are shown."""

    status: Status
    basis: Basis
    build: Number
    rules: Annotated[str, MinLen(1)]
    criteria: Annotated[list[Text], MinLen(1)]
    findings: list[FindingV2]
    policy: Digest


class VerdictV2(Decision, Record):
    """Version 2: what decides, with schema, program and rules."""


class VerdictV3(VerdictV2):
    """Version 3: with the classifier and the weights that were judged, null in an older one.

    Verdicts of two classifiers on their first builds could have changed places before.
    """

    classifier: Name | None
    weights: Digest | None


# The criteria that lifecycle 0.1.0 knew: all of its verdicts were made by these.
CRITERIA_V1 = (
    *("evidence", "data.validation", "pin", "policy.age", "recipe.blind", "tau", "holdout"),
    *("classes.minimum", "auc.macro", "consistency.identity", "consistency", "discordant.count"),
    *("critical", "lost", "gained", "reportable.floor", "margins", "actions.count", "arithmetic"),
    "rehearsals",
)
RULES_V1 = "gate/1"
_DECIDES = ("criterion", "status", "figure", "limit", "bound")


def decision_of_v1(verdict: Value) -> Value:
    """What decides in a verdict of version 1."""
    findings = [{key: one[key] for key in _DECIDES} for one in verdict["findings"]]
    kept = {key: verdict[key] for key in ("status", "basis", "build", "policy")}
    return {**kept, "rules": RULES_V1, "criteria": list(CRITERIA_V1), "findings": findings}


def _verdict_of_v2(fields: Value) -> Value:
    return {**fields, "classifier": None, "weights": None}


def _threshold_of_v1(fields: Value) -> Value:
    cutoffs = fields["cutoffs"]
    kept = {key: fields[key] for key in ("version", "build")}
    return {**kept, **{key: cutoffs[key] for key in ("yes", "no", "status")}}


PINS = Format("pins", (PinsV1, PinsV2, PinsV3), PinsV3, (same, same), digested=2)
REHEARSALS = Format("rehearsals", (RehearsalsV1, RehearsalsV2), RehearsalsV2, (same,), digested=1)
THRESHOLD = Format(
    "threshold",
    (ThresholdV1, ThresholdV2),
    ThresholdV2,
    (_threshold_of_v1,),
    unmarked=True,
    digested=2,
)
VERDICT = Format(
    "verdict",
    (VerdictV1, VerdictV2, VerdictV3),
    VerdictV3,
    (decision_of_v1, _verdict_of_v2),
    unmarked=True,
    digested=1,
)
