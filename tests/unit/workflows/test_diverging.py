from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from lifecycle.dossier.builds import Build
from lifecycle.errors import UnusableInputError, UsageError
from lifecycle.report.divergence import divergence_png, divergence_svg
from lifecycle.workflows.diverged import ROWS, require_plot, show, write_plot
from lifecycle.workflows.diverging import (
    MEASURED,
    Found,
    _code,
    _replayed,
    first_state,
    measured,
    placed,
    require_comparable,
)
from lifecycle.workflows.replays import compare, environment_of


def _build(number: int, **changes: Any) -> Build:
    content = {
        "version": "1",
        "inputs": {"cohort": "c", "parts": "p", "features": "f", "sources": "s", "pin": "n"},
        "recipe": {"lr": 0.1, "epochs": 4, "numerics": {"mode": "exact"}},
        "terms": {"model": {"hidden": [8, 4]}},
        "environment": {"machine": {"cpu": "x"}, "variables": {"OMP_NUM_THREADS": "", "A": "2"}},
        "framework": {"torch": "2", "arithmetic": "lifecycle/arithmetic/1", "selftest": "right"},
        **changes,
    }
    return Build(number, content, {}, "", Path("nowhere"))


# ---- which builds, which steps


def test_builds_of_one_version_data_and_recipe_are_comparable() -> None:
    other = {**_build(1).content["inputs"], "sources": "another file, same cohort"}
    require_comparable(_build(1), _build(2, inputs=other, environment={}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "2"}, "versions 1 and 2"),
        ({"inputs": {"cohort": "d", "parts": "q", "features": "f"}}, "inputs.cohort, inputs.parts"),
        ({"inputs": {"cohort": "c", "parts": "p", "features": "g"}}, "inputs.features"),
        ({"recipe": {"lr": 0.1, "epochs": 4, "numerics": {"mode": "native"}}},
         "recipe.numerics.mode: 'exact' -> 'native'"),
        ({"terms": {"model": {"hidden": [9, 4]}}}, "model.hidden"),
        # the version is told before the data, and the data before the recipe
        ({"version": "2", "recipe": {}}, "versions 1 and 2"),
        ({"inputs": {"cohort": "d", "parts": "p", "features": "f"}, "recipe": {}}, "other data"),
    ],
)  # fmt: skip
def test_builds_that_differ_on_purpose_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(UnusableInputError, match="b1 and b2") as caught:
        require_comparable(_build(1), _build(2, **changes))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("first", "end"), [(1, 5), (7, 7), (15, 40), (1, 16_640), (16_000, 16_640)]
)
def test_measured_steps_begin_dense_and_reach_the_end(first: int, end: int) -> None:
    steps = measured(first, end)
    assert steps[0] == first and steps[-1] == end
    assert steps == sorted(set(steps)) and len(steps) <= MEASURED + 1
    assert steps[:3] == list(range(first, min(first + 2, end) + 1))[:3]


@pytest.mark.parametrize(
    ("states", "since", "step"),
    [
        (["abcd", "abxy"], 5, 7),
        (["abcd", "xbcd"], 5, 5),
        (["abcd", "abcd"], 5, 9),
        (["", ""], 1, 1),
    ],
)
def test_the_first_step_whose_state_differs(states: list[str], since: int, step: int) -> None:
    assert first_state(states, since) == step


def test_a_step_is_placed_in_its_epoch() -> None:
    assert placed(10, 10) == {"step": 10, "epoch": 1, "in_epoch": 10}
    assert placed(11, 10) == {"step": 11, "epoch": 2, "in_epoch": 1}
    assert placed(0, 10) == {"step": 0, "epoch": 0, "in_epoch": 0}


# ---- the replays


def test_a_replay_has_the_variables_of_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("PYTHONPATH", "kept")
    found = environment_of(_build(1))
    assert "OMP_NUM_THREADS" not in found  # the build had it unset
    assert (found["A"], found["PYTHONPATH"]) == ("2", "kept")
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_tensors_are_compared_value_by_value() -> None:
    one = np.array([[1.0, 0.0, 3.0], [4.0, 5.0, 6.0]])
    two = one.copy()
    two[0, 1], two[1, 2] = -0.0, 6.5
    found = compare(one, two)
    assert (found["differing"], found["values"], found["largest"]) == (1, 6, 0.5)
    assert (found["at"], found["there"], found["shape"]) == ([1, 2], [6.0, 6.5], [2, 3])
    assert compare(np.float64(1), np.float64(2))["largest"] == 1.0
    assert compare(one, one[:1])["shapes"] == [[2, 3], [1, 3]]
    two[0, 0] = np.nan
    assert compare(one, two)["at"] == [0, 0]


