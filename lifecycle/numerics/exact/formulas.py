"""The elementary functions, each written once, in steps that every processor rounds alike.

A formula here is plain Python over IEEE + - * /, comparisons, selections and bit patterns. On
tensors it runs as it stands; `compiled` has numba compile the very same functions for scalars. So
the two, and every CPU and GPU, give the same bits. How good those are is stated in `elementary` and
measured in `tests/reference/test_elementary.py`.

Rules for the reader of a change:
- no `a / b` but `quotient`: a tensor framework turns division by or of a plain number into
  multiplication with a rounded reciprocal;
- no `torch.exp` and the like, no alpha=, addcmul, lerp, ldexp;
- a `where` has a tensor on at least one side: two plain numbers would be single precision.

Every zero of a result is +0 and every NaN the quiet one of positive sign: processors differ in the
signs that they give these, and digests would see it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lifecycle.numerics.exact import constants as c

# Adding 1.5 * 2^52 rounds to an integer, which then stands in the low bits.
_INTEGER = 1.5 * 2.0**52
_INTEGER_BITS = 0x4338 << 48
_FIELD = 52
_HALF = 1022 << _FIELD  # the bits of 0.5
_LEAST_NORMAL = 2.0**-1022
_EXP_TOP = 710.0  # e^710 overflows
_LESS_ONE_LEAST = -64.0  # e^-64 - 1 rounds to -1
_TINY = 2.0**-54  # e^x - 1 rounds to x below
_LEADING = -(1 << 27)  # the 26 leading bits of a significand
_ERF_NEAR = 0.65  # where the series of erf ends
_NORMAL_NEAR = 0.92  # where the series of Phi ends
_ERF_TOP = 6.0  # erf rounds to 1
_NAN = float("nan")
_INFINITY = float("inf")


# Primitives: `compiled` tells numba what these are for scalars.


def where(condition: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """Of each pair, a where the condition holds, else b."""
    return torch.where(condition, a, b)


def quotient(a: Tensor | float, b: Tensor) -> Tensor:
    """The quotient a / b, rounded once."""
    return torch.div(torch.full_like(b, a) if isinstance(a, float) else a, b)


def root(x: Tensor) -> Tensor:
    """Square root, correctly rounded, which the framework's own on a CPU is not."""
    if x.is_cuda:
        return torch.sqrt(x)
    with np.errstate(invalid="ignore"):
        return torch.from_numpy(np.asarray(np.sqrt(x.detach().numpy())))


def bits(x: Tensor) -> Tensor:
    """The bit pattern of doubles as int64."""
    return x.view(torch.int64)


def from_bits(i: Tensor) -> Tensor:
    """The doubles of int64 bit patterns."""
    return i.view(torch.float64)


def polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """c0 + c1 x + c2 x^2 + …, innermost first."""
    total = coefficients[-1] * x + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        total = total * x + coefficient
    return total


# Parts of several formulas.


def or_nan(x: Tensor, y: Tensor) -> Tensor:
    """Of y, but the one quiet NaN of positive sign where x is any NaN."""
    return where(x != x, _NAN, y)  # noqa: PLR0124 - only a NaN differs from itself


def magnitude(x: Tensor) -> Tensor:
    """|x|."""
    return where(x < 0.0, -x, x)


def power(high: Tensor, low: Tensor | float) -> Tensor:
    """e^(high + low) for a small low; 0 where high < -400 ln 2; not for NaN.

    n = nearest integer to high / ln 2, r = high + low - n ln 2, e^r = 1 + (r + r^2 P(r)).
    """
    x = where(high < c.EXP_LEAST, c.EXP_LEAST, high)
    x = where(x > _EXP_TOP, _EXP_TOP, x)
    shifted = x * c.INV_LN2 + _INTEGER
    n = shifted - _INTEGER
    r = (x - n * c.LN2_HIGH) - (n * c.LN2_LOW - low)
    y = 1.0 + (r + r * r * polynomial(r, c.EXP_TAIL))
    # twice y times half of 2^n: 2^1024 itself is no double.
    scaled = (y + y) * from_bits((bits(shifted) << _FIELD) + _HALF)
    return where(high < c.EXP_LEAST, 0.0, scaled)


def power_less_one(x: Tensor) -> Tensor:
    """e^x - 1; not for NaN.

    With n and r as in `power`: (2^n - 1) + 2^n r + 2^n (r^2 P(r) + what r lost in rounding), halved
    until the end because 2^1024 is no double; the first two are added without an error.
    """
    y = where(x < _LESS_ONE_LEAST, _LESS_ONE_LEAST, x)
    y = where(y > _EXP_TOP, _EXP_TOP, y)
    shifted = y * c.INV_LN2 + _INTEGER
    n = shifted - _INTEGER
    high, low = y - n * c.LN2_HIGH, n * c.LN2_LOW
    r = high - low
    half = from_bits((bits(shifted) << _FIELD) + _HALF)
    first, second = half - 0.5, half * r
    whole = first + second
    lost = (second - (whole - first)) + ((half - first) - 0.5)
    whole = whole + (lost + half * (r * r * polynomial(r, c.EXP_TAIL) + ((high - r) - low)))
    return where(magnitude(x) < _TINY, x, whole + whole)


