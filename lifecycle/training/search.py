"""Grid search of learning rate and L2 as the paper does it (seed 002, IV.D)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import product

from joblib import Parallel, delayed

from lifecycle.domain.classifier import Recipe, SearchPlan
from lifecycle.domain.networks import Plan
from lifecycle.training.trainer import Examples, train

LOW, HIGH = -6, -2  # exponents of the grid's ends, for both rates


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the grid.

    Attributes:
        lr, l2: the rates.
        error: lowest holdout error at full recall over the epochs.
        epoch: the first epoch that reached it.
    """

    lr: float
    l2: float
    error: float
    epoch: int


def grid(points: int) -> tuple[float, ...]:
    """`points` values from exp(-6) to exp(-2), evenly spaced in the logarithm.

    Rounded once from the decimal exponential, because libm's exp differs between machines.
    """
    step = Decimal(HIGH - LOW) / (points - 1)
    return tuple(float((Decimal(LOW) + step * i).exp()) for i in range(points))


def search(
    plan: SearchPlan,
    model: Plan,
    recipe: Recipe,
    training: Examples,
    holdout: Examples,
    classes: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Point, ...]:
    """Train at every point; the result does not depend on the number of jobs.

    Returns:
        All points, the best first: lowest error; ties: smaller rate, then larger L2.
    """
    rates = list(product(grid(plan.points), repeat=2))
    tasks = (
        delayed(_score)(model, _at(recipe, lr, l2, plan.epochs), training, holdout, classes)
        for lr, l2 in rates
    )
    found = []
    for point in Parallel(n_jobs=plan.jobs, return_as="generator")(tasks):
        found.append(point)
        if progress is not None:
            progress(len(found), len(rates))
    return tuple(sorted(found, key=lambda point: (point.error, point.lr, -point.l2)))


def _at(recipe: Recipe, lr: float, l2: float, epochs: int) -> Recipe:
    """The recipe at a point: a constant rate from the first step, whatever the schedule."""
    return replace(
        recipe, lr=lr, l2=l2, epochs=epochs, stop="best-holdout", schedule="constant", warm_up=0
    )


def _score(
    model: Plan, recipe: Recipe, training: Examples, holdout: Examples, classes: int
) -> Point:
    trained = train(model, recipe, training, holdout, classes)
    best = min(trained.history, key=lambda epoch: (epoch.holdout_error, epoch.epoch))
    return Point(recipe.lr, recipe.l2, best.holdout_error, best.epoch)
