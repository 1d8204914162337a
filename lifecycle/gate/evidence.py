"""What the gate looks at: one frozen value, and the figures in it that are not an agreement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lifecycle.consistency.agree import Agreement
from lifecycle.consistency.calls import call
from lifecycle.consistency.figures import Unit, any_cell, unit_codes
from lifecycle.domain.classifier import Origin, Policy, Task
from lifecycle.domain.predictions import Calls, Cutoffs, Predictions
from lifecycle.errors import UnusableInputError, UsageError
from lifecycle.stats.auc import AucInterval, auc_intervals, error_at_full_recall

Basis = Literal["first build", "identity", "statistical", "unreleased reference"]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class HoldoutFigures:
    """How a build does on the holdout at its tau; each None where it does not exist.

    Attributes:
        precision: reported calls of the positive class that are right.
        recall: cases of the positive class that are reported as such.
        tp: patients behind the right calls.
        n_pos: patients of the positive class.
        error_at_full_recall: share of cases wrong where every positive is recalled.
        reportable: share of (case, class) cells, so of single-label cases, that are reported.
    """

    precision: float | None
    recall: float | None
    tp: int
    n_pos: int
    error_at_full_recall: float | None
    reportable: float | None


@dataclass(frozen=True, slots=True)
class MarginCounts:
    """Right calls that a rebuild lost, of one class against one reference.

    Attributes:
        reference: name of the earlier build.
        kind: `sensitivity` (patients of the class) or `specificity` (patients without it).
        name: the class.
        units: patients or components that count.
        correct_before, correct_now: of them, right and reported in every case.
        lost: of them, with a case right and reported before that is not so now.
    """

    reference: str
    kind: Literal["sensitivity", "specificity"]
    name: str
    units: int
    correct_before: int
    correct_now: int
    lost: int


@dataclass(frozen=True, slots=True)
class FrozenFigures:
    """The frozen set as the gate sees it.

    Attributes:
        cases, units: how many cases, and patients or components.
        labelled: whether any case has a reference class.
        per_class: cases of each class by label; by highest score where nothing is labelled.
        margins: lost right calls; empty where nothing is labelled.
    """

    cases: int
    units: int
    labelled: bool
    per_class: Mapping[str, int]
    margins: tuple[MarginCounts, ...]


@dataclass(frozen=True, slots=True)
class Areas:
    """Areas under ROC curves on the frozen set, with intervals over patients.

    Attributes:
        macro: mean over the classes that are not left out.
        per_class: of every class.
        left_out: classes with fewer positive cases than the policy demands, where it says so.
    """

    macro: AucInterval
    per_class: Mapping[str, AucInterval]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Amendment:
    """How the frozen set was amended after builds had been compared on it.

    Attributes:
        since, pin: numbers of the earliest pin that is spoken of, and of the one in force; 0 where
            nothing was amended since.
        dropped, changed: cases of earlier pins that are not in force, or not as they were.
        discordant: of these, cases on which an earlier build contradicted one that it faced.
        reported: of these, cases that two such builds report.
    """

    since: int = 0
    pin: int = 0
    dropped: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    discordant: tuple[str, ...] = ()
    reported: int = 0


@dataclass(frozen=True, slots=True)
class Followed:
    """How a build stands to the version that it follows.

    Attributes:
        earlier: the last version that was released before this one; None where there is none.
        version: the version that the policy names, "" where it names none.
        builds: numbers of its releases.
        attempt: k: networks judged since, over all versions that were not released meanwhile.
        agreement: with these builds, through the class map; None where nothing can be compared.
        why: why nothing can.
        common: frozen cases that are the same in both versions, by name and content.
        only_now, only_then: names of cases that only this version has, and only the one before.
        changed: names of cases that both have, with another content.
        unmatched: build -> class without a counterpart -> cases that the build calls so.
        astray: classes that both versions have and that do not go by their own name in the map.
        called, compared: calls of the version before, and those that are compared.
    """

    earlier: str | None = None
    version: str = ""
    builds: tuple[int, ...] = ()
    attempt: int = 1
    agreement: Agreement | None = None
    why: str = ""
    common: int = 0
    only_now: tuple[str, ...] = ()
    only_then: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unmatched: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    astray: tuple[str, ...] = ()
    called: int = 0
    compared: int = 0


@dataclass(frozen=True, slots=True)
class Exposure:
    """How many networks were judged on the frozen cases.

    Attributes:
        networks: distinct weights, the judged build's among them; 0 where it was not counted.
        of: classifier, version and how many of its networks; one that two versions have is there
            twice.
    """

    networks: int = 0
    of: tuple[tuple[str, str, int], ...] = ()


NOT_AMENDED = Amendment()
NOTHING_EARLIER = Followed()
NOT_COUNTED = Exposure()
NO_AREAS = Areas(AucInterval(None, None, None, 0, 0), {}, ())


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a verdict rests on. None is missing evidence, and missing is never a pass.

    Attributes:
        build: number of the judged build.
        basis: what it is judged against.
        attempt: k, counted from 1 towards this release; 0 for a first build and for identity.
        agreement: with earlier builds; None for a first build only.
        cutoffs: tau in force.
        holdout, frozen: figures on these parts.
        validation_passed: the data met their expectations.
        pin_intact: the frozen set is the pinned one.
        policy_newer: the policy was changed after the build was made.
        same_fingerprint_other_weights: same code, data, recipe and machine gave other weights.
        numerics_mode: `native`, `deterministic` or `exact`.
        rehearsals: rehearsed profiles that agreed with the build.
        origin: real or simulated cases.
        task: single or multi.
        recipe_changed_after_list: the recipe was changed after the discordant cases were seen.
        rehearsed_other_bits: rehearsed profiles that gave other bits in exact mode.
        areas: on the frozen set.
        amendment: of the frozen set, after a comparison.
        followed: how it stands to the version that it follows.
        exposure: networks that were judged on the frozen cases.
    """

    build: int
    basis: Basis
    attempt: int
    agreement: Agreement | None
    cutoffs: Cutoffs | None
    holdout: HoldoutFigures | None
    frozen: FrozenFigures | None
    validation_passed: bool | None
    pin_intact: bool | None
    policy_newer: bool | None
    same_fingerprint_other_weights: bool | None
    numerics_mode: str
    rehearsals: int | None
    origin: Origin
    task: Task
    recipe_changed_after_list: bool | None = False
    rehearsed_other_bits: tuple[str, ...] = ()
    areas: Areas = NO_AREAS
    amendment: Amendment = NOT_AMENDED
    followed: Followed | None = None
    exposure: Exposure = NOT_COUNTED


