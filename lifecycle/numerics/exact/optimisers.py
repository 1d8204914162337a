"""Optimisers from + - * / max and one IEEE square root, every operation its own rounding.

The framework's optimisers use fused additions (`alpha`, addcmul, lerp) that round once with some
instruction sets and twice with others. Powers of the betas are repeated products.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifecycle.numerics.exact import elementary, kernels, sweep
from lifecycle.numerics.exact.engine import compiled
from lifecycle.numerics.minibatch import Minibatch

BETA1, BETA2 = 0.9, 0.999
EPSILON = 1e-8
_TOGETHER = 10  # parameters in a call of a kernel, which is compiled for each number of them


Part = tuple[Tensor, Tensor, tuple[Tensor, ...]]  # a parameter, its gradient, its state


def flat(parameter: Tensor, gradient: Tensor) -> bool:
    """Whether compiled kernels can update a parameter."""
    return (
        compiled()
        and parameter.device.type == "cpu"
        and all(t.is_contiguous() for t in (parameter, gradient))
    )


class ExactOptimiser:
    """Coupled L2 (g + l2 w), then the rule of a subclass.

    Attributes:
        parameters: what is trained; gradients stand in their `.grad`.
        lr: learning rate of the next step; a schedule sets it.
        l2: weight of the L2 term, on all parameters.
        steps: steps done.
        rates: learning rate of a step counted from 0, where it is scheduled.
    """

    rates: Callable[[int], float] | None = None

    def __init__(self, parameters: Sequence[Tensor], lr: float, l2: float) -> None:
        self.parameters = list(parameters)
        self.lr, self.l2, self.steps = lr, l2, 0
        self.state: list[tuple[Tensor, ...]] = [self.start(p) for p in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, upcoming: Minibatch | None = None) -> None:
        """One step with the gradients at hand; parameters without one stay as they are."""
        self.advance()
        self.update_all(self.parts())

    def parts(self) -> list[Part]:
        """What has a gradient."""
        return [
            (parameter, parameter.grad, state)
            for parameter, state in zip(self.parameters, self.state, strict=True)
            if parameter.grad is not None
        ]

    def update_all(self, parts: Sequence[Part]) -> None:
        """`update` each parameter."""
        for parameter, gradient, state in parts:
            self.update(parameter, gradient, state)

    def advance(self) -> None:
        """Count a step, and what depends on the count only."""
        if self.rates is not None:
            self.lr = self.rates(self.steps)
        self.steps += 1

    def start(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """State of one parameter before the first step."""
        raise NotImplementedError

    def update(self, parameter: Tensor, gradient: Tensor, state: tuple[Tensor, ...]) -> None:
        """Change a parameter and its state in place; `gradient` is without the L2 term."""
        raise NotImplementedError

    def with_l2(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        """The gradient with the L2 term, g + w l2."""
        return gradient + parameter * self.l2


class Adamax(ExactOptimiser):
    """Kingma & Ba 2015, Algorithm 2; m / u as in the framework, u = max(beta2 u, |g| + eps)."""

    power1 = 1.0

    def start(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """First moment m and infinity norm u."""
        return torch.zeros_like(parameter), torch.zeros_like(parameter)

    def advance(self) -> None:
        """beta1^t by one more product."""
        super().advance()
        self.power1 *= BETA1

    @property
    def rate(self) -> float:
        """lr / (1 - beta1^t)."""
        return self.lr / (1.0 - self.power1)

    @property
    def rule(self) -> NDArray[np.float64]:
        """The numbers of a step, as the compiled kernels take them (see `sweep.sweep_tiles`)."""
        return np.array([self.l2, BETA1, 1.0 - BETA1, BETA2, EPSILON, self.rate])

    def update_all(self, parts: Sequence[Part]) -> None:
        """All that a kernel can take at once, in one call: calls cost more than small layers."""
        taken = [part for part in parts if flat(part[0], part[1])]
        super().update_all([part for part in parts if not flat(part[0], part[1])])
        for first in range(0, len(taken), _TOGETHER):
            sweep.adamax(tuple(map(_arrays, taken[first : first + _TOGETHER])), self.rule)

    def update(self, parameter: Tensor, gradient: Tensor, state: tuple[Tensor, ...]) -> None:
        """m = b1 m + (1 - b1) g; u = max(b2 u, |g| + eps); w = w - (rate m) / u."""
        m, u = state
        gradient = self.with_l2(parameter, gradient)
        m.mul_(BETA1).add_(gradient * (1.0 - BETA1))
        torch.maximum(u.mul_(BETA2), gradient.abs().add_(EPSILON), out=u)
        parameter.sub_((m * self.rate).div_(u))


def _arrays(part: Part) -> tuple[NDArray[np.float64], ...]:
    """A parameter, its moments and its gradient as flat arrays."""
    parameter, gradient, (m, u) = part
    return tuple(t.detach().view(-1).numpy() for t in (parameter, m, u, gradient))


class Adam(ExactOptimiser):
    """Kingma & Ba 2015, Algorithm 1, with the framework's place of epsilon."""

    power1 = power2 = 1.0

    def start(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """First and second moment."""
        return torch.zeros_like(parameter), torch.zeros_like(parameter)

    def advance(self) -> None:
        """beta1^t and beta2^t by one more product each."""
        super().advance()
        self.power1 *= BETA1
        self.power2 *= BETA2

    def update(self, parameter: Tensor, gradient: Tensor, state: tuple[Tensor, ...]) -> None:
        """w = w - (lr / (1 - b1^t) m) / (sqrt(v / (1 - b2^t)) + eps)."""
        rates = (self.l2, self.lr / (1.0 - self.power1), 1.0 - self.power2, EPSILON)
        if kernels.adam_of(parameter, gradient, state, rates, (BETA1, BETA2)):
            return
        m, v = state
        gradient = self.with_l2(parameter, gradient)
        m.mul_(BETA1).add_(gradient * (1.0 - BETA1))
        v.mul_(BETA2).add_((gradient * gradient).mul_(1.0 - BETA2))
        whole = torch.tensor(1.0 - self.power2, dtype=v.dtype, device=v.device)
        size = elementary.sqrt(v / whole).add_(EPSILON)
        parameter.sub_((m * (self.lr / (1.0 - self.power1))).div_(size))


class SGD(ExactOptimiser):
    """Stochastic gradient descent with momentum: b = mu b + g; w = w - lr b (b = g at first)."""

    def __init__(
        self, parameters: Sequence[Tensor], lr: float, l2: float, momentum: float = 0.9
    ) -> None:
        super().__init__(parameters, lr, l2)
        self.momentum = momentum

    def start(self, parameter: Tensor) -> tuple[Tensor, ...]:
        """The momentum buffer."""
        return (torch.zeros_like(parameter),)

    def update(self, parameter: Tensor, gradient: Tensor, state: tuple[Tensor, ...]) -> None:
        """b = mu b + g; w = w - lr b."""
        (buffer,) = state
        gradient = self.with_l2(parameter, gradient)
        buffer.mul_(self.momentum).add_(gradient)
        parameter.sub_(buffer * self.lr)
