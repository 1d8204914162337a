"""Distances between trained networks, taken as long vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]


def vector_sine(x: Tensors, y: Tensors) -> float:
    """Sine of the angle between two networks' parameters.

    sin(t) = |u - v| |u + v| / 2 with u = x/|x|, v = y/|y|, which does not cancel: the textbook form
    sqrt(1 - cos^2 t) cannot tell angles below 1e-8 from 0 (design 06.1).

    Args:
        x: one network's tensors, float32 or float64.
        y: the other's, of the same names and shapes.

    Returns:
        Within [0, 1]; exactly 0 for equal networks; NaN where one of them is zero.

    Raises:
        ValueError: names or shapes differ.
    """
    if set(x) != set(y) or any(x[name].shape != y[name].shape for name in x):
        raise ValueError("the networks have other parameters; their angle does not exist")
    long_x, long_y = _norm(x), _norm(y)
    if long_x == 0.0 or long_y == 0.0:
        return math.nan
    apart, together = [], []
    for name in sorted(x):
        u = x[name].astype(np.float64) / long_x
        v = y[name].astype(np.float64) / long_y
        apart.append(float(np.square(u - v).sum()))
        together.append(float(np.square(u + v).sum()))
    return min(1.0, math.sqrt(math.fsum(apart) * math.fsum(together)) / 2.0)


def _norm(tensors: Tensors) -> float:
    squares = (float(np.square(v.astype(np.float64)).sum()) for v in tensors.values())
    return math.sqrt(math.fsum(squares))
