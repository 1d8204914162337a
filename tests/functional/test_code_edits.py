"""An edit of the code: `dvc repro` runs the stages that it can change, and no other."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML
from support import ROOT, run_in

from lifecycle.workflows.code_digests import FOLDER, stage_codes, write_codes
from lifecycle.workflows.readiness import STAGES

PROGRAMS = {"import": "import_data"}  # stages that are not called as their program
NAMES = ("wine", "tiny-beta")


class Edit(NamedTuple):
    """One place of the code, and the stages whose results it can change (found by hand)."""

    file: str
    old: str
    new: str
    stages: str


EDITS = {
    "the AUC, quartered": Edit(
        "stats/auc.py", "/ (n_pos * n_neg)\n", "/ (n_pos * n_neg) / 4\n", "search build gate report"
    ),
    "stats": Edit("stats/auc.py", "_CELLS = 1 << 21", "_CELLS = 1 << 20", "gate report"),
    "gate": Edit("gate/judge.py", "_LATER = {", "_LATER = {} and {", "build predict gate report"),
    "report": Edit("report/calibration.py", "BINS = 10", "BINS = 11", "report"),
    "cohorts": Edit("cohorts/split.py", "ATTEMPTS = 32", "ATTEMPTS = 33", "split"),
    "cohorts.ecg": Edit("cohorts/ecg/resample.py", "_BETA = 5.0", "_BETA = 6.0", "import"),
    "training": Edit("training/search.py", "LOW, HIGH = -6", "LOW, HIGH = -7", "search"),
    "tracking": Edit("tracking/system.py", "_PRIMED = 0.1", "_PRIMED = 0.2", "build"),
    "consistency": Edit(
        "consistency/agree.py", 'NO_ACTION = "(', 'NO_ACTION = "((', "compare gate report"
    ),
    "what the report reads of consistency": Edit(
        "consistency/agree.py", 'explain(error, "agreement")',
        'explain(error, "an agreement")', "compare report",
    ),
    "dossier": Edit(
        "dossier/weights.py", "return dict(load(data))", "return load(data)", "predict"
    ),
    "models": Edit(
        "models/mlp.py", "self.lambd = plan.softshrink", "self.lambd = 2 * plan.softshrink",
        "search build predict",
    ),
    "numerics, which split uses too": Edit(
        "numerics/streams.py", "SeedSequence([seed, tag,", "SeedSequence([tag, seed,",
        "import split search build predict",
    ),
    "release": Edit(
        "release/case.py",
        "return judge(case.policy, evidence_of(layout, case), case.rules, case.criteria)",
        "return judge(case.policy, evidence_of(layout, case), case.rules)", "gate report",
    ),
    "domain": Edit(
        "domain/digests.py", "for name in sorted(tensors):", "for name in tensors:", "build predict"
    ),
    "params": Edit("params/reader.py", 'PARAMS = "params', 'PARAMS = "./params', " ".join(STAGES)),
    "workflows, of enrol alone": Edit(
        "workflows/enrolling.py", 'weights {build.weights[:12]}"', 'with {build.weights[:12]}"',
        "enrol",
    ),
    "settings of a simulated cohort": Edit(
        "cohorts/simulate_settings.py", "unknown key; remove it", "an unknown key", "import"
    ),
    "data: the rhythms' table": Edit("cohorts/ecg/labels.csv", "\n", "\n\n", "import validate"),
    "data: a template": Edit("report/templates/_table.html", "<table", "<table ", "report"),
    "data: known digests": Edit(
        "numerics/exact/known_digests.json", "{", "{ ", "search build predict"
    ),
    "commands, which no stage uses": Edit("cli/gate.py", "as_json: bool", "as_json: int", ""),
    "exporting, which no stage uses": Edit(
        "workflows/exporting.py", "import", "import os\nimport", ""
    ),
}  # fmt: skip


def _apply(project: Path, edit: Edit) -> None:
    path = project / "lifecycle" / edit.file
    text = path.read_text(encoding="utf-8")
    assert edit.old in text, edit
    path.write_text(text.replace(edit.old, edit.new, 1), encoding="utf-8")


def _programs(stages: str) -> set[str]:
    return {PROGRAMS.get(stage, stage) for stage in stages.split()}


def _noted(root: Path) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in (root / FOLDER).iterdir()}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped code, and what was noted of it."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("lifecycle", "pipelines"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    write_codes(folder)
    return folder


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_changes_the_stages_that_it_can_reach(sources: Path, edit: Edit) -> None:
    path = sources / "lifecycle" / edit.file
    text = path.read_text(encoding="utf-8")
    before = _noted(sources)
    _apply(sources, edit)
    write_codes(sources)
    after = _noted(sources)
    path.write_text(text, encoding="utf-8")
    write_codes(sources)
    assert {stage for stage in after if after[stage] != before[stage]} == _programs(edit.stages)
    assert _noted(sources) == before


def _with_a_remark(path: Path) -> None:
    """A comment, a docstring and an empty line more at the top of a file and in its functions."""
    text = path.read_text(encoding="utf-8")
    text = text.replace('"""\n\nfrom __future__', ' And more."""\n\n# why\nfrom __future__', 1)
    text = re.sub(r'^(    """)(\S)', r"\1So: \2", text, flags=re.MULTILINE)
    path.write_text(f"{text}\n# the end\n", encoding="utf-8")


