"""Sections of params.yaml as records keep them: each key of it, also where it has its default.

A key that a section gets later is not added here: it belongs to the next version of the formats.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import MaxLen

from lifecycle.records.types import Count, Name, Number, Part, Size, Text


class MarginsRecord(Part):
    """Largest tolerated shares of patients lost, by class."""

    sensitivity: dict[str, Size] | None
    specificity: dict[str, Size] | None


class PolicyRecord(Part):
    """What was demanded: the section `policy`."""

    p: Size
    alpha: Size
    delta: Size
    unit: Literal["patient", "component"]
    max_discordant: Count | None
    max_gained: Count | None
    reportable_floor: Size
    critical: list[Name]
    margins: MarginsRecord
    holdout_precision: Size
    holdout_recall: Size
    min_cases_per_class: Count
    small_classes: Literal["inconclusive", "leave-out"]
    min_macro_auc: Size | None
    actions: dict[str, str] | None
    max_action_discordant: Count | None
    arithmetic_fault: Literal["fail", "inconclusive"]
    rehearsals: Count
    signatures: Annotated[list[Literal["author", "reviewer", "approver"]], MaxLen(12)]


class PredecessorRecord(Part):
    """The version that is followed, and the class map."""

    version: Name
    classes: dict[str, str] | None


class PolicyRecordV2(PolicyRecord):
    """With what the policy got since: absent, a key says what stands here."""

    consistency_of: Literal["patients", "cases", "both"] = "both"
    most_cases: Number = 1
    delta_no: Size = 0.10
    predecessor: PredecessorRecord | None = None
    exposure: Number | None = None


class TauRecord(Part):
    """How tau was chosen: the section `tau`."""

    positive: Name | None
    mode: Literal["one", "per-class"]
    precision: Size
    alpha: Size
    refuse_below: Size
    target: Size


class NumericsRecord(Part):
    """How arithmetic was done."""

    mode: Literal["native", "deterministic", "exact"]
    dtype: Literal["float64", "float32"]
    threads: Number | None
    slices: Number


class RecipeRecord(Part):
    """How the network was trained: the section `recipe`."""

    lr: Size
    l2: Size
    epochs: Number
    init: Text
    seed: Count
    order: Text
    positive_weights: Text
    optimiser: Text
    schedule: Text
    cycles: Number
    warm_up: Count
    minibatch: Number
    stop: Literal["fixed", "best-holdout"]
    numerics: NumericsRecord


class SplitRecord(Part):
    """The section `split`."""

    holdout: Size
    folds: list[str] | None
    seed: Count


class FrozenRecord(Part):
    """What a rebuild keeps of the section `frozen`."""

    fraction: Size | None
    folds: list[str] | None


class PreprocessRecord(Part):
    """The section `preprocess`."""

    convention: Text
    epsilon: Size
    features: Number | None
    filters: list[str]


class SearchRecord(Part):
    """What a rebuild keeps of the section `search`."""

    run: bool
    points: Count
    epochs: Number