def _strayed(mode: str, machine: str = "x", arithmetic: str = "lifecycle/arithmetic/1") -> int:
    build = _build(2, recipe={"numerics": {"mode": mode}})
    environment = {**build.content["environment"], "machine": {"cpu": machine}}
    framework = {"torch": "2", "arithmetic": arithmetic}
    found = Found(
        strayed=[None, {"where": "step", "step": 3, "digest": "d"}],
        here=[{"environment": environment, "framework": framework}] * 2,
    )
    replays = [_replayed(build, i, found) for i in range(2)]
    assert replays[0]["strayed"] is None
    return _code({"replays": replays}, build)


def test_what_cannot_be_repeated_is_a_fault_where_nothing_excuses_it() -> None:
    assert _strayed("exact") == _strayed("exact", machine="y") == 12
    assert _strayed("exact", arithmetic="lifecycle/arithmetic/2") == 0
    assert _strayed("deterministic") == 12
    assert _strayed("deterministic", machine="y") == 0
    assert _strayed("native") == 0


# ---- what is said and drawn


def _report(**changes: Any) -> dict[str, Any]:
    points = [
        {**placed(s, 10), "sine": 10.0 ** (s / 2 - 18), "changed": None} for s in range(5, 30)
    ]
    ends = [{**placed(s, 10), "sine": 0.0 if s == 10 else 0.5, "changed": s // 10 - 1}
            for s in (10, 20, 30)]  # fmt: skip
    first = {"operation": "linear linears.0", "tensor": "result", "differing": 1, "values": 64,
             "largest": 1e-16, "at": [0, 2], "there": [1.0, 2.0], "shape": [8, 8]}  # fmt: skip
    return {
        "classifier": "a", "version": "1", "builds": ["b1", "b2"], "same": False,
        "traced": [True, True], "epochs": 3, "steps": 10, "environment": ["variables.A: 1 -> 3"],
        "trace": {**placed(6, 10), "where": "step"}, "first": {**placed(5, 10), **first},
        "replays": [{"build": b, "strayed": None, "changed": []} for b in ("b1", "b2")],
        "growth": points + ends, "cases": 53, **changes,
    }  # fmt: skip


def test_the_report_says_where_what_and_how_far() -> None:
    text = show(_report())
    assert "a 1, b1 and b2: 3 epochs of 10 steps" in text
    assert "their environments differ: variables.A: 1 -> 3" in text
    assert "the traces differ from epoch 1, step 6 (step 6) on" in text
    said = "first differing operation: epoch 1, step 5 (step 5): linear linears.0: result"
    assert said in text
    assert "1 of 64 values differ, most by 1e-16 at [0, 2]: 1.0, 2.0" in text
    rows = text.split("holdout calls changed of 53\n")[1].splitlines()
    assert len(rows) == ROWS and rows[-1].split() == ["3", "10", "0.5", "2"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"same": True, "trace": None}, "no step differs, and the weights are the same"),
        ({"same": True, "traced": [False, True]}, "b1 has no trace"),
        ({"trace": {**placed(0, 10), "where": "input"}, "first": None, "replays": [],
          "growth": []}, "before the first step: in the network's input"),
        ({"trace": {**placed(0, 10), "where": "initial values"}}, "in the initial values"),
        ({"trace": {**placed(20, 10), "where": "weights"}}, "at the end of epoch 2"),
        ({"environment": []}, "state the same environment"),
        ({"first": {**placed(5, 10), "operation": "a", "tensor": "result", "other": "b: c"}},
         "where the other build has b: c"),
        ({"replays": [{"build": "b2", "strayed": {"where": "step", "step": 13, "digest": ""},
                       "changed": ["machine.cpu: x -> y"]}]},
         "leaves its trace at step 13, in epoch 2; what came after is not shown\n"
         "  since its record: machine.cpu: x -> y"),
    ],
)  # fmt: skip
def test_every_outcome_has_its_sentence(changes: dict, said: str) -> None:
    assert said in show(_report(**changes))


def test_the_figure_marks_the_first_step_and_says_it() -> None:
    text = divergence_svg(_report())
    root = ET.fromstring(text)
    assert root.get("role") == "img"
    assert "the first differing step, step 5, is marked" in text
    assert "mathdefault" not in text and "1e-08" in text  # the axis, in plain text
    assert "of 53" in text and "first difference: step 5" in text
    assert divergence_svg(_report()) == text
    none = divergence_svg(_report(growth=[], first=None))
    assert "there are no points" in none
    assert divergence_png(_report()).startswith(b"\x89PNG")


def test_a_plot_is_written_where_it_can_be(tmp_path: Path) -> None:
    for name, head in (("a.svg", b"<svg"), ("a.PNG", b"\x89PNG")):
        require_plot(tmp_path / name)
        write_plot(tmp_path / name, _report())
        assert (tmp_path / name).read_bytes().startswith(head)
    require_plot(None)
    with pytest.raises(UsageError, match="svg"):
        require_plot(tmp_path / "a.pdf")
    with pytest.raises(UnusableInputError, match="no folder"):
        require_plot(tmp_path / "no" / "a.svg")
