"""Random numbers and curves of the ECG simulator: integers, then + - * / in a fixed order.

No sine, exponential or logarithm of a mathematical library and no matrix product: those differ
between machines in the last bit, and the cohort is pinned by its bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts.simulate_streams import NORMAL_CENTRE, NORMAL_SCALE, as_normal

Floats = NDArray[np.float64]

# Tags of the streams. Initialisation, order and dropout of a training have 1 to 3, methylation 101
# to 132: one seed in params.yaml for both must not make the networks share numbers with the data.
TAG_PLAN, TAG_PATIENT, TAG_RECORD, TAG_LABEL, TAG_NOISE = range(210, 215)

_UNIT53 = 2.0**-53
_PART = 0xFFFF


class Draws:
    """The numbers of one stream, one after the other."""

    def __init__(self, seed: int, tag: int, index: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, tag, index]))

    def u(self) -> float:
        """Uniform within [0, 1), a multiple of 2^-53."""
        return (int(self._bits.random_raw()) >> 11) * _UNIT53

    def z(self) -> float:
        """Near-normal, mean 0, variance 1, at most 3.465 in size: four 16-bit parts summed."""
        raw = int(self._bits.random_raw())
        total = (raw & _PART) + (raw >> 16 & _PART) + (raw >> 32 & _PART) + (raw >> 48)
        return (total - NORMAL_CENTRE) / NORMAL_SCALE

    def between(self, low: float, high: float) -> float:
        """Uniform within [low, high)."""
        return low + (high - low) * self.u()

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return self.u() < share

    def ln(self, middle: float, spread: float) -> float:
        """Nearly log-normal: m ((1 + a) / (1 - a))^4 with a = spread z / 8."""
        a = spread * self.z() / 8.0
        ratio = (1.0 + a) / (1.0 - a)
        square = ratio * ratio
        return middle * (square * square)

    def pick(self, weights: Mapping[str, int]) -> str:
        """One of the names, with odds in whole numbers."""
        left = int(self.u() * sum(weights.values()))
        for name, weight in weights.items():
            left -= weight
            if left < 0:
                return name
        raise ValueError("weights must be positive")

    def order(self, size: int) -> NDArray[np.intp]:
        """A random order of 0..size-1."""
        return np.argsort(self._raw(size), kind="stable")

    def normal(self, *shape: int) -> Floats:
        """Near-normal numbers of a shape."""
        size = int(np.prod(shape, dtype=np.int64))
        return as_normal(self._raw(size)).reshape(shape)

    def _raw(self, size: int) -> NDArray[np.uint64]:
        return np.asarray(self._bits.random_raw(size), dtype=np.uint64)


def sine(turns: Floats) -> Floats:
    """Nearly sin(2 pi turns): Bhaskara's 16 h (1 - h) / (5 - 4 h (1 - h)), off by 0.0017 at most.

    Args:
        turns: phase in full turns, of any sign.
    """
    side = 2.0 * (turns - np.floor(turns)) - 1.0  # within [-1, 1), sin(2 pi turns) = -sin(pi side)
    size = np.abs(side)
    return np.asarray(-16.0 * (side * (1.0 - size)) / (5.0 - 4.0 * (size * (1.0 - size))))


def sine_of(turns: float) -> float:
    """`sine` of one number."""
    side = 2.0 * (turns - turns // 1.0) - 1.0
    size = abs(side)
    return -16.0 * (side * (1.0 - size)) / (5.0 - 4.0 * (size * (1.0 - size)))


def bump(u: Floats) -> Floats:
    """Nearly exp(-u^2 / 2): (1 + u^2 / 16)^-8, by three squarings, off by 0.033 at most."""
    value = 1.0 / (1.0 + u * u * 0.0625)
    value *= value
    value *= value
    value *= value
    return value