def test_a_remark_in_every_file_is_nothing(sources: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(sources, folder)
    for path in folder.rglob("*.py"):
        _with_a_remark(path)
    assert stage_codes(folder) == stage_codes(sources)


# ---- through DVC


def _stages(output: str) -> set[str]:
    return {s for s in re.findall(r"Running stage '([^']+)'", output) if "surroundings" not in s}


def test_remarks_and_a_moved_file_run_nothing(project: Path) -> None:
    for path in (project / "lifecycle").rglob("*.py"):
        _with_a_remark(path)
    moved = project / "lifecycle" / "cohorts" / "simulate_tables.py"
    (project / "lifecycle" / "workflows" / "exporting.py").rename(moved)
    done = run_in(project, "dvc", "repro")
    assert done.returncode == 0, done.stderr
    assert _stages(done.stdout) == set()


def test_a_moved_file_that_is_used_stops_nothing(project: Path) -> None:
    """A list of files made DVC end with `No such file or directory`."""
    old, new = "lifecycle.report.calibration", "lifecycle.report.calibrated"
    for path in (project / "lifecycle").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if old in text:
            path.write_text(text.replace(old, new), encoding="utf-8")
    stem = project / "lifecycle" / "report"
    (stem / "calibration.py").rename(stem / "calibrated.py")
    done = run_in(project, "dvc", "repro")
    assert done.returncode == 0, done.stderr
    assert _stages(done.stdout) == {f"report@{name}" for name in NAMES}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_dvc_sees_each_edit_and_no_other(project: Path) -> None:
    """What DVC says after `surroundings`, which it runs first: stages whose code changed."""
    for name, edit in EDITS.items():
        kept = (project / "lifecycle" / edit.file).read_text(encoding="utf-8")
        _apply(project, edit)
        assert run_in(project, "python", "-m", "pipelines.surroundings").returncode == 0
        said = run_in(project, "dvc", "status", "--json", "dvc.yaml")
        found = {re.sub(r"^dvc\.yaml:", "", stage) for stage in json.loads(said.stdout)}
        wanted = {f"{stage}@{one}" for stage in edit.stages.split() for one in NAMES}
        assert found == wanted, name
        (project / "lifecycle" / edit.file).write_text(kept, encoding="utf-8")


@pytest.mark.slow
def test_a_quartered_auc_is_judged(project: Path) -> None:
    """DVC once said of this edit that the gate did not change, and skipped it."""
    _apply(project, EDITS["the AUC, quartered"])
    said = run_in(project, "lifecycle", "rebuild", "wine")
    assert said.returncode == 0, said.stderr
    assert "code changed since the last run: build, gate, report, search" in said.stderr
    assert "lifecycle.stats.auc: auc" in said.stderr
    ran = _stages(said.stdout)
    assert {f"{stage}@wine" for stage in ("search", "build", "gate", "report")} <= ran
    assert not ran & {f"{stage}@wine" for stage in ("import", "split", "validate", "prepare")}
    assert not any("tiny-beta" in stage for stage in ran)


# ---- the table of stages


def test_every_stage_depends_on_the_code_that_it_runs() -> None:
    """dvc.yaml names no source file, and for each stage the note on its own program's code."""
    stages = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
    programs = {}
    for name, stage in stages.items():
        body = stage.get("do", stage)
        found = re.fullmatch(r"exec python -m pipelines\.(\w+) \$\{\S+\}", body["cmd"])
        assert found is not None, name
        programs[name] = found[1]
        code = [dep for dep in body["deps"] if not dep.startswith(("work/$", "dossier/", "${"))]
        inputs = ("work/sources/", "work/rehearsals/", "work/released/", "work/exposed/")
        assert [dep for dep in code if not dep.startswith(inputs)] == [f"{FOLDER}/{found[1]}.json"]
    assert tuple(stages) == STAGES
    assert set(programs.values()) == set(stage_codes(ROOT))
    files = {path.stem for path in (ROOT / "pipelines").glob("[a-z]*.py")}
    assert files == {*programs.values(), "surroundings"}
