"""`lifecycle doctor` as a user runs it, and exact builds on a machine that computes wrongly."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support import SMALL, new_project, run_in

from lifecycle.numerics.exact.checks import checks

# What a faulty machine does, put into every Python process that starts in this environment.
FAULT = """\
import importlib.abc, importlib.util, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != {module!r}:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        spec.loader = Loader(spec.loader)
        return spec

class Loader(importlib.abc.Loader):
    def __init__(self, right):
        self.right = right
    def create_module(self, spec):
        return self.right.create_module(spec)
    def exec_module(self, module):
        self.right.exec_module(module)
        spoil(module)

def flip(values):
    import torch
    values.view(torch.uint8 if not values.dim() else torch.int64).view(-1)[-1:].bitwise_xor_(1)
    return values

def spoil(module):
{spoil}

sys.meta_path.insert(0, Finder())
"""
GELU = """\
    right = module.gelu
    module.gelu = lambda x: flip(right(x).contiguous().clone())
"""
LAYER_NORM = """\
    right = module.LayerNorm.forward
    module.LayerNorm.forward = staticmethod(lambda *a: flip(right(*a).contiguous()))
"""
LINEAR_BACKWARD = """\
    right = module.Linear.backward
    def backward(ctx, gradient):
        dx, dw, *rest = right(ctx, gradient)
        return (dx, flip(dw.contiguous()), *rest)
    module.Linear.backward = staticmethod(backward)
"""
ROOM = "lifecycle.numerics.exact"
FAULTS = {
    "gelu": (f"{ROOM}.elementary", GELU),
    "layer_norm": (f"{ROOM}.layers", LAYER_NORM),
    "linear": (f"{ROOM}.layers", LINEAR_BACKWARD),
}


def spoilt(folder: Path, operation: str) -> dict[str, str]:
    """Variables under which one bit of an operation's result is wrong."""
    module, spoil = FAULTS[operation]
    place = folder / "spoilt"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(FAULT.format(module=module, spoil=spoil))
    return {"PYTHONPATH": os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])}


def test_a_healthy_machine(tmp_path: Path) -> None:
    done = run_in(tmp_path, "lifecycle", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("processor", "torch kernels", "numpy products", "compiled kernels", "GPU"):
        assert words in done.stdout
    assert f"lifecycle/arithmetic/1: {len(checks())} checks in" in done.stdout
    assert "every bit is right" in done.stdout
    assert "danger" not in done.stdout
    assert list(tmp_path.iterdir()) == []  # no project is needed, and nothing is left behind


def test_as_json_with_and_without_compiled_kernels(tmp_path: Path) -> None:
    found = []
    for switch in ("1", "0"):
        done = run_in(tmp_path, "lifecycle", "doctor", "--json", LIFECYCLE_COMPILED=switch)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    compiled, plain = (one["self_test"] for one in found)
    assert compiled["digest"] == plain["digest"]
    assert compiled["checks"] == plain["checks"] == len(checks())
    assert compiled["ways"] > plain["ways"]
    assert compiled["wrong"] == plain["wrong"] == []
    assert max(compiled["seconds"], plain["seconds"]) < 60
    assert found[1]["machine"]["variables"]["LIFECYCLE_COMPILED"] == "0"
    assert found[0]["dangers"] == []


def test_a_dangerous_environment_is_named(tmp_path: Path) -> None:
    done = run_in(tmp_path, "lifecycle", "doctor", MKL_VML_MODE="VML_EP", LIFECYCLE_COMPILED="0")
    assert done.returncode == 0, done.stderr
    assert "danger: MKL_VML_MODE=VML_EP: a library may compute with fewer bits" in done.stdout


@pytest.mark.parametrize(
    "operation",
    [
        "linear",
        # also shown as JSON and by a build that stops, below
        *(pytest.param(name, marks=pytest.mark.slow) for name in FAULTS if name != "linear"),
    ],
)
def test_one_wrong_bit_is_named_and_ends_in_12(tmp_path: Path, operation: str) -> None:
    """In plain tensor operations, which are the definition."""
    faulty = {**spoilt(tmp_path, operation), "LIFECYCLE_COMPILED": "0"}
    done = run_in(tmp_path, "lifecycle", "doctor", **faulty)
    assert done.returncode == 12, done.stdout + done.stderr
    assert f"exact arithmetic is wrong on this machine: {operation}" in done.stderr
    assert "plain tensor operations" in done.stderr
    assert "run a memory test" in done.stderr
    assert "WRONG" in done.stdout
    assert f"✖ {operation}" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_wrong_bit_as_json(tmp_path: Path) -> None:
    faulty = {**spoilt(tmp_path, "gelu"), "LIFECYCLE_COMPILED": "0"}
    done = run_in(tmp_path, "lifecycle", "doctor", "--json", **faulty)
    assert done.returncode == 12
    wrong = json.loads(done.stdout)["self_test"]["wrong"]
    assert wrong[0]["check"] == "gelu"
    assert "memory test" in wrong[0]["cure"]
    assert wrong[0]["found"] != wrong[0]["known"]


def test_an_exact_build_is_tested_first_and_keeps_the_result(built: Path) -> None:
    records = sorted(built.glob("dossier/*/builds/b1/record.json"))
    assert records
    for record in records:
        content = json.loads(record.read_text(encoding="utf-8"))["content"]
        kept = content["framework"].get("self_test", "")
        exact = content["recipe"]["numerics"]["mode"] == "exact"
        assert kept.startswith(f"{len(checks())} checks, sha256 ") is exact


EXACT = (
    SMALL.partition("  tiny-beta:")[0]
    .replace("search: {run: true, points: 2, epochs: 2}", "search: {}")
    .replace("minibatch: 8,", "minibatch: 8, numerics: {mode: exact},")
)


@pytest.mark.slow
def test_an_exact_build_stops_where_a_bit_is_wrong(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project", EXACT)
    faulty = {**spoilt(tmp_path, "layer_norm"), "LIFECYCLE_COMPILED": "0"}
    done = run_in(project, "lifecycle", "build", "wine", **faulty)
    assert done.returncode == 12, done.stdout + done.stderr
    assert "exact arithmetic is wrong on this machine: layer_norm" in done.stdout + done.stderr
    assert not (project / "dossier" / "wine" / "builds").exists()
