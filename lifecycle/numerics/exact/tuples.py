"""Numbers, vectors (see `lanes`) and rows in tuples, inside kernels, written out one by one.

A tuple's length is part of its type, so what is said of a tuple is compiled without a loop, and its
members can stay in registers. Products and sums made here may be reordered and fused, these
instructions only: a rounding beside them in the same kernel stays as it is written. So `dot` and
`added` are for exact products and sums (see `compiled.kernel`).
"""

from __future__ import annotations

from typing import Any

try:
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic
except ImportError:
    _AVAILABLE = False
else:
    _AVAILABLE = True

_EXACT = ("reassoc", "contract", "nsz")


def _numbers(count: int) -> Any:
    return types.UniTuple(types.float64, count)


def _places(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Where the elements at an index lie in memory, one of each array."""
    kind, (arrays, at) = signature.args[0].dtype, arguments[:2]
    made = (
        context.make_array(kind)(context, builder, array)
        for array in cgutils.unpack_tuple(builder, arrays)
    )
    return [builder.gep(array.data, [at]) for array in made]


def _elements(typing: Any, arrays: Any, at: Any) -> Any:
    """The elements of contiguous vectors at an index (not negative), as a tuple."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = [builder.load(p) for p in _places(context, builder, signature, arguments)]
        return context.make_tuple(builder, signature.return_type, values)

    return _numbers(arrays.count)(arrays, at), generate


def _put(typing: Any, arrays: Any, at: Any, values: Any) -> Any:
    """Set the elements of contiguous vectors at an index (not negative)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers = cgutils.unpack_tuple(builder, arguments[2])
        places = _places(context, builder, signature, arguments)
        for number, place in zip(numbers, places, strict=True):
            builder.store(number, place)
        return context.get_dummy_value()

    return types.void(arrays, at, values), generate


def _dot(typing: Any, a: Any, b: Any) -> Any:
    """The sum of the products of two tuples, exact."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left, right = (cgutils.unpack_tuple(builder, argument) for argument in arguments)
        terms = [builder.fmul(x, y, flags=_EXACT) for x, y in zip(left, right, strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = builder.fadd(total, term, flags=_EXACT)
        return total

    return a.dtype(a, b), generate


def _added(typing: Any, totals: Any, factor: Any, values: Any) -> Any:
    """totals + factor values, exact."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        before, factor, numbers = arguments
        pairs = zip(
            cgutils.unpack_tuple(builder, before),
            cgutils.unpack_tuple(builder, numbers),
            strict=True,
        )
        after = [
            builder.fadd(x, builder.fmul(factor, y, flags=_EXACT), flags=_EXACT) for x, y in pairs
        ]
        return context.make_tuple(builder, signature.return_type, after)

    return totals(totals, factor, values), generate


if _AVAILABLE:
    elements: Any = intrinsic(_elements)
    put: Any = intrinsic(_put)
    dot: Any = intrinsic(_dot)
    added: Any = intrinsic(_added)
else:
    elements = put = dot = added = None  # kernels that name them say, when called, what is missing
