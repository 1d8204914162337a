"""Drawn initial values, from integer streams: the same bits on every machine."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lifecycle.models.initialisation.bases import Matrix
from lifecycle.numerics.streams import TAG_INIT, raw

PARTS = 12  # 16-bit parts of a near-normal number
CENTRE = PARTS * 65535 / 2  # mean of their sum
SCALE = 65536.0  # its standard deviation, sqrt(65536^2 - 1), to 1e-10


def normal(seed: int, layer: int, shape: Sequence[int]) -> Matrix:
    """Near-normal numbers of mean 0 and variance 1, at most 6 in size.

    A number is the sum of the twelve 16-bit parts of three 64-bit integers, centred and scaled by a
    power of two: exact, so no library of elementary functions can change it.
    """
    words = raw(seed, TAG_INIT, layer, size=3 * math.prod(shape))
    parts = words.astype("<u8").view("<u2").reshape(-1, PARTS)
    total: NDArray[np.int64] = parts.sum(axis=1, dtype=np.int64)
    return ((total.astype(np.float64) - CENTRE) / SCALE).reshape(tuple(shape))


def kaiming(seed: int, layer: int, shape: Sequence[int], groups: int = 1) -> Matrix:
    """Normal of standard deviation sqrt(2 / fan_out), for ReLU (He et al. 2015, equation 14).

    Args:
        seed: seed of the recipe.
        layer: number of the stream.
        shape: (o, i, …); i is of one group.
        groups: of a convolution; each input reaches o / groups outputs at every tap.
    """
    fan_out = shape[0] // groups * math.prod(shape[2:])
    return normal(seed, layer, shape) * math.sqrt(2.0 / fan_out)
