"""What rehearsed networks have in common and what not: the figures of a rehearsal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.consistency.agree import Agreement, Pair, Series, agree
from lifecycle.consistency.any_tau import any_tau, argmax_changes
from lifecycle.consistency.calls import call
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.dossier.arrays import read_array
from lifecycle.stats.vectors import Tensors, vector_sine
from lifecycle.workflows.rehearsing_child import FROZEN_EPOCHS

# Figures of a pair of which the largest is shown over all pairs.
WORST = ("sine", "frozen_difference", "holdout_difference", "discordant", "conversions",
         "argmax_changes", "any_tau", "any_tau_share", "any_epoch")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A network that was trained, in a rehearsal or as the build.

    Attributes:
        name: of the profile, or of the build.
        weights: digests over its tensors.
        frozen: scores on the frozen set.
        holdout: scores on the holdout.
        tensors: reads its parameters and buffers; None where they are not at hand.
        digests: weight digest after each epoch; empty for a build that was enrolled without trace.
        folder: of a rehearsed profile.
        seen: what its libraries computed with.
    """

    name: str
    weights: Mapping[str, str]
    frozen: Predictions
    holdout: Predictions
    tensors: Callable[[], Tensors] | None
    digests: tuple[str, ...] = ()
    folder: Path | None = None
    seen: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """The figures of a rehearsal, as they are kept.

    Attributes:
        against: profile -> figures against the reference.
        worst: the largest of every figure over all pairs, with the pair of most weight.
        series: figures over all networks together.
    """

    against: Mapping[str, Mapping[str, Any]]
    worst: Mapping[str, Any] | None
    series: Mapping[str, Any]


def compare(
    reference: Outcome | None, rehearsed: Sequence[Outcome], cutoffs: Cutoffs, a: float
) -> Findings:
    """Hold every rehearsed network against the reference and against each other.

    Args:
        reference: the build; None compares with the first profile.
        rehearsed: at least one.
        cutoffs: tau in force.
        a: level of the shown bounds.
    """
    held = rehearsed[0] if reference is None else reference
    everyone = (*(() if reference is None else (reference,)), *rehearsed)
    if len(everyone) < 2:
        return Findings({held.name: _alone(held, cutoffs)}, None, {})
    agreement = _agreement(everyone, cutoffs, a)
    of_pair = {(pair.reference, pair.candidate): pair for pair in agreement.pairs}
    places = {one.name: i for i, one in enumerate(everyone)}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one, two in combinations(everyone, 2):
        key = (one.name, two.name)
        found[key] = figures(one, two, of_pair.get(key) or of_pair[(two.name, one.name)])
    against = {}
    for one in rehearsed:
        own = _alone(one, cutoffs)
        pair = own if one is held else found[_ordered(places, held.name, one.name)]
        # a build keeps no scores of its epochs: those of the first profile stand in
        against[one.name] = {**pair, "any_epoch": _any_epoch(rehearsed[0], one)}
    return Findings(against, _worst(list(found.values())), _series(agreement))


def _ordered(places: Mapping[str, int], one: str, two: str) -> tuple[str, str]:
    return (one, two) if places[one] < places[two] else (two, one)


def _agreement(everyone: Sequence[Outcome], cutoffs: Cutoffs, a: float) -> Agreement:
    names = tuple(one.name for one in everyone)
    return agree(Series(names, tuple(call(one.frozen, cutoffs) for one in everyone)), a)


def _series(agreement: Agreement) -> dict[str, Any]:
    series = agreement.series
    return {
        "cases": series.S,
        "reported": series.R,
        "discordant": series.D,
        "discordant_ever": agreement.ever.D,
        "conversions": series.conversions,
    }


def figures(one: Outcome, two: Outcome, pair: Pair) -> dict[str, Any]:
    """Everything that is said of two networks (`dossier.rehearsals.FIGURES`)."""
    swept = any_tau(one.frozen, two.frozen)
    return {
        "pair": [one.name, two.name],
        "same_weights": one.weights == two.weights,
        "first_epoch": first_unlike(one.digests, two.digests),
        "sine": _sine(one, two),
        "frozen_difference": _apart(one.frozen, two.frozen),
        "holdout_difference": _apart(one.holdout, two.holdout),
        "reported": pair.figures.R,
        "discordant": pair.figures.D,
        "conversions": pair.figures.conversions,
        "argmax_changes": pair.argmax_changes,
        "any_tau": swept.discordant,
        "any_tau_share": swept.share,
        "any_epoch": _any_epoch(one, two),
    }


def _alone(one: Outcome, cutoffs: Cutoffs) -> dict[str, Any]:
    """The figures of a network against itself."""
    reported = int((call(one.frozen, cutoffs).state != 0).any(axis=1).sum())
    zeros = dict.fromkeys(("discordant", "conversions", "argmax_changes", "any_tau"), 0)
    return {
        "pair": [one.name, one.name],
        "same_weights": True,
        "first_epoch": None,
        "sine": 0.0,
        "frozen_difference": 0.0,
        "holdout_difference": 0.0,
        "reported": reported,
        **zeros,
        "any_tau_share": 0.0,
        "any_epoch": 0,
    }


def _sine(one: Outcome, two: Outcome) -> float | None:
    if one.weights == two.weights:
        return 0.0
    if one.tensors is None or two.tensors is None:
        return None
    sine = vector_sine(one.tensors(), two.tensors())
    return sine if math.isfinite(sine) else None


def _apart(one: Predictions, two: Predictions) -> float:
    return float(np.abs(one.scores - two.scores).max())


def _any_epoch(one: Outcome, two: Outcome) -> int | None:
    """Most cases whose highest-scored class differs, over the epochs; None without their scores.

    By `any_tau` this is the largest number of discordant cases at any tau and any epoch.
    """
    if one.folder is None or two.folder is None:
        return None
    if one.digests == two.digests and one.frozen.digest() == two.frozen.digest():
        return 0
    pairs = zip(_epochs(one.folder), _epochs(two.folder), strict=True)
    return max(argmax_changes(a, b) for a, b in pairs)


def _epochs(folder: Path) -> NDArray[np.float64]:
    """(epochs, n, C) scores on the frozen set, not read before they are used."""
    return read_array(folder / FROZEN_EPOCHS, mapped=True)


def first_unlike(one: Sequence[str], two: Sequence[str]) -> int | None:
    """The first epoch (from 1) whose digests differ; None where none does, or none is known."""
    pairs = enumerate(zip(one, two, strict=False), start=1)
    return next((number for number, (a, b) in pairs if a != b), None)


def _worst(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The largest of every figure; `pair` and `reported` are of the most discordant pair."""
    heaviest = max(found, key=_weight)
    worst: dict[str, Any] = dict(heaviest)
    worst["same_weights"] = all(one["same_weights"] for one in found)
    for name in WORST:
        known = [one[name] for one in found if one[name] is not None]
        worst[name] = max(known) if known else None
    epochs = [one["first_epoch"] for one in found if one["first_epoch"] is not None]
    worst["first_epoch"] = min(epochs) if epochs else None
    return worst


def _weight(one: Mapping[str, Any]) -> tuple[float, ...]:
    return (one["discordant"], one["any_tau"], one["frozen_difference"])
