"""Elementary functions of exact arithmetic against multiple-precision arithmetic (mpmath)."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from mpmath import mpf

from lifecycle.numerics.exact import constants, elementary

PRECISION = 120  # bits of the references
POINTS = 1500  # random points a range


@pytest.fixture(autouse=True)
def precise():
    with mpmath.workprec(PRECISION):
        yield


def rounded(value, bits=53):
    with mpmath.workprec(bits):
        return float(+value)


def series(term):
    """A power series as a function, 60 terms."""
    return lambda z: mpmath.fsum(term(k) * z**k for k in range(60))


def interpolant(function, low, high, count):
    """Coefficients of x^0, x^1, …, each rounded once."""
    return tuple(rounded(c) for c in mpmath.chebyfit(function, [low, high], count)[::-1])


def scaled_tail(t):
    """e^(a^2 / 2) Phi(-a) (a + 5) where t = (a - 5) / (a + 5)."""
    a = 5 * (1 + t) / (1 - t)
    return mpmath.exp(a * a / 2) * mpmath.erfc(a / mpmath.sqrt(2)) / 2 * (a + 5)


@mpmath.workdps(60)
def made():
    """Every constant from its definition."""
    ln2, two_pi = mpmath.log(2), 2 * mpmath.pi
    top = mpf("23.625")
    return {
        "LN2_HIGH": rounded(ln2, 42),
        "LN2_LOW": rounded(ln2 - rounded(ln2, 42)),
        "INV_LN2": rounded(1 / ln2),
        "SQRT_HALF_BITS": int(np.float64(rounded(mpmath.sqrt(mpf(1) / 2))).view(np.int64)),
        "SQRT2": rounded(mpmath.sqrt(2)),
        "INV_SQRT_2PI": rounded(1 / mpmath.sqrt(two_pi)),
        "EXP_LEAST": rounded(-400 * ln2),
        "NORMAL_CENTRE": 5.0,
        "NORMAL_TOP": 23.625,
        "EXP_TAIL": interpolant(
            series(lambda k: 1 / mpmath.factorial(k + 2)), -mpf("0.347"), mpf("0.347"), 11
        ),
        "LOG_TAIL": interpolant(series(lambda k: mpf(2) / (2 * k + 3)), 0, mpf("0.0295"), 8),
        "NORMAL_TAIL": interpolant(scaled_tail, -1, (top - 5) / (top + 5), 23),
        "NORMAL_SERIES": interpolant(
            series(lambda k: mpf(-0.5) ** k / (mpmath.factorial(k) * (2 * k + 1)) / two_pi**0.5),
            0,
            mpf("0.92") ** 2,
            10,
        ),
        "ERF_SERIES": interpolant(
            lambda z: (
                2
                / mpmath.sqrt(mpmath.pi)
                * series(lambda k: mpf(-1) ** k / (mpmath.factorial(k) * (2 * k + 1)))(z)
                - 1
            ),
            0,
            mpf("0.65") ** 2,
            10,
        ),
    }


def test_every_constant_comes_from_its_definition():
    kept = {name: value for name, value in vars(constants).items() if name.isupper()}
    assert made() == kept
    assert 53 - math.ceil(math.log2(1075)) == 42  # LN2_HIGH times any exponent is exact


def test_the_rule_of_zero_holds_at_the_top_of_the_tail():
    assert -(constants.NORMAL_TOP**2) / 2 < constants.EXP_LEAST


def near(points):
    """Points with their neighbours on both sides."""
    x = np.asarray(points, dtype=float)
    return np.concatenate([np.nextafter(x, -np.inf), x, np.nextafter(x, np.inf)])


def uniform(low, high, seed):
    return np.random.default_rng(seed).uniform(low, high, POINTS)


def scales(low, high, seed):
    """Values of both signs, spread evenly over powers of ten."""
    rng = np.random.default_rng(seed)
    return 10.0 ** rng.uniform(low, high, POINTS) * rng.choice([-1.0, 1.0], POINTS)


HALVES = np.log(2) / 2 * np.arange(-798, 2040, 11)  # where the exponent of e^x steps, and between
STEPS = near(np.log(2) / 2 * np.arange(-60, 61))
POWERS = near(np.concatenate([s * 2.0 ** np.arange(-70, 6) for s in (1, -1)]))
PHI = near([-23.5, -0.92, 0.92, -0.65, 0.65, -1.17, -5.0, 5.0, 8.2])


def phi(x):
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


def softplus(x):
    """ln(1 + y) of a small y from its series: 1 + y would lose it."""
    y = mpmath.exp(x)
    return mpmath.log(1 + y) if y > 1e-8 else y - y**2 / 2 + y**3 / 3 - y**4 / 4 + y**5 / 5


CASES = {
    "exp": (
        mpmath.exp,
        1.0,
        [uniform(-277, 709.7, 1), uniform(-2, 2, 2), near(HALVES), STEPS, POWERS],
    ),
    "expm1": (
        mpmath.expm1,
        1.1,
        [uniform(-60, 709.7, 3), uniform(-2, 2, 4), scales(-300, 1, 5), STEPS, POWERS],
    ),
    "log": (
        mpmath.log,
        1.0,
        [
            np.abs(scales(-307, 308, 6)),
            np.abs(scales(-323, -307, 7)),
            uniform(0.6, 1.6, 8),
            1 + scales(-15, -1, 9),
            near(np.sqrt(0.5) * 2.0 ** np.arange(-20, 20)),
            np.abs(POWERS),
        ],
    ),
    "log1p": (
        mpmath.log1p,
        1.1,
        [
            uniform(0, 1, 10),
            uniform(-0.99, 3, 11),
            np.abs(scales(-300, 300, 12)),
            -np.abs(scales(-18, -1, 13)),
            near([math.sqrt(0.5) - 1, math.sqrt(2) - 1, -1 + 2.0**-52]),
            POWERS[POWERS > -1],
        ],
    ),
    "sqrt": (mpmath.sqrt, 0.5, [np.abs(scales(-323, 308, 14)), np.abs(POWERS)]),
    "tanh": (
        mpmath.tanh,
        3.0,
        [uniform(-22, 22, 15), uniform(-2, 2, 16), scales(-300, 1, 17), STEPS / 2, POWERS],
    ),
    "sigmoid": (
        lambda x: 1 / (1 + mpmath.exp(-x)),
        3.0,
        [uniform(-277, 40, 18), uniform(-5, 5, 19), STEPS, POWERS],
    ),
    "softplus": (softplus, 2.0, [uniform(-277, 40, 20), uniform(-5, 5, 21), STEPS, POWERS]),
    "erf": (
        mpmath.erf,
        3.0,
        [uniform(-6.5, 6.5, 22), uniform(0.5, 1.1, 23), scales(-300, 0.9, 24), PHI, POWERS],
    ),
    "normal_cdf": (
        phi,
        6.0,
        [uniform(-23.5, 10, 25), uniform(-3, 3, 26), scales(-300, 0, 27), PHI, near(-HALVES / 99)],
    ),
    "gelu": (
        lambda x: x * phi(x),
        6.0,
        [uniform(-23.5, 10, 28), uniform(-3, 3, 29), scales(-290, 0, 30), PHI],
    ),
}


def inside(name, x):
    """Arguments without those that are 0 by rule."""
    least = {"exp": -277.25, "softplus": -277.25, "sigmoid": -277.25, "expm1": -700.0}
    return x[x > least.get(name, -23.54)]


def errors(name, reference, x):
    """Absolute errors, and the same in ulp."""
    y = getattr(elementary, name)(torch.from_numpy(x)).tolist()
    exact = [reference(mpf(value)) for value in x.tolist()]
    absolute = np.array([float(abs(mpf(a) - e)) for a, e in zip(y, exact, strict=True)])
    return absolute, absolute / np.spacing(np.abs([float(e) for e in exact]))


@pytest.mark.parametrize("name", CASES)
def test_errors_in_ulp_are_as_stated(name):
    reference, bound, parts = CASES[name]
    x = inside(name, np.concatenate(parts))
    _, ulp = errors(name, reference, x)
    worst = int(np.argmax(ulp))
    assert ulp[worst] <= bound, f"{name}({x[worst]!r}) is {ulp[worst]:.3f} ulp off"
    assert ulp.max() > 0.1  # the measure itself works
    assert f"{bound:g} ulp" in getattr(elementary, name).__doc__ or bound == 0.5


def derivative(x):
    return phi(x) + x * mpmath.npdf(x)


def test_errors_of_the_derivative_of_gelu_are_as_stated():
    x = np.concatenate([uniform(-10, 10, 31), uniform(-1, 1, 32), PHI, scales(-300, 0, 33)])
    absolute, _ = errors("gelu_derivative", derivative, x)
    assert absolute.max() <= 4e-16
    _, ulp = errors("gelu_derivative", derivative, uniform(-23.5, -2, 34))
    assert ulp.max() <= 6
