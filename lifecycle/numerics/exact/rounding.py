"""Rounding to slices: the one idea of exact arithmetic.

A slice of x holds its leading bits as whole multiples of a quantum 2^q. Products of two slices are
whole multiples of the product of their quanta; if their sum stays below 2^53 of it, no addition
rounds, and the order of additions, blocking, threads, fused multiply-add and the BLAS library
cannot change a bit (error-free transformation; Ozaki et al. 2012, Numerical Algorithms 59: 95-118).

Everything here uses IEEE + and -, comparisons and bit patterns only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifecycle.errors import UnusableInputError

# A change of any bit of any operation is a new version (docs/reference/arithmetic.md).
ARITHMETIC = "lifecycle/arithmetic/1"
MANTISSA = 53  # significant bits of a double
MIN_BITS = 16  # fewer significant bits in a slice are refused: inner lengths beyond 2^21
MAX_LENGTH = 1 << (MANTISSA - 2 * MIN_BITS)
MAX_EXPONENT = 960  # |x| < 2^960, so that the rounding constant itself is finite
MAX_BITS = 51  # two additions round to no more; a sum of one or two values needs no rounding
MIN_EXPONENT = -1022  # exponent of the smallest normal number; also stands for an all-zero vector
_BIAS = 1023
_FIELD = 52  # width of the stored significand
_EXPONENT_MASK = 0x7FF


class InexactError(UnusableInputError):
    """Exact arithmetic cannot be done on this tensor: it overflows, underflows or holds a NaN.

    Attributes:
        tensor: the operand (`input`, `weight`, `gradient`, …).
        reason: what is wrong with it.
        place: operation, layer and step, from the inside out, added on the way up.
    """

    def __init__(self, tensor: str, reason: str, *place: str) -> None:
        self.tensor, self.reason, self.place = tensor, reason, place
        where = ", ".join(place)
        super().__init__(f"exact arithmetic{': ' + where if where else ''}: {tensor} {reason}")

    def at(self, place: str) -> InexactError:
        """The same error, one level further out."""
        return InexactError(self.tensor, self.reason, place, *self.place)


def ceil_log2(n: int) -> int:
    """The smallest b with n <= 2^b."""
    return (n - 1).bit_length()


def product_bits(length: int) -> int:
    """Significant bits of each operand's slice in a product of this inner length.

    Holds: `length` products of two such slices sum to at most 2^53 quanta.

    Raises:
        UnusableInputError: fewer than `MIN_BITS` would be left.
    """
    if not 1 <= length <= MAX_LENGTH:
        raise UnusableInputError(
            f"exact arithmetic: an inner dimension of {length} leaves fewer than {MIN_BITS} bits "
            f"of each operand; the longest is {MAX_LENGTH}"
        )
    return (MANTISSA - ceil_log2(length)) // 2


def exponent(x: Tensor, dims: tuple[int, ...] | None = None) -> Tensor:
    """The least e (int64) with max |x| < 2^e over `dims` (kept; over all of x where None).

    Zeros and subnormal numbers have `MIN_EXPONENT`; NaN and infinity have 1025.
    """
    size = x.abs()
    top = size.amax(dim=dims, keepdim=True) if dims is not None else size.amax()
    return ((top.view(torch.int64) >> _FIELD) & _EXPONENT_MASK) - (_BIAS - 1)


def power_of_two(e: Tensor) -> Tensor:
    """2^e (float64) for int64 e from -1022 to 1023, by bit pattern."""
    return ((e + _BIAS) << _FIELD).view(torch.float64)


def require_range(e: Tensor, name: str) -> tuple[int, int]:
    """Least and greatest exponent of a tensor.

    Raises:
        InexactError: it holds a NaN, an infinity or a value of 2^960 and more.
    """
    low, high = (int(value) for value in torch.aminmax(e))
    require_exponent(high, name)
    return low, high


def require_exponent(high: int, name: str) -> None:
    """Refuse a tensor by its greatest exponent (see `require_range`)."""
    if high > _BIAS + 1:
        raise InexactError(name, "holds NaN or infinity")
    if high > MAX_EXPONENT:
        raise InexactError(name, f"holds values of 2^{high - 1} and more: it overflows")


def to_slice(x: Tensor, e: Tensor, bits: int) -> Tensor:
    """x rounded to whole multiples of 2^(e - bits), ties to even; as it is where bits > MAX_BITS.

    Needs |x| < 2^e. Holds: the result is at most 2^e in size, |result - x| <= 2^(e - bits - 1), and
    its zeros are +0.
    """
    if bits > MAX_BITS:
        return x + 0.0
    shift = power_of_two(e + (_FIELD - bits)) * 1.5
    return (x + shift) - shift


def split(x: Tensor, e: Tensor, bits: int, count: int) -> list[Tensor]:
    """x as `count` slices, the leading one first, each `bits` further down; the rest is dropped.

    Holds: x - sum(slices) is at most 2^(e - count * bits - 1) in size. The remainders are exact.
    """
    slices = [to_slice(x, e, bits)]
    for number in range(1, count):
        x = x - slices[-1]
        slices.append(to_slice(x, e - number * bits, bits))
    return slices
