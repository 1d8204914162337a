"""Every benchmark runs: at its smallest size to the end, and no option crashes it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
from support import ROOT, run_in

BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))
FIGURE = re.compile(r"\d\.\d|\d%|\d+ s\b")


def _id(path: Path) -> str:
    return path.stem


def test_they_are_found() -> None:
    assert len(BENCHMARKS) >= 10


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", BENCHMARKS, ids=_id)
def test_the_smallest_size_runs_and_prints_figures(path: Path, tmp_path: Path) -> None:
    done = run_in(tmp_path, sys.executable, str(path), "--smallest", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert FIGURE.search(done.stdout), done.stdout
    assert not list(tmp_path.iterdir()), "it left something behind"


@pytest.mark.parametrize("path", BENCHMARKS, ids=_id)
def test_numbers_that_make_no_sense_are_refused_by_the_options(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [ast.unparse(call.func) for call in calls]
    assert "parsed" in names, "`parsed` of benchmarks/benching gives it --smallest"
    assert "leave_with" in names, "`leave_with` of benchmarks/benching ends it without a traceback"
    for call in (one for one in calls if ast.unparse(one.func).endswith("add_argument")):
        given = {word.arg: ast.unparse(word.value) for word in call.keywords}
        bounded = given.get("type") not in ("int", "float") or "choices" in given
        assert bounded, f"{ast.unparse(call)}: take `count` or `at_least` of benchmarks/benching"


@pytest.mark.parametrize("option", ["--threads=0", "--pairs=0", "--pairs=x", "--name=none"])
def test_a_refused_option_is_said_in_a_line(option: str, tmp_path: Path) -> None:
    done = run_in(tmp_path, sys.executable, str(ROOT / "benchmarks/ecg_step.py"), option)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and option.partition("=")[0] in done.stderr
