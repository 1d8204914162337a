"""The operations a network is written in: one protocol, one implementation a numerics mode.

A model is written once, against this protocol. `native` and `deterministic` share the framework's
operations; the mode `exact` brings its own implementation.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor
from torch.nn import functional


class Ops(Protocol):
    """Operations on (n, features) tensors."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The affine map x W^T + b."""

    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Layer normalisation over the last dimension, with affine parameters."""

    def softshrink(self, x: Tensor, lambd: float) -> Tensor:
        """Towards zero by lambd, and zero within +-lambd."""

    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy of (n, C) logits against (n,) class indices."""

    def softmax(self, logits: Tensor) -> Tensor:
        """Scores on the simplex."""


class FrameworkOps:
    """The framework's own operations: fast, and other bits on other machines."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """See `Ops`."""
        return functional.linear(x, weight, bias)

    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """See `Ops`."""
        return functional.layer_norm(x, weight.shape, weight, bias)

    def softshrink(self, x: Tensor, lambd: float) -> Tensor:
        """See `Ops`."""
        return functional.softshrink(x, lambd)

    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """See `Ops`."""
        return functional.cross_entropy(logits, target)

    def softmax(self, logits: Tensor) -> Tensor:
        """See `Ops`; in float64 whatever the network's dtype, so that rows sum to 1 within 1e-9."""
        return functional.softmax(logits.double(), dim=-1)
