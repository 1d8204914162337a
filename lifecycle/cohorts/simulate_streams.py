"""Uniform and normal numbers of the simulators, from integer streams alone.

A value is a sum of integers, a subtraction and a division: no logarithm, no library of elementary
functions, so that every machine draws the same bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lifecycle.numerics.streams import raw, unit

NORMAL_CENTRE = 131070.0  # mean of the sum of four 16-bit parts: 4 x 65535 / 2
NORMAL_SCALE = 37837.22673  # its standard deviation: sqrt(4 (65536^2 - 1) / 12)
NORMAL_LIMIT = 3.465  # no value lies beyond: 131070 / 37837.22673 = 3.464

_EVEN_PARTS = np.uint64(0x0000FFFF0000FFFF)
_LOW_HALF = np.uint64(0x00000000FFFFFFFF)


class Streams:
    """The streams of one seed and one tag; `index` selects one of them (a block, a purpose).

    A seed sequence pads with zeros, so [seed, tag] and [seed, tag, 0] are one stream: an index is
    always given.
    """

    def __init__(self, seed: int, tag: int) -> None:
        self._seed = seed
        self._tag = tag

    def bytes(self, index: int, size: int) -> NDArray[np.int64]:
        """Whole numbers within 0..255, for choices with odds in 256ths."""
        return (raw(self._seed, self._tag, index, size=size) >> np.uint64(56)).astype(np.int64)

    def uniform(self, index: int, size: int) -> NDArray[np.float64]:
        """Float64 within [0, 1), multiples of 2^-53."""
        return unit(self._seed, self._tag, index, size=size)

    def normal(self, index: int, *shape: int) -> NDArray[np.float64]:
        """Float64 of the given shape, mean 0, variance 1, at most `NORMAL_LIMIT` in size."""
        size = int(np.prod(shape, dtype=np.int64))
        return as_normal(raw(self._seed, self._tag, index, size=size)).reshape(shape)

    def order(self, index: int, size: int) -> NDArray[np.intp]:
        """A random order of 0..size-1: the stable sort of random integers."""
        return np.argsort(raw(self._seed, self._tag, index, size=size), kind="stable")


def as_normal(draws: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Near-normal numbers: the sum of a draw's four 16-bit parts, centred and scaled."""
    pairs = (draws & _EVEN_PARTS) + ((draws >> np.uint64(16)) & _EVEN_PARTS)
    total = (pairs & _LOW_HALF) + (pairs >> np.uint64(32))
    return np.asarray((total.astype(np.float64) - NORMAL_CENTRE) / NORMAL_SCALE)
