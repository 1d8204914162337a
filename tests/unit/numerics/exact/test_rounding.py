"""Rounding to slices: what the docstrings promise, and what is refused."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import rounding
from lifecycle.numerics.exact.rounding import InexactError


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("x", "e"),
    [
        (1.0, 1), (2.0 - 2.0**-52, 1), (2.0, 2), (-3.0, 2), (0.5, 0), (2.0**-1022, -1021),
        (2.0**-1023, -1022), (2.0**-1074, -1022), (0.0, -1022), (-0.0, -1022),
        (2.0**959, 960), (1.7e308, 1024), (math.inf, 1025), (-math.inf, 1025), (math.nan, 1025),
    ],
)  # fmt: skip
def test_the_exponent_stands_just_above(x: float, e: int) -> None:
    assert rounding.exponent(tensor(0.0, x)).item() == e
    if abs(x) < math.inf:
        assert abs(Fraction(x)) < Fraction(2) ** e


def test_exponents_along_a_dimension_are_kept() -> None:
    x = tensor(1.0, 3.0, 0.1, 100.0).reshape(2, 2)
    assert rounding.exponent(x, (1,)).tolist() == [[2], [7]]
    assert rounding.exponent(x, (0,)).tolist() == [[1, 7]]


def test_powers_of_two_are_exact() -> None:
    powers = rounding.power_of_two(torch.arange(-1022, 1024))
    assert powers.tolist() == [math.ldexp(1.0, e) for e in range(-1022, 1024)]


@pytest.mark.parametrize(("n", "b"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (2**20, 20)])
def test_ceil_log2(n: int, b: int) -> None:
    assert rounding.ceil_log2(n) == b


@pytest.mark.parametrize(
    ("length", "bits"),
    # the figures of the specification, and both sides of where they change
    [(1, 26), (2, 26), (3, 25), (8, 25), (9, 24), (128, 23), (2048, 21), (51_000, 18), (2**21, 16)],
)
def test_bits_by_inner_length(length: int, bits: int) -> None:
    assert rounding.product_bits(length) == bits
    assert length * 4**bits <= 2**53 < length * 4 ** (bits + 2)


@pytest.mark.parametrize("length", [0, 2**21 + 1])
def test_too_long_for_sixteen_bits(length: int) -> None:
    with pytest.raises(UnusableInputError, match=f"inner dimension of {length} .* the longest is"):
        rounding.product_bits(length)


def quanta(x: Tensor, e: int, bits: int) -> list[Fraction]:
    return [Fraction(value) / Fraction(2) ** (e - bits) for value in x.tolist()]


@pytest.mark.parametrize("bits", [16, 18, 26, 40, 50, 51])
@pytest.mark.parametrize("e", [-1022, -300, 0, 7, 960])
def test_a_slice_is_rounded_half_to_even(bits: int, e: int) -> None:
    rng = np.random.default_rng(bits)
    halves = np.ldexp(rng.integers(-(2**9), 2**9, 300) * 0.5, e - bits + rng.integers(0, bits - 9))
    anything = np.ldexp(rng.uniform(-1, 1, 300), e)
    x = torch.from_numpy(np.concatenate([halves, anything, [0.0, -0.0]]))
    found = rounding.to_slice(x, torch.tensor(e), bits)
    assert quanta(found, e, bits) == [round(value) for value in quanta(x, e, bits)]
    assert float(found.abs().max()) <= math.ldexp(1.0, e)
    assert not torch.signbit(found[found == 0]).any()


@pytest.mark.parametrize("bits", [52, 53])
def test_where_nothing_can_be_rounded_a_value_stays(bits: int) -> None:
    x = tensor(1.0 + 2.0**-52, -1.0 - 2.0**-52, 2.0**-1074, -0.0)
    found = rounding.to_slice(x, torch.tensor(1), bits)
    assert found.tolist() == x.tolist()
    assert not torch.signbit(found[3])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_rest_is_as_small_as_promised(count: int) -> None:
    x = torch.from_numpy(np.random.default_rng(count).uniform(-8, 8, 500))
    bits, e = 18, 3
    parts = rounding.split(x, torch.tensor(e), bits, count)
    for i, part in enumerate(parts, start=1):
        assert all(value.denominator == 1 for value in quanta(part, e, i * bits))
        assert max(abs(value) for value in quanta(part, e, i * bits)) <= 2**bits
    for value, *pieces in zip(x.tolist(), *(part.tolist() for part in parts), strict=True):
        rest = Fraction(value) - sum(Fraction(piece) for piece in pieces)
        assert abs(rest) <= Fraction(2) ** (e - count * bits - 1)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.nan, "weight holds NaN or infinity"),
        (-math.inf, "weight holds NaN or infinity"),
        (2.0**960, r"weight holds values of 2\^960 and more: it overflows"),
    ],
)
def test_what_has_no_exponent_is_named(value: float, said: str) -> None:
    with pytest.raises(InexactError, match=said):
        rounding.require_range(rounding.exponent(tensor(1.0, value)), "weight")


def test_the_range_of_exponents() -> None:
    e = rounding.exponent(tensor(1.0, 100.0).reshape(2, 1), (1,))
    assert rounding.require_range(e, "weight") == (1, 7)


def test_an_error_gathers_its_place_from_the_inside_out() -> None:
    error = InexactError("gradient", "overflows").at("linear 0, backward").at("epoch 2, step 3")
    assert str(error) == (
        "exact arithmetic: epoch 2, step 3, linear 0, backward: gradient overflows"
    )
    assert error.place == ("epoch 2, step 3", "linear 0, backward")
    assert isinstance(error, UnusableInputError)
