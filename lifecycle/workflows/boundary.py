"""The one place where errors become messages and exit codes, for commands and stages alike."""

from __future__ import annotations

import atexit
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

from lifecycle.errors import ExitCode, LifecycleError

INTERRUPTED = 130


class _Outlet(io.FileIO):
    """A standard stream that never stops the work: what nobody reads is dropped."""

    def __init__(self, number: int, dropped: type[OSError]) -> None:
        super().__init__(number, "w", closefd=False)
        self._dropped = dropped

    def write(self, data: Any, /) -> int:
        """Write; an error of the kind given is none: the text is dropped."""
        try:
            return super().write(data)
        except self._dropped:
            return len(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, "standard output") from None


def open_outlets() -> None:
    """Let standard output and error outlive their readers, so that an exit code is the work's own.

    A reader that goes away (`| head`) is no reason to stop between two files, nor to end as if all
    were done; results that cannot be written for another reason (a full disk) still are an error.
    Messages are dropped whatever the reason: they must not change what is done.
    """
    sys.stdout = _outlet(sys.stdout, BrokenPipeError)
    sys.stderr = _outlet(sys.stderr, OSError)


def _outlet(stream: TextIO, dropped: type[OSError]) -> TextIO:
    if stream is None:  # it was closed before we began
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Outlet(stream.fileno(), dropped)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=bool(stream.line_buffering),
    )


def guarded(work: Callable[[], int | None]) -> int:
    """Run `work`; a fault becomes one message on standard error and an exit code.

    A user's error never shows a traceback; a fault of ours leaves one in a file that is named.
    """
    try:
        return int(work() or 0)
    except LifecycleError as error:
        say(f"error: {error}")
        return int(error.exit_code)
    except KeyboardInterrupt:
        say("stopped; everything is as it was before this step")
        return INTERRUPTED
    except OSError as error:
        say(f"error: {_os_said(error)}")
        return int(ExitCode.UNUSABLE_INPUT)
    except MemoryError:
        say("error: this machine has not enough memory for it; nothing was changed")
        return int(ExitCode.UNUSABLE_INPUT)
    except Exception:  # noqa: BLE001  # the boundary: whatever is left is a fault of ours
        say(f"error: a fault of ours; the details are in {_fault_file()}. Please report it")
        return int(ExitCode.OUR_FAULT)


def leave(code: int) -> NoReturn:
    """End the process at once, after what Python itself does on the way out.

    Threads of native libraries have been seen to abort a process in the destructors that follow
    (exit code 134), when all of its work was done: a stage would be called failed.
    """
    with suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def say(text: str) -> None:
    """A message for the person at the terminal; where none can be written, it is lost."""
    if sys.stderr is None:  # print would take standard output, which is for results
        return
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201


def _os_said(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"


def _fault_file() -> str:
    text = traceback.format_exc()
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        path = folder / f"lifecycle-fault-{os.getpid()}.txt"
        try:
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        return str(path)
    return f"no file, because none can be written here:\n{text}"
