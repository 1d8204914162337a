"""Optimisers against the framework's over many steps, schedules, and the network as a whole."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import mpmath
import networks
import numpy as np
import pytest
import torch

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import optimisers
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.exact.schedules import Schedule
from lifecycle.numerics.ops import FrameworkOps

from .test_layers_gradients import draw

PAIRS = {
    "adamax": (optimisers.Adamax, torch.optim.Adamax, {}),
    "adam": (optimisers.Adam, torch.optim.Adam, {}),
    "sgd": (optimisers.SGD, torch.optim.SGD, {"momentum": 0.9}),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("l2", [0.0, 1e-2])
def test_optimisers_follow_the_framework_over_many_steps(name: str, l2: float) -> None:
    exact, stock, settings = PAIRS[name]
    start, goal = (draw(1, 6, 5), draw(2, 5)), draw(3, 6)
    ours, theirs = ([part.clone().requires_grad_() for part in start] for _ in range(2))
    steps = [exact(ours, 0.02, l2), stock(theirs, lr=0.02, weight_decay=l2, **settings)]
    for step in range(200):
        for weights, optimiser in zip((ours, theirs), steps, strict=True):
            optimiser.zero_grad()
            loss = ((torch.mv(*weights).tanh() - goal) ** 2).sum()
            loss.backward()
            optimiser.step()
        if step in (0, 9, 199):
            for one, two in zip(ours, theirs, strict=True):
                torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(ours[0], start[0])


@pytest.mark.parametrize("slices", [1, 3])
def test_the_network_learns_as_the_framework_does(slices: int) -> None:
    x, y = networks.examples(n=8, time=160)
    runs = []
    for ops in (ExactOps(slices), FrameworkOps()):
        model = networks.EcgNetwork(ops, width=8)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
        runs.append(networks.losses_of(model, optimiser, networks.in_turn(x, y, 4, 6)))
    tolerance = 1e-12 if slices == 3 else 1e-4
    np.testing.assert_allclose(runs[0], runs[1], rtol=tolerance)
    assert runs[0][-1] < runs[0][0]


def test_the_whole_gradient_is_the_frameworks() -> None:
    x, y = networks.examples(n=4, time=160)
    found = []
    for ops in (ExactOps(3), FrameworkOps()):
        model = networks.EcgNetwork(ops, width=8)
        loss = ops.bce_with_logits(model(x), y, torch.ones(networks.CLASSES).double())
        loss.backward()
        found.append({name: value.grad for name, value in model.named_parameters()})
    for name, right in found[1].items():
        # what flows into a bias before a norm, or into a key's, is zero but for rounding
        torch.testing.assert_close(found[0][name], right, rtol=1e-9, atol=1e-13, msg=name)


def test_numbers_are_rounded_once_from_multiple_precision() -> None:
    with mpmath.workdps(50):
        above = mpmath.mpf(1) + mpmath.mpf(2) ** -53 + mpmath.mpf(2) ** -90
        assert float(above) == 1.0 + 2.0**-52


def test_a_constant_schedule_after_a_warm_up() -> None:
    schedule = Schedule("constant", 0.3, steps=7, warm_up=3)
    thirds = [float(Fraction(0.3) * step / 3) for step in (1, 2, 3)]
    assert [schedule.rate(step) for step in range(7)] == [*thirds, 0.3, 0.3, 0.3, 0.3]


def test_a_cosine_schedule_is_within_half_an_ulp() -> None:
    schedule = Schedule("cosine", 1e-3, steps=95, warm_up=5, floor=1e-5)
    rates = [schedule.rate(step) for step in range(95)]
    assert rates[5] == 1e-3
    with mpmath.workdps(80):
        for step in range(5, 95):
            turn = mpmath.cos(mpmath.pi * (step - 5) / 90)
            right = 1e-5 + (mpmath.mpf(1e-3) - mpmath.mpf(1e-5)) * (1 + turn) / 2
            assert abs(right - rates[step]) <= math.ulp(rates[step]) / 2
    assert all(one > two for one, two in pairwise(rates[5:]))


def test_cycles_begin_anew() -> None:
    schedule = Schedule("cosine", 0.1, steps=20, cycles=4)
    assert [schedule.rate(step) for step in (0, 5, 10, 15)] == [0.1] * 4
    assert [schedule.rate(step) for step in range(5)] == [schedule.rate(15 + i) for i in range(5)]


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "linear"},
        {"warm_up": 20},
        {"cycles": 0},
        {"cycles": 21},
        {"floor": 0.2},
        {"lr": float("nan")},
        {"lr": float("inf")},
    ],
)
def test_what_is_no_schedule_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UnusableInputError, match="schedule"):
        Schedule(**({"kind": "cosine", "lr": 0.1, "steps": 20} | settings))


@pytest.mark.parametrize("step", [-1, 20])
def test_no_rate_outside_of_the_training(step: int) -> None:
    with pytest.raises(UnusableInputError, match="no step"):
        Schedule("constant", 0.1, steps=20).rate(step)
