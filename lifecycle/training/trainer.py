"""Training: minibatches in a fixed order, one epoch after the other, watched by observers."""

from __future__ import annotations

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
from lifecycle.numerics.modes import numerics_mode
from lifecycle.numerics.streams import permutation


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


Observer = Callable[[Epoch], None]


def train(
    plan: ModelPlan,
    recipe: Recipe,
    training: Examples,
    holdout: Examples,
    classes: int,
    observers: tuple[Observer, ...] = (),
) -> Trained:
    """Train by Adamax on cross-entropy with coupled L2 (seed 002, IV.C and Eq. 1).

    With `stop: best-holdout` the network of the epoch with the lowest holdout error is kept (among
    equals the lowest holdout loss, then the earliest); with `fixed` the last one is.

    Raises:
        UnusableInputError: the loss became NaN or infinite; the epoch is named.
    """
    with numerics_mode(recipe.numerics) as dtype:
        model = build_model(plan, recipe, training.x.shape[1], classes)
        optimiser = torch.optim.Adamax(
            model.parameters(), lr=recipe.lr, weight_decay=recipe.l2, foreach=True
        )
        train_set, held = _tensors(training, dtype), _tensors(holdout, dtype)
        history: list[Epoch] = []
        kept: tuple[tuple[float, float], int, dict[str, NDArray[np.generic]]] | None = None
        for number in range(1, recipe.epochs + 1):
            epoch = _epoch(model, optimiser, train_set, held, recipe, number)
            history.append(epoch)
            for observe in observers:
                observe(epoch)
            if recipe.stop == "fixed":
                continue
            score = (epoch.holdout_error, epoch.holdout_loss)
            if kept is None or score < kept[0]:
                kept = (score, number, tensors_of(model))
        if kept is None:
            return Trained(tensors_of(model), recipe.epochs, tuple(history))
        return Trained(kept[2], kept[1], tuple(history))


def _tensors(examples: Examples, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(examples.x).to(dtype), torch.from_numpy(examples.y)


def _epoch(
    model: MLP,
    optimiser: torch.optim.Optimizer,
    training: tuple[Tensor, Tensor],
    holdout: tuple[Tensor, Tensor],
    recipe: Recipe,
    number: int,
) -> Epoch:
    losses = _steps(model, optimiser, training, recipe, number)
    mean = float(np.mean(losses))
    if not np.isfinite(mean):
        raise UnusableInputError(
            f"training stopped at epoch {number}: the loss is {mean}; lower `recipe.lr` or look "
            "for extreme values in the input"
        )
    with torch.no_grad():
        logits = model(holdout[0])
        loss = float(model.ops.cross_entropy(logits, holdout[1]))
        wrong = int((logits.argmax(dim=1) != holdout[1]).sum())
    return Epoch(number, mean, loss, wrong / len(holdout[1]))


def _steps(
    model: MLP,
    optimiser: torch.optim.Optimizer,
    training: tuple[Tensor, Tensor],
    recipe: Recipe,
    number: int,
) -> list[float]:
    x, y = training
    order = torch.from_numpy(permutation(recipe.seed, number, len(y)))
    losses = []
    for start in range(0, len(y), recipe.minibatch):
        rows = order[start : start + recipe.minibatch]
        optimiser.zero_grad(set_to_none=True)
        loss = model.ops.cross_entropy(model(x[rows]), y[rows])
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def scores(model: MLP, x: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    """Scores on the simplex, (n, C) float64, of inputs (n, p).

    Raises:
        UnusableInputError: a score is NaN.
    """
    with numerics_mode(recipe.numerics) as dtype, torch.no_grad():
        values = model.ops.softmax(model(torch.from_numpy(x).to(dtype))).numpy()
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise UnusableInputError(f"the network gives no finite scores for case number {row + 1}")
    return np.asarray(values, dtype=np.float64)
