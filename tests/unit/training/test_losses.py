"""The loss of multi-label targets, against torch's, and far outside what exp can hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lifecycle.domain.classifier import Recipe
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.ops import FrameworkOps, Ops
from lifecycle.training.losses import error_of, loss_for, penalised, positive_weights

PLAIN = Recipe(lr=0.01, l2=0.0, epochs=1)
SQRT = Recipe(lr=0.01, l2=0.0, epochs=1, positive_weights="sqrt")
TARGETS = np.array([[1, 0, 0], [1, 0, 1], [1, 0, 0], [1, 0, 0], [0, 0, 0]], dtype=np.float64)


class Model:
    """As much of a network as a loss looks at."""

    def __init__(self, ops: Ops, penalty: Tensor | None = None) -> None:
        self.ops, self._penalty = ops, penalty

    def penalty(self) -> Tensor | None:
        return self._penalty


def test_weights_are_roots_of_cases_over_positives() -> None:
    assert positive_weights(PLAIN, TARGETS).tolist() == [1.0, 1.0, 1.0]
    # a class without positives weighs 1
    assert positive_weights(SQRT, TARGETS).tolist() == [np.sqrt(5 / 4), 1.0, np.sqrt(5.0)]


@pytest.mark.parametrize("ops", [FrameworkOps(), ExactOps(3)], ids=["framework", "exact"])
@pytest.mark.parametrize("recipe", [PLAIN, SQRT], ids=["none", "sqrt"])
@pytest.mark.parametrize("size", [1.0, 40.0, 800.0, 1e8])
def test_it_is_torch_s_with_positive_weights(ops: Ops, recipe: Recipe, size: float) -> None:
    drawn = np.random.default_rng(4).normal(size=TARGETS.shape) * size
    drawn[0] = 0.0
    y, weights = torch.from_numpy(TARGETS), torch.from_numpy(positive_weights(recipe, TARGETS))
    ours, theirs = (torch.from_numpy(drawn.copy()).requires_grad_() for _ in range(2))
    loss = loss_for(recipe, TARGETS, torch.float64)(Model(ops), ours, y)
    right = functional.binary_cross_entropy_with_logits(theirs, y, pos_weight=weights)
    loss.backward()
    right.backward()
    assert bool(torch.isfinite(ours.grad).all())
    torch.testing.assert_close(loss, right, rtol=1e-13, atol=0.0)
    # torch's slopes are differences from 1: of a sure and right case it keeps fewer bits
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-13, atol=1e-17)


def test_class_indices_have_cross_entropy_and_the_penalty_is_added() -> None:
    logits, y = torch.tensor([[2.0, -1.0], [0.5, 0.25]]).double(), np.array([0, 1])
    model = Model(FrameworkOps(), torch.tensor(0.125).double())
    loss = loss_for(SQRT, y, torch.float64)(model, logits, torch.from_numpy(y))
    assert float(loss) == float(functional.cross_entropy(logits, torch.from_numpy(y)))
    assert float(penalised(model, loss)) == float(loss) + 0.125
    assert penalised(Model(FrameworkOps()), loss) is loss


def test_what_best_holdout_minimises() -> None:
    one = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert error_of(one, np.array([0, 1, 1])) == 1 / 3
    logits = np.array([[3.0, 1.0, 0.0], [2.0, 0.0, 0.0], [1.0, 2.0, 0.0]])
    targets = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    assert error_of(logits, targets) == 1.0 - (1.0 + 0.0) / 2  # the third class has no negatives
    assert error_of(logits, np.ones((3, 3))) == 1.0
