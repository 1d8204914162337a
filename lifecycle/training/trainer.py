"""Training: minibatches in a fixed order, one epoch after the other, watched by observers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifecycle.domain.classifier import ModelPlan, Recipe
from lifecycle.errors import UnusableInputError
from lifecycle.models.build import build_model, tensors_of
from lifecycle.models.mlp import MLP
from lifecycle.numerics.exact.rounding import InexactError
from lifecycle.numerics.modes import numerics_mode
from lifecycle.numerics.streams import permutation
from lifecycle.training.optimising import Optimiser, optimiser_for


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Network input and class indices.

    Attributes:
        x: (n, p) float64.
        y: (n,) class indices.
    """

    x: NDArray[np.float64]
    y: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch ended with.

    Attributes:
        epoch: 1 for the first.
        loss: mean training loss over the epoch's minibatches.
        holdout_loss: mean cross-entropy on the holdout.
        holdout_error: share of holdout cases whose argmax is wrong, every case called.
    """

    epoch: int
    loss: float
    holdout_loss: float
    holdout_error: float


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A trained network.

    Attributes:
        tensors: parameters and buffers of the chosen epoch, by name.
        epochs: the chosen epoch (a rebuild of the version trains as many).
        history: every epoch that was trained.
    """

    tensors: dict[str, NDArray[np.generic]]
    epochs: int
    history: tuple[Epoch, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What a step computed, as it ended: the parameters are updated, their gradients still stand.

    Attributes:
        epoch, step: 1 for the first; the step counts within its epoch.
        loss: () mean loss of the minibatch.
        logits: (n, classes).
    """

    epoch: int
    step: int
    loss: Tensor
    logits: Tensor


class Watcher:
    """Looks at every step of a training and changes nothing of it; this one does not look."""

    def start(self, model: MLP, optimiser: Optimiser) -> None:
        """The initial values are set; no step was done."""

    def before(self, epoch: int, step: int) -> None:
        """A step begins."""

    def after(self, step: Step) -> None:
        """A step ended."""


# Called at the end of each epoch with the network as it then is (to be looked at, not changed).
Observer = Callable[[Epoch, MLP], None]


def train(
    plan: ModelPlan,
    recipe: Recipe,
    training: Examples,
    holdout: Examples,
    classes: int,
    observers: tuple[Observer, ...] = (),
    watcher: Watcher | None = None,
    fused: bool = True,
) -> Trained:
    """Train on cross-entropy with coupled L2 (seed 002, IV.C and Eq. 1).

    With `stop: best-holdout` the network of the epoch with the lowest holdout error is kept (among
    equals the lowest holdout loss, then the earliest); with `fixed` the last one is.

    Args:
        plan: the network.
        recipe: how it is trained.
        training: what it is trained on.
        holdout: what every epoch is scored on.
        classes: C, outputs of the network.
        observers: called at the end of each epoch, in order.
        watcher: told of every step.
        fused: allow an optimiser that leaves no gradient of a wide layer behind; same bits.

    Raises:
        UnusableInputError: an input is NaN or infinite (case and feature are named), or the loss
            became so (the epoch is named; in exact mode also step, layer and tensor).
    """
    for name, part in (("training", training), ("holdout", holdout)):
        _require_finite(part.x, name)
    with numerics_mode(recipe.numerics) as dtype:
        model = build_model(plan, recipe, training.x.shape[1], classes)
        optimiser = optimiser_for(model, recipe, len(training.y), fused=fused)
        watcher = watcher or Watcher()
        watcher.start(model, optimiser)
        train_set, held = _tensors(training, dtype), _tensors(holdout, dtype)
        history: list[Epoch] = []
        kept: tuple[tuple[float, float], int, dict[str, NDArray[np.generic]]] | None = None
        for number in range(1, recipe.epochs + 1):
            epoch = _epoch(model, optimiser, train_set, held, recipe, number, watcher)
            history.append(epoch)
            for observe in observers:
                observe(epoch, model)
            if recipe.stop == "fixed":
                continue
            score = (epoch.holdout_error, epoch.holdout_loss)
            if kept is None or score < kept[0]:
                kept = (score, number, tensors_of(model))
        if kept is None:
            return Trained(tensors_of(model), recipe.epochs, tuple(history))
        return Trained(kept[2], kept[1], tuple(history))


def _require_finite(x: NDArray[np.float64], name: str) -> None:
    bad = ~np.isfinite(x)
    if bad.any():
        case, feature = (int(at[0]) + 1 for at in np.nonzero(bad))
        raise UnusableInputError(
            f"{name}: case number {case}, feature number {feature} is {x[case - 1, feature - 1]}"
        )


def _tensors(examples: Examples, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(examples.x).to(dtype), torch.from_numpy(examples.y)


def _epoch(
    model: MLP,
    optimiser: Optimiser,
    training: tuple[Tensor, Tensor],
    holdout: tuple[Tensor, Tensor],
    recipe: Recipe,
    number: int,
    watcher: Watcher,
) -> Epoch:
    losses = _steps(model, optimiser, training, recipe, number, watcher)
    # fsum rounds once, whatever the order: the record of an exact build is the same everywhere
    mean = math.fsum(losses) / len(losses) if np.isfinite(losses).all() else math.nan
    if not np.isfinite(mean):
        raise UnusableInputError(
            f"training stopped at epoch {number}: the loss is {mean}; lower `recipe.lr` or look "
            "for extreme values in the input"
        )
    try:
        with torch.no_grad():
            logits = model(holdout[0])
            loss = float(model.ops.cross_entropy(logits, holdout[1]))
    except InexactError as error:
        raise error.at(f"epoch {number}, holdout") from None
    wrong = int((logits.numpy().argmax(axis=1) != holdout[1].numpy()).sum())
    return Epoch(number, mean, loss, wrong / len(holdout[1]))


def _steps(
    model: MLP,
    optimiser: Optimiser,
    training: tuple[Tensor, Tensor],
    recipe: Recipe,
    number: int,
    watcher: Watcher,
) -> list[float]:
    x, y = training
    order = torch.from_numpy(permutation(recipe.seed, number, len(y)))
    batches = torch.split(order, recipe.minibatch)
    losses = []
    upcoming: Tensor | None = cases(x, batches[0])
    for step, batch in enumerate(batches, start=1):
        current, upcoming = upcoming, cases(x, batches[step]) if step < len(batches) else None
        watcher.before(number, step)
        try:
            loss, logits = _step(model, optimiser, current, y[batch], upcoming)
        except InexactError as error:
            raise error.at(f"epoch {number}, step {step}") from None
        watcher.after(Step(number, step, loss, logits))
        losses.append(float(loss))
    return losses


def cases(x: Tensor, rows: Tensor) -> Tensor:
    """The cases (k, in) of a minibatch.

    By numpy: torch shares such a copy out among its threads, which then spin for a while and keep
    the sweep over the first layer from a core (2 of 13 ms of a step at the paper's size).
    """
    return torch.from_numpy(x.numpy().take(rows.numpy(), axis=0))


def _step(
    model: MLP, optimiser: Optimiser, x: Tensor | None, y: Tensor, upcoming: Tensor | None
) -> tuple[Tensor, Tensor]:
    optimiser.zero_grad()
    logits = model(x)
    loss = model.ops.cross_entropy(logits, y)
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
    optimiser.step(upcoming)
    return loss.detach(), logits.detach()


def scores(model: MLP, x: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    """Scores on the simplex, (n, C) float64, of inputs (n, p).

    Raises:
        UnusableInputError: an input or a score is NaN or infinite; the case is named.
    """
    _require_finite(x, "input")
    with numerics_mode(recipe.numerics) as dtype, torch.no_grad():
        values = model.ops.softmax(model(torch.from_numpy(x).to(dtype))).numpy()
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise UnusableInputError(f"the network gives no finite scores for case number {row + 1}")
    return np.asarray(values, dtype=np.float64)
