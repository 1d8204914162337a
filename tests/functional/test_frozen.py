"""The frozen set's pins, through the command line, on the small built project."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import run_in


def _pins(project: Path, name: str) -> list[dict]:
    return json.loads((project / "dossier" / name / "frozen.json").read_bytes())["pins"]


def test_verify_show_and_a_second_lock(built: Path) -> None:
    held = run_in(built, "lifecycle", "frozen", "verify", "wine")
    assert held.returncode == 0, held.stderr
    assert "pin 1 of version 1 holds" in held.stdout
    shown = json.loads(run_in(built, "lifecycle", "frozen", "show", "tiny-beta", "--json").stdout)
    assert shown[0]["origin"] == "real"  # the file says nothing else to a reader of matrices
    again = run_in(built, "lifecycle", "frozen", "lock", "wine")
    assert again.returncode == 2
    assert "amend" in again.stderr


def test_an_amendment_needs_a_reason_and_a_change(built: Path) -> None:
    for reason, said in (("  ", "needs a reason"), ("just so", "nothing to amend")):
        done = run_in(built, "lifecycle", "frozen", "amend", "wine", "--reason", reason)
        assert done.returncode == 2
        assert said in done.stderr
    assert run_in(built, "lifecycle", "frozen", "amend", "wine").returncode == 2


@pytest.mark.slow
def test_a_withdrawn_case_stops_the_rebuild_until_the_pin_is_amended(project: Path) -> None:
    case = sorted(_pins(project, "tiny-beta")[0]["cases"])[0]
    source = project / "data" / "beta.csv"
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(f"{case},")]
    assert len(kept) == len(lines) - 1
    source.write_text("".join(kept), encoding="utf-8")

    stopped = run_in(project, "lifecycle", "rebuild", "tiny-beta")
    assert stopped.returncode == 12, stopped.stdout + stopped.stderr
    assert case in stopped.stderr
    assert len(list((project / "dossier/tiny-beta/builds").iterdir())) == 1

    amended = run_in(
        project, "lifecycle", "frozen", "amend", "tiny-beta", "--reason", "consent withdrawn"
    )
    assert amended.returncode == 0, amended.stderr
    assert "1 removed, 0 added, 0 changed" in amended.stderr
    assert [pin["number"] for pin in _pins(project, "tiny-beta")] == [1, 2]

    done = run_in(project, "lifecycle", "rebuild", "tiny-beta")
    assert done.returncode == 0, done.stdout + done.stderr
    path = project / "work/tiny-beta/comparison/agreement.json"
    agreement = json.loads(path.read_bytes())["agreement"]
    assert agreement["names"] == ["b1", "b2"]
    assert agreement["series"]["S"] == len(_pins(project, "tiny-beta")[1]["cases"])
