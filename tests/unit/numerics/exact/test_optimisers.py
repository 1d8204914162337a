"""Optimisers against Python's own doubles, one operation after the other, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from lifecycle.numerics.exact import engine
from lifecycle.numerics.exact.optimisers import (
    BETA1,
    BETA2,
    EPSILON,
    SGD,
    Adam,
    Adamax,
    ExactOptimiser,
)

LR, L2, STEPS = 0.0094, 0.0037, 12
KINDS: tuple[type[ExactOptimiser], ...] = (Adamax, Adam, SGD)
Rule = Callable[[float, list[float]], float]


@pytest.fixture(params=["compiled", "plain"], autouse=True)
def _path(request: pytest.FixtureRequest) -> Iterator[None]:
    with engine.plain() if request.param == "plain" else nullcontext():
        yield


def adamax(w: float, gradients: list[float]) -> float:
    """Kingma & Ba 2015, Algorithm 2."""
    m = u = 0.0
    power = 1.0
    for gradient in gradients:
        g = gradient + w * L2
        power *= BETA1
        m = m * BETA1 + g * (1.0 - BETA1)
        u = max(u * BETA2, abs(g) + EPSILON)
        w = w - (m * (LR / (1.0 - power))) / u
    return w


def adam(w: float, gradients: list[float]) -> float:
    """Kingma & Ba 2015, Algorithm 1."""
    m = v = 0.0
    power1 = power2 = 1.0
    for gradient in gradients:
        g = gradient + w * L2
        power1, power2 = power1 * BETA1, power2 * BETA2
        m = m * BETA1 + g * (1.0 - BETA1)
        v = v * BETA2 + (g * g) * (1.0 - BETA2)
        w = w - (m * (LR / (1.0 - power1))) / (math.sqrt(v / (1.0 - power2)) + EPSILON)
    return w


def sgd(w: float, gradients: list[float]) -> float:
    b = 0.0
    for gradient in gradients:
        b = b * 0.9 + (gradient + w * L2)
        w = w - b * LR
    return w


RULES: dict[type[ExactOptimiser], Rule] = {Adamax: adamax, Adam: adam, SGD: sgd}


def problem(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (7, 9) and gradients (steps, 7, 9), zeros and tiny ones among them."""
    rng = np.random.default_rng(seed)
    values = np.ldexp(rng.normal(size=(STEPS + 1, 7, 9)), rng.integers(-30, 3, (STEPS + 1, 7, 9)))
    values[:, 0, :3] = 0.0
    values[1:, 1, :3] = 0.0
    return torch.from_numpy(values[0]), torch.from_numpy(values[1:])


def trained(kind: type[ExactOptimiser], seed: int) -> torch.Tensor:
    w, gradients = problem(seed)
    parameter = w.clone().requires_grad_()
    optimiser = kind([parameter], LR, L2)
    for gradient in gradients:
        optimiser.zero_grad()
        parameter.grad = gradient.clone()
        optimiser.step()
    return parameter.detach()


@pytest.mark.parametrize("kind", KINDS)
def test_as_python_counts(kind: type[ExactOptimiser]) -> None:
    w, gradients = problem(1)
    found = trained(kind, 1)
    for i in range(7):
        for j in range(9):
            expected = RULES[kind](float(w[i, j]), gradients[:, i, j].tolist())
            assert found[i, j].item() == expected, (i, j)


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        (Adamax, lambda p: torch.optim.Adamax(p, lr=LR, weight_decay=L2)),
        (Adam, lambda p: torch.optim.Adam(p, lr=LR, weight_decay=L2)),
        (SGD, lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9, weight_decay=L2)),
    ],
)
def test_near_the_framework(
    kind: type[ExactOptimiser], theirs: Callable[[list[torch.Tensor]], torch.optim.Optimizer]
) -> None:
    w, gradients = problem(2)
    parameter = w.clone().requires_grad_()
    optimiser = theirs([parameter])
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimiser.step()
    assert torch.allclose(trained(kind, 2), parameter.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_a_parameter_without_a_gradient_stays(kind: type[ExactOptimiser]) -> None:
    w, gradients = problem(3)
    one, other = w.clone().requires_grad_(), w.clone().requires_grad_()
    optimiser = kind([one, other], LR, L2)
    one.grad = gradients[0].clone()
    optimiser.step()
    assert torch.equal(other.detach(), w)
    assert not torch.equal(one.detach(), w)
    optimiser.zero_grad()
    assert one.grad is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_left_as_it_was(kind: type[ExactOptimiser]) -> None:
    w, gradients = problem(4)
    parameter = w.clone().requires_grad_()
    parameter.grad = gradients[0].clone()
    kind([parameter], LR, L2).step()
    assert torch.equal(parameter.grad, gradients[0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_rate_can_be_scheduled(kind: type[ExactOptimiser]) -> None:
    w, gradients = problem(5)
    parameter = w.clone().requires_grad_()
    optimiser = kind([parameter], LR, L2)
    optimiser.lr = 0.0
    parameter.grad = gradients[0].clone()
    optimiser.step()
    assert torch.equal(parameter.detach(), w)
    assert optimiser.steps == 1
