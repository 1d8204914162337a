"""Training: minibatches in a fixed order, one epoch after the other, watched by observers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifecycle.domain.classifier import Recipe, Task
from lifecycle.domain.networks import Plan
from lifecycle.errors import UnusableInputError
from lifecycle.models.build import build_model, tensors_of
from lifecycle.models.network import Network
from lifecycle.numerics.exact.rounding import InexactError
from lifecycle.numerics.minibatch import Minibatch
from lifecycle.numerics.modes import numerics_mode
from lifecycle.training.losses import Loss, error_of, loss_for, penalised
from lifecycle.training.optimising import Optimiser, optimiser_for
from lifecycle.training.orders import order

_BLOCK = 256  # cases that are scored at a time: activations of signals are large


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Network input and what is to be learnt of it.

    Attributes:
        x: (n, p) float64; of signals (n, samples, leads).
        y: (n,) int64 class indices, or (n, C) float64 of 0 and 1 for a multi-label classifier.
    """

    x: NDArray[np.float64]
    y: NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch ended with.

    Attributes:
        epoch: 1 for the first.
        loss: mean training loss over the epoch's minibatches.
        holdout_loss: mean (binary, for multi-label) cross-entropy on the holdout.
        holdout_error: share of holdout cases whose argmax is wrong, every case called; for a
            multi-label classifier 1 - macro AUC.
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

    def start(self, model: Network, optimiser: Optimiser) -> None:
        """The initial values are set; no step was done."""

    def before(self, epoch: int, step: int) -> None:
        """A step begins."""

    def after(self, step: Step) -> None:
        """A step ended."""


# Called at the end of each epoch with the network as it then is (to be looked at, not changed).
Observer = Callable[[Epoch, Network], None]


def train(
    plan: Plan,
    recipe: Recipe,
    training: Examples,
    holdout: Examples,
    classes: int,
    observers: tuple[Observer, ...] = (),
    watcher: Watcher | None = None,
    fused: bool = True,
) -> Trained:
    """Train on cross-entropy with coupled L2 (seed 002, IV.C and Eq. 1; multi-label: binary).

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
        model = build_model(plan, recipe, training.x.shape[-1], classes)
        optimiser = optimiser_for(model, recipe, len(training.y), fused=fused)
        loss = loss_for(recipe, training.y, dtype)
        watcher = watcher or Watcher()
        watcher.start(model, optimiser)
        train_set, held = _tensors(training, dtype), _tensors(holdout, dtype)
        history: list[Epoch] = []
        kept: tuple[tuple[float, float], int, dict[str, NDArray[np.generic]]] | None = None
        for number in range(1, recipe.epochs + 1):
            epoch = _epoch(model, optimiser, loss, train_set, held, recipe, number, watcher)
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
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        kinds = ("feature",) if x.ndim == 2 else ("sample", "lead")
        places = zip(("case", *kinds), at, strict=True)
        where = ", ".join(f"{kind} number {i + 1}" for kind, i in places)
        raise UnusableInputError(f"{name}: {where} is {x[at]}")


def _tensors(examples: Examples, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    y = torch.from_numpy(examples.y)
    return torch.from_numpy(examples.x).to(dtype), y.to(dtype) if y.is_floating_point() else y


def _epoch(
    model: Network,
    optimiser: Optimiser,
    measure: Loss,
    training: tuple[Tensor, Tensor],
    holdout: tuple[Tensor, Tensor],
    recipe: Recipe,
    number: int,
    watcher: Watcher,
) -> Epoch:
    losses = _steps(model, optimiser, measure, training, recipe, number, watcher)
    # fsum rounds once, whatever the order: the record of an exact build is the same everywhere
    mean = math.fsum(losses) / len(losses) if np.isfinite(losses).all() else math.nan
    if not np.isfinite(mean):
        raise UnusableInputError(
            f"training stopped at epoch {number}: the loss is {mean}; lower `recipe.lr` or look "
            "for extreme values in the input"
        )
    try:
        logits = logits_of(model, holdout[0])
        loss = float(measure(model, logits, holdout[1]))
    except InexactError as error:
        raise error.at(f"epoch {number}, holdout") from None
    return Epoch(number, mean, loss, error_of(logits.numpy(), holdout[1].numpy()))


def logits_of(model: Network, x: Tensor) -> Tensor:
    """Logits (n, C), a block of cases at a time, in a network that is not being trained."""
    training = model.training
    model.eval()
    with torch.no_grad():
        blocks = [model(part) for part in torch.split(x, _BLOCK)]
    model.train(training)
    return torch.cat(blocks)


def _steps(
    model: Network,
    optimiser: Optimiser,
    measure: Loss,
    training: tuple[Tensor, Tensor],
    recipe: Recipe,
    number: int,
    watcher: Watcher,
) -> list[float]:
    x, y = training
    rows = order(recipe.order, recipe.seed, number, len(y))
    steps = -(-len(y) // recipe.minibatch)
    model.train()
    losses = []
    pairs = _in_turn(x, rows, recipe.minibatch)
    for step, (batch, upcoming) in enumerate(pairs, start=1):
        watcher.before(number, step)
        model.step = (number - 1) * steps + step - 1
        target = y[torch.from_numpy(batch.rows)]
        try:
            loss, logits = _step(model, optimiser, measure, (batch.values, target), upcoming)
        except InexactError as error:
            raise error.at(f"epoch {number}, step {step}") from None
        watcher.after(Step(number, step, loss, logits))
        losses.append(float(loss))
    return losses


def _in_turn(
    x: Tensor, rows: NDArray[np.int64], size: int
) -> Iterator[tuple[Minibatch, Minibatch | None]]:
    """Each minibatch of so many cases, and the one after it."""
    current = Minibatch(x, rows[:size])
    for at in range(size, len(rows), size):
        upcoming = Minibatch(x, rows[at : at + size])
        yield current, upcoming
        current = upcoming
    yield current, None


def _step(
    model: Network,
    optimiser: Optimiser,
    measure: Loss,
    batch: tuple[Tensor, Tensor],
    upcoming: Minibatch | None,
) -> tuple[Tensor, Tensor]:
    optimiser.zero_grad()
    logits = model(batch[0])
    loss = penalised(model, measure(model, logits, batch[1]))
    loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
    optimiser.step(upcoming)
    return loss.detach(), logits.detach()


def scores(
    model: Network, x: NDArray[np.float64], recipe: Recipe, task: Task
) -> NDArray[np.float64]:
    """Scores (n, C) float64 of inputs (n, p) or (n, samples, leads).

    Of a single-label classifier they lie on the simplex, of a multi-label one each within [0, 1].

    Raises:
        UnusableInputError: an input or a score is NaN or infinite; the case is named.
    """
    _require_finite(x, "input")
    with numerics_mode(recipe.numerics) as dtype, torch.no_grad():
        logits = logits_of(model, torch.from_numpy(x).to(dtype))
        squash = model.ops.softmax if task == "single" else model.ops.sigmoid
        values = squash(logits).double().numpy()
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise UnusableInputError(f"the network gives no finite scores for case number {row + 1}")
    return np.asarray(values, dtype=np.float64)
