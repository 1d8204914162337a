"""Whether compiled kernels do the work. They are a faster way to the same bits, never another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec

SWITCH = "LIFECYCLE_COMPILED"

_plain = ContextVar("plain", default=False)


def compiled() -> bool:
    """Whether numba is there and may compile, and nobody wants the plain way.

    The plain way is wanted by `LIFECYCLE_COMPILED=0` and inside a block of `plain`.
    """
    return _wanted() and not _plain.get()


@contextmanager
def plain() -> Iterator[None]:
    """Plain tensor operations only, for the length of a block."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


@cache
def _wanted() -> bool:
    may = os.environ.get("NUMBA_DISABLE_JIT", "") in ("", "0") and find_spec("numba") is not None
    return may and os.environ.get(SWITCH, "") != "0"
