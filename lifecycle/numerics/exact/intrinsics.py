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


def _taken(typing: Any, counter: Any) -> Any:
    """The number in a counter, (1,) int64, which becomes one more: no two threads get the same."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, cgutils.intp_t(1), "monotonic")

    return types.int64(counter), generate


if _AVAILABLE:
    taken: Any = intrinsic(_taken)
else:
    taken = None  # kernels that name it say, when called, what is missing
