"""A processor's vectors of doubles, inside kernels: `LANES` numbers that are computed together.

A compiler makes vectors of plain loops too. In the loop over a wide layer, which holds more vectors
than a processor has registers, it then moves them about for longer than it computes, so there they
are told it. A vector takes `+ - * /` (the right side also one number) and `abs`, lane by lane, each
rounded as written, and fits into the tuples of `tuples`. How many lanes there are changes no bit
where sums are of rounded numbers.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from lifecycle.numerics.exact.compiled import vector_length

try:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic, models, overload, register_model
except ImportError:
    _AVAILABLE = False
else:
    _AVAILABLE = True

LANES = vector_length()
_INLINE = {"forceinline": True}
_OPERATIONS = {
    operator.add: "fadd",
    operator.sub: "fsub",
    operator.mul: "fmul",
    operator.truediv: "fdiv",
}
_SIGNLESS = 0x7FFFFFFFFFFFFFFF
_NUMBER = 8  # bytes of a double: arrays begin at these, not at whole vectors


def _vector() -> Any:
    return ir.VectorType(ir.DoubleType(), LANES)


def _integers(bits: int) -> Any:
    return ir.VectorType(ir.IntType(bits), LANES)


def _int32(number: int) -> Any:
    return ir.Constant(ir.IntType(32), number)


def _all_lanes(builder: Any, number: Any) -> Any:
    """A vector of one number."""
    kind = ir.VectorType(number.type, LANES)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, _int32(0))
    return builder.shuffle_vector(one, one, ir.Constant(_integers(32), [0] * LANES))


def _lane(builder: Any, vector: Any, at: int) -> Any:
    return builder.extract_element(vector, _int32(at))


def _signless(builder: Any, vector: Any) -> Any:
    """Magnitudes, as integers."""
    bits = builder.bitcast(vector, _integers(64))
    return builder.and_(bits, ir.Constant(_integers(64), [_SIGNLESS] * LANES))


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """Where in an array's memory a vector begins."""
    first = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(first, [at]), _vector().as_pointer())


def _below(builder: Any, count: Any) -> Any:
    """Which lanes are below a count."""
    counts = _all_lanes(builder, builder.trunc(count, ir.IntType(32)))
    return builder.icmp_signed("<", ir.Constant(_integers(32), list(range(LANES))), counts)


def _masked(builder: Any, name: str, result: Any, arguments: Sequence[Any]) -> Any:
    """Call the compiler's `llvm.masked`: what is masked is not touched, and need not exist."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    full = f"llvm.masked.{name}.v{LANES}f64.p0v{LANES}f64"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, full), arguments)


def _loaded(typing: Any, array: Any, at: Any, count: Any) -> Any:
    """The `count` numbers from an index of a contiguous array's memory, at most `LANES`; zeros."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], *arguments[:2])
        mask, zeros = _below(builder, arguments[2]), ir.Constant(_vector(), None)
        return _masked(builder, "load", _vector(), [place, _int32(_NUMBER), mask, zeros])

    return Lanes()(array, types.intp, types.intp), generate


def _stored(typing: Any, array: Any, at: Any, vector: Any, count: Any) -> Any:
    """Set `count` numbers, at most `LANES`, from an index of a contiguous array's memory."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], *arguments[:2])
        mask = _below(builder, arguments[3])
        _masked(builder, "store", ir.VoidType(), [arguments[2], place, _int32(_NUMBER), mask])
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, types.intp), generate


def _fetched(typing: Any, array: Any, at: Any) -> Any:
    """Ask for the line at an index of an array's memory, which need not exist, into a near cache.

    Not the nearest: it is small, and what is asked for is not wanted in the next turns of a loop.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(context, builder, signature.args[0], *arguments)
        place = builder.bitcast(place, ir.IntType(8).as_pointer())
        arguments = [place, _int32(0), _int32(2), _int32(1)]  # to read; second cache; data
        kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        builder.call(
            cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8"), arguments
        )
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _stack(typing: Any, array: Any, at: Any, like: Any) -> Any:
    """As many vectors as a tuple has, one after another from an index of an array's memory."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = _place(context, builder, signature.args[0], *arguments[:2])
        places = [builder.gep(first, [cgutils.intp_t(at)]) for at in range(like.count)]
        values = [builder.load(place, align=_NUMBER) for place in places]
        return context.make_tuple(builder, signature.return_type, values)

    return like(array, types.intp, like), generate


def _spread(typing: Any, numbers: Any) -> Any:
    """Each number of a tuple in all lanes of a vector."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = [_all_lanes(builder, x) for x in cgutils.unpack_tuple(builder, arguments[0])]
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(Lanes(), numbers.count)(numbers), generate