def holdout_figures(
    holdout: Predictions, cutoffs: Cutoffs, positive: str | None = None
) -> HoldoutFigures:
    """Precision and recall of what would be reported on the holdout.

    Args:
        holdout: labelled predictions.
        cutoffs: tau in force.
        positive: the class; where None, all (case, class) cells are pooled.

    Raises:
        UnusableInputError: labels are missing or unknown.
        UsageError: no such class, or the cutoffs do not fit.
    """
    if positive is not None and positive not in holdout.classes:
        raise UsageError(f"there is no class {positive!r} in {', '.join(holdout.classes)}")
    truth = _truth(holdout.labels, holdout.ids, holdout.classes, known=True)
    calls = call(holdout, cutoffs)
    at = slice(None) if positive is None else [holdout.classes.index(positive)]
    yes, own = calls.state[:, at] == 1, truth[:, at]
    right = yes & own
    patients = np.asarray(holdout.patients, dtype=np.str_)
    single = None if positive is None else holdout.scores[:, holdout.classes.index(positive)]
    return HoldoutFigures(
        precision=int(right.sum()) / int(yes.sum()) if yes.any() else None,
        recall=int(right.sum()) / int(own.sum()) if own.any() else None,
        tp=len(set(patients[any_cell(right)])),
        n_pos=len(set(patients[any_cell(own)])),
        error_at_full_recall=None if single is None else error_at_full_recall(single, own[:, 0]),
        reportable=int((calls.state != 0).sum()) / calls.state.size,
    )


