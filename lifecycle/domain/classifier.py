"""A classifier as the laboratory states it in params.yaml: one frozen value per section.

Constraints stand beside the types (`annotated_types`); the room `params` builds these values and
turns a breach into an error that names section and field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Le, Lt, MinLen

from lifecycle.domain.limits import (
    STRICT,
    Count,
    Measures,
    Name,
    NotNegative,
    OpenShare,
    Positive,
    Share,
)
from lifecycle.domain.names import fault_of_class
from lifecycle.domain.networks import Plan, network_of

Task = Literal["single", "multi"]
Origin = Literal["real", "simulated"]
Init = Literal[
    "uniform", "kaiming", "dct", "hadamard", "hartley", "sinusoidal", "mixed", "torch"
]  # fmt: skip
Part = Literal["training", "holdout", "frozen", "aside"]

# A version names files.
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """Where an attribute of a case stands: a column, or its first characters.

    Attributes:
        column: column name in the matrix or annotation file.
        first: keep this many leading characters (12 of a TCGA barcode is the patient).
        before: keep what stands before this text (`_` in a Sentrix id leaves the slide).
    """

    __pydantic_config__ = STRICT
    column: Name
    first: Count | None = None
    before: Name | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """A separate table of cases, joined to the measurements by `id`."""

    __pydantic_config__ = STRICT
    path: Name
    id: Name


Lead = Literal["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
LEADS: tuple[Lead, ...] = get_args(Lead)


@dataclass(frozen=True, slots=True)
class SignalPlan:
    """What is read of ECG records.

    Attributes:
        rate: samples a second that the network sees; records of another rate are resampled behind
            an anti-aliasing filter.
        read_rate: rate of the files, where a data set has several (PTB-XL: 100 or 500).
        seconds: length of the window; longer records are cut, shorter ones are bad.
        leads: by name, in network order.
        leads_as: what a file calls a lead, where it has names of its own (AFDB: `ECG1`): a person
            states which lead that is.
        statements: what a label is: `rhythm` (any statement of the label map, by its SCP name) or
            `superclass` (the five diagnostic superclasses of PTB-XL).
        bad_records: `stop` at the first record that cannot be used, or `skip` and count them.
    """

    __pydantic_config__ = STRICT
    rate: Count = 100
    read_rate: Literal[100, 500] | None = None
    seconds: Annotated[float, Gt(0), Le(3600)] = 10.0
    leads: Annotated[tuple[Lead, ...], MinLen(1)] = LEADS
    leads_as: dict[str, Lead] | None = None
    statements: Literal["rhythm", "superclass"] = "rhythm"
    bad_records: Literal["stop", "skip"] = "stop"


@dataclass(frozen=True, slots=True)
class CohortSource:
    """Where cases and measurements come from.

    Attributes:
        source: `simulated` (methylation), `simulated_ecg`, `beta_matrix` (a table of values,
            samples by features or the other way round), `bundled` (a data set that scikit-learn
            carries), or ECG records as published: `ptbxl`, `cinc2021`, `cpsc2018`, `rhythm_atr`
            (WFDB records with rhythm annotations) or `ecg_table` (CSV or Parquet files).
        path: the file or folder whose change means that the cohort must be imported anew.
        part: which cohort of a simulator's settings file (`training` or `frozen`).
        dataset: name of the bundled data set.
        measures: `beta` (methylation level within [0, 1]), `table` (any real features) or `ecg`
            (signals of leads, in millivolt).
        signal: what is read of ECG records (`measures: ecg` only).
        orientation: `samples-in-rows`, `features-in-rows` or `auto`.
        id, label, patient, group: columns of the case attributes; group is what must not straddle
            a split besides the patient (a slide).
        subgroups: further columns kept for subgroup figures.
        drop: columns of the matrix that are neither attributes nor features.
        labels: map from the labels of the file to the classes, where they differ.
        keep_unlabelled: keep cases without a label (frozen sets only).
    """

    __pydantic_config__ = STRICT
    source: Literal[
        "simulated", "beta_matrix", "bundled",
        "simulated_ecg", "ptbxl", "cinc2021", "cpsc2018", "rhythm_atr", "ecg_table",
    ]  # fmt: skip
    path: Name
    part: Literal["training", "frozen"] = "training"
    dataset: Literal["breast_cancer", "wine", "iris", "digits"] | None = None
    measures: Measures = "beta"
    signal: SignalPlan | None = None
    orientation: Literal["auto", "samples-in-rows", "features-in-rows"] = "auto"
    separator: Name | None = None
    id: Name | None = None
    label: Name | None = None
    patient: ColumnRule | None = None
    group: ColumnRule | None = None
    subgroups: tuple[Name, ...] = ()
    drop: tuple[Name, ...] = ()
    annotation: Annotation | None = None
    labels: dict[str, str] | None = None
    keep_unlabelled: bool = False

    def __post_init__(self) -> None:
        """ECG sources measure ECG, and only they."""
        ecg = self.source in ECG_SOURCES
        if ecg != (self.measures == "ecg"):
            raise ValueError(
                f"`source: {self.source}` with `measures: {self.measures}`: ECG sources "
                f"({', '.join(ECG_SOURCES)}) need `measures: ecg`, others cannot have it"
            )
        if self.signal is not None and not ecg:
            raise ValueError("`signal` belongs to `measures: ecg`")


ECG_SOURCES = ("simulated_ecg", "ptbxl", "cinc2021", "cpsc2018", "rhythm_atr", "ecg_table")


@dataclass(frozen=True, slots=True)
class FrozenPlan:
    """The frozen clinical test set: a fraction of the cohort, published folds, or its own source.

    Attributes:
        fraction: share of the cohort's cases.
        folds: published folds of the cohort.
        source: a source of its own.
        sampling: how the laboratory came by the cases; only `consecutive` and `random` ones
            estimate the clinic's rate, and the report says so.
    """

    __pydantic_config__ = STRICT
    fraction: OpenShare | None = None
    folds: Annotated[tuple[Name, ...], MinLen(1)] | None = None
    source: CohortSource | None = None
    sampling: Literal["consecutive", "random", "convenience", "enriched", "unstated"] = "unstated"

    def __post_init__(self) -> None:
        """Exactly one of the three."""
        given = [part for part in (self.fraction, self.folds, self.source) if part is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of `fraction`, `folds` and `source`")


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Stratified split by patient and group, or the folds that the cohort was published with.

    Attributes:
        holdout: share of what is not frozen.
        folds: folds that are the holdout; all others that are not frozen are training.
        seed: seed of a drawn split.
    """

    __pydantic_config__ = STRICT
    holdout: OpenShare = 0.25
    folds: Annotated[tuple[Name, ...], MinLen(1)] | None = None
    seed: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True, slots=True)
