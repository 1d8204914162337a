"""The operations a network is written in: one protocol, one implementation a numerics mode.

A model is written once, against this protocol. `native` and `deterministic` share the framework's
operations; the mode `exact` brings its own implementation.

Features (channels) are the last dimension everywhere: (n, features) or (n, time, channels). So a
linear map, LayerNorm and a convolution meet the same layout, and products need no copies.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from lifecycle.numerics.streams import DropoutKey, dropout_mask

NORM_EPSILON = 1e-5  # LayerNorm and BatchNorm, as in the framework
BATCH_MOMENTUM = 0.1  # share of a minibatch in BatchNorm's running statistics, as in the framework


Pair = tuple[Tensor, Tensor]


class Ops(Protocol):
    """Operations on (n, features) and (n, time, channels) tensors."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The affine map x W^T + b."""

    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Layer normalisation over the last dimension, with affine parameters."""

    def softshrink(self, x: Tensor, lambd: float) -> Tensor:
        """Towards zero by lambd, and zero within +-lambd."""

    def shrunk_linear(self, x: Tensor, norm: Pair, lambd: float, linear: Pair) -> Tensor:
        """`layer_norm`, `softshrink`, `linear` of x (n, features), one after the other.

        Args:
            x: (n, features).
            norm: weight and bias of LayerNorm.
            lambd: of softshrink.
            linear: weight and bias of the linear map.
        """

    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy of (n, C) logits against (n,) class indices."""

    def softmax(self, logits: Tensor) -> Tensor:
        """Scores on the simplex."""

    def conv1d(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
    ) -> Tensor:
        """Cross-correlation of x (n, t, c) with weight (o, c / groups, k), zeros at both ends.

        Returns:
            (n, (t + 2 padding - dilation (k - 1) - 1) // stride + 1, o).
        """

    def avg_pool1d(self, x: Tensor, kernel: int, stride: int) -> Tensor:
        """Means of windows of x (n, t, c), without padding: (n, (t - kernel) // stride + 1, c)."""

    def max_pool1d(self, x: Tensor, kernel: int, stride: int, padding: int = 0) -> Tensor:
        """Largest values of windows of x (n, t, c); the padding never wins."""

    def global_avg_pool(self, x: Tensor) -> Tensor:
        """Means over time: (n, t, c) -> (n, c)."""

    def global_max_pool(self, x: Tensor) -> Tensor:
        """Largest values over time: (n, t, c) -> (n, c)."""

    def batch_norm(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running: tuple[Tensor, Tensor],
        training: bool,
    ) -> Tensor:
        """Normalisation of every channel of x (..., c) over all other dimensions.

        Args:
            x: (..., c).
            weight: (c,).
            bias: (c,).
            running: mean and (unbiased) variance, (c,) each; in training they move by
                `BATCH_MOMENTUM` towards the minibatch's, in place; otherwise they are used.
            training: which of the two.
        """

    def attention(self, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
        """softmax(Q K^T / sqrt(c / heads)) V for every head of (n, t, c) tensors."""

    def relu(self, x: Tensor) -> Tensor:
        """max(x, 0); slope 0 at 0."""

    def gelu(self, x: Tensor) -> Tensor:
        """x times the normal distribution function of x (the form with erf)."""

    def smelu(self, x: Tensor, beta: float) -> Tensor:
        """0 below -beta, x above beta, (x + beta)^2 / (4 beta) between (Shamir et al. 2020)."""

    def tanh(self, x: Tensor) -> Tensor:
        """The hyperbolic tangent."""

    def sigmoid(self, x: Tensor) -> Tensor:
        """1 / (1 + e^-x)."""

    def dropout(self, x: Tensor, rate: float, key: DropoutKey | None) -> Tensor:
        """x / (1 - rate) where the key's mask is true, else 0; x itself where key is None.

        The mask is a function of the key, the rate and the shape alone: the same in every mode.
        """

    def bce_with_logits(self, logits: Tensor, target: Tensor, positive_weight: Tensor) -> Tensor:
        """Mean of -(w y log s + (1 - y) log(1 - s)), s = sigmoid(logits).

        Args:
            logits: (n, C).
            target: y, (n, C), from 0 to 1.
            positive_weight: w, (C,).
        """


class FrameworkOps:
    """The framework's own operations: fast, and other bits on other machines."""

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """See `Ops`."""
        return functional.linear(x, weight, bias)

    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """See `Ops`."""
        return functional.layer_norm(x, weight.shape, weight, bias, NORM_EPSILON)

    def softshrink(self, x: Tensor, lambd: float) -> Tensor:
        """See `Ops`."""
        return functional.softshrink(x, lambd)

    def shrunk_linear(self, x: Tensor, norm: Pair, lambd: float, linear: Pair) -> Tensor:
        """See `Ops`."""
        return shrunk_linear(self, x, norm, lambd, linear)

    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """See `Ops`."""
        return functional.cross_entropy(logits, target)

    def softmax(self, logits: Tensor) -> Tensor:
        """See `Ops`; in float64 whatever the network's dtype, so that rows sum to 1 within 1e-9."""
        return functional.softmax(logits.double(), dim=-1)

    def conv1d(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
    ) -> Tensor:
        """See `Ops`; the transposed views cost no copies where convolutions follow each other."""
        y = functional.conv1d(_time_last(x), weight, bias, stride, padding, dilation, groups)
        return _time_last(y)

    def avg_pool1d(self, x: Tensor, kernel: int, stride: int) -> Tensor:
        """See `Ops`."""
        return _time_last(functional.avg_pool1d(_time_last(x), kernel, stride))

    def max_pool1d(self, x: Tensor, kernel: int, stride: int, padding: int = 0) -> Tensor:
        """See `Ops`; on CUDA by comparisons: the framework's backward adds by atomics there."""
        if x.is_cuda:
            return max_of_taps(x, kernel, stride, padding)
        return _time_last(functional.max_pool1d(_time_last(x), kernel, stride, padding))

    def global_avg_pool(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        return x.mean(dim=1)

    def global_max_pool(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        return x.max(dim=1).values

    def batch_norm(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running: tuple[Tensor, Tensor],
        training: bool,
    ) -> Tensor:
        """See `Ops`."""
        turned = x.transpose(1, -1)
        rates = (BATCH_MOMENTUM, NORM_EPSILON)
        y = functional.batch_norm(turned, *running, weight, bias, training, *rates)
        return y.transpose(1, -1)

    def attention(self, query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
        """See `Ops`."""
        q, k, v = (split_heads(part, heads) for part in (query, key, value))
        return join_heads(functional.scaled_dot_product_attention(q, k, v))

    def relu(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        return functional.relu(x)

    def gelu(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        return functional.gelu(x)

    def smelu(self, x: Tensor, beta: float) -> Tensor:
        """See `Ops`."""
        within = (x + beta).square() / (4.0 * beta)
        return torch.where(x >= beta, x, torch.where(x <= -beta, torch.zeros_like(x), within))

    def tanh(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        return torch.tanh(x)

    def sigmoid(self, x: Tensor) -> Tensor:
        """See `Ops`."""
        return torch.sigmoid(x)

    def dropout(self, x: Tensor, rate: float, key: DropoutKey | None) -> Tensor:
        """See `Ops`."""
        return x if key is None else x * dropout_factor(x, rate, key)

    def bce_with_logits(self, logits: Tensor, target: Tensor, positive_weight: Tensor) -> Tensor:
        """See `Ops`."""
        return functional.binary_cross_entropy_with_logits(
            logits, target, pos_weight=positive_weight
        )


def shrunk_linear(ops: Ops, x: Tensor, norm: Pair, lambd: float, linear: Pair) -> Tensor:
    """The operation of this name in its parts."""
    return ops.linear(ops.softshrink(ops.layer_norm(x, *norm), lambd), *linear)


def max_of_taps(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """Largest values of windows of x (n, t, c), one tap after the other; the first of equals wins.

    Gradients go to one place each by selection, so their order of addition cannot change.
    """
    lowest = torch.finfo(x.dtype).min
    padded = functional.pad(x, (0, 0, padding, padding), value=lowest)
    last = padded.shape[1] - kernel
    best = padded[:, : last + 1 : stride]
    for at in range(1, kernel):
        tap = padded[:, at : last + at + 1 : stride]
        best = torch.where(tap > best, tap, best)
    return best


def dropout_factor(x: Tensor, rate: float, key: DropoutKey) -> Tensor:
    """What dropout multiplies x with: 1 / (1 - rate), rounded once, or 0."""
    mask = dropout_mask(key, tuple(x.shape), rate)
    return torch.from_numpy(mask).to(x.device, x.dtype) * (1.0 / (1.0 - rate))


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(n, t, heads c) -> (n, heads, t, c)."""
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(n, heads, t, c) -> (n, t, heads c)."""
    return x.transpose(1, 2).flatten(2)


def _time_last(x: Tensor) -> Tensor:
    return x.transpose(1, 2)
