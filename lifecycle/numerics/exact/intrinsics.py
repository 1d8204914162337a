"""What kernels ask of the machine that Python has no words for."""

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

_LINE = 64  # bytes of a line of the cache


def _taken(typing: Any, counter: Any) -> Any:
    """The number in a counter, (1,) int64, which becomes one more: no two threads get the same."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, cgutils.intp_t(1), "monotonic")

    return types.int64(counter), generate


def _aligned(typing: Any) -> Any:
    """Have the stack of the function that says so begin at a line of the cache.

    What is spilled there are whole vectors, most of which would lie across two lines.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        attributes = builder.function.attributes
        attributes.alignstack = _LINE
        attributes.add("nounwind")  # as it is; of an empty set, alignment is not written either
        return context.get_dummy_value()

    return types.void(), generate


if _AVAILABLE:
    taken: Any = intrinsic(_taken)
    aligned: Any = intrinsic(_aligned)
else:
    taken = aligned = None  # kernels that name them say, when called, what is missing
