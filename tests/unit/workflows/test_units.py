"""Counting by components of patients needs to know who shares what."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lifecycle.consistency.units import require_groups
from lifecycle.domain.classifier import Policy
from lifecycle.domain.cohort import Cohort
from lifecycle.errors import UnusableInputError
from lifecycle.workflows import deciding
from lifecycle.workflows.anywhere import Question, compare_files
from lifecycle.workflows.data import _require_units

ROWS = 60


def _files(folder: Path, groups: list[str] | None, patients: list[str] | None = None) -> Question:
    head = ["case_id", "patient_id", *([] if groups is None else ["group_id"]), "A", "B"]
    lines = [",".join(head)]
    for i in range(ROWS):
        own = [f"c{i}", patients[i] if patients else f"p{i}"]
        lines.append(",".join([*own, *([] if groups is None else [groups[i]]), "0.9", "0.1"]))
    paths = tuple(folder / name for name in ("one.csv", "two.csv"))
    for path in paths:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Question(paths, 0.5, 0.95, 0.05, 1e-6, "component", None)


SAME_SLIDE = {
    "blanks behind": [f"slide1{' ' * i}" for i in range(ROWS)],
    "blanks before": [f"{' ' * i}slide1" for i in range(ROWS)],
    "blanks inside": [f"slide{' ' * i}1" for i in range(ROWS)],
    "letter case": [f"{'slide1'.upper() if i % 2 else 'slide1'}" for i in range(ROWS)],
    "unicode form": ["é", *["e\u0301"] * (ROWS - 1)],
    "a control character": ["slide1", *["slide\x071"] * (ROWS - 1)],
    "a zero width": ["slide1", *["slide\u200b1"] * (ROWS - 1)],
    "a number as text": ["203", *["203.0"] * (ROWS - 1)],
}


@pytest.mark.parametrize("groups", SAME_SLIDE.values(), ids=SAME_SLIDE)
def test_one_slide_is_never_counted_as_many(tmp_path: Path, groups: list[str]) -> None:
    with pytest.raises(UnusableInputError, match=r"one\.csv.*group"):
        compare_files(_files(tmp_path, groups), as_json=False)


@pytest.mark.parametrize("patients", SAME_SLIDE.values(), ids=SAME_SLIDE)
def test_one_patient_is_never_counted_as_many(tmp_path: Path, patients: list[str]) -> None:
    with pytest.raises(UnusableInputError, match=r"one\.csv.*patient"):
        compare_files(_files(tmp_path, ["s"] * ROWS, patients), as_json=False)


def test_one_slide_is_one_component(tmp_path: Path) -> None:
    said, code = compare_files(_files(tmp_path, ["slide1"] * ROWS), as_json=False)
    assert "60 cases, 1 components" in said and code == 21


@pytest.mark.parametrize(
    ("groups", "said"),
    [(None, "no case has a group"), ([""] * ROWS, "no case has a group"),
     (["s", "", *["s"] * (ROWS - 2)], "1 of 60 cases have no group, 'c1' first")],
)  # fmt: skip
def test_components_need_the_group_of_every_case(
    tmp_path: Path, groups: list[str] | None, said: str
) -> None:
    with pytest.raises(UnusableInputError) as refused:
        compare_files(_files(tmp_path, groups), as_json=False)
    assert said in str(refused.value) and "count by unit `patient`" in str(refused.value)


def test_patients_need_none() -> None:
    require_groups("patient", ["a", "b"], ["", ""], "here")
    require_groups("component", ["a", "b"], ["s", "t"], "here")


@pytest.mark.parametrize(
    ("unit", "frozen"), [("component", "b"), ("patient", "a"), ("component", "a")]
)
def test_a_split_needs_groups_of_the_frozen_cases_only(unit: str, frozen: str) -> None:
    cohort = Cohort(("a", "b"), ("a", "b"), ("", "s"), ("", ""), ("f",), np.zeros((2, 1)), "real")
    project: Any = SimpleNamespace(
        name="tab",
        classifier=SimpleNamespace(policy=Policy(unit=unit)),  # type: ignore[arg-type]
    )
    parts: dict[str, Any] = {name: "frozen" if name == frozen else "training" for name in "ab"}
    if (unit, frozen) == ("component", "a"):
        with pytest.raises(UnusableInputError, match=r"tab, frozen set .*no case has a group"):
            _require_units(project, cohort, parts)
    else:
        _require_units(project, cohort, parts)


def test_the_comparison_of_a_build_needs_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy may change within a version, and the split is not made again for it."""
    own = SimpleNamespace(ids=("a", "b"), groups=("s", ""))
    project: Any = SimpleNamespace(
        name="tab", classifier=SimpleNamespace(policy=Policy(unit="component"))
    )
    build = SimpleNamespace(name="b2")
    monkeypatch.setattr(deciding, "current_build", lambda project: (build, ()))
    monkeypatch.setattr(deciding, "pinned_predictions", lambda project, build: own)
    with pytest.raises(UnusableInputError, match="tab b2, frozen set: 1 of 2 cases"):
        deciding.comparison_of(project)
