"""Learning-rate schedules; every value is rounded once from multiple precision.

libm's cos differs between machines, so no schedule may use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import mpmath

from lifecycle.errors import UnusableInputError

DIGITS = 50


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rates of the steps 0 … steps - 1.

    Holds, for step t, with T = steps - warm_up and u = t - warm_up:
        t < warm_up: lr (t + 1) / warm_up
        constant: lr
        cosine: floor + (lr - floor) (1 + cos(pi (cycles u mod T) / T)) / 2; a cycle starts at lr
            anew (SGDR; Loshchilov & Hutter 2017, Eq. 5).
    The parameters are taken as the doubles they are; the result is computed at 50 digits and
    rounded once, to nearest, ties to even.

    Attributes:
        kind: `constant` or `cosine`.
        lr: the largest rate.
        steps: steps of the whole training.
        warm_up: first steps, in which the rate rises linearly.
        cycles: cosine periods.
        floor: the rate that a cosine approaches.
    """

    kind: Literal["constant", "cosine"]
    lr: float
    steps: int
    warm_up: int = 0
    cycles: int = 1
    floor: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no schedule."""
        if self.kind not in ("constant", "cosine"):
            raise UnusableInputError(f"schedule: no kind `{self.kind}`; use constant or cosine")
        if not 0 <= self.warm_up < self.steps:
            raise UnusableInputError(
                f"schedule: a warm-up of {self.warm_up} of {self.steps} steps; it must be shorter"
            )
        if not 1 <= self.cycles <= self.steps - self.warm_up:
            raise UnusableInputError(f"schedule: {self.cycles} cycles in {self.steps} steps")
        if not 0.0 <= self.floor <= self.lr < float("inf"):
            raise UnusableInputError(
                f"schedule: a floor of {self.floor} and a rate of {self.lr}; 0 <= floor <= rate"
            )

    def rate(self, step: int) -> float:
        """The learning rate of a step, from 0.

        Raises:
            UnusableInputError: the step is not one of the schedule's.
        """
        if not 0 <= step < self.steps:
            raise UnusableInputError(f"schedule: no step {step} among {self.steps}")
        with mpmath.workdps(DIGITS):
            if step < self.warm_up:
                return float(mpmath.mpf(self.lr) * (step + 1) / self.warm_up)
            if self.kind == "constant":
                return self.lr
            length = self.steps - self.warm_up
            share = mpmath.mpf(self.cycles * (step - self.warm_up) % length) / length
            above = mpmath.mpf(self.lr) - mpmath.mpf(self.floor)
            return float(self.floor + above * (1 + mpmath.cospi(share)) / 2)
