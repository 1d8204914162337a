"""`lifecycle divergence`: a planted fault and other kernels are found by operation, layer, step.

The fault is a bit flipped in one operation's result by a `sitecustomize.py` on PYTHONPATH: only
where OMP_NUM_THREADS is 3, which the fingerprint records, so the replay of that build has it too.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from support import environment, new_project, run_in

from lifecycle.cli.main import main
from lifecycle.domain.digests import canonical_json, digest_of
from lifecycle.numerics.fingerprint import fingerprint

SECTION = """\
  {name}:
    version: "1"
    title: Italian wines by cultivar
    task: single
    classes: [class_0, class_1, class_2]
    cohort: {{source: bundled, path: requirements.lock, dataset: wine, measures: table}}
    frozen: {{fraction: 0.4}}
    split: {{holdout: 0.3, seed: 0}}
    preprocess: {{convention: standardised}}
    model: {{hidden: [80, 4], softshrink: 0.1}}
    recipe: {{lr: 0.02, l2: 0.001, epochs: {epochs}, minibatch: 8, numerics: {{mode: {mode}}}}}
    search: {{}}
    tau: {{positive: class_1, refuse_below: 0.6}}
    policy: {{p: 0.9, holdout_recall: 0.2}}
"""
PARAMS = (
    "classifiers:\n"
    + SECTION.format(name="exact", epochs=2, mode="exact")
    + SECTION.format(name="native", epochs=2, mode="native")
)
STEPS = 10  # of an epoch
FAULT_AT = 15
FAULT = """\
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.util import find_spec

MODULE = "lifecycle.numerics.exact.layers"


def damage(layers):
    import torch

    whole, calls = layers.Linear.backward, []

    def backward(ctx, gradient):
        dx, dw, *others = whole(ctx, gradient)
        if ctx.place == "linear linears.0":
            calls.append(None)
            if len(calls) >= {at}:
                dw.view(torch.int64)[3, 5] ^= 1 << 30
        return (dx, dw, *others)

    layers.Linear.backward = staticmethod(backward)


