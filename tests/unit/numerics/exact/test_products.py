"""Products and sums: error bounds, shapes, what is refused, and by which name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import engine
from lifecycle.numerics.exact.products import MAX_SLICES, matmul, total
from lifecycle.numerics.exact.rounding import InexactError, product_bits

SLICES = range(1, MAX_SLICES + 1)


@pytest.fixture(params=["compiled", "plain"], autouse=True)
def _path(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test on both paths."""
    with engine.plain() if request.param == "plain" else nullcontext():
        yield


def draw(seed: int, *shape: int, width: int = 20) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.ldexp(rng.uniform(-1, 1, shape), rng.integers(-width, 1, shape)))


def full(value: float, *shape: int) -> Tensor:
    return torch.full(shape, value, dtype=torch.float64)


def same(x: Tensor, y: Tensor) -> bool:
    return torch.equal(x.contiguous().view(torch.int64), y.contiguous().view(torch.int64))


def top(values: list[float]) -> Fraction:
    """The power of two just above the largest magnitude."""
    return Fraction(2) ** math.frexp(max(map(abs, values)))[1]


@pytest.mark.parametrize("slices", SLICES)
@pytest.mark.parametrize("k", [1, 2, 7, 300, 4097])
def test_the_error_is_within_its_bound(slices: int, k: int) -> None:
    a, b = draw(k, 3, k), draw(k + 1, k, 2)
    beta = product_bits(k)
    found = matmul(a, b, slices).tolist()
    for i, row in enumerate(a.tolist()):
        for j, column in enumerate(b.t().tolist()):
            pairs = list(zip(row, column, strict=True))
            true = sum(Fraction(x) * Fraction(y) for x, y in pairs)
            scale = top(row) * top(column) * k
            bound = scale * (slices + 3) / 4 / Fraction(2) ** (slices * beta)
            additions = slices * (slices + 1) // 2 - 1
            bound += additions * 2 * scale / 2**53
            assert abs(Fraction(found[i][j]) - true) <= bound


def test_the_bound_of_one_slice_is_nearly_met() -> None:
    """Operands just below the next quantum's middle, so that it is no bound of convenience."""
    k, beta = 8, 25
    x = 1.0 - 2.0 ** -(beta + 1) - 2.0**-50  # exponent 0, rounded down
    found = float(matmul(full(x, 1, k), full(x, k, 1)))
    assert abs(Fraction(found) - k * Fraction(x) ** 2) > Fraction(k) / 2**beta * Fraction(9, 10)


def test_three_slices_are_full_double_precision() -> None:
    a, b = draw(1, 20, 500, width=2), draw(2, 500, 20, width=2)
    true = np.array(
        [
            [
                math.fsum(x * y for x, y in zip(row, column, strict=True))
                for column in b.t().tolist()
            ]
            for row in a.tolist()
        ]
    )
    size = (a.abs() @ b.abs()).numpy()
    assert (np.abs(matmul(a, b, 3).numpy() - true) / size).max() <= 4 * 2.0**-53


@pytest.mark.parametrize("slices", SLICES)
def test_transposed_and_cut_operands_give_the_same_bits(slices: int) -> None:
    a, b = draw(3, 9, 33), draw(4, 33, 12)
    right = matmul(a, b, slices)
    assert right.shape == (9, 12)
    assert same(matmul(a.t().contiguous().t(), b, slices), right)
    assert same(matmul(b.t(), a.t(), slices).t(), right)
    assert same(matmul(torch.cat([a, a], dim=1)[:, :33], b, slices), right)
    assert same(matmul(a[::2], b[:, 1:7], slices), right[::2, 1:7])


@pytest.mark.parametrize("slices", SLICES)
def test_stacks_are_their_matrices(slices: int) -> None:
    a, b = draw(5, 2, 3, 4, 17), draw(6, 2, 3, 17, 5)
    stack = matmul(a, b, slices)
    assert stack.shape == (2, 3, 4, 5)
    for i in range(2):
        for j in range(3):
            assert same(stack[i, j], matmul(a[i, j], b[i, j], slices))


@pytest.mark.parametrize("slices", SLICES)
def test_a_longer_inner_dimension_of_zeros_changes_bits_by_rounding_only(slices: int) -> None:
    """The number of bits follows the length, not the values: it is part of the recipe."""
    a, b = draw(7, 2, 8), draw(8, 8, 2)
    wide = matmul(
        torch.cat([a, torch.zeros(2, 100)], 1), torch.cat([b, torch.zeros(100, 2)]), slices
    )
    assert torch.allclose(wide, matmul(a, b, slices), rtol=0, atol=2.0 ** (8 - 22 * slices))


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_zeros_are_positive(zero: float) -> None:
    a, b = full(zero, 3, 5), -torch.ones(5, 2).double()
    for slices in SLICES:
        assert not torch.signbit(matmul(a, b, slices)).any()
    for dims in ((0,), (1,), (0, 1)):
        assert not torch.signbit(total(a, dims)).any()
    assert not torch.signbit(total(a[:1], (0,))).any()


