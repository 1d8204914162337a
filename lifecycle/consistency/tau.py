"""tau: the critical value, chosen once on the holdout (seed 002, IV.F; design 03).

The score that maximises recall subject to perfect precision, the problem coerced to one class
against the sum of all others: the lowest score of a positive above the score of every negative.
What a holdout of this size can say of it is printed with it, in patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lifecycle.consistency.calls import REFUSED_NO, REFUSED_YES, call
from lifecycle.domain.classifier import TauPlan
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.errors import UnusableInputError, UsageError
from lifecycle.records.format import plain
from lifecycle.stats.intervals import lower_bound, upper_bound

Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]

STATUSES = ("proposed", "provisional", "refused")
RESAMPLES = 1000  # of patients, for the uncertainty of a tau at less than perfect precision
OPTIMISTIC = (
    "Precision and recall are read on the holdout that tau was chosen on, so they are optimistic "
    "(with 16 positives a recall of 0.85 seen is 0.79 in truth), and more so if search or "
    "stopping used the same holdout."
)
ONE_CLASS = "This tau was chosen for {positive!r}; it says nothing about calls of other classes."
NOT_ARGMAX = (
    "At tau <= 0.5 a score at or above tau does not imply the highest score; both are demanded."
)
NOTHING_OPEN = "yes and no cutoffs of {names} are equal: no case can be inconclusive for them."


@dataclass(frozen=True, slots=True)
class Choice:
    """One cutoff and what it rests on. Counts are patients unless they say cases.

    Attributes:
        positive: the class that was set against all others.
        side: `yes` (call the class at or above tau) or `no` (rule it out at or below tau; there
            positives are the patients without the class).
        tau: the cutoff found, None where no score reaches the precision.
        n_pos, n_neg: patients on either side.
        tp, fp: patients with a case on the called side of tau.
        n_pos_cases, tp_cases: the same in cases.
        tp_called_cases: true positives whose class also has the highest score.
        recall: tp_cases / n_pos_cases.
        precision_bound: exact lower bound of precision; alpha^(1/tp) where fp = 0.
        fp_bound: exact upper bound of the false-positive rate; 1 - alpha^(1/n_neg) where fp = 0.
        interval: 95% patient bootstrap of tau; None at perfect precision, where a resample
            could not exceed the observed maximum.
        status: `proposed`, `provisional` or `refused`.
        said: one sentence for a person.
    """

    positive: str
    side: Literal["yes", "no"]
    tau: float | None
    n_pos: int
    n_neg: int
    tp: int
    fp: int
    n_pos_cases: int
    tp_cases: int
    tp_called_cases: int
    recall: float | None
    precision_bound: float
    fp_bound: float
    interval: tuple[float, float] | None
    status: Literal["proposed", "provisional", "refused"]
    said: str


@dataclass(frozen=True, slots=True)
class Hindsight:
    """The cutoff that would have removed every contradiction, had one known it. Never gated.

    Attributes:
        cutoff: the lowest such cutoff.
        recall: recall of the positive class on the holdout at it.
        recall_at_tau: recall at the tau that is in force.
    """

    cutoff: float
    recall: float
    recall_at_tau: float


def choose(holdout: Predictions, plan: TauPlan, seed: int = 0) -> Cutoffs:
    """Choose the critical values on the holdout of a version's first build.

    Single-label, mode `one`: one tau from `plan.positive`, applied to every call; refused below
    the precision bound `plan.refuse_below`, provisional below `plan.target`. Mode `per-class`:
    every class against the others by itself. Multi-label: per class `yes` by precision and `no`
    by negative predictive value. A class whose cutoff is refused is listed in the evidence
    (`refused_yes`, `refused_no`) and never reported; where nothing is left, the status is
    `refused`.

    Args:
        holdout: labelled predictions.
        plan: how to choose.
        seed: of the PCG64 stream of the bootstrap (used at precision below 1 only).

    Returns:
        Cutoffs with `evidence` as JSON.

    Raises:
        UnusableInputError: a label is missing or unknown, or a score is NaN.
        UsageError: the plan's positive class does not exist.
    """
    truth = _truth(holdout)
    if holdout.task == "multi":
        return _multi(holdout, truth, plan, seed)
    if plan.mode == "one":
        return _one(holdout, truth, plan, seed)
    return _per_class(holdout, truth, plan, seed)


def curve(holdout: Predictions, positive: str) -> list[tuple[float, float, float, int, int]]:
    """Precision and recall of a class against the sum of all others, for the plot.

    Returns:
        (threshold, precision, recall, tp, fp) in cases, at every distinct score, rising.

    Raises:
        UnusableInputError: a label is missing or unknown.
        UsageError: no such class, or no case of it.
    """
    at = _index(holdout, positive)
    truth = _truth(holdout)[:, at]
    if not truth.any():
        raise UsageError(f"the holdout has no case of {positive!r}: there is no recall to draw")
    cut, tp, fp = _tables(holdout.scores[:, at], truth, np.ones(len(truth)))
    rows = zip(cut.tolist(), tp.tolist(), fp.tolist(), strict=True)
    n_pos = int(truth.sum())
    return [(t, a / (a + b), a / n_pos, int(a), int(b)) for t, a, b in rows]


def hindsight(
    builds: Mapping[str, Predictions], cutoffs: Cutoffs, holdout: Predictions, positive: str
) -> Hindsight | None:
    """The common cutoff that would have removed all contradictions, and what it costs.

    A contradiction ends when the less sure of the two builds falls silent, so the cutoff lies
    just above the largest such score (seed 002, IV.F: it cannot be known a priori).

    Args:
        builds: aligned single-label predictions of the compared builds.
        cutoffs: those in force.
        holdout: labelled predictions of the first build.
        positive: class whose recall is read.

    Returns:
        None where nothing contradicts, or no cutoff up to 1 removes it.

    Raises:
        UsageError: multi-label predictions, or no such class.
        UnusableInputError: labels are missing, or a score is NaN.
    """
    if holdout.task != "single":
        raise UsageError("hindsight is defined for single-label classifiers")
    last = max(
        (_least_sure(one, two, cutoffs) for one, two in combinations(builds.values(), 2)),
        default=-1.0,
    )
    at = _index(holdout, positive)
    own = holdout.scores[_truth(holdout)[:, at], at]
    if last < 0.0 or last >= 1.0 or not len(own):
        return None
    return Hindsight(
        cutoff=float(np.nextafter(last, 2.0)),
        recall=float((own > last).mean()),
        recall_at_tau=float((own >= cutoffs.yes[at]).mean()),
    )


def _least_sure(one: Predictions, two: Predictions, cutoffs: Cutoffs) -> float:
    """Largest score of the less sure build over cases on which two builds contradict."""
    first, second = call(one, cutoffs), call(two, cutoffs)
    both = (first.state != 0).any(axis=1) & (second.state != 0).any(axis=1)
    differ = both & (first.argmax != second.argmax)
    weaker = np.minimum(one.scores.max(axis=1), two.scores.max(axis=1))
    return float(weaker[differ].max(initial=-1.0))


def _index(holdout: Predictions, positive: str | None) -> int:
    if positive not in holdout.classes:
        raise UsageError(
            f"tau.positive is {positive!r}; the classes are {', '.join(holdout.classes)}"
        )
    return holdout.classes.index(positive)


def _truth(holdout: Predictions) -> Mask:
    """(n, C) bool: which classes each case has; every label must be known."""
    labels = holdout.labels
    if labels is None:
        raise UnusableInputError("choosing tau needs the holdout's labels; column 'label' is none")
    if not np.isfinite(holdout.scores).all():
        raise UnusableInputError("choosing tau needs finite scores; one is NaN or infinite")
    at = {name: j for j, name in enumerate(holdout.classes)}
    truth = np.zeros((len(labels), len(at)), dtype=np.bool_)
    for i, (case, label) in enumerate(zip(holdout.ids, labels, strict=True)):
        for name in label.split("|") if holdout.task == "multi" else [label]:
            if name not in at:
                what = f"label {name!r}, which is no class" if name else "no label"
                raise UnusableInputError(f"holdout case {case!r} has {what}; tau needs it")
            truth[i, at[name]] = True
    return truth


def _tables(scores: Scores, positive: Mask, weight: Scores) -> tuple[Scores, Scores, Scores]:
    """Distinct scores rising, and weighted positives and negatives at or above each."""
    cut, where = np.unique(scores, return_inverse=True)
    tp = np.bincount(where, weight * positive, minlength=len(cut))[::-1].cumsum()[::-1]
    fp = np.bincount(where, weight * ~positive, minlength=len(cut))[::-1].cumsum()[::-1]
    return cut, tp, fp


def _lowest(scores: Scores, positive: Mask, weight: Scores, precision: float) -> float | None:
    """Lowest score of a positive at which the precision is reached; None where it never is."""
    cut, tp, fp = _tables(scores, positive, weight)
    here = tp - np.append(tp[1:], 0.0) > 0  # a positive stands at this very score
    ok = here & (tp / np.maximum(tp + fp, 1.0) >= precision)
    return float(cut[ok][0]) if ok.any() else None


def _interval(
    scores: Scores, positive: Mask, codes: NDArray[np.intp], precision: float, seed: int
) -> tuple[float, float] | None:
    """95% percentile bootstrap of tau over patients."""
    rng = np.random.Generator(np.random.PCG64(seed))
    n = int(codes.max()) + 1
    drawn = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(RESAMPLES))
    taus = [_lowest(scores, positive, w[codes].astype(np.float64), precision) for w in drawn]
    found = [tau for tau in taus if tau is not None]
    if not found:
        return None
    low, high = np.quantile(found, (0.025, 0.975), method="inverted_cdf")
    return float(low), float(high)


def _choice(
    holdout: Predictions, truth: Mask, at: int, side: Literal["yes", "no"], plan: TauPlan, seed: int
) -> Choice:
    """One class on one side; ruling out is calling the absence on negated scores."""
    sign = 1.0 if side == "yes" else -1.0
    scores = sign * holdout.scores[:, at]
    positive = truth[:, at] if side == "yes" else ~truth[:, at]
    codes = np.unique(np.asarray(holdout.patients), return_inverse=True)[1].astype(np.intp)
    tau = _lowest(scores, positive, np.ones(len(scores)), plan.precision)
    above = scores >= (np.inf if tau is None else tau)
    top = np.argmax(holdout.scores, axis=1) == at

    def patients(mask: Mask) -> int:
        return len(np.unique(codes[mask]))

    tp, fp = patients(above & positive), patients(above & ~positive)
    n_pos, n_neg = patients(positive), patients(~positive)
    n_pos_cases, tp_cases = int(positive.sum()), int((above & positive).sum())
    bound = lower_bound(tp, tp + fp, plan.alpha) if tp else 0.0
    status = _status(bound, tp, n_neg, plan)
    boot = plan.precision < 1.0 and tau is not None
    interval = _interval(scores, positive, codes, plan.precision, seed) if boot else None
    return Choice(
        positive=holdout.classes[at],
        side=side,
        tau=None if tau is None else sign * tau,
        n_pos=n_pos,
        n_neg=n_neg,
        tp=tp,
        fp=fp,
        n_pos_cases=n_pos_cases,
        tp_cases=tp_cases,
        tp_called_cases=int((above & positive & top).sum()),
        recall=tp_cases / n_pos_cases if n_pos_cases else None,
        precision_bound=bound,
        fp_bound=upper_bound(fp, n_neg, plan.alpha),
        interval=_signed(interval, side),
        status=status,
        said=_said(holdout.classes[at], side, tau, (tp, n_pos, n_neg), bound, status, plan),
    )


def _signed(interval: tuple[float, float] | None, side: str) -> tuple[float, float] | None:
    if interval is None or side == "yes":
        return interval
    return -interval[1], -interval[0]


def _status(
    bound: float, tp: int, n_neg: int, plan: TauPlan
) -> Literal["proposed", "provisional", "refused"]:
    if tp == 0 or n_neg == 0 or bound < plan.refuse_below:
        return "refused"
    return "provisional" if bound < plan.target else "proposed"


def _said(
    name: str,
    side: str,
    tau: float | None,
    counts: tuple[int, int, int],
    bound: float,
    status: str,
    plan: TauPlan,
) -> str:
    """The status sentence."""
    tp, n_pos, n_neg = counts
    what = repr(name) if side == "yes" else f"absence of {name!r}"
    if n_pos == 0 or n_neg == 0:
        return f"{what}: refused, the holdout lacks patients {'with' if n_pos == 0 else 'without'}."
    if tau is None:
        return f"{what}: refused, no score reaches a precision of {plan.precision:g}."
    shows = (
        f"{what}: {tp} of {n_pos} patients at tau = {abs(tau):.6g}, which shows a precision of at "
        f"least {bound:.3f} (confidence {1 - plan.alpha:g})"
    )
    if status == "refused":
        return f"{shows}; refused, because {plan.refuse_below:g} is the least that is accepted."
    if status == "provisional":
        return f"{shows}; provisional, because the target is {plan.target:g}."
    return f"{shows}; the target of {plan.target:g} is met."


def _summary(chosen: list[Choice]) -> str:
    """One cutoff is told in full; of many, what may be called (each is told in `chosen`)."""
    if len(chosen) == 1:
        return chosen[0].said
    sides = [[c for c in chosen if c.side == side] for side in ("yes", "no")]
    return " ".join(_side_said(side) for side in sides if side)


def _side_said(chosen: list[Choice]) -> str:
    what = "called" if chosen[0].side == "yes" else "ruled out"
    names = {s: [c.positive for c in chosen if c.status == s] for s in STATUSES}
    used = len(chosen) - len(names["refused"])
    said = f"{used} of {len(chosen)} classes can be {what}"
    if names["provisional"]:
        said += f", provisionally {', '.join(names['provisional'])}"
    if names["refused"]:
        said += f"; never {what} (no cutoff, or too few patients): {', '.join(names['refused'])}"
    return f"{said}."


def _evidence(holdout: Predictions, plan: TauPlan, chosen: list[Choice]) -> dict[str, Any]:
    return {
        "mode": "per-class" if holdout.task == "multi" else plan.mode,
        "precision": plan.precision,
        "alpha": plan.alpha,
        "refuse_below": plan.refuse_below,
        "target": plan.target,
        "holdout_cases": len(holdout.ids),
        "holdout_patients": len(set(holdout.patients)),
        "holdout_digest": holdout.digest(),
        "chosen": [plain(choice) for choice in chosen],
        "said": _summary(chosen),
        "note": OPTIMISTIC,
    }


def _one(holdout: Predictions, truth: Mask, plan: TauPlan, seed: int) -> Cutoffs:
    choice = _choice(holdout, truth, _index(holdout, plan.positive), "yes", plan, seed)
    evidence = _evidence(holdout, plan, [choice]) | plain(choice)
    notes = [OPTIMISTIC, ONE_CLASS.format(positive=choice.positive)]
    notes += [NOT_ARGMAX] if choice.tau is not None and choice.tau <= 0.5 else []
    evidence["note"] = " ".join(notes)
    value = 1.0 if choice.tau is None else choice.tau
    return Cutoffs((value,) * len(holdout.classes), None, choice.status, evidence)


def _per_class(holdout: Predictions, truth: Mask, plan: TauPlan, seed: int) -> Cutoffs:
    every = range(len(holdout.classes))
    chosen = [_choice(holdout, truth, j, "yes", plan, seed) for j in every]
    evidence = _evidence(holdout, plan, chosen) | {REFUSED_YES: _refused(chosen)}
    yes = tuple(_value(choice, 1.0) for choice in chosen)
    return Cutoffs(yes, None, _overall(chosen), evidence)


def _multi(holdout: Predictions, truth: Mask, plan: TauPlan, seed: int) -> Cutoffs:
    every = range(len(holdout.classes))
    up = [_choice(holdout, truth, j, "yes", plan, seed) for j in every]
    down = [_choice(holdout, truth, j, "no", plan, seed) for j in every]
    yes = tuple(_value(choice, 1.0) for choice in up)
    # below perfect precision the two can cross; a score that is yes is never also no
    no = tuple(min(_value(choice, 0.0), t) for choice, t in zip(down, yes, strict=True))
    evidence = _evidence(holdout, plan, up + down)
    evidence |= {REFUSED_YES: _refused(up), REFUSED_NO: _refused(down)}
    equal = [c for c, a, b in zip(holdout.classes, yes, no, strict=True) if a == b]
    if equal:
        evidence["note"] = f"{OPTIMISTIC} {NOTHING_OPEN.format(names=', '.join(equal))}"
    return Cutoffs(yes, no, _overall(up + down), evidence)


def _value(choice: Choice, closed: float) -> float:
    """The cutoff in force; a refused one stands where hardly a score reaches it."""
    return closed if choice.tau is None or choice.status == "refused" else choice.tau


def _refused(chosen: list[Choice]) -> list[str]:
    return [choice.positive for choice in chosen if choice.status == "refused"]


def _overall(chosen: list[Choice]) -> str:
    """Refused only where nothing is left; provisional where anything is less than proposed."""
    statuses = {choice.status for choice in chosen}
    return statuses.pop() if len(statuses) == 1 else "provisional"
