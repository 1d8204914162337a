"""The sweep over tau against a plain count at every tau that can matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lifecycle.consistency.any_tau import AnyTau, any_tau, argmax_changes
from lifecycle.consistency.calls import call
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.errors import UnusableInputError


def _predictions(scores: np.ndarray, task: str = "single") -> Predictions:
    n, C = scores.shape
    ids = tuple(f"c{i}" for i in range(n))
    classes = tuple("abcdef"[:C])
    return Predictions(ids, ids, ("",) * n, None, classes, scores, task)  # type: ignore[arg-type]


def _counted(one: Predictions, two: Predictions) -> AnyTau:
    """The definition: for every tau, what both report and what of it is discordant."""
    taus = sorted(set(one.scores.ravel()) | set(two.scores.ravel()), reverse=True)
    most, share, at = 0, None, None
    for tau in taus:
        no = None if one.task == "single" else tuple(np.nextafter([tau] * len(one.classes), -1))
        cut = Cutoffs((tau,) * len(one.classes), no, "given", {})
        a, b = call(one, cut).state, call(two, cut).state
        both = (a != 0) & (b != 0)
        unlike = both & (a != b)
        if one.task == "single":
            both, unlike = both.any(axis=1), unlike.any(axis=1)
        R, D = int(both.sum()), int(unlike.sum())
        most = max(most, D)
        if R and (share is None or share < D / R):
            share, at = D / R, tau if D else None
    return AnyTau(most, share, at)


@pytest.mark.parametrize("task", ["single", "multi"])
@pytest.mark.parametrize("seed", range(8))
def test_the_sweep_is_the_count_at_every_tau(task: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(1, 9, size=(2, 12, 3)) / 10.0  # coarse: many ties
    if task == "single":
        scores = scores / scores.sum(axis=2, keepdims=True)
    one, two = (_predictions(part, task) for part in scores)
    found, counted = any_tau(one, two), _counted(one, two)
    assert found.discordant == counted.discordant
    assert found.share == counted.share
    assert found.tau == counted.tau


def test_the_count_of_single_label_cases_is_that_of_other_classes() -> None:
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(4), size=(2, 50))
    one, two = (_predictions(part) for part in scores)
    assert any_tau(one, two).discordant == argmax_changes(one.scores, two.scores) > 10


def test_equal_builds_never_contradict_each_other() -> None:
    one = _predictions(np.random.default_rng(0).dirichlet(np.ones(3), size=9))
    assert any_tau(one, one) == AnyTau(0, 0.0, None)


def test_other_cases_are_refused() -> None:
    one = _predictions(np.full((3, 2), 0.5))
    with pytest.raises(UnusableInputError, match="align"):
        any_tau(one, replace(one, ids=("x", "y", "z")))
