"""Logistic regression: one linear map from the features to the logits.

The simplest network there is, to hold the others against. The loss makes it multinomial regression
(single-label) or one regression a class (multi-label).
"""

from __future__ import annotations

from torch import Tensor, nn

from lifecycle.domain.networks import LogisticPlan
from lifecycle.models.network import Network
from lifecycle.numerics.ops import Ops


class Logistic(Network):
    """Features -> classes.

    Attributes:
        head: the linear map.
    """

    def __init__(self, features: int, classes: int, plan: LogisticPlan, ops: Ops) -> None:
        super().__init__(ops)
        del plan  # it has nothing but its kind
        self.head = nn.Linear(features, classes)

    def wide(self) -> nn.Linear:
        """See `Network`: it is the whole network."""
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of inputs (n, features)."""
        return self.ops.linear(x, self.head.weight, self.head.bias)
