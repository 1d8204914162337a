"""The elementary functions for kernels of numba: the formulas themselves, compiled for scalars.

`exp_`, `gelu_` and the others below take and return one float64 and are called from kernels made
with `kernel`; into loops over arrays they are inlined and vectorised. Nothing is written twice:
numba compiles the functions of `formulas` and is told here only what their primitives are.

The module can be imported where numba is missing; its functions then say so when called.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from lifecycle.errors import UnusableInputError
from lifecycle.numerics.exact import formulas

try:
    import llvmlite.binding as llvm
    import numba
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic, overload, register_jitable
except ImportError:
    _AVAILABLE = False
else:
    _AVAILABLE = True

# Processors that vectors of 512 bits do not slow down; the compiler gives some of them 256.
_INTEL = ("icelake-server", "sapphirerapids", "emeraldrapids", "graniterapids")
_WIDE_VECTORS = (*_INTEL, "znver4", "znver5")
_NOT_NARROW = "-prefer-256-bit"

Function = Callable[..., Any]
Scalar = Callable[[float], float]
_ROOM = Path(__file__).parent
_REORDER = {"reassoc", "contract", "nsz"}
_INLINE: Any = {"forceinline": True}  # a call left in a loop would keep it from being vectorised


def available() -> bool:
    """Whether numba is installed."""
    return _AVAILABLE


def kernel(*, reorder: bool = False, **options: Any) -> Callable[[Function], Function]:
    """A decorator: compile with numba under the rules of exact arithmetic, cached on disk.

    No fastmath (it deletes roundings and contracts a * b + c) unless `reorder`, IEEE division
    without a look for zeros. numba renews a cached kernel only when the kernel's own file changes;
    here also when any file of this room does, so that no kernel keeps the bits of an older formula.

    Which functions a kernel calls must be plain from its own text: numba does not see that a global
    name now means something else.

    Args:
        reorder: allow other orders and fused multiply-add. Only for a kernel in which every product
            and sum is exact (operands rounded before): its bits then differ in the sign of a zero
            at most, which the caller settles by `+ 0.0`.
        options: further options of `numba.njit`, such as parallel=True.

    Raises:
        UnusableInputError: fastmath was asked for; where numba is missing, when a kernel is called.
    """
    if options.get("fastmath"):
        raise UnusableInputError("exact arithmetic: a kernel with fastmath is not exact")

    def compiled(function: Function) -> Function:
        if not _AVAILABLE:
            return _missing(function)
        with _cache() as folder:
            rules = {
                "error_model": "numpy",
                "fastmath": _REORDER if reorder else False,
                "cache": bool(folder),
            }
            made: Function = numba.njit(**(options | rules))(_placed(function, folder))
        return made

    return compiled


def _missing(function: Function) -> Function:
    def refuse(*_: Any) -> Any:
        raise UnusableInputError(
            f"{function.__name__}: numba is not installed; install lifecycle[build], or use the "
            f"functions of tensors"
        )

    return refuse


def _placed(function: Function, folder: str) -> Function:
    """The function, as if it stood in the cache's folder.

    numba looks a kernel up by the path and time of its source file. The folder is named by the
    sources' digest already, so every copy of them (a clone, a worktree) can share what is compiled.
    """
    if not folder:
        return function
    place = Path(folder) / Path(function.__code__.co_filename).name
    if not place.exists():
        place.touch()
    os.utime(place, (0, 0))
    code = function.__code__.replace(co_filename=str(place))
    made = FunctionType(
        code,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__qualname__, made.__doc__ = function.__qualname__, function.__doc__
    made.__module__ = function.__module__
    return made


@contextmanager
def _cache() -> Iterator[str]:
    """Have numba cache what is decorated inside in our folder; "" where there is none."""
    config: Any = numba.config
    before = config.CACHE_DIR
    folder = _cache_folder(before)
    config.CACHE_DIR = folder
    try:
        yield folder
    finally:
        config.CACHE_DIR = before


@functools.cache
def _cache_folder(given: str) -> str:
    """A folder for kernels, or "" where none can be.

    Named by the digest of this room's files and by the vectors' length, which numba does not see:
    what it calls the processor's features it may have asked for before we chose some.
    """
    room = [path.name.encode() + b"\0" + path.read_bytes() for path in sorted(_ROOM.glob("*.py"))]
    digest = hashlib.sha256(b"\0".join([*room, b"%d" % vector_length()])).hexdigest()[:16]
    home = os.path.expanduser("~")  # noqa: PTH111 - never raises
    user = Path(os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache") / "lifecycle"
    for base in [Path(given)] if given else [user, _ROOM / "__pycache__"]:
        try:
            (base / digest).mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=base / digest).close()
        except OSError:
            continue
        return str(base / digest)
    return ""


# What numba compiles in place of a primitive of `formulas`: it goes by the arguments' names, and it
# wants functions of Python.
# ruff: noqa: PLW0108
_SCALARS: dict[Function, Function] = {
    formulas.where: lambda condition, a, b: lambda condition, a, b: a if condition else b,
    formulas.quotient: lambda a, b: lambda a, b: a / b,
    formulas.root: lambda x: lambda x: math.sqrt(x),
    formulas.bits: lambda x: lambda x: np.float64(x).view(np.int64),
    formulas.from_bits: lambda i: lambda i: np.int64(i).view(np.float64),
    formulas.polynomial: lambda x, coefficients: lambda x, coefficients: _horner(x, coefficients),
}
# Parts that are compiled as they stand.
_PARTS: tuple[Function, ...] = (
    formulas.or_nan,
    formulas.magnitude,
    formulas.power,
    formulas.power_less_one,
    formulas.logarithm,
    formulas.logarithm_above_one,
    formulas.square_power,
    formulas.scaled_tail,
    formulas.normal,
)


def _unrolled(typing: Any, x: Any, coefficients: Any) -> Any:
    """Horner's rule without a loop: an inner loop would keep an outer one from being vectorised."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = cgutils.unpack_tuple(builder, arguments[1])
        total = values[-1]
        for value in reversed(values[:-1]):
            total = builder.fadd(builder.fmul(total, arguments[0]), value)
        return total

    return types.float64(types.float64, coefficients), generate


