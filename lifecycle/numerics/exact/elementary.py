"""Elementary functions of tensors with the same bits on every CPU and GPU.

Each takes and returns float64 of any shape, on any device, and passes no gradient: they are for
forward and backward passes written by hand. `compiled` has the same functions for scalars, bit for
bit. A NaN gives NaN.

Errors are in ulp, units in the last place: the distance from the true result to the next double.
They are bounds seen on millions of random and of hard arguments (`tests/reference`), not proven.

By rule e^x is 0 where x < -400 ln 2 = -277.26, so that a product of two scores cannot fall into the
subnormal numbers, where processors may be told to differ. What is built upon e^x follows: it is 0
where the true result is below 2^-400.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lifecycle.numerics.exact import formulas

# Elements computed at a time on a CPU: the steps of a formula then find each other's in the cache.
BLOCK = 1 << 13


def exp(x: Tensor) -> Tensor:
    """e^x, within 1 ulp; 0 where x < -400 ln 2, infinity above 709.78."""
    return _apply(formulas.exp, x)


def expm1(x: Tensor) -> Tensor:
    """e^x - 1, within 1.1 ulp, also near 0."""
    return _apply(formulas.expm1, x)


def log(x: Tensor) -> Tensor:
    """Natural logarithm, within 1 ulp; -infinity at 0, NaN below."""
    return _apply(formulas.log, x)


def log1p(x: Tensor) -> Tensor:
    """ln(1 + x), within 1.1 ulp, also near 0; -infinity at -1, NaN below."""
    return _apply(formulas.log1p, x)


def sqrt(x: Tensor) -> Tensor:
    """Square root, correctly rounded; NaN below 0."""
    return _apply(formulas.sqrt, x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, within 3 ulp, also near 0; odd."""
    return _apply(formulas.tanh, x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x), within 3 ulp; 0 where x < -400 ln 2."""
    return _apply(formulas.sigmoid, x)


def softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x), within 2 ulp; 0 where x < -400 ln 2; ln(sigmoid(x)) is -softplus(-x).

    The binary cross-entropy of a logit x with a label y is softplus(x) - x y.
    """
    return _apply(formulas.softplus, x)


def erf(x: Tensor) -> Tensor:
    """Error function, within 3 ulp, also near 0; odd."""
    return _apply(formulas.erf, x)


def normal_cdf(x: Tensor) -> Tensor:
    """Phi(x) = (1 + erf(x / sqrt 2)) / 2, within 6 ulp; 0 where x < -23.55."""
    return _apply(formulas.normal_cdf, x)


def gelu(x: Tensor) -> Tensor:
    """Gaussian error linear unit x Phi(x), within 6 ulp; 0 where x < -23.55.

    Source: Hendrycks and Gimpel 2016 (arXiv:1606.08415), the exact form, not the one by tanh.
    """
    return _apply(formulas.gelu, x)


def gelu_derivative(x: Tensor) -> Tensor:
    """Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi), within 4e-16; for x < -2 within 6 ulp, 0 below -23.55.

    It crosses zero near x = -0.7518, where only the absolute bound holds.
    """
    return _apply(formulas.gelu_derivative, x)


@torch.no_grad()
def _apply(formula: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if x.is_cuda or x.numel() <= BLOCK:
        return formula(x)
    flat = x.reshape(-1)
    y = torch.empty_like(flat)
    for start in range(0, len(flat), BLOCK):
        y[start : start + BLOCK] = formula(flat[start : start + BLOCK])
    return y.view(x.shape)
