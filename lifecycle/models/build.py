"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lifecycle.domain.classifier import Numerics, Recipe
from lifecycle.domain.networks import Plan, network_of
from lifecycle.models.initialisation.apply import initialise
from lifecycle.models.network import Network
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.modes import ops_for


def build_model(plan: Plan, recipe: Recipe, features: int, classes: int) -> Network:
    """A network with its initial values, in the dtype and the operations of the recipe.

    Args:
        plan: which network, and its sizes.
        recipe: initial values, seed, numerics.
        features: last dimension of the input: features, or leads of a signal.
        classes: C, outputs.

    Raises:
        UnusableInputError: exact arithmetic cannot do what the network is made of, or there is no
            such network.
    """
    if recipe.init == "torch":
        torch.manual_seed(recipe.seed)
    ops = ops_for(recipe.numerics)
    model = builder_of(plan.kind)(features, classes, plan, ops).double()
    model.seed = recipe.seed
    initialise(model, recipe.init, recipe.seed)
    if isinstance(ops, ExactOps):
        ops.bind(model)
    return model if recipe.numerics.dtype == "float64" else model.float()


def builder_of(kind: str) -> Callable[..., Network]:
    """The class of a kind of network, imported now.

    Raises:
        UnusableInputError: there is no such kind.
    """
    module, _, name = network_of(kind).builder.partition(":")
    found: Any = getattr(import_module(f"lifecycle.models.{module}"), name)
    return found  # type: ignore[no-any-return]


def portable(recipe: Recipe) -> Recipe:
    """The recipe of a network that the framework can export and run without this package.

    An exact network is given the framework's operations: the same weights, and scores that differ
    in their last digits.
    """
    if recipe.numerics.mode != "exact":
        return recipe
    return replace(recipe, numerics=Numerics(mode="native"))


def tensors_of(model: torch.nn.Module) -> dict[str, NDArray[np.generic]]:
    """Copies of all parameters AND buffers, by name."""
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def load_tensors(model: torch.nn.Module, tensors: dict[str, NDArray[np.generic]]) -> None:
    """Put named tensors into a network; names and shapes must match exactly."""
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
