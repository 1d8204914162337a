"""Networks by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from lifecycle.domain.classifier import ModelPlan, Numerics, Recipe
from lifecycle.models.mlp import MLP, initialise
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.modes import ops_for


def build_model(plan: ModelPlan, recipe: Recipe, features: int, classes: int) -> MLP:
    """A network with its initial values, in the dtype and the operations of the recipe.

    Raises:
        UnusableInputError: exact arithmetic cannot do what the network is made of.
    """
    if recipe.init == "torch":
        torch.manual_seed(recipe.seed)
    ops = ops_for(recipe.numerics)
    model = MLP(features, classes, plan, ops).double()
    if recipe.init == "uniform":
        initialise(model, recipe.seed)
    if isinstance(ops, ExactOps):
        ops.bind(model)
    return model if recipe.numerics.dtype == "float64" else model.float()


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
