"""Networks by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from lifecycle.domain.classifier import ConformerPlan, ModelPlan, Numerics, Plan, Recipe
from lifecycle.models.ecg_baseline import EcgBaseline
from lifecycle.models.ecg_conformer import EcgConformer
from lifecycle.models.initialisation.apply import initialise
from lifecycle.models.mlp import MLP
from lifecycle.models.network import Network
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.modes import ops_for
from lifecycle.numerics.ops import Ops


def build_model(plan: Plan, recipe: Recipe, features: int, classes: int) -> Network:
    """A network with its initial values, in the dtype and the operations of the recipe.

    Args:
        plan: which network, and its sizes.
        recipe: initial values, seed, numerics.
        features: last dimension of the input: features, or leads of a signal.
        classes: C, outputs.

    Raises:
        UnusableInputError: exact arithmetic cannot do what the network is made of.
    """
    if recipe.init == "torch":
        torch.manual_seed(recipe.seed)
    ops = ops_for(recipe.numerics)
    model = _network(plan, ops, features, classes).double()
    model.seed = recipe.seed
    initialise(model, recipe.init, recipe.seed)
    if isinstance(ops, ExactOps):
        ops.bind(model)
    return model if recipe.numerics.dtype == "float64" else model.float()


def _network(plan: Plan, ops: Ops, features: int, classes: int) -> Network:
    if isinstance(plan, ModelPlan):
        return MLP(features, classes, plan, ops)
    if isinstance(plan, ConformerPlan):
        return EcgConformer(features, classes, plan, ops)
    return EcgBaseline(features, classes, plan, ops)


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
