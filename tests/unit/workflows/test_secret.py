"""The passphrase of automation leaves the environment before any other program is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.cli.main import main
from lifecycle.cli.release import passphrase
from lifecycle.workflows import secret

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _forgotten():
    yield
    os.environ.pop(secret.PASSPHRASE, None)
    secret.take()


def test_a_command_takes_it_out_and_still_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(secret.PASSPHRASE, "four words")
    with pytest.raises(SystemExit):
        main(["--version"])
    assert secret.PASSPHRASE not in os.environ
    assert passphrase(None) == "four words"
    child = [sys.executable, "-c", "import os; print(sorted(os.environ))"]
    assert (
        secret.PASSPHRASE
        not in subprocess.run(child, capture_output=True, text=True, check=True).stdout
    )


def test_a_later_command_does_not_sign_with_an_earlier_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(secret.PASSPHRASE, "four words")
    secret.take()
    secret.take()
    assert secret.given() is None


def test_what_a_command_starts_does_not_see_it(tmp_path: Path) -> None:
    """Of a whole process: git, as the first program that a rebuild of a fresh folder asks."""
    (tmp_path / "bin").mkdir()
    for name in ("git", "dvc"):
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\nenv > {tmp_path}/seen-$$-{name}\nexit 1\n")
        program.chmod(0o755)
    code = (
        "import subprocess; from lifecycle.cli import main; "
        "main.root.main = lambda **k: subprocess.run(['git']) and None; main.main([])"
    )
    around = {**os.environ, secret.PASSPHRASE: "four words",
              "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}  # fmt: skip
    subprocess.run([sys.executable, "-c", code], env=around, cwd=ROOT, check=False)
    (seen,) = tmp_path.glob("seen-*")
    assert "four words" not in seen.read_text()


def test_nothing_else_reads_the_variable() -> None:
    """One reader, so that nobody forgets to take it out."""
    reads = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "lifecycle").rglob("*.py")
        if re.search(r"environ[^\n]*PASSPHRASE|PASSPHRASE[^\n]*environ", path.read_text("utf-8"))
    ]
    assert reads == ["lifecycle/workflows/secret.py"]
