"""The loss of a training: cross-entropy over classes, or over each class's yes and no."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifecycle.domain.classifier import Recipe
from lifecycle.models.network import Network
from lifecycle.stats.auc import auc

Targets = NDArray[np.int64] | NDArray[np.float64]
Loss = Callable[[Network, Tensor, Tensor], Tensor]


def loss_for(recipe: Recipe, targets: Targets, dtype: torch.dtype) -> Loss:
    """The loss for the targets of the training part.

    Args:
        recipe: whose `positive_weights` multi-label targets are weighted by.
        targets: (n,) class indices, or (n, C) of 0 and 1 for a multi-label classifier.
        dtype: of the network.
    """
    if targets.ndim == 1:
        return _cross_entropy
    weights = torch.from_numpy(positive_weights(recipe, targets)).to(dtype)

    def binary(model: Network, logits: Tensor, target: Tensor) -> Tensor:
        return model.ops.bce_with_logits(logits, target, weights)

    return binary


def _cross_entropy(model: Network, logits: Tensor, target: Tensor) -> Tensor:
    return model.ops.cross_entropy(logits, target)


def penalised(model: Network, loss: Tensor) -> Tensor:
    """The loss and the network's own penalty of its last forward pass, where it has one."""
    penalty = model.penalty()
    return loss if penalty is None else loss + penalty


def positive_weights(recipe: Recipe, targets: Targets) -> NDArray[np.float64]:
    """Weight of each class's positives, (C,): 1, or the square root of cases over positives.

    A class without positives has weight 1: nothing of it is weighted.
    """
    classes = targets.shape[1]
    if recipe.positive_weights == "none":
        return np.ones(classes)
    positives = np.count_nonzero(targets, axis=0)
    # IEEE division and square root of whole numbers: the same bits everywhere
    return np.sqrt(len(targets) / np.where(positives > 0, positives, len(targets)))


def error_of(logits: NDArray[np.floating], targets: Targets) -> float:
    """What `stop: best-holdout` minimises.

    Returns:
        The share of cases whose argmax is wrong; of multi-label targets 1 - macro AUC over the
        classes that have positives and negatives (1 where there is none).
    """
    if targets.ndim == 1:
        return int((logits.argmax(axis=1) != targets).sum()) / len(targets)
    areas = [
        auc(logits[:, j].astype(np.float64), targets[:, j] > 0) for j in range(targets.shape[1])
    ]
    found = [area for area in areas if area is not None]
    return 1.0 - sum(found) / len(found) if found else 1.0
