"""Initial values and orders from integer random streams: the same bits on every machine.

numpy's PCG64 delivers integers; everything after is IEEE addition and multiplication, so no kernel,
library or thread count can change a value. The framework's own samplers differ between kernels.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_UNIT53 = 2.0**-53
TAG_INIT, TAG_ORDER = 1, 2


def raw(seed: int, tag: int, *path: int, size: int) -> NDArray[np.uint64]:
    """`size` 64-bit integers of the stream (seed, tag, path)."""
    generator = np.random.PCG64(np.random.SeedSequence([seed, tag, *path]))
    return np.asarray(generator.random_raw(size), dtype=np.uint64)


def unit(seed: int, tag: int, *path: int, size: int) -> NDArray[np.float64]:
    """`size` float64 in [0, 1), multiples of 2^-53."""
    return (raw(seed, tag, *path, size=size) >> np.uint64(11)).astype(np.float64) * _UNIT53


def uniform_fan_in(
    seed: int, layer: int, shape: tuple[int, ...], fan_in: int | None = None
) -> NDArray[np.float64]:
    """Initial values, uniform in +-1/sqrt(fan_in); fan_in is the last dimension unless told."""
    bound = 1.0 / np.sqrt(np.float64(shape[-1] if fan_in is None else fan_in))
    values = unit(seed, TAG_INIT, layer, size=math.prod(shape))
    return np.asarray((values * 2.0 - 1.0) * bound, dtype=np.float64).reshape(shape)


def permutation(seed: int, epoch: int, n: int) -> NDArray[np.intp]:
    """The order of n cases in an epoch: a stable sort of n random integers."""
    return np.argsort(raw(seed, TAG_ORDER, epoch, size=n), kind="stable")
