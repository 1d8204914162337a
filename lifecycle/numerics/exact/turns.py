"""Pieces of work that threads share out inside kernels: who is free takes the next."""

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


def _taken(typing: Any, counter: Any) -> Any:
    """The number in a counter, (1,) int64, which becomes one more: no two threads get the same."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        one = cgutils.intp_t(1)
        return builder.atomic_rmw("add", array.data, one, "monotonic")

    return types.int64(counter), generate


# kernels that name it say, when called, what is missing
taken: Any = intrinsic(_taken) if _AVAILABLE else None
