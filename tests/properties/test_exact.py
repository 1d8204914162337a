"""Exact products and sums equal, bit for bit, the same rule in rational arithmetic.

The reference is written from the specification alone: exponents from integers' bit lengths, slices
by rounding half to even, sums of fractions. It also decides what must be refused. Run as a script,
the file prints a digest of what the two paths compute: the test of profiles runs it so.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from lifecycle.numerics.exact import engine
from lifecycle.numerics.exact.products import matmul, total
from lifecycle.numerics.exact.rounding import InexactError
from lifecycle.numerics.fingerprint import fingerprint
from lifecycle.numerics.profiles import PROFILES, Profile, reason_against

Matrix = NDArray[np.float64]
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LARGEST = Fraction(sys.float_info.max)
LEAST = Fraction(2) ** -1022
REFUSED = "refused"


# The rule, in fractions.


def power(e: int) -> Fraction:
    return Fraction(2) ** e


def exponent(values: list[Fraction]) -> int:
    """The least e with every |x| < 2^e, -1022 at least."""
    top = max(abs(value) for value in values)
    bits = top.numerator.bit_length() - (top.denominator.bit_length() - 1) if top else -1022
    return max(bits, -1022)


def nearest(x: Fraction, quantum: Fraction) -> Fraction:
    return round(x / quantum) * quantum  # of a fraction: ties to even


def slices_of(values: list[Fraction], bits: int, count: int) -> list[list[Fraction]]:
    e, rest, found = exponent(values), values, []
    for number in range(1, count + 1):
        found.append([nearest(value, power(e - number * bits)) for value in rest])
        rest = [value - part for value, part in zip(rest, found[-1], strict=True)]
    return found


def exactly(x: Fraction) -> float:
    """A fraction as the double that it must be: normal or zero, nothing rounded away."""
    assert x == 0 or LEAST <= abs(x) <= LARGEST
    assert Fraction(float(x)) == x
    return float(x)


def dot(a: list[list[Fraction]], b: list[list[Fraction]]) -> float:
    """Products of slices whose numbers sum to less than their count, the smallest level first."""
    whole: float | None = None
    for level in reversed(range(len(a))):
        for i in range(level + 1):
            pairs = zip(a[i], b[level - i], strict=True)
            term = exactly(sum((x * y for x, y in pairs), Fraction(0)))
            whole = term if whole is None else float(Fraction(whole) + Fraction(term))
    assert whole is not None
    return whole + 0.0


def bits_of_product(length: int) -> int:
    """floor((53 - ceil(log2 k)) / 2): the most bits with k 2^(2 bits) <= 2^53."""
    return max(bits for bits in range(16, 27) if length * 4**bits <= 2**53)


def product(a: Matrix, b: Matrix, slices: int) -> Matrix | str:
    """The reference, or that the operands are refused."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return REFUSED
    rows = [[Fraction(x) for x in row] for row in a.tolist()]
    columns = [[Fraction(x) for x in column] for column in b.T.tolist()]
    bits = bits_of_product(a.shape[1])
    if refuses(rows, columns, slices * bits, a.shape[1]):
        return REFUSED
    left = [slices_of(row, bits, slices) for row in rows]
    right = [slices_of(column, bits, slices) for column in columns]
    return np.array([[dot(row, column) for column in right] for row in left])


def refuses(
    rows: list[list[Fraction]], columns: list[list[Fraction]], bits: int, length: int
) -> bool:
    """Values of 2^960 and more, sums that could overflow, products that could be subnormal."""
    left = [exponent(row) for row in rows if any(row)] or [0]
    right = [exponent(column) for column in columns if any(column)] or [0]
    high = max(*left, *right) > 960
    over = power(max(left) + max(right)) * length > power(1023)
    return high or over or min(left) + min(right) - 2 * bits < -1022


def summed(values: list[float]) -> float | str:
    """The reference of one sum."""
    if not np.isfinite(values).all():
        return REFUSED
    given_ = [Fraction(value) for value in values]
    e, n = exponent(given_), len(values)
    if e > 960:
        return REFUSED
    if n <= 2:
        return float(sum(given_, Fraction(0))) + 0.0
    bits = max(b for b in range(1, 54) if n * 2**b <= 2**53)
    whole = sum((nearest(value, power(e - bits)) for value in given_), Fraction(0))
    assert Fraction(float(whole)) == whole
    return float(whole) + 0.0


# What is compared with it.


