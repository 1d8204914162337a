"""Binary cross-entropy of many labels.

Specification (lifecycle/arithmetic/1), logits x, targets y, positive weights w, N values:
- v = (w - 1) y + 1; loss = total((1 - y) x + v softplus(-x)) / N, softplus as
  `elementary.softplus`; `total` is `products.total`.
- gradient = ((1 - y) - v sigmoid(-x)) (g / N).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import elementary, kernels
from lifecycle.numerics.exact.layers import constant, placed, rows
from lifecycle.numerics.exact.products import total


class BinaryCrossEntropy(torch.autograd.Function):
    """Mean over (n, C) of the weighted cross-entropy; see the module."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, target: Tensor, positive_weight: Tensor, place: str
    ) -> Tensor:
        if logits.shape != target.shape:
            raise UnusableInputError(
                f"exact arithmetic: {place}: logits {tuple(logits.shape)} and targets "
                f"{tuple(target.shape)} differ in shape"
            )
        swept = kernels.binary_cross_entropy_of(logits, target, positive_weight)
        if swept is None:
            with placed(place):
                swept = _losses(logits, target, positive_weight)
        ctx.save_for_backward(swept[1])
        return swept[0] / constant(logits.numel(), logits)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        slope: Tensor = ctx.saved_tensors[0]
        return slope * (gradient / constant(slope.numel(), slope)), None, None, None


def _losses(logits: Tensor, target: Tensor, positive_weight: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of the losses, and their slopes."""
    absent = constant(1.0, logits) - target
    weight = (positive_weight - 1.0) * target + 1.0
    losses = absent * logits + weight * elementary.softplus(-logits)
    slopes = absent - weight * elementary.sigmoid(-logits)
    return total(rows(losses), (0, 1)), slopes
