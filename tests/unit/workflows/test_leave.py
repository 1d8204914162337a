"""The end of a process: output flushed, exit functions run, the code kept, no thread waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

PROGRAM = """\
import atexit, sys, threading, time

from lifecycle.workflows.boundary import leave

atexit.register(lambda: sys.stdout.write("at exit\\n"))
threading.Thread(target=time.sleep, args=(60,)).start()  # it does not end
{more}
sys.stdout.write("whole ")
sys.stderr.write("said")
leave({code})
sys.stdout.write("never")
"""


def _run(program: str) -> subprocess.CompletedProcess[str]:
    # unbuffered streams would have nothing to flush
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-c", program], env=kept, capture_output=True, text=True, check=False,
        timeout=50,
    )  # fmt: skip


def _left(code: int, more: str = "") -> subprocess.CompletedProcess[str]:
    started = time.monotonic()
    done = _run(PROGRAM.format(code=code, more=more))
    assert time.monotonic() - started < 40
    return done


@pytest.mark.parametrize("code", [0, 21])
def test_everything_is_said_and_no_thread_is_waited_for(code: int) -> None:
    done = _left(code)
    assert (done.returncode, done.stdout, done.stderr) == (code, "whole at exit\n", "said")


def test_an_exit_function_that_fails_keeps_the_code() -> None:
    done = _left(12, "atexit.register(lambda: 1 / 0)")
    assert done.returncode == 12
    assert done.stdout == "whole at exit\n"
    assert "ZeroDivisionError" in done.stderr  # as Python tells it


def test_a_closed_stream_keeps_the_code() -> None:
    program = "import sys\nfrom lifecycle.workflows.boundary import leave\nsys.stdout.close()\n"
    done = _run(f"{program}leave(20)")
    assert (done.returncode, done.stderr) == (20, "")