def logarithm(u: Tensor, shift: Tensor | float, low: Tensor | float) -> Tensor:
    """ln(u) + shift ln(2) + low for finite, normal u > 0, an integer shift and a small low.

    u = 2^n (1 + f) between sqrt(1/2) and sqrt(2), s = f / (2 + f),
    ln(1 + f) = 2 atanh(s) = f - s (f - s^2 Q(s^2)), since 2 s = f - s f.
    """
    exponent = (bits(u) - c.SQRT_HALF_BITS) >> _FIELD
    n = (from_bits(exponent + _INTEGER_BITS) - _INTEGER) + shift
    f = from_bits(bits(u) - (exponent << _FIELD)) - 1.0
    s = quotient(f, f + 2.0)
    z = s * s
    below = s * (f - z * polynomial(z, c.LOG_TAIL)) - (n * c.LN2_LOW + low)
    return n * c.LN2_HIGH - (below - f)


def logarithm_above_one(x: Tensor) -> Tensor:
    """ln(1 + x) for finite x > -1: 1 + x = u + low without an error (Knuth's two-sum)."""
    u = x + 1.0
    part = u - 1.0
    low = (1.0 - (u - part)) + (x - part)
    return logarithm(u, 0.0, quotient(low, u))


def square_power(a: Tensor) -> tuple[Tensor, Tensor]:
    """a^2 / 2 without an error, as the square of a's leading 26 bits and a small rest."""
    leading = from_bits(bits(a) & _LEADING)
    return 0.5 * (leading * leading), 0.5 * ((a - leading) * (a + leading))


def scaled_tail(a: Tensor) -> Tensor:
    """e^(a^2 / 2) Phi(-a) for 0 <= a <= NORMAL_TOP."""
    inverse = quotient(1.0, a + c.NORMAL_CENTRE)
    return inverse * polynomial((a - c.NORMAL_CENTRE) * inverse, c.NORMAL_TAIL)


def normal(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Phi(x), e^(-x^2 / 2) and x kept within +-NORMAL_TOP; not for NaN."""
    a = magnitude(x)
    a = where(a > c.NORMAL_TOP, c.NORMAL_TOP, a)
    high, low = square_power(a)
    density = power(-high, -low)
    tail = density * scaled_tail(a)
    kept = where(x < 0.0, -a, a)
    near = 0.5 + kept * polynomial(a * a, c.NORMAL_SERIES)
    far = where(x < 0.0, tail, 1.0 - tail)
    return where(a < _NORMAL_NEAR, near, far), density, kept


# The functions.


def exp(x: Tensor) -> Tensor:
    """See `elementary.exp`."""
    return or_nan(x, power(x, 0.0))


def log(x: Tensor) -> Tensor:
    """See `elementary.log`."""
    small = x < _LEAST_NORMAL
    y = logarithm(where(small, x * 2.0**54, x), where(small, -54.0, x * 0.0), 0.0)
    y = where(x < _INFINITY, y, x)
    y = where(x == 0.0, -_INFINITY, y)
    return where(x >= 0.0, y, _NAN)


def log1p(x: Tensor) -> Tensor:
    """See `elementary.log1p`."""
    y = where(x < _INFINITY, logarithm_above_one(x), x)
    y = where(x == -1.0, -_INFINITY, y)
    return where(x >= -1.0, y, _NAN)


def expm1(x: Tensor) -> Tensor:
    """See `elementary.expm1`."""
    return or_nan(x, power_less_one(x) + 0.0)


def sqrt(x: Tensor) -> Tensor:
    """See `elementary.sqrt`."""
    return where(x >= 0.0, root(x) + 0.0, _NAN)


def tanh(x: Tensor) -> Tensor:
    """See `elementary.tanh`."""
    e = power_less_one(-2.0 * magnitude(x))
    y = quotient(-e, e + 2.0)
    return or_nan(x, where(x < 0.0, -y, y) + 0.0)


def sigmoid(x: Tensor) -> Tensor:
    """See `elementary.sigmoid`."""
    e = power(-magnitude(x), 0.0)
    return or_nan(x, quotient(where(x < 0.0, e, 1.0), e + 1.0))


def softplus(x: Tensor) -> Tensor:
    """See `elementary.softplus`."""
    y = where(x > 0.0, x, 0.0) + logarithm_above_one(power(-magnitude(x), 0.0))
    return or_nan(x, y)


def erf(x: Tensor) -> Tensor:
    """See `elementary.erf`."""
    a = magnitude(x)
    a = where(a > _ERF_TOP, _ERF_TOP, a)
    z = a * a
    near = a + a * polynomial(z, c.ERF_SERIES)
    high, low = square_power(a)
    far = 1.0 - 2.0 * (power(-2.0 * high, -2.0 * low) * scaled_tail(a * c.SQRT2))
    y = where(a < _ERF_NEAR, near, far)
    return or_nan(x, where(x < 0.0, -y, y) + 0.0)


def normal_cdf(x: Tensor) -> Tensor:
    """See `elementary.normal_cdf`."""
    return or_nan(x, normal(x)[0])


def gelu(x: Tensor) -> Tensor:
    """See `elementary.gelu`."""
    below = normal(x)[0]
    return or_nan(x, where(below > 0.0, x * below, 0.0) + 0.0)


def gelu_derivative(x: Tensor) -> Tensor:
    """See `elementary.gelu_derivative`."""
    below, density, kept = normal(x)
    return or_nan(x, below + kept * (density * c.INV_SQRT_2PI))
