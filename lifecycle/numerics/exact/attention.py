"""Softmax attention of several heads in exact products.

Specification (lifecycle/arithmetic/1), for every sample and head, d channels a head, T times:
- Q' = Q s with s = 1 / sqrt(d), both rounded (IEEE); P = softmax(Q' K^T) as `layers.softmax`;
  result P V. Products are `products.matmul`: an exponent for each row of the left and each column
  of the right operand.
- Gradients: dV = P^T g; dP = g V^T; dL = P (dP - total(dP P over the row)); dQ = (dL K) s;
  dK = dL^T Q'.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import kernels
from lifecycle.numerics.exact.layers import placed, softmax
from lifecycle.numerics.exact.products import matmul, require_ends, total
from lifecycle.numerics.exact.rounding import product_bits
from lifecycle.numerics.ops import join_heads, split_heads


class Attention(torch.autograd.Function):
    """query, key, value (n, t, heads d) -> (n, t, heads d); see the module."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, heads: int, slices: int, place: str
    ) -> Tensor:
        q, k, v = (split_heads(part, heads).contiguous() for part in (query, key, value))
        ctx.scale = float(1.0 / np.sqrt(np.float64(q.shape[-1])))
        scaled = q * ctx.scale
        with placed(place):
            logits = product(scaled, k.mT, slices, ("query", "key"))
            scores = kernels.softmax_of(logits)
            if scores is None:
                scores = softmax(logits, place)[0]
            result = product(scores, v, slices, ("scores", "value"))
        ctx.save_for_backward(scaled, k, v, scores)
        ctx.slices, ctx.place = slices, place
        return join_heads(result)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scaled, k, v, scores = ctx.saved_tensors
        g = split_heads(gradient, scaled.shape[1]).contiguous()
        with placed(f"{ctx.place}, backward"):
            dv = product(scores.mT, g, ctx.slices, ("scores", "gradient"))
            slope = product(g, v.mT, ctx.slices, ("gradient", "value"))
            dlogits = kernels.softmax_gradient(scores, slope)
            if dlogits is None:
                mean = total(slope * scores, (-1,), keepdim=True, name="gradient")
                dlogits = scores * (slope - mean)
            dq = product(dlogits, k, ctx.slices, ("gradient", "key")) * ctx.scale
            dk = product(dlogits.mT, scaled, ctx.slices, ("gradient", "query"))
        return join_heads(dq), join_heads(dk), join_heads(dv), None, None, None


def product(a: Tensor, b: Tensor, slices: int, names: tuple[str, str]) -> Tensor:
    """`products.matmul` of stacks of matrices, by kernels where they can."""
    if slices > 1 or not kernels.usable(a, b):
        return matmul(a, b, slices, names)
    length = a.shape[-1]
    bits = product_bits(length)
    left, low = kernels.rounded(a, bits)
    right, high = kernels.rounded(b.mT, bits)
    require_ends(low, high, length, bits, names)
    return torch.matmul(left, right.mT).add_(0.0)


def require_heads(query: Tensor, key: Tensor, value: Tensor, heads: int) -> None:
    """Refuse shapes that do not fit each other.

    Raises:
        UnusableInputError: naming the shapes.
    """
    same = query.shape[0] == key.shape[0] and key.shape == value.shape
    if not (query.dim() == 3 and same and query.shape[-1] == key.shape[-1]) or (
        heads < 1 or query.shape[-1] % heads
    ):
        raise UnusableInputError(
            f"exact arithmetic: attention: query {tuple(query.shape)}, key {tuple(key.shape)}, "
            f"value {tuple(value.shape)} as (n, time, channels) do not fit {heads} heads"
        )
