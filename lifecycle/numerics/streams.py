"""Initial values and orders from integer random streams: the same bits on every machine.

numpy's PCG64 delivers integers; everything after is IEEE addition and multiplication, so no kernel,
library or thread count can change a value. The framework's own samplers differ between kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.errors import UnusableInputError

_UNIT53 = 2.0**-53
_HALF_WORD = 32
TAG_INIT, TAG_ORDER, TAG_DROPOUT = 1, 2, 3


@dataclass(frozen=True, slots=True)
class DropoutKey:
    """What a dropout mask is a function of.

    Attributes:
        seed: seed of the recipe.
        step: optimiser steps done so far; the first is 0.
        layer: number of the dropout layer in the network.
    """

    seed: int
    step: int
    layer: int


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


def dropout_mask(key: DropoutKey, shape: tuple[int, ...], rate: float) -> NDArray[np.bool_]:
    """Which values dropout keeps, each with probability 1 - rate.

    Each 64-bit integer of the stream (seed, 3, step, layer) gives two values, its low half first;
    a value is kept where its 32 bits are round(rate * 2^32), ties to even, or more.

    Raises:
        UnusableInputError: the rate is not from 0 to below 1.
    """
    if not 0.0 <= rate < 1.0:
        raise UnusableInputError(f"dropout: a rate of {rate}; it must be from 0 to below 1")
    count = math.prod(shape)
    words = raw(key.seed, TAG_DROPOUT, key.step, key.layer, size=(count + 1) // 2)
    least = np.uint64(min(round(rate * 2.0**_HALF_WORD), 2**_HALF_WORD - 1))
    kept = np.empty((len(words), 2), dtype=np.bool_)
    np.greater_equal(words & np.uint64(2**_HALF_WORD - 1), least, out=kept[:, 0])
    np.greater_equal(words >> np.uint64(_HALF_WORD), least, out=kept[:, 1])
    return kept.reshape(-1)[:count].reshape(shape)
