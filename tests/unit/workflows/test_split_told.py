"""What the split says of the cases that belong to no part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lifecycle.cohorts import store
from lifecycle.cohorts.split import read_parts
from lifecycle.domain.classifier import LEADS
from lifecycle.domain.cohort import Cohort
from lifecycle.workflows.data import split_data
from lifecycle.workflows.project import Project, open_project

SECTION = """\
classifiers:
  beats:
    version: "1"
    title: Two rhythms
    task: multi
    classes: [SR, AFIB]
    cohort: {source: ptbxl, path: nowhere, measures: ecg}
    frozen: {folds: ["10"]}
    split: {folds: ["9"]}
    preprocess: {convention: standardised}
    model: {kind: ecg-baseline}
    recipe: {lr: 0.01, l2: 0.001, epochs: 1}
    search: {}
    tau: {mode: per-class}
    policy: {}
"""
# case, patient, label, fold
CASES = (
    ("a", "p1", "SR", "1"),
    ("b", "p2", "AFIB", "1"),
    ("c", "p3", "SR|AFIB", "9"),
    ("d", "p4", "", "10"),
)


def _project(root: Path, *cases: tuple[str, str, str, str]) -> Project:
    (root / "params.yaml").write_text(SECTION, encoding="utf-8")
    project = open_project("beats", root)
    ids, patients, labels, folds = zip(*CASES, *cases, strict=True)
    values = np.zeros((len(ids), 5, len(LEADS)), dtype=np.int16)
    cohort = Cohort(ids, patients, ("",) * len(ids), labels, LEADS, values, "real")
    store.write(project.cohort, replace(cohort, folds=folds, about={"rate": 100}))
    return project


def test_nothing_is_said_where_every_case_has_a_part(tmp_path: Path, capsys) -> None:
    split_data(_project(tmp_path))
    assert capsys.readouterr().err == ""


def test_a_first_split_counts_cases_without_label_or_fold(tmp_path: Path, capsys) -> None:
    others = [("e", "p5", "", "1"), ("f", "p6", "PACE", "9"), ("g", "p7", "SR", "")]
    project = _project(tmp_path, *others)
    split_data(project)
    told = "beats: 3 cases are set aside: 2 without a known label; 1 without a fold\n"
    assert capsys.readouterr().err == told
    assert [case for case, part in read_parts(project.parts).items() if part == "aside"] == [
        "e", "f", "g",
    ]  # fmt: skip


def test_a_rebuild_tells_new_cases_of_frozen_patients_from_others(
    tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"a": "training", "b": "training", "c": "holdout", "d": "frozen", "e": "aside"}
    monkeypatch.setattr("lifecycle.workflows.data.kept_parts", lambda project: kept)
    others = [
        ("e", "p5", "SR", "1"),
        ("f", "p4", "SR", "10"),
        ("g", "p4", "AFIB", "10"),
        ("h", "p1", "", "1"),
    ]
    split_data(_project(tmp_path, *others))
    assert capsys.readouterr().err == (
        "beats: 4 cases are set aside: 1 as in the first build; "
        "2 new, of patients or groups that are frozen or in two parts; 1 without a known label\n"
    )