if _AVAILABLE:
    _horner: Any = intrinsic(_unrolled)
    for _primitive, _of_scalars in _SCALARS.items():
        overload(_primitive, jit_options=_INLINE)(_of_scalars)
    for _part in _PARTS:
        register_jitable(**_INLINE)(_part)


def _prefer_wide_vectors() -> None:
    """Vectors as wide as the processor's, unless the environment says what to compile for."""
    config: Any = numba.config
    if not config.ENABLE_AVX or not (config.CPU_NAME is None and config.CPU_FEATURES is None):
        return
    features = llvm.get_host_cpu_features()
    if llvm.get_host_cpu_name() in _WIDE_VECTORS and features.get("avx512f"):
        config.CPU_FEATURES = f"{features.flatten()},{_NOT_NARROW}"


def vector_length() -> int:
    """How many doubles the vectors have that kernels are compiled for."""
    features: Any = numba.config.CPU_FEATURES if _AVAILABLE else ""
    return 8 if _NOT_NARROW in (features or "") else 4


if _AVAILABLE:
    _prefer_wide_vectors()
_formula = kernel(**_INLINE)
exp_: Scalar = _formula(formulas.exp)
expm1_: Scalar = _formula(formulas.expm1)
log_: Scalar = _formula(formulas.log)
log1p_: Scalar = _formula(formulas.log1p)
sqrt_: Scalar = _formula(formulas.sqrt)
tanh_: Scalar = _formula(formulas.tanh)
sigmoid_: Scalar = _formula(formulas.sigmoid)
softplus_: Scalar = _formula(formulas.softplus)
erf_: Scalar = _formula(formulas.erf)
normal_cdf_: Scalar = _formula(formulas.normal_cdf)
gelu_: Scalar = _formula(formulas.gelu)
gelu_derivative_: Scalar = _formula(formulas.gelu_derivative)
