"""MLflow's own server for the embedded store: on loopback, ended together with who started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from lifecycle.errors import UnusableInputError

HOST = "127.0.0.1"
START = 60.0  # seconds until it must answer; 5 s are usual
# Ports of other services at and above 1024 that browsers refuse to open (WHATWG Fetch, "bad port").
_BLOCKED = frozenset((1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666,
                      6667, 6668, 6669, 6679, 6697, 10080))  # fmt: skip
_GRACE = 5.0  # seconds to end by itself
_LAST_WORDS = 600  # characters of a failed server's log
# Without jobs it takes half the time to start, and six processes less.
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


def server_command(uri: str, port: int) -> list[str]:
    """`mlflow server` on loopback, with one worker."""
    return [
        "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1",
        "--backend-store-uri", uri,
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    address: str
    process: subprocess.Popen[bytes]

    def wait(self) -> int:
        """Until it ends by itself; its exit code."""
        return self.process.wait()


@contextmanager
def running_server(root: Path, uri: str, port: int) -> Iterator[Server]:
    """Start the server, wait until it answers, and end it and its children with the block.

    Args:
        root: the project's root, its working directory.
        uri: of the store.
        port: to listen on.

    Raises:
        UnusableInputError: the port is taken, or the server ends or is silent at its start.
    """
    require_free(port)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *server_command(uri, port)],
            cwd=root, env={**os.environ, **QUIET}, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log,
            start_new_session=True,  # a Ctrl-C is for us; we end the whole group
        )  # fmt: skip
        try:
            if not _answers(process, port):
                raise UnusableInputError(
                    f"MLflow's server did not start on port {port}: {_last_words(log)}"
                )
            yield Server(f"http://{HOST}:{port}", process)
        finally:
            _end(process)


def require_free(port: int) -> None:
    """Refuse a port that somebody listens on, or that no browser opens.

    Raises:
        UnusableInputError: names the port and the cure.
    """
    if port in _BLOCKED:
        raise UnusableInputError(
            f"port {port} belongs to another service, and browsers refuse to open it. Choose "
            "another with --port"
        )
    with socket.socket() as probe:
        # as servers do: a port whose last connection is still closing is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UnusableInputError(
                f"port {port} cannot be used ({error.strerror}): is `lifecycle ui` running already?"
                " Choose another with --port"
            ) from None


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START
    while process.poll() is None and time.monotonic() < deadline:
        if healthy(port):
            return True
        time.sleep(0.1)
    return False


def healthy(port: int) -> bool:
    """Whether a server of MLflow answers on a port of this machine."""
    asked = HTTPConnection(HOST, port, timeout=2)
    try:
        asked.request("GET", "/health")
        answer = asked.getresponse()
        return answer.status == 200 and answer.read() == b"OK"
    except (OSError, HTTPException):
        return False
    finally:
        asked.close()


def _last_words(log: object) -> str:
    with suppress(OSError, ValueError):
        log.seek(0)  # type: ignore[attr-defined]  # a binary file
        text = log.read().decode(errors="replace")  # type: ignore[attr-defined]
        return " ".join(text.split())[-_LAST_WORDS:] or "it said nothing"
    return "its log cannot be read"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server with all of its children: politely, then not."""
    try:
        _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE
        while _group_lives(process) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:  # also when somebody presses Ctrl-C a second time
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # takes the exit code of an ended one, or its group would seem alive
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True