class PreprocessPlan:
    """From measurements to network input.

    Attributes:
        convention: `m-value` is log2(beta / (1 - beta)) with beta clipped to [eps, 1 - eps];
            `standardised` is (x - mean) / sd of the training part (of ECG: of each lead over all
            cases and samples); `none` keeps the values.
        epsilon: the clip of `m-value` (1e-3 bounds |M| at 9.96).
        features: how many features of largest training variance are kept; all where absent.
        filters: files that list features to leave out, one name a line.
    """

    __pydantic_config__ = STRICT
    convention: Literal["m-value", "standardised", "none"] = "m-value"
    epsilon: Annotated[float, Gt(0), Lt(0.5)] = 1e-3
    features: Count | None = None
    filters: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class Numerics:
    """How arithmetic is done.

    Attributes:
        mode: `native` (as the framework computes), `deterministic` (same bits on the same
            machine) or `exact` (same bits on every machine).
        dtype: `float64` or `float32`; exact arithmetic is float64.
        threads: threads of the linear algebra. Where absent, 1 in `native` and `deterministic`
            (more change bits) and all cores in `exact` (bits do not care).
        slices: slices of each operand of an exact product: 1 is fast and keeps 16 to 26 bits,
            3 is full double precision.
    """

    __pydantic_config__ = STRICT
    mode: Literal["native", "deterministic", "exact"] = "exact"
    dtype: Literal["float64", "float32"] = "float64"
    threads: Count | None = None
    slices: Annotated[int, Ge(1), Le(4)] = 1

    def __post_init__(self) -> None:
        """What only one mode knows is refused in the others."""
        if self.mode == "exact" and self.dtype != "float64":
            raise ValueError("`mode: exact` computes in float64; leave `dtype` out")
        if self.mode != "exact" and self.slices != 1:
            raise ValueError("`slices` belongs to `mode: exact`")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the network is trained.

    Attributes:
        init: `uniform` (+-1/sqrt(fan_in)) or `kaiming` (normal, fan out) from integer streams, the
            same values on every machine; structured and seed-free from orthogonal bases: `dct`,
            `hadamard`, `hartley`, `sinusoidal` or `mixed` (a basis a stage); or `torch` (the
            framework's own, which differs between kernels).
        seed: seed of initial values, batch orders and dropout.
        order: order of the cases: `seeded` (a random one each epoch), `golden` (golden-ratio keys,
            seed-free, another order each epoch) or `golden-published` (each epoch a rotation of
            the first).
        positive_weights: multi-label only: weight of a class's positives in the loss, `none` (1)
            or `sqrt` (square root of cases over positives).
        lr, l2: learning rate and coupled L2 weight (torch's `weight_decay`), on all parameters.
        optimiser: `adamax`, `adam` or `sgd` (momentum 0.9).
        schedule: learning rate `constant`, or `cosine` (from lr towards 0, in `cycles`).
        cycles: cosine periods.
        warm_up: epochs at the beginning in which the learning rate rises linearly.
        minibatch: k, cases a step.
        epochs: passes over the training part (the upper end where `stop` is `best-holdout`).
        stop: `fixed`, or `best-holdout`: the epoch of lowest holdout error at full recall
            (multi-label: of 1 - macro AUC), chosen at the version's first build and then kept as a
            number.
    """

    __pydantic_config__ = STRICT
    lr: Positive
    l2: NotNegative
    epochs: Count
    init: Init = "uniform"
    seed: Annotated[int, Ge(0)] = 0
    order: Literal["seeded", "golden", "golden-published"] = "seeded"
    positive_weights: Literal["none", "sqrt"] = "none"
    optimiser: Literal["adamax", "adam", "sgd"] = "adamax"
    schedule: Literal["constant", "cosine"] = "constant"
    cycles: Count = 1
    warm_up: Annotated[int, Ge(0)] = 0
    minibatch: Count = 1
    stop: Literal["fixed", "best-holdout"] = "fixed"
    numerics: Numerics = Numerics()

    def __post_init__(self) -> None:
        """What cannot be kept by a rebuild, or on another machine, is refused."""
        if self.schedule != "constant" and self.stop != "fixed":
            raise ValueError("`schedule: cosine` runs over all epochs; it needs `stop: fixed`")
        if self.warm_up >= self.epochs:
            raise ValueError("`warm_up` must be shorter than `epochs`")
        if self.numerics.mode == "exact" and self.init == "torch":
            raise ValueError("`numerics.mode: exact` cannot keep the bits of `init: torch`")


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """Grid search of learning rate and L2 (seed 002, IV.D).

    The grid is logarithmic from exp(-6) to exp(-2), `points` x `points`.
    """

    __pydantic_config__ = STRICT
    run: bool = False
    points: Annotated[int, Ge(2)] = 8
    epochs: Count = 64
    jobs: Count = 1


@dataclass(frozen=True, slots=True)
class TauPlan:
    """How the critical value is chosen (design: consistency and gate; seed 002, IV.F).

    Attributes:
        positive: the class that is set against the sum of all others.
        mode: `one` cutoff for every call, or `per-class`.
        precision: precision to keep on the holdout; 1.0 is perfect precision.
        alpha: level of the bounds that are printed with tau.
        refuse_below: lower precision bound under which the choice is refused (0.80: 14 positives).
        target: bound below which tau is provisional.
    """

    __pydantic_config__ = STRICT
    positive: Name | None = None
    mode: Literal["one", "per-class"] = "one"
    precision: Annotated[float, Gt(0), Le(1)] = 1.0
    alpha: OpenShare = 0.05
    refuse_below: Share = 0.80
    target: Share = 0.90


@dataclass(frozen=True, slots=True)
class Margins:
    """Largest tolerated share of patients lost in sensitivity or specificity, per class."""

    __pydantic_config__ = STRICT
    sensitivity: dict[str, OpenShare] | None = None
    specificity: dict[str, OpenShare] | None = None


@dataclass(frozen=True, slots=True)
class PredecessorPlan:
    """The version that this one follows, and how its classes are called now.

    Attributes:
        version: of the classifier, released before this one.
        classes: its class -> class of this version; several may become one. Where null, each class
            that both versions have goes by its own name. A class that the map leaves out has no
            counterpart: calls of it are listed and not compared.
    """

    __pydantic_config__ = STRICT
    version: Name
    classes: Annotated[dict[str, str], MinLen(1)] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What the gate demands (design: consistency and gate). Defaults as design 09.5.

    Attributes:
        p: longitudinal consistency to show.
        alpha: error of a false pass over all attempts; attempt k is tested at alpha / 2^k.
        consistency_of: what p is guaranteed of: `patients` (the mean over patients of the
            consistent share of their cases), `cases` (the share of all cases, as the definition
            has it), or `both`. With one case a patient the two are the same.
        most_cases: cases that one patient (or component) can have; needed for what is guaranteed
            of cases, and stated beforehand.
        delta: largest share of patients whose report may be lost; multi-label: whose call, a `yes`.
        delta_no: multi-label: largest mean share of a patient's exclusions that may be lost.
        unit: `patient`, or `component` (patients that share a slide count as one).
        max_discordant: plain limit on discordant cases, beside the tests.
        max_gained: plain limit on reports gained.
        reportable_floor: least share |R| / |S| of cases that all builds report.
        critical: classes that must show consistency and kept reports by themselves.
        margins: opt-in tests of sensitivity and specificity.
        holdout_precision, holdout_recall: what a first build must reach on the holdout at tau.
        min_cases_per_class: frozen cases a class needs to be spoken of at all.
        small_classes: what a class with fewer is: `inconclusive`, or `leave-out`: named in the
            verdict as left out, it counts neither in the macro AUC nor against the minimum.
        min_macro_auc: what the lower end of the 95% interval of the macro AUC on the frozen set
            must reach (patients are resampled).
        actions: map from class to clinical action; discordance of actions is shown apart.
        max_action_discordant: plain limit on cases whose action changes.
        arithmetic_fault: what a weight digest that differs under one fingerprint means.
        rehearsals: how many rehearsed profiles must agree (evidence of `lifecycle rehearse`).
        signatures: roles that must sign, each another person, before a build is a release.
        predecessor: the version that this one follows: every build is compared with its releases.
        exposure: how many networks may have been judged on these frozen cases, over all versions
            and classifiers; no limit where null.
    """

    __pydantic_config__ = STRICT
    p: OpenShare = 0.95
    alpha: OpenShare = 0.05
    consistency_of: Literal["patients", "cases", "both"] = "both"
    most_cases: Count = 1
    delta: OpenShare = 0.10
    delta_no: OpenShare = 0.10
    unit: Literal["patient", "component"] = "patient"
    max_discordant: Annotated[int, Ge(0)] | None = None
    max_gained: Annotated[int, Ge(0)] | None = None
    reportable_floor: Share = 0.5
    critical: tuple[Name, ...] = ()
    margins: Margins = Margins()
    holdout_precision: Share = 1.0
    holdout_recall: Share = 0.5
    min_cases_per_class: Annotated[int, Ge(0)] = 1
    small_classes: Literal["inconclusive", "leave-out"] = "inconclusive"
    min_macro_auc: Share | None = None
    actions: dict[str, str] | None = None
    max_action_discordant: Annotated[int, Ge(0)] | None = None
    arithmetic_fault: Literal["fail", "inconclusive"] = "fail"
    rehearsals: Annotated[int, Ge(0)] = 0
    signatures: Annotated[tuple[Literal["author", "reviewer", "approver"], ...], MinLen(1)] = (
        "reviewer",
        "approver",
    )
    predecessor: PredecessorPlan | None = None
    exposure: Annotated[int, Ge(1)] | None = None


def _mapped_to(plan: PredecessorPlan | None) -> list[str]:
    return [] if plan is None or plan.classes is None else list(plan.classes.values())


def _require_fitting_predecessor(plan: PredecessorPlan | None, version: str, task: Task) -> None:
    if plan is None:
        return
    if plan.version == version:
        raise ValueError("`policy.predecessor.version` is this version: name the one before it")
    if task == "single" and plan.classes is not None and len({*plan.classes.values()}) < 2:
        raise ValueError(
            "`policy.predecessor.classes` maps to one class, and calls of one class alone can "
            "never contradict each other: map two at least"
        )


def _require_fitting_folds(frozen: FrozenPlan, split: SplitPlan) -> None:
    if frozen.folds is not None and split.folds is None:
        raise ValueError("`frozen.folds` needs `split.folds`, the folds of the holdout")
    if split.folds is not None and frozen.fraction is not None:
        raise ValueError("`split.folds` with `frozen.fraction`: name `frozen.folds` instead")
    twice = sorted(set(frozen.folds or ()) & set(split.folds or ()))
    if twice:
        raise ValueError(f"fold {twice[0]!r} is in `frozen.folds` and in `split.folds`")


def _require_groups(policy: Policy, frozen: CohortSource) -> None:
    """Without a column of groups every patient would be a component, and the bounds too good."""
    simulated = frozen.source in ("simulated", "simulated_ecg")  # makes slides, or none, by itself
    if policy.unit == "component" and frozen.group is None and not simulated:
        raise ValueError(
            "`policy.unit: component` counts patients that share a group as one, and the source of "
            "the frozen cases names no `group`: name its column, or set `unit: patient`"
        )


@dataclass(frozen=True, slots=True)
class Classifier:
    """One section of params.yaml; every part of it is stated there, if only as `{}`.

    Holds: no key has a silent default at this level, so what a build was made from can be read in
    one place (and DVC can depend on each part).
    """

    __pydantic_config__ = STRICT
    version: Name
    title: Name
    task: Task
    classes: Annotated[tuple[Name, ...], MinLen(2)]
    cohort: CohortSource
    frozen: FrozenPlan
    split: SplitPlan
    preprocess: PreprocessPlan
    model: Plan
    recipe: Recipe
    search: SearchPlan
    tau: TauPlan
    policy: Policy

    def __post_init__(self) -> None:
        """Names can stand in files and tables; names used in one place exist in the other."""
        if not _VERSION.match(self.version):
            raise ValueError(f"`version` {self.version!r}: use letters, digits, `.+_-`, at most 64")
        for name in self.classes:
            fault = fault_of_class(name)
            if fault is not None:
                raise ValueError(f"class {name!r}: {fault}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("`classes` names a class twice")
        named = {
            "tau.positive": (self.tau.positive,) if self.tau.positive else (),
            "policy.critical": self.policy.critical,
            "policy.margins.sensitivity": tuple(self.policy.margins.sensitivity or ()),
            "policy.margins.specificity": tuple(self.policy.margins.specificity or ()),
            "policy.actions": tuple(self.policy.actions or ()),
            "policy.predecessor.classes": tuple(_mapped_to(self.policy.predecessor)),
        }
        for place, names in named.items():
            unknown = [name for name in names if name not in self.classes]
            if unknown:
                raise ValueError(f"`{place}` names {unknown[0]!r}, which is not in `classes`")
        if self.tau.mode == "one" and self.tau.positive is None and self.task == "single":
            raise ValueError("`tau.positive` is needed where `tau.mode` is `one`")
        _require_fitting_folds(self.frozen, self.split)
        _require_fitting_predecessor(self.policy.predecessor, self.version, self.task)
        _require_groups(self.policy, self.frozen.source or self.cohort)
        known = network_of(self.model.kind).measures
        if self.cohort.measures not in known:
            raise ValueError(
                f"`model.kind: {self.model.kind}` cannot learn from `cohort.measures: "
                f"{self.cohort.measures}`, only from {', '.join(known)}"
            )