class Finder(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        run = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (run(module), damage(module))
        return spec


if os.environ.get("OMP_NUM_THREADS") == "3":
    sys.meta_path.insert(0, Finder())
"""
# The stages up to `enrol` in one process, without MLflow and DVC.
BUILD = """\
import contextlib, os, sys, types
import lifecycle.tracking.runs as runs
from lifecycle.workflows import building, data, enrolling, surroundings
from lifecycle.workflows.project import open_project

nothing = lambda *a, **k: False
runs.build_run = lambda *a: contextlib.nullcontext(
    types.SimpleNamespace(run_id="r", epoch=nothing, model=nothing, dataset=nothing)
)
runs.add_to_run = enrolling.keep_weights = nothing
building._self_test = lambda recipe: {}  # it would stop the faulty build, which is another test
surroundings.look_around()
for name in sys.argv[1:]:
    if name == "fault":  # as in a process of its own, without the time that one takes to start
        import sitecustomize
        from lifecycle.numerics.exact import layers

        os.environ["OMP_NUM_THREADS"] = "3"
        surroundings.look_around()
        sitecustomize.damage(layers)
        continue
    project = open_project(name)
    if not project.prepared.exists():
        for step in (data.import_data, data.split_data, data.prepare_data):
            step(project)
    for step in (building.find_rates, building.train_build, enrolling.predict_frozen,
                 enrolling.enrol_build):
        step(project)
"""


def _build(folder: Path, *names: str, **changes: str) -> None:
    done = run_in(folder, sys.executable, "-c", BUILD, *names, **_with_fault(folder, **changes))
    assert done.returncode == 0, done.stderr


def _with_fault(folder: Path, **changes: str) -> dict[str, str]:
    # plain operations: compiling the kernels in every process would take most of the time
    ours = {"OMP_NUM_THREADS": "1", "LIFECYCLE_COMPILED": "0"}
    return {"PYTHONPATH": str(folder / "fault"), **ours, **changes}


def _divergence(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return run_in(folder, "lifecycle", "divergence", *arguments, **_with_fault(folder, **changes))


@pytest.fixture(scope="session")
def _pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """exact b1, b2 (one bit flipped) and b3 (other kernels); native b1 and b2 (other kernels)."""
    base = tmp_path_factory.getbasetemp()
    place = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = place / "diverging" / "project", place / "diverging" / "done"
    with FileLock(place / "diverging.lock"):
        if not done.exists():
            new_project(folder, PARAMS)
            (folder / "fault").mkdir()
            (folder / "fault" / "sitecustomize.py").write_text(FAULT.format(at=FAULT_AT))
            _build(folder, "exact", "native", "fault", "exact")
            _build(folder, "exact", "native", ATEN_CPU_CAPABILITY="default")
            done.touch()
    return folder


@pytest.fixture
def pairs(_pairs: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "project"
    shutil.copytree(_pairs, folder, symlinks=True)
    return folder


def test_a_flipped_bit_is_found_by_operation_layer_and_step(pairs: Path) -> None:
    done = _divergence(pairs, "exact", "b1", "b2", "--json", "--plot", "growth.svg")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    first = report["first"]
    assert (first["step"], first["epoch"], first["in_epoch"]) == (FAULT_AT, 2, 5)
    assert first["operation"] == "linear linears.0, backward"
    assert first["tensor"] == "gradient of weight"
    assert (first["differing"], first["at"], first["shape"]) == (1, [3, 5], [80, 13])
    one, two = first["there"]
    assert first["largest"] == abs(one - two) > 0
    # the weights are too many for a step's digest, so their difference is seen later than it came
    assert report["trace"]["step"] > FAULT_AT
    assert report["environment"] == ["variables.OMP_NUM_THREADS: 1 -> 3"]
    assert all(replay["strayed"] is None for replay in report["replays"])
    before = [p["sine"] for p in report["growth"] if p["step"] < FAULT_AT]
    after = [p["sine"] for p in report["growth"] if p["step"] >= FAULT_AT]
    assert set(before) == {0.0} and min(after) > 0
    assert report["growth"][-1]["step"] == 2 * STEPS
    ends = [p["step"] for p in report["growth"] if p["changed"] is not None]
    assert ends == [STEPS, 2 * STEPS]
    figure = (pairs / "growth.svg").read_text(encoding="utf-8")
    assert f"the first differing step, step {FAULT_AT}, is marked" in figure
    assert not list((pairs / "work" / "exact").glob(".divergence*"))


def test_exact_builds_under_other_kernels_do_not_differ(pairs: Path) -> None:
    builds = pairs / "dossier" / "exact" / "builds"
    done = _divergence(pairs, "exact", "b1", "b3")
    assert done.returncode == 0, done.stderr
    assert "no step differs" in done.stdout
    traces = [(builds / name / "trace.bin").read_bytes() for name in ("b1", "b2", "b3")]
    assert traces[0] == traces[2] != traces[1]


def test_native_builds_under_other_kernels_part_in_a_named_operation(pairs: Path) -> None:
    capability = json.loads((pairs / "dossier/native/builds/b1/record.json").read_bytes())
    if capability["content"]["framework"]["cpu_capability"] == "DEFAULT":
        pytest.skip("this processor has only the default kernels")
    done = _divergence(pairs, "native", "b1", "b2", "--json", "--plot", "growth.png")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    first = report["first"]
    assert first["operation"].split()[0] in ("linear", "layer_norm", "cross_entropy", "adamax")
    assert first["differing"] > 0
    assert first["step"] <= report["trace"]["step"]
    assert report["growth"][-1]["sine"] > 0
    assert (pairs / "growth.png").read_bytes().startswith(b"\x89PNG")


def _take_trace(folder: Path) -> None:
    """As if the build had been enrolled before traces were kept."""
    (folder / "trace.bin").unlink()
    record = json.loads((folder / "record.json").read_bytes())
    del record["files"]["trace.bin"], record["digest"]
    record["digest"] = digest_of(record)
    (folder / "record.json").write_bytes(canonical_json(record))


def test_a_fault_that_does_not_come_again_is_told(pairs: Path) -> None:
    _take_trace(pairs / "dossier/exact/builds/b1")
    # without PYTHONPATH the replay of b2 computes rightly: what its trace has cannot be repeated
    done = _divergence(pairs, "exact", "b1", "b2", PYTHONPATH="")
    assert done.returncode == 12, done.stdout + done.stderr
    assert "b1 was enrolled before traces were kept: it is trained again" in done.stderr
    assert "b2 cannot be repeated here: its replay leaves its trace" in done.stdout
    assert "the same of itself as the record" in done.stdout
    assert "first differing operation" not in done.stdout
    same = _divergence(pairs, "exact", "b1", "b3")
    assert same.returncode == 0 and "b1 has no trace" in same.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("exact", "b1", "b9"), 10, "no build b9"),
        (("exact", "b2", "b2"), 2, "two different builds"),
        (("exact", "b1", "2"), 2, "no build's name"),
        (("nobody", "b1", "b2"), 2, "nobody"),
        (("exact", "b1", "b2", "--plot", "growth.pdf"), 2, ".svg or .png"),
        (("exact", "b1", "b2", "--plot", "no/growth.svg"), 10, "there is no folder"),
    ],
)
def test_a_wrong_question_is_refused(
    _pairs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(_pairs)
    with pytest.raises(SystemExit) as ended:
        main(["divergence", *arguments])
    error = capsys.readouterr().err
    assert (ended.value.code, said in error) == (code, True), error
    assert "Traceback" not in error


def test_other_or_missing_prepared_data_are_named(pairs: Path) -> None:
    import numpy as np

    path = pairs / "work/exact/prepared/training.npy"
    x = np.load(path)
    path.chmod(0o644)
    x[3, 2] = np.nextafter(x[3, 2], 9)
    np.save(path, x)
    done = _divergence(pairs, "exact", "b1", "b2")
    assert done.returncode == 10
    assert "not what b1 of version 1 was trained on" in done.stderr
    path.unlink()
    done = _divergence(pairs, "exact", "b1", "b2")
    assert done.returncode == 10
    assert "training.npy" in done.stderr and "dvc repro" in done.stderr


def test_a_changed_trace_is_no_evidence(pairs: Path) -> None:
    path = pairs / "dossier/exact/builds/b2/trace.bin"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    done = _divergence(pairs, "exact", "b1", "b2")
    assert done.returncode == 12 and "trace.bin was changed" in done.stderr


def test_a_killed_command_leaves_nothing(pairs: Path) -> None:
    work = pairs / "work" / "exact"
    env = environment(**_with_fault(pairs))
    command = ["lifecycle", "divergence", "exact", "b1", "b2"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=pairs, env=env, **quiet) as running:
        deadline = time.monotonic() + 120
        # b2's words: its child is about to start, and b1's, which tidies up too, has
        while not list(work.glob(".divergence.*/*/b2.txt")) and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 120
    while list(work.glob(".divergence.*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not list(work.glob(".divergence.*"))


def test_the_fingerprint_has_the_variable_of_the_fault() -> None:
    assert "OMP_NUM_THREADS" in fingerprint({})["variables"]
