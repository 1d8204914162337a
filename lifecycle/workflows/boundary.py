"""The one place where errors become messages and exit codes, for commands and stages alike."""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from lifecycle.errors import ExitCode, LifecycleError

INTERRUPTED = 130


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
    """A message for the person at the terminal."""
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
