"""Optimisers by name, in the operations of the numerics mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from lifecycle.domain.classifier import Recipe
from lifecycle.models.network import Network
from lifecycle.numerics.exact import optimisers as exact
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.exact.schedules import Schedule
from lifecycle.numerics.exact.wide import SweepingAdamax, WideLayer, is_wide
from lifecycle.numerics.minibatch import Minibatch

MOMENTUM = 0.9


class Optimiser(Protocol):
    """What the training loop asks of an optimiser."""

    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self, upcoming: Minibatch | None = None) -> None:
        """One step with the gradients at hand.

        Args:
            upcoming: the next minibatch, where it is known: an optimiser that sweeps over
                a wide first layer can begin its product with that input on the way.
        """


class FrameworkOptimiser:
    """The framework's own: fast, and other bits on other machines.

    Attributes:
        inner: the framework's optimiser.
        rates: learning rate of a step counted from 0, where it is scheduled.
        steps: steps done.
    """

    rates: Callable[[int], float] | None = None
    steps = 0

    def __init__(self, model: torch.nn.Module, recipe: Recipe) -> None:
        values, lr, l2 = list(model.parameters()), recipe.lr, recipe.l2
        self.inner: torch.optim.Optimizer
        if recipe.optimiser == "adamax":
            self.inner = torch.optim.Adamax(values, lr=lr, weight_decay=l2, foreach=True)
        elif recipe.optimiser == "adam":
            self.inner = torch.optim.Adam(values, lr=lr, weight_decay=l2, foreach=True)
        else:
            self.inner = torch.optim.SGD(
                values, lr=lr, momentum=MOMENTUM, weight_decay=l2, foreach=True
            )

    def zero_grad(self) -> None:
        """See `Optimiser`."""
        self.inner.zero_grad(set_to_none=True)

    def step(self, upcoming: Minibatch | None = None) -> None:
        """See `Optimiser`."""
        if self.rates is not None:
            for group in self.inner.param_groups:
                group["lr"] = self.rates(self.steps)
        self.inner.step()
        self.steps += 1


def optimiser_for(
    model: Network, recipe: Recipe, cases: int, *, fused: bool = True
) -> FrameworkOptimiser | exact.ExactOptimiser:
    """The optimiser of a recipe for a network, its learning rates scheduled.

    Args:
        model: the network.
        recipe: how it is trained.
        cases: cases of the training part, for the number of steps.
        fused: sweep over a wide first layer where that can be done; the bits are the same.
    """
    optimiser = _optimiser(model, recipe, fused)
    optimiser.rates = _rates(recipe, -(-cases // recipe.minibatch))
    return optimiser


def _rates(recipe: Recipe, steps: int) -> Callable[[int], float] | None:
    """Learning rate of a step, or None where it is constant."""
    if recipe.schedule == "constant" and recipe.warm_up == 0:
        return None
    schedule = Schedule(
        recipe.schedule, recipe.lr, recipe.epochs * steps, recipe.warm_up * steps, recipe.cycles
    )
    return schedule.rate


def _optimiser(
    model: Network, recipe: Recipe, fused: bool
) -> FrameworkOptimiser | exact.ExactOptimiser:
    if recipe.numerics.mode != "exact":
        return FrameworkOptimiser(model, recipe)
    parameters = list(model.parameters())
    if recipe.optimiser == "adamax":
        first = model.wide()
        if (
            fused
            and first is not None
            and isinstance(model.ops, ExactOps)
            and is_wide(first.weight, recipe.numerics.slices)
        ):
            model.ops.wide = WideLayer(first.weight)
            return SweepingAdamax(parameters, recipe.lr, recipe.l2, model.ops.wide)
        return exact.Adamax(parameters, recipe.lr, recipe.l2)
    if recipe.optimiser == "adam":
        return exact.Adam(parameters, recipe.lr, recipe.l2)
    return exact.SGD(parameters, recipe.lr, recipe.l2, MOMENTUM)