def patterns(values: Matrix) -> list[int]:
    flat: list[int] = np.ascontiguousarray(values, dtype=np.float64).view(np.int64).ravel().tolist()
    return flat


def both(compute: object, *arguments: object) -> list[Matrix | str]:
    """What compiled kernels give, and what plain tensor operations give."""
    found: list[Matrix | str] = []
    for path in (False, True):
        try:
            found.append(by_path(path, compute, *arguments).numpy())
        except InexactError:
            found.append(REFUSED)
    return found


def by_path(plain: bool, compute: object, *arguments: object) -> Tensor:
    assert callable(compute)
    if not plain:
        return compute(*arguments)
    with engine.plain():
        return compute(*arguments)


def require_product(a: Matrix, b: Matrix, slices: int) -> None:
    expected = product(a, b, slices)
    for found in both(matmul, torch.from_numpy(a), torch.from_numpy(b), slices):
        if isinstance(expected, str) or isinstance(found, str):
            assert expected is found is REFUSED
        else:
            assert patterns(found) == patterns(expected)


def require_sum(values: list[float]) -> None:
    """A row, a column, and a part of a deeper tensor."""
    expected = summed(values)
    x = torch.tensor(values, dtype=torch.float64)
    ways = [(x[None], (1,)), (x[:, None], (0,)), (x[None, :, None], (1,)), (x[:, None], (0, 1))]
    for tensor, dims in ways:
        for found in both(total, tensor, dims):
            if isinstance(expected, str) or isinstance(found, str):
                assert expected is found is REFUSED
            else:
                assert patterns(found) == patterns(np.array([expected]))


# Operands.

WIDTH = 830  # 10^250 is about 2^830
KINDS = ("spread", "narrow", "cancelling", "ties", "sparse", "extreme")


def operands(seed: int, kind: str, m: int, k: int, n: int) -> tuple[Matrix, Matrix]:
    rng = np.random.default_rng(seed)
    a, b = values(rng, kind, m, k), values(rng, kind, n, k)
    if kind == "cancelling" and k > 1:  # the second half takes back the first, but for a little
        half = k // 2
        a[:, half : 2 * half], b[:, half : 2 * half] = -a[:, :half], b[:, :half]
        b[:, half] = np.nextafter(b[:, half], np.inf)
    return a, np.ascontiguousarray(b.T)


def values(rng: np.random.Generator, kind: str, rows: int, columns: int) -> Matrix:
    """Values of every magnitude from 10^-250 to 10^250 and of every unkindness."""
    shape = (rows, columns)
    x = rng.uniform(-1, 1, shape)
    width = {"spread": 60, "extreme": 200}.get(kind, 3)
    x = np.ldexp(x, rng.integers(-width, width + 1, shape))
    if kind == "ties":  # a few bits, at the places where slices end
        x = rng.choice([-1.0, 1.0], shape) * sum(
            np.ldexp(1.0, -rng.integers(0, 60, shape)) for _ in range(3)
        )
    if kind == "sparse":
        x = np.where(rng.random(shape) < 0.7, rng.choice([0.0, -0.0], shape), x)
    if kind == "extreme":  # beyond the range of doubles now and then
        with np.errstate(over="ignore"):
            return np.ldexp(x, rng.integers(-WIDTH, WIDTH + 1, (rows, 1)))
    return np.ldexp(x, int(rng.integers(-300, 301)))


SEEDS = st.integers(0, 2**32 - 1)
SMALL = st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 4))


@QUICK
@given(SEEDS, st.sampled_from(KINDS), SMALL, st.integers(1, 4))
def test_products_are_those_of_fractions(
    seed: int, kind: str, shape: tuple[int, int, int], slices: int
) -> None:
    require_product(*operands(seed, kind, *shape), slices)


@settings(QUICK, max_examples=20)
@given(SEEDS, st.sampled_from(KINDS), st.integers(200, 3000), st.integers(1, 4))
def test_long_products_are_those_of_fractions(seed: int, kind: str, k: int, slices: int) -> None:
    require_product(*operands(seed, kind, 1, k, 1), slices)


ANY_FLOAT = st.floats(width=64)  # subnormal numbers, infinity and NaN among them


