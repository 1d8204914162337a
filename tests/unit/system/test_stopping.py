"""A signal ends the block, wherever in the program it arrives."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time

import pytest

from lifecycle.system.stopping import stopped_like_interrupt

TERM = signal.SIGTERM


def _wait() -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_signal_ends_the_block_and_handlers_come_back() -> None:
    before, said = signal.getsignal(TERM), sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), stopped_like_interrupt(TERM):
        signal.raise_signal(TERM)
    assert signal.getsignal(TERM) is before
    assert sys.unraisablehook is said


def test_a_second_signal_does_not_stop_the_tidying_up() -> None:
    tidied = False
    with pytest.raises(KeyboardInterrupt), stopped_like_interrupt(TERM, signal.SIGHUP):
        try:
            signal.raise_signal(TERM)
        finally:
            signal.raise_signal(TERM)
            signal.raise_signal(signal.SIGHUP)
            tidied = True
    assert tidied


class _Slow:
    def __del__(self) -> None:
        signal.raise_signal(TERM)
        _wait()  # never to its end: this is where the exception is lost


def test_a_signal_during_a_destructor_is_not_lost() -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), stopped_like_interrupt(TERM):
        _Slow()
        _wait()
        pytest.fail("the block went on as if nobody had asked")
    assert time.monotonic() - began < 5


def test_again_and_again_where_most_moments_are_a_destructor() -> None:
    """From outside, into a program that destroys for most of its time."""
    program = textwrap.dedent("""
        import signal
        from lifecycle.system.stopping import stopped_like_interrupt
        class Slow:
            def __del__(self):
                for _ in range(20_000):
                    pass
        with stopped_like_interrupt(signal.SIGTERM):
            print("began", flush=True)
            while True:
                Slow()
                for _ in range(5_000):
                    pass
    """)
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"began\n"
            child.send_signal(TERM)
            _, said = child.communicate(timeout=20)
        finally:
            child.kill()
            child.wait()
        assert b"KeyboardInterrupt" in said
        assert b"ignored" not in said


def test_other_faults_of_destructors_are_said_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda it: seen.append(it.exc_type.__name__))

    class Faulty:
        def __del__(self) -> None:
            raise ValueError

    with stopped_like_interrupt(TERM):
        Faulty()
    assert seen == ["ValueError"]
