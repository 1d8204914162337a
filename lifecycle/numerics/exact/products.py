"""Exact products and sums: the same bits whoever computes them, in whatever order."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import kernels
from lifecycle.numerics.exact.engine import compiled
from lifecycle.numerics.exact.rounding import (
    MANTISSA,
    MAX_LENGTH,
    MIN_EXPONENT,
    InexactError,
    ceil_log2,
    exponent,
    product_bits,
    require_exponent,
    split,
    to_slice,
)

MAX_SLICES = 4
_LARGEST, _SMALLEST = 1023, -1022  # exponents of finite, normal results


def matmul(
    a: Tensor, b: Tensor, slices: int = 1, names: tuple[str, str] = ("left", "right")
) -> Tensor:
    """a @ b, (..., m, k) x (..., k, n) -> (..., m, n), float64.

    Each row of a and each column of b is split into `slices` slices of
    beta = floor((53 - ceil(log2 k)) / 2) bits relative to its largest magnitude; products of slices
    i and j with i + j < slices (counted from 0) are summed, the smallest first.

    Error: at most k 2^(ea + eb) (slices + 1) 2^(-slices beta) beside the roundings of
    slices (slices + 1) / 2 - 1 additions, where 2^ea and 2^eb are the powers of two just above the
    largest magnitude of the row of a and the column of b.

    Raises:
        InexactError: NaN, infinity, overflow, or products that would fall into subnormal numbers.
        UnusableInputError: k is too long for 16 bits a slice.
    """
    length = a.shape[-1]
    bits = product_bits(length)
    if slices == 1 and _compact(a) and _compact(b):
        return _compact_product(a, b, bits, names)
    ea, eb = exponent(a, (-1,)), exponent(b, (-2,))
    require_product((a, ea), (b, eb), length, slices * bits, names)
    return product(split(a, ea, bits, slices), split(b, eb, bits, slices))


def product(left: list[Tensor], right: list[Tensor]) -> Tensor:
    """The sum of the products of slices, smallest first, zeros canonical."""
    total: Tensor | None = None
    for level in reversed(range(len(left))):
        for i in range(level + 1):
            term = torch.matmul(left[i], right[level - i])
            total = term if total is None else total + term
    if total is None:
        raise UnusableInputError("exact arithmetic: a product of no slices")
    return total + 0.0  # BLAS paths differ in the sign of zero


def require_product(
    left: tuple[Tensor, Tensor],
    right: tuple[Tensor, Tensor],
    length: int,
    bits: int,
    names: tuple[str, str],
) -> None:
    """Refuse operands (value, exponents) whose product overflows or leaves the normal numbers."""
    require_ends(_ends(*left), _ends(*right), length, bits, names)


Ends = tuple[int, int]


def require_ends(left: Ends, right: Ends, length: int, bits: int, names: tuple[str, str]) -> None:
    """The same for operands given by their least exponent, zeros left out, and their greatest."""
    require_exponent(left[1], names[0])
    require_exponent(right[1], names[1])
    if left[1] + right[1] + ceil_log2(length) > _LARGEST:
        raise InexactError(" times ".join(names), "overflows")
    if left[0] + right[0] - 2 * bits < _SMALLEST:
        raise InexactError(" times ".join(names), "falls into subnormal numbers")


def _ends(x: Tensor, e: Tensor) -> Ends:
    """The least exponent of a vector that is not all zero (0 where all are), and the greatest."""
    if not e.numel():
        return 0, 0
    low, high = (int(value) for value in torch.aminmax(e))
    if low == MIN_EXPONENT:
        kept = e[(x != 0).to(torch.int64).sum_to_size(e.shape) > 0]
        low = int(kept.min()) if kept.numel() else 0
    return low, high


def total(
    x: Tensor, dims: tuple[int, ...], *, keepdim: bool = False, name: str = "input"
) -> Tensor:
    """The sum of x over `dims`, float64.

    The n values of a sum are rounded to 53 - ceil(log2 n) bits relative to their largest magnitude
    2^e, after which no order of additions rounds. One or two values stay as they are: one addition
    has no order. Error: at most n^2 2^(e - 53).

    Raises:
        InexactError: NaN, infinity or overflow.
        UnusableInputError: more values than bits allow.
    """
    count = math.prod(x.shape[dim] for dim in dims)
    if not 1 <= count <= MAX_LENGTH:
        raise UnusableInputError(f"exact arithmetic: a sum of {count} values; at most {MAX_LENGTH}")
    bits = MANTISSA - ceil_log2(count)
    if len(dims) == 1 and _compact(x):
        result, high = _compact_total(x, dims[0] % 2, bits)
    else:
        e = exponent(x, dims)
        high = int(e.max()) if e.numel() else 0
        result = to_slice(x, e, bits).sum(dim=dims, keepdim=True) + 0.0
    require_sum(high, count, name)
    return result if keepdim else result.squeeze(dims)


def require_sum(high: int, count: int, name: str) -> None:
    """Refuse a sum of so many numbers whose greatest exponent is `high`."""
    require_exponent(high, name)
    if high + ceil_log2(count) > _LARGEST:
        raise InexactError(name, "overflows in a sum")


def _compact(x: Tensor) -> bool:
    """Whether compiled kernels take it: a matrix on the CPU, and kernels there."""
    return x.dim() == 2 and x.device.type == "cpu" and compiled()


def _compact_product(a: Tensor, b: Tensor, bits: int, names: tuple[str, str]) -> Tensor:
    """`matmul` with one slice, by kernels."""
    left, low = kernels.rounded(a, bits)
    right, high = kernels.rounded(b.mT, bits)
    require_ends(low, high, a.shape[-1], bits, names)
    return torch.matmul(left, right.mT).add_(0.0)


def _compact_total(x: Tensor, dim: int, bits: int) -> tuple[Tensor, int]:
    """Sums of rows (dim 1) or columns (dim 0), kept as a dimension, and the greatest exponent."""
    out = np.empty(x.shape[1 - dim])
    source = kernels.array(x)
    if dim == 1:
        high = kernels.sum_rows(source, bits, out)
    else:
        high = kernels.sum_columns(source.reshape(-1), bits, out)
    return torch.from_numpy(out).unsqueeze(dim), int(high)
