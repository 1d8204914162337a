"""Rehearsals without any training: children, figures, what can be asked for, the table."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lifecycle.domain.classifier import Numerics, Recipe
from lifecycle.domain.digests import tensors_digests
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.errors import UsageError
from lifecycle.records.evidence import PairFigures
from lifecycle.workflows.children import Task, run_children
from lifecycle.workflows.rehearsed import Outcome, compare, first_unlike
from lifecycle.workflows.rehearsing import Asked, numerics_asked
from lifecycle.workflows.rehearsing_child import FROZEN_EPOCHS, recipe_of
from lifecycle.workflows.rehearsing_table import show_rehearsal

CUT = Cutoffs((0.6, 0.6), None, "proposed", {})
RECIPE = Recipe(lr=0.01, l2=0.0, epochs=2)


# ---- children


def _task(name: str, code: str, place: Path) -> Task:
    return Task(name, (sys.executable, "-c", code), os.environ, place)


def _run(tasks: list[Task], jobs: int = 2) -> tuple[dict[str, str], list[tuple[str, Any]]]:
    heard: list[tuple[str, Any]] = []
    failed = run_children(tasks, jobs, lambda name, entry: heard.append((name, dict(entry))))
    return failed, heard


def test_children_are_heard_and_failures_are_named(tmp_path: Path) -> None:
    tasks = [
        _task("good", "print('noise'); print('[1]'); print('{\"epoch\": 1}')", tmp_path),
        _task("bad", "import sys; print('error: no luck', file=sys.stderr); sys.exit(9)", tmp_path),
        _task("dumb", "import sys; sys.exit(3)", tmp_path),
        _task("shot", "import os, signal; os.kill(os.getpid(), signal.SIGILL)", tmp_path),
    ]
    failed, heard = _run(tasks)
    assert heard == [("good", {"epoch": 1})]
    assert failed == {"bad": "no luck", "dumb": "ended with exit code 3", "shot": "ended by SIGILL"}


def test_no_more_children_than_jobs_run_at_a_time(tmp_path: Path) -> None:
    code = (
        "import pathlib, time, os; p = pathlib.Path(str(os.getpid())); p.touch(); time.sleep(.2);"
        "print('{\"n\": %d}' % len([q for q in pathlib.Path('.').iterdir()])); p.unlink()"
    )
    failed, heard = _run([_task(str(i), code, tmp_path) for i in range(4)], jobs=1)
    assert not failed
    assert [entry["n"] for _, entry in heard] == [1, 1, 1, 1]


def test_children_end_when_their_parent_is_interrupted(tmp_path: Path) -> None:
    code = "import os, time; print('{\"pid\": %d}' % os.getpid(), flush=True); time.sleep(60)"
    pids: list[int] = []

    def hear(_name: str, entry: Any) -> None:
        pids.append(entry["pid"])
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_children([_task(str(i), code, tmp_path) for i in range(3)], 1, hear)
    assert time.monotonic() - started < 30
    assert len(pids) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


# ---- figures


def _predictions(high: list[float]) -> Predictions:
    """Cases of two classes; `high` is the score of the first."""
    ids = tuple(f"c{i}" for i in range(len(high)))
    scores = np.array([[x, 1.0 - x] for x in high])
    return Predictions(ids, ids, ("",) * len(ids), None, ("a", "b"), scores, "single")


def _outcome(place: Path, name: str, high: list[float], w: float, digests: str) -> Outcome:
    tensors = {"w": np.array([1.0, w])}
    folder = place / name
    folder.mkdir()
    predictions = _predictions(high)
    np.save(folder / FROZEN_EPOCHS, np.stack([predictions.scores[::-1], predictions.scores]))
    return Outcome(
        name, tensors_digests(tensors), predictions, predictions, lambda: tensors,
        tuple(digests), folder, {"cpu_capability": "AVX2", "openblas_kernels": "Zen"},
    )  # fmt: skip


@pytest.fixture
def three(tmp_path: Path) -> list[Outcome]:
    return [
        _outcome(tmp_path, "native-1", [0.9, 0.7, 0.2, 0.55], 0.0, "xy"),
        _outcome(tmp_path, "sse-1", [0.9, 0.7, 0.2, 0.55], 0.0, "xy"),
        _outcome(tmp_path, "avx2-1", [0.9, 0.3, 0.5, 0.45], 1.0, "xz"),
    ]


def test_figures_against_the_build_and_over_all_pairs(three: list[Outcome]) -> None:
    build = Outcome("b1", three[0].weights, three[0].frozen, three[0].holdout, None, ("x", "y"))
    found = compare(build, three, CUT, 0.05)
    same, other = found.against["sse-1"], found.against["avx2-1"]
    assert same["same_weights"] and same["first_epoch"] is None and same["sine"] == 0.0
    assert (same["discordant"], same["conversions"], same["any_epoch"]) == (0, 0, 0)
    # .7 against .3 contradict at tau .6; .2 against .5 converts; .55 against .45 at any tau only
    assert (other["reported"], other["discordant"], other["conversions"]) == (2, 1, 1)
    assert other["argmax_changes"] == other["any_tau"] == 3  # .5 is a tie: the first class
    assert other["frozen_difference"] == pytest.approx(0.4)
    assert other["first_epoch"] == 2
    assert other["sine"] is None  # the build's weights are not at hand
    assert other["any_epoch"] == 3
    assert found.worst is not None
    assert found.worst["sine"] == pytest.approx(np.sqrt(0.5))
    assert found.worst["discordant"] == 1 and not found.worst["same_weights"]
    assert found.worst["first_epoch"] == 2
    assert "avx2-1" in found.worst["pair"]
    assert found.series["cases"] == 4
    assert (found.series["reported"], found.series["discordant"]) == (2, 1)


def test_without_a_build_the_first_profile_is_the_reference(three: list[Outcome]) -> None:
    found = compare(None, three, CUT, 0.05)
    assert found.against["native-1"]["pair"] == ["native-1", "native-1"]
    assert found.against["avx2-1"]["pair"] == ["native-1", "avx2-1"]
    assert set(found.against) == {"native-1", "sse-1", "avx2-1"}


def test_one_profile_alone_has_no_pair(three: list[Outcome]) -> None:
    found = compare(None, three[:1], CUT, 0.05)
    assert found.worst is None and found.series == {}
    assert set(found.against["native-1"]) == set(PairFigures.model_fields)


def test_a_difference_that_heals_is_still_seen_at_its_epoch(tmp_path: Path) -> None:
    one = _outcome(tmp_path, "one", [0.9, 0.9], 0.0, "ay")
    two = _outcome(tmp_path, "two", [0.9, 0.9], 0.0, "by")
    assert two.folder is not None
    flipped = np.stack([1.0 - two.frozen.scores, two.frozen.scores])
    np.save(two.folder / FROZEN_EPOCHS, flipped)
    against = compare(None, [one, two], CUT, 0.05).against["two"]
    assert (against["discordant"], against["any_tau"], against["any_epoch"]) == (0, 0, 2)
    assert against["first_epoch"] == 1


def test_first_unlike() -> None:
    assert first_unlike("abc", "abc") is None
    assert first_unlike("abc", "abd") == 3
    assert first_unlike((), "abc") is None


# ---- what can be asked for


def test_mode_and_slices() -> None:
    own = Recipe(lr=0.01, l2=0.0, epochs=2, numerics=Numerics("native", "float32", 1))
    assert numerics_asked(own, Asked()) == own.numerics
    exact = numerics_asked(own, Asked(mode="exact", slices=3))
    assert (exact.mode, exact.dtype, exact.slices) == ("exact", "float64", 3)
    sliced = Recipe(lr=0.01, l2=0.0, epochs=2, numerics=Numerics("exact", slices=2))
    assert numerics_asked(sliced, Asked(mode="deterministic")).slices == 1
    assert numerics_asked(sliced, Asked(mode="exact")) == sliced.numerics


@pytest.mark.parametrize(
    ("init", "asked", "said"),
    [("uniform", Asked(slices=2), "--slices belongs"), ("torch", Asked(mode="exact"), "init")],
)
def test_what_does_not_fit(init: Any, asked: Asked, said: str) -> None:
    own = Recipe(lr=0.01, l2=0.0, epochs=2, init=init, numerics=Numerics("native"))
    with pytest.raises(UsageError, match=said):
        numerics_asked(own, asked)


def test_a_recipe_survives_the_way_to_the_child() -> None:
    from dataclasses import asdict

    for numerics in (Numerics("exact", slices=2, threads=2), Numerics("native", "float32")):
        recipe = Recipe(lr=0.1, l2=1e-300, epochs=3, minibatch=8, stop="fixed", numerics=numerics)
        assert recipe_of(json.loads(json.dumps(asdict(recipe)))) == recipe


# ---- the table


def _result(three: list[Outcome], evidence: bool) -> dict[str, Any]:
    found = compare(None, three, CUT, 0.05)
    profiles = [
        {"name": one.name, "seen": one.seen, "weights": one.weights, "trace": one.name,
         "scores": {"frozen": one.frozen.digest()}, "against": found.against[one.name]}
        for one in three
    ]  # fmt: skip
    return {
        "build": "b1", "mode": "exact", "machine": {"cpu": "Example"}, "profiles": profiles,
        "series": found.series, "worst": found.worst, "note": "stand in", "evidence": evidence,
        "failed": {"avx512-1": "ended by SIGILL"}, "left_out": {"cuda": "no GPU"},
        "bound": {"weights": three[0].weights["sha256"]},
    }  # fmt: skip


def test_the_table_names_what_differs_and_what_failed(three: list[Outcome]) -> None:
    text = show_rehearsal("c", _result(three, True), False)
    (other,) = [line for line in text.splitlines() if line.lstrip().startswith("avx2-1")]
    assert "DIFFERS" in other and three[2].weights["sha256"][:12] in other
    assert "1 of 2" in other and "avx2, Zen" in other
    assert "2 of 3 profiles agree with b1" in text
    assert "not carried out: avx512-1: ended by SIGILL" in text
    assert "left out: cuda: no GPU" in text
    assert "2 distinct weights" in text and "first epoch that differs is 2" in text
    assert text.endswith("stand in")


def test_a_look_agrees_with_no_build(three: list[Outcome]) -> None:
    text = show_rehearsal("c", _result(three, False), False)
    assert "A look, no evidence" in text and "agrees" not in text and "DIFFERS" not in text
    assert json.loads(show_rehearsal("c", _result(three, False), True))["evidence"] is False