def frozen_figures(
    candidate: Calls,
    labels: tuple[str, ...] | None,
    references: Mapping[str, Calls] | None = None,
    unit: Unit = "patient",
) -> FrozenFigures:
    """Counts per class on the frozen set, and the right calls lost against earlier builds.

    Args:
        candidate: calls of the judged build.
        labels: reference class of each case in the same order, "" unknown; None where none has.
        references: name -> calls of earlier builds on the same cases in the same order.
        unit: what counts as one.

    Raises:
        UnusableInputError: a label is no class, or the cases are not the same.
    """
    for name, calls in (references or {}).items():
        if (calls.ids, calls.classes) != (candidate.ids, candidate.classes):
            raise UnusableInputError(f"{name} has other cases or classes; align the builds first")
    truth = _truth(labels, candidate.ids, candidate.classes, known=False)
    known = np.array([bool(label) for label in labels or ()], dtype=np.bool_)
    codes = unit_codes(candidate.patients, candidate.groups, unit)
    labelled = bool(known.any())
    top = np.bincount(candidate.argmax, minlength=len(candidate.classes))
    counts = truth.sum(axis=0) if labelled else top
    return FrozenFigures(
        cases=len(candidate.ids),
        units=len(np.unique(codes)),
        labelled=labelled,
        per_class={c: int(k) for c, k in zip(candidate.classes, counts.tolist(), strict=True)},
        margins=tuple(
            _margin(name, calls, candidate, j, truth[:, j], known, codes, side)
            for name, calls in (references or {}).items()
            for j in range(len(candidate.classes))
            for side in (1, -1)
            if labelled
        ),
    )


def frozen_areas(frozen: Predictions, policy: Policy) -> Areas:
    """Areas of a build on the frozen set; without labels there are none.

    Classes below the policy's minimum of positive cases are left out of the macro area where the
    policy says `small_classes: leave-out`.
    """
    if frozen.labels is None or not any(frozen.labels):
        return NO_AREAS
    counts = Counter(name for label in frozen.labels if label for name in label.split("|"))
    few = [c for c in frozen.classes if counts[c] < policy.min_cases_per_class]
    out = tuple(few) if policy.small_classes == "leave-out" else ()
    _, per_class = auc_intervals(frozen.scores, frozen.labels, frozen.classes, frozen.patients)
    left = [j for j, name in enumerate(frozen.classes) if name not in out]
    if not left:
        return Areas(NO_AREAS.macro, per_class, out)
    names = [frozen.classes[j] for j in left]
    macro, _ = auc_intervals(frozen.scores[:, left], frozen.labels, names, frozen.patients)
    return Areas(macro, per_class, out)


def _margin(
    reference: str,
    before: Calls,
    now: Calls,
    j: int,
    own: Mask,
    known: Mask,
    codes: NDArray[np.intp],
    side: int,
) -> MarginCounts:
    """Side 1: patients of class j, right where called. Side -1: the others, right where not."""
    rows = known & (own if side == 1 else ~own)
    was, still = before.state[:, j] == side, now.state[:, j] == side

    def units(mask: Mask) -> set[int]:
        return set(codes[rows & mask].tolist())

    every = units(np.ones_like(rows))
    return MarginCounts(
        reference=reference,
        kind="sensitivity" if side == 1 else "specificity",
        name=now.classes[j],
        units=len(every),
        correct_before=len(every - units(~was)),
        correct_now=len(every - units(~still)),
        lost=len(units(was & ~still)),
    )


def _truth(
    labels: tuple[str, ...] | None, ids: tuple[str, ...], classes: tuple[str, ...], known: bool
) -> Mask:
    """(n, C) bool; a row of an unknown label is all false."""
    if labels is None and known:
        raise UnusableInputError("these figures need labels; column 'label' is missing")
    if labels is not None and len(labels) != len(ids):
        raise UnusableInputError(f"{len(labels)} labels for {len(ids)} cases")
    at = {name: j for j, name in enumerate(classes)}
    truth = np.zeros((len(ids), len(classes)), dtype=np.bool_)
    for i, label in enumerate(labels or ()):
        for name in label.split("|") if label or known else ():
            if name not in at:
                raise UnusableInputError(f"case {ids[i]!r} has label {name!r}, which is no class")
            truth[i, at[name]] = True
    return truth
