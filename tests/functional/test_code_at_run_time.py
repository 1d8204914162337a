"""An independent proof: whatever a stage really runs was found by reading the source."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import environment, new_project, run_in

from lifecycle.workflows.code_digests import read_code

WATCH = Path(__file__).parent / "code_watch"
STAGES = (
    *("import_data", "split", "validate", "prepare", "search", "build", "predict", "enrol"),
    *("threshold", "compare", "gate", "report"),
)
Name = tuple[str, str]


def _run(project: Path, stage: str, classifier: str, notes: Path, **changes: str) -> None:
    notes.mkdir(parents=True, exist_ok=True)
    watched = {"PYTHONPATH": str(WATCH), "CODE_WATCH": str(notes), "CODE_WATCH_ROOT": str(project)}
    env = environment(**watched, **changes)
    done = subprocess.run(
        [sys.executable, "-m", f"pipelines.{stage}", classifier],
        cwd=project, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (stage, done.stdout, done.stderr)


class _Tops:
    """The top-level definitions of the project's files, by their lines and by their names."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self._known: dict[str, list[tuple[int, int, str]]] = {}

    def at(self, file: str, line: int) -> str:
        for first, last, name in self._of(file):
            if first <= line <= last:
                return name
        raise AssertionError(f"{file}:{line} is in no statement")

    def has(self, module: str, name: str) -> bool:
        stem = module.replace(".", "/")
        files = [
            one for one in (f"{stem}.py", f"{stem}/__init__.py") if (self._project / one).is_file()
        ]
        return any(name == found for file in files for _, _, found in self._of(file))

    def _of(self, file: str) -> list[tuple[int, int, str]]:
        if file not in self._known:
            tree = ast.parse((self._project / file).read_text(encoding="utf-8"))
            self._known[file] = [one for statement in tree.body for one in self._spans(statement)]
        return self._known[file]

    @staticmethod
    def _spans(statement: ast.stmt) -> Iterator[tuple[int, int, str]]:
        lines = [statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))]
        names = [getattr(statement, "name", "")]
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        names += [one.id for one in targets if isinstance(one, ast.Name)]
        for name in [one for one in names if one] or ["<module>"]:
            yield min(lines), statement.end_lineno or 0, name


def _module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _ran(tops: _Tops, notes: Path) -> set[Name]:
    """What ran, and the global names that it loaded, as top-level definitions."""
    found: set[Name] = set()
    for path in notes.glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            file, number, loaded = json.loads(line)
            if file.endswith(".py"):  # and no template, which is data
                found.add((_module(file), tops.at(file, number)))
            found |= {(module, name) for module, name in loaded if tops.has(module, name)}
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whatever_a_stage_runs_was_found_by_reading(tmp_path: Path) -> None:
    """Two classifiers built from nothing, and one of them again elsewhere, all functions noted."""
    project = new_project(tmp_path / "project")
    code, programs = read_code(project)
    assert set(programs) == {f"pipelines.{stage}" for stage in STAGES}
    assert run_in(project, "python", "-m", "pipelines.surroundings").returncode == 0
    notes = tmp_path / "notes"
    for stage in STAGES:
        for classifier in ("wine", "tiny-beta"):
            _run(project, stage, classifier, notes / stage)
    elsewhere = {"ATEN_CPU_CAPABILITY": "default"}
    done = run_in(project, "python", "-m", "pipelines.surroundings", **elsewhere)
    assert done.returncode == 0
    for stage in STAGES[STAGES.index("build") :]:
        _run(project, stage, "wine", notes / stage, **elsewhere)
    assert (project / "dossier/wine/verdicts/b2.json").is_file()
    tops, forgotten = _Tops(project), {}
    for stage in STAGES:
        ran = _ran(tops, notes / stage)
        reached = code.reached(f"pipelines.{stage}")
        assert len(ran) > 20, stage
        forgotten[stage] = ran - reached
    assert not any(forgotten.values()), forgotten
