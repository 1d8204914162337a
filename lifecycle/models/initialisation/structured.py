"""Structured orthogonal initial values: seed-free, the same bits on every machine.

Published rule (seeds 000, 001; reference of arXiv 2603.28040): a weight of o outputs and F inputs
(channels times taps) takes W[r] = B_N[r, :F], N = max(o, F), minus its mean, scaled to a standard
deviation of 1 / sqrt(3 F). Subtracting the mean destroys orthogonality wherever a row has a mean.

Ours: the mean is turned away instead of subtracted. Signs are given to the rows (to the columns, if
o > F) so that their sums nearly cancel, and the two of largest sum are turned in their plane by the
angle at which the sum of all entries is 0. So, up to rounding,
- o <= F: W W^T = I / 3; o >= F: W^T W = I o / (3 F);
- the mean is 0 (the only weight without it: 1 by 1) and the standard deviation 1 / sqrt(3 F).

Two dimensions (o, i, h, w): for o <= F separable, the Kronecker product of the bases of orders i, h
and w; for o > F as in one dimension (the reference repeats its filters there).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lifecycle.models.initialisation.bases import Basis, Matrix, entries

NOTHING = 1e-9  # a sum of orthonormal entries below this is rounding


def weight(kind: Basis, shape: Sequence[int]) -> Matrix:
    """Initial values of a weight.

    Args:
        kind: the basis.
        shape: (o, i), (o, i, k) or (o, i, h, w); i is of one group, where there are several.

    Returns:
        float64 of that shape.
    """
    outputs, inputs = shape[0], math.prod(shape[1:])
    if min(outputs, inputs) == 1:
        lines = _second_row(kind, max(outputs, inputs))
    elif outputs <= inputs:
        lines = centred(_rows(kind, shape))
    else:
        lines = centred(entries(kind, outputs, outputs, inputs).T)
    values = lines if outputs <= inputs else lines.T
    scale = math.sqrt(max(outputs, inputs) / (3 * inputs))
    return np.ascontiguousarray(values * scale).reshape(tuple(shape))


def _rows(kind: Basis, shape: Sequence[int]) -> Matrix:
    """The first o orthonormal rows of F entries."""
    outputs, inputs = shape[0], math.prod(shape[1:])
    if len(shape) < 4:
        return entries(kind, inputs, outputs, inputs)
    space = np.kron(*(entries(kind, size, size, size) for size in shape[2:]))
    channels = -(-outputs // len(space))
    return np.kron(entries(kind, shape[1], channels, shape[1]), space)[:outputs]


def _second_row(kind: Basis, order: int) -> Matrix:
    """(1, order): a row whose sum is 0 in every basis; 1 for order 1."""
    return entries(kind, order, min(order, 2), order)[-1:]


def centred(lines: Matrix) -> Matrix:
    """Orthonormal lines in other signs, two of them turned, so that all entries sum to 0.

    Sums are exactly rounded, so that their order does not matter.

    Args:
        lines: (m, n) orthonormal rows, 2 <= m <= n.
    """
    sums = [0.0 if abs(s) < NOTHING else s for s in (math.fsum(line) for line in lines.tolist())]
    falling = sorted(range(len(sums)), key=lambda line: -abs(sums[line]))
    first, second, *others = falling
    if not sums[first]:
        return lines
    result, rest = lines.copy(), 0.0
    for line in others:
        if rest * sums[line] > 0.0:
            result[line] *= -1.0
            rest -= sums[line]
        else:
            rest += sums[line]
    cosine, sine = angle(sums[first], sums[second], rest)
    a, b = lines[first], lines[second]
    result[first], result[second] = cosine * a + sine * b, cosine * b - sine * a
    return result


def angle(a: float, b: float, rest: float) -> tuple[float, float]:
    """Cosine and sine of the turn after which two sums a and b and a rest add up to 0.

    Turned, the two add up to (a + b) cos t + (b - a) sin t = -rest, which has a solution for
    |rest| <= sqrt(2 (a^2 + b^2)). The smaller turn of the two is taken.
    """
    p, q = a + b, b - a
    square = p * p + q * q
    root = math.sqrt(square - rest * rest)
    turns = [
        ((-rest * p - sign * q * root) / square, (-rest * q + sign * p * root) / square)
        for sign in (1.0, -1.0)
    ]
    return max(turns)