def _zeros(typing: Any, like: Any) -> Any:
    """As many vectors of zeros as a tuple has."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = [ir.Constant(_vector(), None)] * like.count
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(Lanes(), like.count)(like), generate


def _sums(typing: Any, vectors: Any) -> Any:
    """The sum of the lanes of each vector of a tuple, exact."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = []
        for vector in cgutils.unpack_tuple(builder, arguments[0]):
            total = _lane(builder, vector, 0)
            for at in range(1, LANES):
                total = builder.fadd(total, _lane(builder, vector, at))
            values.append(total)
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(types.float64, vectors.count)(vectors), generate


def _higher(typing: Any, tops: Any, vector: Any) -> Any:
    """The larger magnitude in each lane, as bit patterns: NaN and infinity above all numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        before, now = (_signless(builder, argument) for argument in arguments)
        larger = builder.select(builder.icmp_signed(">", now, before), now, before)
        return builder.bitcast(larger, _vector())

    return Lanes()(tops, vector), generate


def _highest(typing: Any, tops: Any) -> Any:
    """The largest magnitude of a vector, as a bit pattern."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits, top = _signless(builder, arguments[0]), cgutils.intp_t(0)
        for at in range(LANES):
            one = _lane(builder, bits, at)
            top = builder.select(builder.icmp_signed(">", one, top), one, top)
        return top

    return types.int64(tops), generate


def _larger(typing: Any, a: Any, b: Any) -> Any:
    """a where it is above b, else b; of numbers or of vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return a(a, a), generate


def _magnitude(typing: Any, vector: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(_signless(builder, arguments[0]), _vector())

    return vector(vector), generate


def _operation(name: str) -> Any:
    """An operation lane by lane, with a vector or a number on the right."""

    def typed(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            left, right = arguments
            if not isinstance(b, Lanes):
                right = _all_lanes(builder, right)
            return getattr(builder, name)(left, right)

        return a(a, b), generate

    return intrinsic(typed)


def _overload_operations() -> None:
    def takes(a: Any, b: Any) -> bool:
        return isinstance(a, Lanes) and (isinstance(b, Lanes) or b is types.float64)

    def chosen(made: Any) -> Any:  # lambdas: numba compares names and annotations of arguments
        return lambda a, b: (lambda a, b: made(a, b)) if takes(a, b) else None  # noqa: PLW0108

    for symbol, name in _OPERATIONS.items():
        overload(symbol, jit_options=_INLINE)(chosen(_operation(name)))
    magnitude = intrinsic(_magnitude)
    overload(abs, jit_options=_INLINE)(
        lambda x: (lambda x: magnitude(x)) if isinstance(x, Lanes) else None  # noqa: PLW0108
    )


if _AVAILABLE:

    class Lanes(types.Type):  # type: ignore[misc]  # numba says nothing of its types
        """A vector, as numba knows it."""

        def __init__(self) -> None:
            super().__init__(name=f"lanes{LANES}")

    @register_model(Lanes)
    class _Model(models.PrimitiveModel):  # type: ignore[misc]  # numba says nothing of its types
        def __init__(self, manager: Any, kind: Any) -> None:
            super().__init__(manager, kind, _vector())

    fetched: Any = intrinsic(_fetched)
    loaded: Any = intrinsic(_loaded)
    stored: Any = intrinsic(_stored)
    stack: Any = intrinsic(_stack)
    spread: Any = intrinsic(_spread)
    zeros: Any = intrinsic(_zeros)
    sums: Any = intrinsic(_sums)
    higher: Any = intrinsic(_higher)
    highest: Any = intrinsic(_highest)
    larger: Any = intrinsic(_larger)
    _overload_operations()
else:  # kernels that name them say, when called, what is missing
    fetched = loaded = stored = stack = spread = zeros = sums = higher = highest = larger = None
