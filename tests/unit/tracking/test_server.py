"""MLflow's server as a child: it answers, and nothing of it is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow_walk import free_port

from lifecycle.errors import UnusableInputError
from lifecycle.tracking import server
from lifecycle.tracking.server import healthy, require_free, running_server


def _in_group(group: int) -> list[int]:
    """Living processes of a group."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, in_group = place.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it ended in between
            continue
        if int(in_group) == group and state != "Z":
            found.append(int(place.parent.name))
    return found


def test_it_answers_and_ends_with_its_children(tmp_path: Path) -> None:
    port = free_port()
    with running_server(tmp_path, f"sqlite:///{tmp_path}/mlflow.db", port) as running:
        assert running.address == f"http://127.0.0.1:{port}"
        assert healthy(port)
        assert len(_in_group(running.process.pid)) > 1
        with pytest.raises(UnusableInputError, match=f"port {port} cannot be used"):
            require_free(port)
    assert not _in_group(running.process.pid)
    assert not healthy(port)
    require_free(port)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    begun = time.monotonic()
    with (
        pytest.raises(UnusableInputError, match=r"did not start on port .*nonsense"),
        running_server(tmp_path, "nonsense://nowhere", free_port()),
    ):
        pytest.fail("nothing serves")
    assert time.monotonic() - begun < server.START


def test_children_that_do_not_listen_are_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_GRACE", 0.3)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {deaf!r}]);"
    process = subprocess.Popen(
        [sys.executable, "-c", parent + "time.sleep(60)"], start_new_session=True
    )
    while len(_in_group(process.pid)) < 2:
        time.sleep(0.02)
    time.sleep(0.3)  # until the child has stopped listening
    server._end(process)
    deadline = time.monotonic() + 5
    while _in_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _in_group(process.pid)
    assert process.returncode == -signal.SIGTERM


def test_a_taken_port_is_refused_with_the_cure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnusableInputError, match=rf"port {port} .*another with --port"):
            require_free(port)


def test_a_port_that_no_browser_opens_is_refused() -> None:
    with pytest.raises(UnusableInputError, match="browsers refuse"):
        require_free(6000)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every port")
def test_a_port_of_the_system_is_refused() -> None:
    with pytest.raises(UnusableInputError, match="port 81"):
        require_free(81)


def test_something_else_on_the_port_is_not_healthy() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert not healthy(other.getsockname()[1])
