"""`lifecycle build NAME --verify N`: one digest, and one child that computed another bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import run_in

# One bit of one weight, in the second of the trainings that verify; no build sees it.
FAULT = """\
import sys

if sys.orig_argv[-1].endswith("run-2"):
    from lifecycle.training import trainer

    right = trainer.tensors_of

    def tensors_of(model):
        import numpy as np

        found = right(model)
        first = next(iter(found.values()))
        first.flat[0] = np.nextafter(first.flat[0], 9.0)
        return found

    trainer.tensors_of = tensors_of
"""


def _verified(project: Path, **changes: str) -> tuple[int, dict[str, Any]]:
    done = run_in(project, "lifecycle", "build", "wine", "--verify", "2", "--json", **changes)
    assert done.returncode in (0, 12), done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
def test_trained_again_the_bits_are_the_same_and_another_bit_ends_in_12(project: Path) -> None:
    record = json.loads((project / "dossier/wine/builds/b1/record.json").read_bytes())
    own = {key: record["content"]["weights"][key] for key in ("md5", "sha256")}
    code, found = _verified(project)
    assert (code, found["same"], found["mode"]) == (0, True, "exact")
    assert (found["classifier"], found["build"], found["weights"]) == ("wine", "b1", own)
    assert found["runs"] == [own, own]

    fault = project / "fault"
    fault.mkdir()
    (fault / "sitecustomize.py").write_text(FAULT, encoding="utf-8")
    code, found = _verified(project, PYTHONPATH=str(fault))
    assert (code, found["same"]) == (12, False)
    assert found["runs"][0] == own
    assert all(found["runs"][1][key] != own[key] for key in own)

    # nothing of them is kept, and the build is the one that it was
    assert [path.name for path in (project / "dossier/wine/builds").iterdir()] == ["b1"]
    assert not list((project / "work/wine").glob(".verify*"))
