"""`lifecycle threshold`: one tau in a line, many as a table, and what of them may be called."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from lifecycle.consistency.tau import choose
from lifecycle.domain.classifier import TauPlan
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.dossier.files import write_json
from lifecycle.workflows import showing
from lifecycle.workflows.project import Project, open_project

ROOT = Path(__file__).resolve().parents[3]
MANY = TauPlan(mode="per-class")


def holdout(rows: list[list[float]], labels: list[str], task: str = "multi") -> Predictions:
    ids = tuple(f"c{i:03}" for i in range(len(rows)))
    classes = tuple("ABC"[: len(rows[0])])
    return Predictions(
        ids, ids, ("",) * len(ids), tuple(labels), classes, np.array(rows), task
    )  # fmt: skip


@pytest.fixture
def three() -> Cutoffs:
    """A can be called and never ruled out, B provisionally called, C never called."""
    rows = [[0.9, 0.1, 0.1]] * 40 + [[0.9, 0.8, 0.1]] * 20 + [[0.1, 0.2, 0.6]] * 4
    rows += [[0.1, 0.2, 0.55]] * 2 + [[0.2, 0.1, 0.3]] * 40
    labels = ["A"] * 40 + ["A|B"] * 20 + ["C"] * 3 + ["A"] * 3 + ["C"] * 40
    return choose(holdout(rows, labels), MANY)


def shown(cutoffs: Cutoffs, root: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> str:
    (root / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    project: Project = open_project("ecg-baseline", root)
    project.layout.threshold.parent.mkdir(parents=True)
    entry = {"version": "1", "build": "b1", "cutoffs": asdict(cutoffs)}
    write_json(project.layout.threshold, entry)
    monkeypatch.setattr(showing, "read_cutoffs", lambda _: cutoffs)
    return showing.show_threshold(project, as_json)


def test_of_many_cutoffs_each_is_a_line_and_the_sentence_says_what_may_be_called(
    three: Cutoffs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, columns, *lines = shown(three, tmp_path, monkeypatch, False).splitlines()
    assert head == "ecg-baseline 1: from the holdout of b1"
    assert " ".join(columns.split()) == "class call tau patients precision at least status"
    assert [line.split() for line in lines[:6]] == [
        ["A", "present", "0.9", "60", "of", "63", "0.951", "proposed"],
        ["B", "present", "0.8", "20", "of", "20", "0.861", "provisional"],
        ["C", "present", "none", "0", "of", "43", "0.000", "refused"],
        ["A", "absent", "none", "0", "of", "43", "0.000", "refused"],
        ["B", "absent", "0.2", "86", "of", "86", "0.966", "proposed"],
        ["C", "absent", "0.1", "60", "of", "63", "0.951", "proposed"],
    ]
    assert len({len(line.rsplit("  ", 1)[0]) for line in [columns, *lines[:6]]}) == 1  # aligned
    assert lines[6] == (
        "2 of 3 classes can be called, provisionally B; never called (no cutoff, or too few "
        "patients): C. 2 of 3 classes can be ruled out; never ruled out (no cutoff, or too few "
        "patients): A."
    )
    assert "optimistic" in lines[7] and len(lines) == 8


def test_as_json_it_is_the_cutoffs(
    three: Cutoffs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json.loads(shown(three, tmp_path, monkeypatch, True))
    assert found == json.loads(json.dumps(asdict(three)))
    assert [one["tau"] for one in found["evidence"]["chosen"]][2] is None


SURE = [[0.9, 0.1]] * 60 + [[0.2, 0.8]] * 60


@pytest.mark.parametrize(
    ("plan", "rows", "first", "said"),
    [
        (TauPlan(positive="A"), SURE, "tau = 0.9 for every class (proposed)", "60 of 60 patients"),
        (MANY, SURE, "class ", "2 of 2 classes can be called."),
        (TauPlan(positive="A"), [[0.9, 0.1], [0.95, 0.05]] * 60, "'A': refused, no score", ""),
        (MANY, [[0.5, 0.5]] * 120, "0 of 2 classes can be called; never called", "A, B."),
    ],
)
def test_one_tau_is_a_line_and_none_is_told_without_a_table(
    plan: TauPlan, rows: list, first: str, said: str, tmp_path: Path, monkeypatch
) -> None:
    cutoffs = choose(holdout(rows, ["A"] * 60 + ["B"] * 60, "single"), plan)
    told = shown(cutoffs, tmp_path, monkeypatch, False)
    assert told.splitlines()[1].startswith(first), told
    assert said in told
