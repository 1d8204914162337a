"""Vectors inside kernels, lane by lane against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lifecycle.numerics.exact import compiled, engine
from lifecycle.numerics.exact.compiled import kernel
from lifecycle.numerics.exact.lanes import (
    LANES,
    fetched,
    higher,
    highest,
    larger,
    loaded,
    spread,
    stack,
    stored,
    sums,
    zeros,
)
from lifecycle.numerics.exact.tuples import added, dot

pytestmark = pytest.mark.skipif(not engine.compiled(), reason="compiled kernels are off")
SPECIAL = [0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, -5e-324, 1.5, -2.5, 1e308]


def numbers(seed: int, count: int = LANES) -> np.ndarray:
    """Some ordinary, some special."""
    draw = np.random.default_rng(seed)
    return np.where(draw.random(count) < 0.5, draw.normal(size=count), draw.choice(SPECIAL, count))


def require_same_bits(found: np.ndarray, right: np.ndarray) -> None:
    """Bit for bit, but for the kind of a NaN."""
    assert np.array_equal(np.isnan(found), np.isnan(right))
    known = ~np.isnan(right)
    assert np.array_equal(found[known].view(np.int64), right[known].view(np.int64))


@kernel()
def _copy(source, at, target, to, count):
    stored(target, to, loaded(source, at, count), count)


@kernel()
def _fill(source, at, target, count):
    stored(target, 0, loaded(source, at, count), LANES)


@kernel()
def _four_operations(a, b, number, out):
    one, two = loaded(a, 0, LANES), loaded(b, 0, LANES)
    results = one + two, one - two, one * two, one / two, one * number, abs(one), larger(one, two)
    for at in range(len(results)):
        stored(out[at], 0, results[at], LANES)


@kernel()
def _magnitudes(a, b):
    return highest(higher(loaded(a, 0, LANES), loaded(b, 0, LANES)))


@kernel()
def _products(a, b, factors, out):
    like = spread(factors)
    total = zeros(like)
    one, two = stack(a, 0, like), stack(b, 0, like)
    stored(out[0], 0, dot(one, two), LANES)
    total = added(total, loaded(a, 0, LANES), two)
    total = added(total, like[1], one)
    for at in range(3):
        stored(out[at + 1], 0, total[at], LANES)
    return sums(total)


@kernel()
def _ask(a, at):
    fetched(a, at)
    return a[0]


@pytest.mark.parametrize("count", range(LANES + 1))
def test_lanes_beyond_a_count_are_zeros_and_are_not_written(count: int) -> None:
    source, target = np.arange(40.0) + 1, np.full(40, -1.0)
    _copy(source, 3, target, 5, count)
    right = np.full(40, -1.0)
    right[5 : 5 + count] = source[3 : 3 + count]
    assert np.array_equal(target, right)
    _fill(source, 7, target[:LANES], count)
    assert np.array_equal(target[:LANES], np.where(np.arange(LANES) < count, source[7:][:LANES], 0))


@pytest.mark.parametrize("seed", range(50))
def test_operations_are_ieee_in_each_lane(seed: int) -> None:
    a, b, out = numbers(seed), numbers(seed + 1000), np.zeros((7, LANES))
    _four_operations(a, b, 0.1, out)
    with np.errstate(all="ignore"):
        right = [a + b, a - b, a * b, a / b, a * 0.1, abs(a), np.where(a > b, a, b)]
    for one, two in zip(out, right, strict=True):
        require_same_bits(one, two)


@pytest.mark.parametrize("seed", range(50))
def test_magnitudes_are_compared_as_bit_patterns(seed: int) -> None:
    a, b = numbers(seed), numbers(seed + 1000)
    assert _magnitudes(a, b) == max(abs(a).view(np.int64).max(), abs(b).view(np.int64).max())


def test_a_nan_is_above_all_numbers() -> None:
    a, b = np.ones(LANES), np.full(LANES, math.inf)
    a[-1] = -math.nan
    assert _magnitudes(a, b) > np.float64(math.inf).view(np.int64)


def test_exact_sums_of_products() -> None:
    draw = np.random.default_rng(3)
    a, b = draw.integers(-9, 9, (2, 3, LANES)).astype(float)
    out = np.zeros((4, LANES))
    found = _products(a, b, (2.0, 3.0, 5.0), out)
    totals = a[0] * b + 3.0 * a
    assert np.array_equal(out[0], (a * b).sum(axis=0))
    assert np.array_equal(out[1:], totals)
    assert found == tuple(totals.sum(axis=1))


def test_what_is_asked_for_ahead_need_not_exist() -> None:
    assert _ask(np.ones(4), 1 << 50) == 1.0


def test_a_vector_is_as_long_as_kernels_are_compiled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.numba.config, "CPU_FEATURES", None)
    assert compiled.vector_length() == 4
    monkeypatch.setattr(compiled.numba.config, "CPU_FEATURES", "+avx512f,-prefer-256-bit")
    assert compiled.vector_length() == 8