@QUICK
@given(st.data(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_any_doubles_at_all(data: st.DataObject, m: int, k: int, slices: int) -> None:
    row = st.lists(ANY_FLOAT, min_size=k, max_size=k)
    a = np.array(data.draw(st.lists(row, min_size=m, max_size=m)))
    b = np.array(data.draw(st.lists(row, min_size=2, max_size=2))).T
    require_product(a, b, slices)


@QUICK
@given(SEEDS, st.sampled_from(KINDS), st.integers(1, 5) | st.integers(1, 300))
def test_sums_are_those_of_fractions(seed: int, kind: str, n: int) -> None:
    require_sum(values(np.random.default_rng(seed), kind, 1, n)[0].tolist())


@QUICK
@given(st.lists(ANY_FLOAT, min_size=1, max_size=6))
def test_sums_of_any_doubles_at_all(found: list[float]) -> None:
    require_sum(found)


@QUICK
@given(SEEDS, st.sampled_from(KINDS[:-1]), SMALL, st.integers(1, 4))
def test_the_order_of_the_inner_dimension_is_irrelevant(
    seed: int, kind: str, shape: tuple[int, int, int], slices: int
) -> None:
    a, b = (torch.from_numpy(part) for part in operands(seed, kind, *shape))
    order = torch.from_numpy(np.random.default_rng(seed).permutation(shape[1]))
    for one, two in zip(
        both(matmul, a, b, slices), both(matmul, a[:, order], b[order], slices), strict=True
    ):
        assert patterns(one) == patterns(two)
    sums = [total(x, (1,)) for x in (a, a[:, order])]
    assert torch.equal(*sums)


@QUICK
@given(SEEDS, st.sampled_from(KINDS[:-1]), SMALL, st.integers(1, 4))
def test_neighbours_in_a_batch_change_nothing(
    seed: int, kind: str, shape: tuple[int, int, int], slices: int
) -> None:
    a, b = (torch.from_numpy(part) for part in operands(seed, kind, *shape))
    others = torch.from_numpy(values(np.random.default_rng(seed + 1), "narrow", 5, shape[1]))
    scale = float(b.abs().max()) or 1.0
    batch = torch.cat([others / others.abs().max() / scale, a, others[:1] * 0.0])
    alone = both(matmul, a, b, slices)
    together = both(matmul, batch, b, slices)
    for one, two in zip(alone, together, strict=True):
        if not isinstance(two, str):  # a neighbour may be refused
            assert patterns(one) == patterns(two[5 : 5 + len(a)])


# Other instruction sets, BLAS and threads.


def cases() -> Iterator[tuple[Matrix, Matrix, int]]:
    """The same operands in every process."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        shape = (int(rng.integers(1, 5)), int(rng.integers(1, 60)), int(rng.integers(1, 5)))
        yield (*operands(seed, KINDS[seed % 5], *shape), 1 + seed % 4)


def digest_of(results: Iterator[Matrix]) -> str:
    found = hashlib.sha256()
    for result in results:
        found.update(np.ascontiguousarray(result).tobytes())
    return found.hexdigest()


def computed(plain: bool) -> Iterator[Matrix]:
    for a, b, slices in cases():
        x = torch.from_numpy(a)
        yield by_path(plain, matmul, x, torch.from_numpy(b), slices).numpy()
        yield by_path(plain, total, x, (1,)).numpy()


def referred() -> Iterator[Matrix]:
    for a, b, slices in cases():
        expected = product(a, b, slices)
        assert not isinstance(expected, str)
        yield expected
        yield np.array([summed(row) for row in a.tolist()])


def environment(profile: Profile) -> dict[str, str]:
    """A profile's, but for the compiler's target, which would compile everything once more."""
    found = profile.environment(dict(os.environ))
    found.pop("NUMBA_CPU_NAME", None)
    return found


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("sse-1", "avx2-2"), id="two"),  # both also without compiled kernels
        pytest.param(("avx-1", "uncompiled-1"), id="others", marks=pytest.mark.slow),
    ],
)
def test_every_profile_gives_the_fractions_bits(names: tuple[str, ...]) -> None:
    machine = fingerprint()["machine"]
    wanted = [PROFILES[name] for name in names]
    usable = [profile for profile in wanted if not reason_against(profile, machine)]
    if not usable:
        pytest.skip("no profile can run on this machine")
    children = [
        subprocess.Popen(
            [sys.executable, __file__],
            env=environment(profile),
            stdout=subprocess.PIPE,
            text=True,
        )
        for profile in usable
    ]
    right = digest_of(referred())
    printed = [child.communicate(timeout=120)[0].split() for child in children]
    assert [child.returncode for child in children] == [0] * len(children)
    assert printed == [[right, right]] * len(children)


if __name__ == "__main__":
    print(digest_of(computed(False)), digest_of(computed(True)))  # noqa: T201
