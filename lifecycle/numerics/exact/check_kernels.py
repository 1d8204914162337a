"""Compiled kernels of the self-test: what no operation of a network calls by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lifecycle.numerics.exact.compiled import (
    erf_,
    exp_,
    expm1_,
    gelu_,
    gelu_derivative_,
    kernel,
    log1p_,
    log_,
    normal_cdf_,
    sigmoid_,
    softplus_,
    sqrt_,
    tanh_,
)

Array = NDArray[np.float64]


@kernel(nogil=True)
def four_operations(a: Array, b: Array, out: Array) -> None:
    """Rows of out: a + b, a - b, a b, a / b, the root of |a|."""
    for i in range(len(a)):
        out[0, i] = a[i] + b[i]
        out[1, i] = a[i] - b[i]
        out[2, i] = a[i] * b[i]
        out[3, i] = a[i] / b[i]
        out[4, i] = np.sqrt(abs(a[i]))


@kernel(nogil=True)
def two_steps(a: Array, b: Array, out: Array) -> None:
    """out = a b + a, where a compiler that may contract would round once."""
    for i in range(len(a)):
        out[i] = a[i] * b[i] + a[i]


@kernel(nogil=True)
def first_functions(x: Array, out: Array) -> None:
    """The first six elementary functions of `checks.FUNCTIONS`, one a row of out.

    Each has a loop of its own, which is vectorised.
    """
    for i in range(len(x)):
        out[0, i] = exp_(x[i])
    for i in range(len(x)):
        out[1, i] = expm1_(x[i])
    for i in range(len(x)):
        out[2, i] = log_(x[i])
    for i in range(len(x)):
        out[3, i] = log1p_(x[i])
    for i in range(len(x)):
        out[4, i] = sqrt_(x[i])
    for i in range(len(x)):
        out[5, i] = tanh_(x[i])


@kernel(nogil=True)
def last_functions(x: Array, out: Array) -> None:
    """The last six, likewise."""
    for i in range(len(x)):
        out[0, i] = sigmoid_(x[i])
    for i in range(len(x)):
        out[1, i] = softplus_(x[i])
    for i in range(len(x)):
        out[2, i] = erf_(x[i])
    for i in range(len(x)):
        out[3, i] = normal_cdf_(x[i])
    for i in range(len(x)):
        out[4, i] = gelu_(x[i])
    for i in range(len(x)):
        out[5, i] = gelu_derivative_(x[i])
