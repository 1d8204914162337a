"""When a build is one and the same function as an earlier one, and when its bits accuse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lifecycle.domain.digests import sha256
from lifecycle.dossier.builds import Build
from lifecycle.dossier.traces import TRACE, WIDTH, Trace, to_bytes
from lifecycle.gate.rules import NOW, RULES, Rules
from lifecycle.release.derived import arithmetic_fault, identical

CONTENT: dict[str, Any] = {
    "terms": {"model": {"kind": "mlp"}, "tau": {"positive": "a"}, "classes": ["a", "b"]},
    "environment": {"machine": {"cpu": "one"}},
    "framework": {"arithmetic": "lifecycle/arithmetic/1"},
    "inputs": {"features": "f", "parts": "p"},
    "recipe": {"numerics": {"mode": "exact", "slices": 1}, "epochs": 3},
    "weights": {"md5": "m", "sha256": "s", "file": "x"},
    "predictions": {"frozen": "q", "holdout": "h"},
}


def _build(number: int, change: Callable[[dict[str, Any]], object] = lambda c: None) -> Build:
    content = copy.deepcopy(CONTENT)
    change(content)
    return Build(number, content, {}, str(number), Path())


def _fault(build: Build, others: tuple[Build, ...], rules: Rules = RULES[NOW]) -> bool:
    return arithmetic_fault(build, others, rules)


def _elsewhere(content: dict[str, Any]) -> None:
    content["environment"]["machine"]["cpu"] = "two"
    content["weights"]["file"] = "y"


def test_equal_weights_on_another_machine_are_the_same_function() -> None:
    assert identical(_build(2, _elsewhere), (_build(1),))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["weights"].update(sha256="t"),
        lambda c: c["weights"].update(md5="t"),
        lambda c: c["inputs"].update(features="g"),
        lambda c: c["terms"]["tau"].update(positive="b"),
        lambda c: c["framework"].update(arithmetic="lifecycle/arithmetic/2"),
        lambda c: c["recipe"]["numerics"].update(slices=2),
        lambda c: c["recipe"]["numerics"].update(mode="deterministic"),
        lambda c: c["predictions"].update(frozen="r"),
    ],
)
def test_whatever_could_change_a_score_is_no_identity(
    change: Callable[[dict[str, Any]], object],
) -> None:
    assert not identical(_build(2, change), (_build(1),))
    assert not identical(_build(2), (_build(1, change),))


def test_identity_is_with_every_build_that_is_faced() -> None:
    other = _build(2, lambda c: c["weights"].update(sha256="t"))
    assert identical(_build(3), (_build(1),))
    assert not identical(_build(3), (_build(1), other))
    assert not identical(_build(3), ())
    inexact = _build(1, lambda c: c["recipe"]["numerics"].update(mode="deterministic"))
    twin = _build(2, lambda c: c["recipe"]["numerics"].update(mode="deterministic"))
    assert not identical(twin, (inexact,))


def test_other_weights_accuse_the_machine_only_where_they_were_promised() -> None:
    def other(content: dict[str, Any]) -> None:
        _elsewhere(content)
        content["weights"]["sha256"] = "t"

    assert _fault(_build(2, other), (_build(1),))
    assert not _fault(_build(2, _elsewhere), (_build(1),))
    for key, value in (("inputs", {"features": "g"}), ("recipe", {"numerics": {"mode": "exact"}})):
        changed = _build(1, lambda c, key=key, value=value: c.update({key: value}))
        assert not _fault(_build(2, other), (changed,))

    def newer(content: dict[str, Any]) -> None:
        content["framework"]["arithmetic"] = "lifecycle/arithmetic/2"

    assert not _fault(_build(2, other), (_build(1, newer),))

    def native(content: dict[str, Any]) -> None:
        content["recipe"]["numerics"]["mode"] = "deterministic"

    def native_elsewhere(content: dict[str, Any]) -> None:
        native(content)
        other(content)

    assert not _fault(_build(2, native_elsewhere), (_build(1, native),))


def test_another_frozen_set_hides_no_fault_of_arithmetic() -> None:
    """No network is trained on the frozen set; `gate/1` took its pin for an input all the same."""

    def other(content: dict[str, Any]) -> None:
        content["weights"]["sha256"] = "t"
        content["inputs"]["pin"] = {"number": 2, "total": "q"}

    assert _fault(_build(2, other), (_build(1),))
    assert not _fault(_build(2, other), (_build(1),), RULES["gate/1"])


@pytest.mark.parametrize(("learnt", "fault"), [("a" * 64, True), ("b" * 64, False)])
def test_nor_does_an_amended_one_whose_cases_are_among_the_inputs(
    tmp_path: Path, learnt: str, fault: bool
) -> None:
    """Digests of sources, cohort and split take in the frozen cases; the trace does not."""

    def amended(content: dict[str, Any]) -> None:
        content["weights"]["sha256"] = "t"
        content["inputs"] |= {"cohort": "another", "sources": "others", "parts": "others"}

    one = _traced(_build(1), tmp_path / "b1", "a" * 64)
    two = _traced(_build(2, amended), tmp_path / "b2", learnt)
    assert _fault(two, (one,)) == fault
    assert not _fault(two, (one,), RULES["gate/1"])


def _traced(build: Build, folder: Path, learnt: str) -> Build:
    """The same build with a trace of one step, of an input."""
    folder.mkdir()
    data = to_bytes(Trace(learnt, 1, ("c" * 64, "d" * 64), bytes(WIDTH)))
    (folder / TRACE).write_bytes(data)
    return replace(build, files={TRACE: sha256(data)}, folder=folder)
