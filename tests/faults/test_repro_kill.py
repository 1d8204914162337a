"""`dvc repro` killed with -9 at any moment: the next run goes on by itself, and nothing is torn.

`LIFECYCLE_KILLS=200 pytest tests/faults/test_repro_kill.py` kills more often than the tests do.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import environment, run_in

KILLS = int(os.environ.get("LIFECYCLE_KILLS", "4"))
NAME = "tiny-beta"


def _evidence(project: Path) -> dict[str, bytes]:
    """Every kept file of the classifier, and DVC's own word on what it made."""
    files = (p for p in (project / "dossier" / NAME).rglob("*") if p.is_file())
    return {p.relative_to(project).as_posix(): p.read_bytes() for p in files}


def _leftovers(project: Path) -> list[str]:
    """Half-written files that our own commands write beside the whole ones."""
    places = (project / "work" / NAME, project / "dossier" / NAME)
    return [str(path) for place in places for path in place.rglob(".*.????????")]


@pytest.mark.slow
@pytest.mark.timeout(600 + 120 * KILLS)
def test_killed_at_random_moments(project: Path) -> None:
    before = _evidence(project)
    # begun anew each time, so that a kill can hit every stage
    again = ["dvc", "repro", "--force", "--single-item"]
    stages = ("import", "split", "validate", "prepare", "search", "build", "predict", "enrol",
              "threshold", "compare", "gate", "report")  # fmt: skip
    command = [*again, *(f"{stage}@{NAME}" for stage in stages)]
    began = time.monotonic()
    assert run_in(project, *command).returncode == 0
    took = time.monotonic() - began
    assert _evidence(project) == before
    rng, killed, hit = random.Random(7), 0, set()
    while killed < KILLS:
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(
            command, cwd=project, env=environment(), text=True, start_new_session=True, **quiet
        ) as running:
            time.sleep(rng.uniform(0.05 * took, took))
            everyone = rng.random() < 0.5  # or DVC alone: its stage must not go on without it
            (os.killpg if everyone else os.kill)(running.pid, signal.SIGKILL)
            said = running.communicate(timeout=120)[0]
        if running.returncode != -signal.SIGKILL:
            continue
        killed += 1
        hit |= {line for line in said.splitlines() if line.startswith("Running stage")}
        done = run_in(project, "lifecycle", "rebuild", NAME)
        assert done.returncode == 0, f"kill {killed} after {said}\n{done.stdout}{done.stderr}"
        assert _evidence(project) == before, said
        assert _leftovers(project) == [], said
        status = run_in(project, "dvc", "status", "--json", *(f"{s}@{NAME}" for s in stages))
        assert json.loads(status.stdout) == {}, said
