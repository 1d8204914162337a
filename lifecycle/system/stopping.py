"""A signal that asks a process to end, met like Ctrl-C, so that what was begun is tidied up."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_PAUSE_S = 0.01


@contextmanager
def stopped_like_interrupt(*numbers: signal.Signals) -> Iterator[None]:
    """Let signals end the block with a KeyboardInterrupt, exactly once, and never in vain.

    A second signal is ignored: it would interrupt the tidying up. Python drops an exception that is
    raised while it runs a destructor or a callback of C code; the process would then go on as if
    nobody had asked. Such a loss is noticed and the exception raised again a moment later.

    Args:
        numbers: the signals; their handlers are put back at the end of the block.
    """
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise KeyboardInterrupt

    def lost(unraisable: Any) -> None:
        nonlocal asked
        if not (asked and issubclass(unraisable.exc_type, KeyboardInterrupt)):
            said(unraisable)
            return
        asked = False
        again = threading.Timer(_PAUSE_S, _thread.interrupt_main, (numbers[0],))
        again.daemon = True
        again.start()

    before = {number: signal.signal(number, stop) for number in numbers}
    said, sys.unraisablehook = sys.unraisablehook, lost
    try:
        yield
    finally:
        sys.unraisablehook = said
        for number, handler in before.items():
            signal.signal(number, handler)
