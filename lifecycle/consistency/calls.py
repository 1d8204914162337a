"""From scores to calls: what a build would report of each case (seed 002, Def. 2 and II.A)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lifecycle.domain.names import INCONCLUSIVE, JOINT, NONE
from lifecycle.domain.predictions import Calls, Cutoffs, Predictions
from lifecycle.errors import UnusableInputError, UsageError

KNOWN_STATUS = ("proposed", "provisional", "refused", "given")  # given: a person stated tau
# What is said of one class of a case, by its state.
STATES = {1: "yes", 0: INCONCLUSIVE, -1: "no"}

REFUSED_YES = "refused_yes"  # evidence keys: classes whose cutoff was refused by itself
REFUSED_NO = "refused_no"


def call(predictions: Predictions, cutoffs: Cutoffs) -> Calls:
    """Calls of one build at its critical values.

    Single-label: the call is the argmax class (lowest index among ties, which are counted); it
    is reportable iff its score is at or above the class's cutoff. Multi-label: each class is yes
    at s >= yes, no at s <= no, inconclusive between; yes where both hold.

    A refused tau reports nothing: all of it where the status is `refused`, single classes where
    the evidence lists them under `refused_yes` or `refused_no`.

    Args:
        predictions: scores (n, C) float64 within [0, 1].
        cutoffs: one value a class, `no` for multi-label only.

    Returns:
        States int8 (n, C): 1 yes, -1 no, 0 inconclusive.

    Raises:
        UsageError: a cutoff is NaN or outside [0, 1], their number is not C, `no` exceeds `yes`,
            or the status is unknown.
        UnusableInputError: a score is NaN or outside [0, 1]; names case and class.
    """
    _check_scores(predictions)
    _check_cutoffs(predictions, cutoffs)
    if cutoffs.status == "refused":
        state = np.zeros(predictions.scores.shape, dtype=np.int8)
    elif predictions.task == "single":
        state = _single(predictions, cutoffs)
    else:
        state = _multi(predictions, cutoffs)
    return Calls(
        ids=predictions.ids,
        patients=predictions.patients,
        groups=predictions.groups,
        classes=predictions.classes,
        state=state,
        argmax=np.argmax(predictions.scores, axis=1).astype(np.intp),
        ties=_ties(predictions.scores),
        task=predictions.task,
    )


def said(calls: Calls, i: int) -> str:
    """The call of case i in words: in every list, table, report and file the same.

    The names of its classes joined by `|`; `none` where every class is ruled out; `inconclusive`
    where no class is called and not every one is ruled out. Of a single-label case that is its
    class, or `inconclusive`.
    """
    row = calls.state[i].tolist()
    called = [name for name, state in zip(calls.classes, row, strict=True) if state == 1]
    if called:
        return JOINT.join(called)
    return INCONCLUSIVE if 0 in row else NONE


def _single(predictions: Predictions, cutoffs: Cutoffs) -> NDArray[np.int8]:
    scores = predictions.scores
    at = np.arange(len(scores))
    called = np.argmax(scores, axis=1)  # numpy gives the first, hence the lowest class index
    enough = scores[at, called] >= np.asarray(cutoffs.yes)[called]
    enough &= ~_listed(predictions.classes, cutoffs, REFUSED_YES)[called]
    state = np.full(scores.shape, -1, dtype=np.int8)
    state[at, called] = 1
    state[~enough] = 0
    return state


def _multi(predictions: Predictions, cutoffs: Cutoffs) -> NDArray[np.int8]:
    scores, no = predictions.scores, np.asarray(cutoffs.no, dtype=np.float64)
    yes = scores >= np.asarray(cutoffs.yes)
    yes &= ~_listed(predictions.classes, cutoffs, REFUSED_YES)
    ruled_out = (scores <= no) & ~_listed(predictions.classes, cutoffs, REFUSED_NO)
    state = np.zeros(scores.shape, dtype=np.int8)
    state[ruled_out] = -1
    state[yes] = 1  # a score that is both is called: `_check_order` forbids cutoffs that cross
    return state


def _listed(classes: tuple[str, ...], cutoffs: Cutoffs, key: str) -> NDArray[np.bool_]:
    refused = set(cutoffs.evidence.get(key, ()))
    return np.array([name in refused for name in classes], dtype=bool)


def _ties(scores: NDArray[np.float64]) -> int:
    highest = scores.max(axis=1, keepdims=True)
    return int(np.count_nonzero((scores == highest).sum(axis=1) > 1))


def _check_scores(predictions: Predictions) -> None:
    scores = predictions.scores
    if scores.shape != (len(predictions.ids), len(predictions.classes)) or not scores.size:
        raise UnusableInputError(f"scores of shape {scores.shape} do not fit cases and classes")
    wrong = np.argwhere(~((scores >= 0.0) & (scores <= 1.0)))
    if len(wrong):
        i, j = (int(k) for k in wrong[0])
        raise UnusableInputError(
            f"case {predictions.ids[i]!r}, class {predictions.classes[j]!r}: score "
            f"{scores[i, j]} is not a number from 0 to 1"
        )


def _check_cutoffs(predictions: Predictions, cutoffs: Cutoffs) -> None:
    if cutoffs.status not in KNOWN_STATUS:
        raise UsageError(f"cutoffs of unknown status {cutoffs.status!r}")
    if (cutoffs.no is None) != (predictions.task == "single"):
        raise UsageError("multi-label calls need cutoffs `yes` and `no`, single-label only `yes`")
    for side, values in (("yes", cutoffs.yes), ("no", cutoffs.no)):
        if values is None:
            continue
        if len(values) != len(predictions.classes):
            raise UsageError(f"{len(values)} cutoffs for {len(predictions.classes)} classes")
        for name, value in zip(predictions.classes, values, strict=True):
            if not 0.0 <= value <= 1.0:
                raise UsageError(
                    f"tau: the cutoff `{side}` of {name!r} is {value}, not within [0, 1]"
                )
    _check_order(predictions, cutoffs)


def _check_order(predictions: Predictions, cutoffs: Cutoffs) -> None:
    sides = zip(predictions.classes, cutoffs.yes, cutoffs.no or cutoffs.yes, strict=True)
    for name, yes, no in sides:
        if no > yes:
            raise UsageError(f"the cutoffs of {name!r} cross: no at {no}, yes at {yes}")
