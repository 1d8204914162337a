"""The pins that the repository ships: the simulated and the bundled cohort are the same bits here.

They were locked on one machine; every machine that runs this test is another one that agrees. A
change of the simulator is a new version of its cohort, with a pin of its own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import ROOT

from lifecycle.dossier.pins import read_pins
from lifecycle.workflows.data import import_data, pinned_cohort, split_data
from lifecycle.workflows.project import open_project


@pytest.mark.parametrize(
    ("name", "cases", "origin"),
    [
        ("gbm-methylation", 339, "simulated"),
        ("breast-cytology", 142, "real"),
        ("ecg-baseline", 248, "simulated"),
        ("ecg-conformer", 248, "simulated"),
    ],
)
def test_a_shipped_pin_holds(tmp_path: Path, name: str, cases: int, origin: str) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    shutil.copytree(ROOT / "pipelines" / "cohorts", tmp_path / "pipelines" / "cohorts")
    (tmp_path / "dossier" / name).mkdir(parents=True)
    shutil.copy(ROOT / "dossier" / name / "frozen.json", tmp_path / "dossier" / name)
    project = open_project(name, tmp_path)
    import_data(project)
    split_data(project)
    cohort, pin = pinned_cohort(project)
    assert (len(cohort.ids), pin.number, pin.origin) == (cases, 1, origin)
    assert len(read_pins(project.layout.pins)) == 1