def test_rows_of_zeros_do_not_make_small_numbers_of_others() -> None:
    a = torch.cat([full(0.0, 2, 4), full(2.0**-400, 1, 4)])
    assert matmul(a, full(2.0**-400, 4, 1)).tolist()[2] == [2.0**-798]


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (math.nan, 1.0, "input holds NaN or infinity"),
        (1.0, math.inf, "weight holds NaN or infinity"),
        (1.0, -math.inf, "weight holds NaN or infinity"),
        (1e300, 1.0, r"input holds values of 2\^996 and more: it overflows"),
        (1e200, 1e200, "input times weight overflows"),
        (1e-200, 1e-200, "input times weight falls into subnormal numbers"),
        (1e-250, 1e-50, "input times weight falls into subnormal numbers"),
        (2.0**-1060, 1.0, "input times weight falls into subnormal numbers"),
    ],
)
@pytest.mark.parametrize("slices", SLICES)
def test_what_is_refused_is_named(a: float, b: float, said: str, slices: int) -> None:
    left, right = torch.zeros(3, 5).double(), torch.zeros(5, 2).double()
    left[1, 3], right[2, 1] = a, b
    with pytest.raises(InexactError, match=f"exact arithmetic: {said}"):
        matmul(left, right, slices, ("input", "weight"))


def test_more_slices_reach_the_subnormal_numbers_earlier() -> None:
    a = full(2.0**-450, 1, 4)
    for slices in (1, 2):
        assert matmul(a, a.t(), slices).item() == 2.0**-898
    with pytest.raises(InexactError, match="left times right falls into subnormal"):
        matmul(a, a.t(), 3)


def test_the_longest_inner_dimension() -> None:
    x = torch.ones(1, 2**21 + 1).double()
    assert matmul(x[:, 1:], x[:, 1:].t()).item() == 2.0**21
    with pytest.raises(UnusableInputError, match="an inner dimension of 2097153"):
        matmul(x, x.t())
    with pytest.raises(UnusableInputError, match="a sum of 2097153 values; at most 2097152"):
        total(x, (1,))


def test_sums_over_any_dimensions() -> None:
    x = draw(9, 3, 4, 5)
    for dims in ((0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2), (-1,)):
        found, kept = total(x, dims), total(x, dims, keepdim=True)
        assert torch.allclose(found, x.sum(dim=dims), rtol=1e-12, atol=1e-12)
        assert same(kept.squeeze(dims), found)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 100])
def test_a_sum_changes_its_sign_with_its_values(n: int) -> None:
    x = draw(n, 50, n)
    assert same(total(-x, (1,)), -total(x, (1,)))
    assert same(total(-x.t(), (0,)), -total(x.t(), (0,)))


def test_one_value_is_its_own_sum() -> None:
    x = draw(10, 40, 1)
    assert same(total(x, (1,)), x[:, 0])
    assert same(total(x.t(), (0,)), x[:, 0])
    assert same(total(x[:, :, None], (1, 2)), x[:, 0])


def test_two_values_are_added_once() -> None:
    x = draw(11, 40, 2)
    assert same(total(x, (1,)), x[:, 0] + x[:, 1])
    assert same(total(x.t(), (0,)), x[:, 0] + x[:, 1])


@pytest.mark.parametrize("n", [3, 50, 4000])
def test_a_sum_is_within_its_bound(n: int) -> None:
    x = draw(n, n)
    error = Fraction(float(total(x[None], (1,)))) - sum(map(Fraction, x.tolist()))
    assert abs(error) <= n * n * top(x.tolist()) / 2**53


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.nan, "gradient holds NaN or infinity"),
        (1e300, "gradient holds values of"),
        (math.inf, "gradient holds NaN or infinity"),
    ],
)
def test_a_sum_that_is_refused_is_named(value: float, said: str) -> None:
    x = torch.ones(4, 3).double()
    x[2, 1] = value
    for dims in ((0,), (1,), (0, 1)):
        with pytest.raises(InexactError, match=said):
            total(x, dims, name="gradient")


def test_an_empty_sum_is_refused() -> None:
    with pytest.raises(UnusableInputError, match="a sum of 0 values"):
        total(torch.empty(3, 0).double(), (1,))


@pytest.mark.parametrize("slices", SLICES)
def test_no_rows_give_no_rows(slices: int) -> None:
    none = torch.empty(0, 3, dtype=torch.float64)
    assert matmul(none, full(1.0, 3, 2), slices).shape == (0, 2)
    assert matmul(full(1.0, 2, 3), none.t(), slices).shape == (2, 0)
    assert total(none, (1,)).shape == (0,)
    assert total(none.view(0, 1, 3), (1, 2)).shape == (0,)


@pytest.mark.parametrize("slices", SLICES)
def test_the_operands_are_left_as_they_were(slices: int) -> None:
    a, b = draw(12, 6, 9), draw(13, 9, 4)
    kept = a.clone(), b.clone()
    matmul(a, b, slices)
    total(a, (0,))
    assert same(a, kept[0])
    assert same(b, kept[1])
