"""How far a score stands from its critical value, and how firm a contradiction is by that.

Shown and used to sort; nothing here decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lifecycle.consistency.agree import Discordant
from lifecycle.consistency.calls import REFUSED_NO, REFUSED_YES
from lifecycle.domain.classifier import Task
from lifecycle.domain.predictions import Cutoffs
from lifecycle.report.text import MINUS, number


@dataclass(frozen=True, slots=True)
class Limits:
    """Critical values in force.

    Attributes:
        task: of the classifier.
        yes: class -> score at or above which it is called; classes without one are left out.
        no: class -> score at or below which it is ruled out; empty for single-label classifiers.
    """

    task: Task
    yes: Mapping[str, float]
    no: Mapping[str, float]

    def margin(self, name: str, score: float) -> float | None:
        """Score minus the nearest critical value of a class; None where none is in force."""
        sides = [side[name] for side in (self.yes, self.no) if name in side]
        return min((score - value for value in sides), key=abs, default=None)

    def depth(self, name: str, score: float) -> tuple[float, float]:
        """How far beyond `yes`, and how far below `no`; negative where it is not beyond."""
        yes, no = self.yes.get(name), self.no.get(name)
        below = -1.0 if no is None else no - score
        return (-1.0 if yes is None else score - yes), below


def limits(classes: Sequence[str], task: Task, cutoffs: Cutoffs) -> Limits:
    """The critical values by class; what was refused is not in force."""
    if cutoffs.status == "refused":
        return Limits(task, {}, {})

    def open_ones(values: Sequence[float], key: str) -> dict[str, float]:
        closed = set(cutoffs.evidence.get(key, ()))
        return {n: v for n, v in zip(classes, values, strict=False) if n not in closed}

    return Limits(
        task, open_ones(cutoffs.yes, REFUSED_YES), open_ones(cutoffs.no or (), REFUSED_NO)
    )


def signed(margin: float) -> str:
    """A margin with its sign; what is not 0 is not printed as 0."""
    return f"{MINUS if margin < 0 else '+'}{number(abs(margin))}"


def firmness(one: Discordant, kind: str, known: Limits) -> float | None:
    """How firm a discordant or converted case is.

    Of a discordant case: the margin of the weaker of its two contradicting results, in the pair of
    builds where that is largest. Of a conversion: how far the margin moved between reported and
    inconclusive. None where no scores are known.
    """
    if not any(one.scores.values()):
        return None
    by_class = _single(one, known) if known.task == "single" else _multi(one, known)
    measure = _contradiction if kind == "discordant" else _movement
    return max((measure(sides) for sides in by_class), default=None)


Sides = list[tuple[str, float]]  # what a build says, and how far beyond tau it says it


def _single(one: Discordant, known: Limits) -> list[Sides]:
    found = []
    for scores in one.scores.values():
        if scores:
            name = max(scores, key=scores.__getitem__)
            found.append((name, known.depth(name, scores[name])[0]))
    return [found]


def _multi(one: Discordant, known: Limits) -> list[Sides]:
    return [
        [
            ("yes", up) if up >= below else ("no", below)
            for up, below in (
                known.depth(name, scores[name]) for scores in one.scores.values() if name in scores
            )
        ]
        for name in one.classes
    ]


def _contradiction(sides: Sides) -> float:
    best: dict[str, float] = {}
    for said, depth in sides:
        best[said] = max(depth, best.get(said, -1.0))
    return sorted(best.values())[-2] if len(best) > 1 else -1.0


def _movement(sides: Sides) -> float:
    depths = [depth for _, depth in sides]
    return max(depths) - min(depths) if depths else -1.0
