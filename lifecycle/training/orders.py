"""Orders of the cases in an epoch: one random, two of the golden ratio and free of any seed.

A golden order sorts the cases by key_i = frac((i + epoch) a), computed as a multiple of
floor(2^64 a) modulo 2^64. Neighbours in the order, so every minibatch, are spread evenly over the
cases as they stand in the cohort.

`golden-published` takes a = 1 / phi in every epoch (seeds 000, 001). Adding a constant to all keys
turns them on their circle and nothing else: each epoch is a rotation of the first, with the same
neighbours. `golden` takes another a each epoch: a noble number, whose continued fraction ends in
ones as that of the golden ratio does. Its first quotients spell the epoch, so that no two epochs
share a number; none exceeds 4, so that each of them spreads the cases evenly
(discrepancy O(log n / n) with one constant for all: Kuipers and Niederreiter 1974, chapter 2,
theorem 3.4).
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lifecycle.numerics.streams import permutation

Order = Literal["seeded", "golden", "golden-published"]
QUOTIENTS = 4  # the first quotients of a noble number are from 1 to this
TAIL = 96  # ones at the end of the continued fraction: more than 2^64 can tell apart
WORD = 64


def order(kind: Order, seed: int, epoch: int, n: int) -> NDArray[np.intp]:
    """The order of n cases in an epoch: every case once.

    Args:
        kind: `seeded` depends on seed and epoch; the golden orders on the epoch alone.
        seed: seed of the recipe.
        epoch: from 0; the two golden orders agree in epoch 0.
        n: number of cases.

    Returns:
        (n,) positions of the cases.
    """
    if kind == "seeded":
        return permutation(seed, epoch, n)
    turn = noble_step(0 if kind == "golden-published" else epoch)
    places = np.arange(n, dtype=np.uint64) + np.uint64(epoch)
    keys = places * np.uint64(turn)  # modulo 2^64
    return np.argsort(keys, kind="stable")


@lru_cache(maxsize=1024)
def noble_step(epoch: int) -> int:
    """floor(2^64 a) of the epoch's noble number a, made odd so that no two keys are equal."""
    ratio = Fraction(1)
    for quotient in reversed((*quotients(epoch), *(1,) * TAIL)):
        ratio = 1 / (quotient + ratio)
    return (ratio.numerator << WORD) // ratio.denominator | 1


def quotients(epoch: int) -> tuple[int, ...]:
    """First quotients of the epoch's noble number: 1 + the digits of the epoch, lowest first.

    The last is never 1, and only ones follow: so no two epochs have the same number.
    """
    digits: list[int] = []
    while epoch:
        epoch, digit = divmod(epoch, QUOTIENTS)
        digits.append(1 + digit)
    return tuple(digits)
