"""The installed command: help, start-up imports, exit codes of comparing files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support import run_in

HEAVY = {"torch", "mlflow", "dvc", "great_expectations", "pandas", "numpy", "sklearn", "scipy"}


@pytest.mark.parametrize(
    "words",
    [["--help"], ["gate", "--help"], ["frozen", "amend", "--help"], ["rebuild", "--help"],
     ["consistency", "predictions", "--help"], ["data", "--help"], ["ui", "--help"]],
    ids=" ".join,
)  # fmt: skip
def test_help_imports_nothing_heavy_and_shows_an_example(words: list[str]) -> None:
    code = (
        "import sys; from lifecycle.cli.main import main\n"
        f"try: main({words!r})\n"
        "except SystemExit as ended: assert not ended.code\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n"), done.stdout[-200:]
    assert "Example: lifecycle" in done.stdout


def _predictions(path: Path, n: int, discordant: int) -> None:
    """n cases that are reported as `a`; the first few as `b`."""
    a = [0.2 if i < discordant else 0.8 for i in range(n)]
    table = pd.DataFrame({"case_id": [f"c{i:04d}" for i in range(n)]})
    table["patient_id"] = table["case_id"]
    table["a"], table["b"] = a, [round(1 - x, 1) for x in a]
    table.to_csv(path, index=False)


def test_fourteen_of_339_is_neither_shown_nor_refuted(tmp_path: Path) -> None:
    # seed 002: over 4% of 339; 14 is the smallest count that fits
    _predictions(tmp_path / "rtx.csv", 339, 0)
    _predictions(tmp_path / "xeon.csv", 339, 14)
    command = ["lifecycle", "consistency", "predictions", "rtx.csv", "xeon.csv", "--tau", "0.3"]
    done = run_in(tmp_path, *command, "--discordant", "cases.csv")
    assert done.returncode == 21, done.stdout + done.stderr
    assert "4.13%" in done.stdout
    assert "6.38%" in done.stdout
    assert "CANNOT BE SHOWN" in done.stdout
    assert len((tmp_path / "cases.csv").read_text(encoding="utf-8").splitlines()) == 15
    found = json.loads(run_in(tmp_path, *command, "--json").stdout)["agreement"]["series"]
    assert (found["S"], found["R"], found["D"]) == (339, 339, 14)


@pytest.mark.parametrize(("n", "discordant", "code"), [(59, 0, 0), (58, 0, 21), (100, 6, 20)])
def test_exit_codes_follow_the_bound(tmp_path: Path, n: int, discordant: int, code: int) -> None:
    _predictions(tmp_path / "one.csv", n, 0)
    _predictions(tmp_path / "two.csv", n, discordant)
    done = run_in(
        tmp_path, "lifecycle", "consistency", "predictions", "one.csv", "two.csv", "--tau", "0.5"
    )
    assert done.returncode == code, done.stdout + done.stderr


def test_nobody_s_patients_are_said(tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        _predictions(tmp_path / name, 60, 0)
        table = pd.read_csv(tmp_path / name).drop(columns="patient_id")
        table.to_csv(tmp_path / name, index=False)
    done = run_in(
        tmp_path, "lifecycle", "consistency", "predictions", "one.csv", "two.csv", "--tau", "0.5"
    )
    assert "names no patients" in done.stderr
