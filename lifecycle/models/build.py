"""Networks by name."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lifecycle.domain.classifier import ModelPlan, Recipe
from lifecycle.models.mlp import MLP, initialise
from lifecycle.numerics.ops import FrameworkOps


def build_model(plan: ModelPlan, recipe: Recipe, features: int, classes: int) -> MLP:
    """A network with its initial values, in the dtype of the recipe."""
    if recipe.init == "torch":
        torch.manual_seed(recipe.seed)
    model = MLP(features, classes, plan, FrameworkOps()).double()
    if recipe.init == "uniform":
        initialise(model, recipe.seed)
    return model if recipe.numerics.dtype == "float64" else model.float()


def tensors_of(model: torch.nn.Module) -> dict[str, NDArray[np.generic]]:
    """Copies of all parameters AND buffers, by name."""
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def load_tensors(model: torch.nn.Module, tensors: dict[str, NDArray[np.generic]]) -> None:
    """Put named tensors into a network; names and shapes must match exactly."""
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
