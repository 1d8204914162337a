"""`lifecycle ui` without a browser: what it says, refuses and leaves behind (nothing)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import webbrowser
from pathlib import Path

import pytest
from mlflow_walk import free_port
from support import environment, run_in

from lifecycle.tracking.server import healthy
from lifecycle.workflows import reviewing


def _started(root: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as sink:
        process = subprocess.Popen(
            ["lifecycle", "ui", "wine", "--port", str(port)],
            cwd=root, env=environment(), stdout=sink, stderr=sink, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + 90
    while b"Ctrl-C ends it" not in log.read_bytes():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM], ids=str)
def test_it_serves_until_it_is_ended_and_leaves_no_process(
    built: Path, tmp_path: Path, number: signal.Signals
) -> None:
    port, log = free_port(), tmp_path / "said.txt"
    process = _started(built, port, log)
    assert healthy(port)
    process.send_signal(number)
    assert process.wait(timeout=30) == 0
    assert not healthy(port)
    said = log.read_text()
    assert f"wine: open http://127.0.0.1:{port}/#/experiments/" in said
    assert "tiny-beta" not in said, "one classifier was named"
    assert said.rstrip().endswith("MLflow has ended") and "Traceback" not in said
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        words = place.read_bytes().split(b"\0") if place.exists() else []
        assert str(port).encode() not in words, f"{place.parent.name} is left: {words}"


def test_a_server_that_dies_is_said(built: Path, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "said.txt"
    process = _started(built, port, log)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    assert process.wait(timeout=30) == 10
    assert "MLflow's server ended by itself" in log.read_text()
    assert not healthy(port)


def test_a_taken_port_is_refused(built: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_in(built, "lifecycle", "ui", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 10
    assert "Choose another with --port" in done.stderr and "Traceback" not in done.stderr


def test_print_only_says_the_command_and_every_address(built: Path) -> None:
    done = run_in(built, "lifecycle", "ui", "--print-only")
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].startswith("mlflow server --host 127.0.0.1 --port 5000 ")
    assert [line.split(":")[0] for line in lines[1:]] == ["tiny-beta", "wine"]
    assert all("viewStateShareKey=builds" in line for line in lines[1:])


def test_a_copied_project_is_told_where_its_artifacts_lie(built: Path, project: Path) -> None:
    done = run_in(project, "lifecycle", "ui", "--print-only")
    assert done.returncode == 0, done.stderr
    assert (
        f"wine: its artifacts lie in {built}/mlartifacts/wine, not in this project" in done.stderr
    )
    assert "not in this project" not in run_in(built, "lifecycle", "ui", "--print-only").stderr


def test_an_unknown_name_and_an_unbuilt_one_are_told_apart(project: Path) -> None:
    done = run_in(project, "lifecycle", "ui", "vine", "--print-only")
    assert done.returncode == 2 and "wine" in done.stderr
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("  tiny-beta:\n", "  other-beta:\n"))
    done = run_in(project, "lifecycle", "ui", "other-beta", "--print-only")
    assert done.returncode == 10 and "`lifecycle rebuild other-beta`" in done.stderr
    for path in project.glob("mlflow.db*"):
        path.unlink()
    done = run_in(project, "lifecycle", "ui", "--print-only")
    assert done.returncode == 10 and "there is no mlflow.db yet" in done.stderr


def test_a_server_elsewhere_that_is_down_is_named(built: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    begun = time.monotonic()
    done = run_in(built, "lifecycle", "ui", MLFLOW_TRACKING_URI=address)
    assert done.returncode == 10 and address in done.stderr
    assert time.monotonic() - begun < 60


def test_the_browser_opens_at_one_classifier_or_at_the_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    reviewing._open({"a": "http://h/a"}, "http://h", show=False)
    assert not opened
    reviewing._open({"a": "http://h/a"}, "http://h", show=True)
    reviewing._open({"a": "http://h/a", "b": "http://h/b"}, "http://h", show=True)
    assert opened == ["http://h/a", "http://h/#/experiments?workflowType=machine_learning"]


def test_no_browser_opens_where_nobody_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    assert not reviewing.desktop(), "standard error of a test is no terminal"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert reviewing.desktop()
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not reviewing.desktop()
