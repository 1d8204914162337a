"""Activations and dropout, each with its own slope.

Specification (lifecycle/arithmetic/1): every operation is rounded by itself, in the order written.
- ReLU: x where x > 0, else +0; slope 1 where x > 0.
- GELU: `elementary.gelu`; slope `elementary.gelu_derivative`.
- SmeLU: x where x >= beta, +0 where x <= -beta, else ((x + beta) (x + beta)) / (4 beta);
  slope 1, 0, (x + beta) / (2 beta). 4 beta and 2 beta are exact.
- tanh: y = `elementary.tanh`; slope 1 - y y. sigmoid: y = `elementary.sigmoid`; slope y (1 - y).
- Dropout: x times 1 / (1 - rate) (rounded once) or 0; the gradient likewise.
Gradients are the slope times what comes from above.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import elementary, kernels
from lifecycle.numerics.exact.layers import constant
from lifecycle.numerics.ops import dropout_factor
from lifecycle.numerics.streams import DropoutKey


class ReLU(torch.autograd.Function):
    """max(x, 0)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        if kernels.usable(x):
            y = kernels.elementwise(kernels.relu, x)
        else:
            y = torch.where((x > 0) | x.isnan(), x, torch.zeros_like(x))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        if kernels.usable(y, gradient):
            return kernels.elementwise(kernels.relu_back, gradient, y)
        return torch.where(y > 0, gradient, torch.zeros_like(gradient))


class GELU(torch.autograd.Function):
    """x times the normal distribution function of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        if not ctx.needs_input_grad[0]:
            return kernels.elementwise(kernels.gelu, x) if kernels.usable(x) else elementary.gelu(x)
        if kernels.usable(x):
            y, slope = torch.empty(x.shape, dtype=x.dtype), torch.empty(x.shape, dtype=x.dtype)
            places = (y.view(-1).numpy(), slope.view(-1).numpy())
            kernels.gelu_and_slope(kernels.array(x).reshape(-1), *places)
        else:
            y, slope = elementary.gelu(x), elementary.gelu_derivative(x)
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        slope: Tensor = ctx.saved_tensors[0]
        return gradient * slope


class SmeLU(torch.autograd.Function):
    """Shamir et al. 2020 (arXiv:2010.09931), Eq. 3."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: float) -> Tensor:
        if not beta > 0.0:
            raise UnusableInputError(f"smelu: beta is {beta}; it must be positive")
        ctx.save_for_backward(x)
        ctx.beta = beta
        shifted = x + beta
        within = (shifted * shifted) / constant(4.0 * beta, x)
        return torch.where(x >= beta, x, torch.where(x <= -beta, torch.zeros_like(x), within))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        beta: float = ctx.beta
        within = gradient * ((x + beta) / constant(2.0 * beta, x))
        low = torch.where(x <= -beta, torch.zeros_like(x), within)
        return torch.where(x >= beta, gradient, low), None


class Tanh(torch.autograd.Function):
    """The hyperbolic tangent."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = elementary.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        y: Tensor = ctx.saved_tensors[0]
        return gradient * (constant(1.0, y) - y * y)


class Sigmoid(torch.autograd.Function):
    """1 / (1 + e^-x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = elementary.sigmoid(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        y: Tensor = ctx.saved_tensors[0]
        return gradient * (y * (constant(1.0, y) - y))


class Dropout(torch.autograd.Function):
    """x times the factor of a key's mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float, key: DropoutKey) -> Tensor:
        factor = dropout_factor(x, rate, key)
        ctx.save_for_backward(factor)
        return x * factor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (factor,) = ctx.saved_tensors
        return gradient * factor, None, None
