"""The head of a structured network: an equiangular simplex frame."""

from __future__ import annotations

import math

import numpy as np

from lifecycle.models.initialisation.bases import Matrix


def simplex(classes: int, features: int) -> Matrix:
    """Rows of norm 1, each at the same angle to every other: inner products -1 / (classes - 1).

    Feature i belongs to class i modulo C, in q = features // C whole rounds; entry (c, i) is
    a (C - 1) where feature i belongs to class c and -a elsewhere, a = 1 / sqrt(q C (C - 1)). What
    is left of the features gets 0 (the reference too leaves its two spare features at 0; its frame
    comes from a singular value decomposition, whose bits and signs differ between machines).

    Args:
        classes: C, at least 2.
        features: at least C.

    Returns:
        (classes, features) float64.
    """
    rounds = features // classes
    unit = math.sqrt(1.0 / (rounds * classes * (classes - 1)))
    whole = (classes * np.eye(classes) - 1.0) * unit
    spare = np.zeros((classes, features - rounds * classes))
    return np.hstack([np.tile(whole, rounds), spare])


def fits(classes: int, features: int) -> bool:
    """Whether there are two classes and a feature for each."""
    return 2 <= classes <= features
