"""A small project for tests, and commands run in it as a user would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SHIPPED = ("lifecycle", "pipelines", "dvc.yaml", ".dvcignore", ".gitignore", "requirements.lock")

SMALL = """\
classifiers:
  wine:
    version: "1"
    title: Italian wines by cultivar
    task: single
    classes: [class_0, class_1, class_2]
    cohort: {source: bundled, path: requirements.lock, dataset: wine, measures: table}
    frozen: {fraction: 0.4}
    split: {holdout: 0.3, seed: 0}
    preprocess: {convention: standardised}
    model: {hidden: [8, 4], softshrink: 0.1}
    recipe: {lr: 0.02, l2: 0.001, epochs: 12, minibatch: 8, stop: best-holdout}
    search: {run: true, points: 2, epochs: 2}
    tau: {positive: class_1, refuse_below: 0.6}
    policy: {p: 0.9, holdout_recall: 0.2}
  tiny-beta:
    version: "1"
    title: A simulated beta matrix read from a file
    task: single
    classes: ["GBM, RTK I", "GBM, RTK II", "GBM, MES"]
    cohort:
      source: beta_matrix
      path: data/beta.csv
      id: sample
      label: label
      patient: {column: patient}
      group: {column: slide}
      drop: [origin]
    frozen: {fraction: 0.3}
    split: {holdout: 0.3, seed: 0}
    preprocess: {convention: m-value, features: 100}
    model: {hidden: [8, 4], softshrink: 0.1}
    recipe: {lr: 0.01, l2: 0.001, epochs: 6, minibatch: 4, numerics: {mode: deterministic}}
    search: {}
    tau: {positive: "GBM, RTK II", refuse_below: 0.3}
    policy: {p: 0.8}
"""
SIMULATOR = """\
seed: 7
probes: 200
training: {"GBM, RTK I": 30, "GBM, RTK II": 40, "GBM, MES": 30}
frozen: {"GBM, RTK I": 5, "GBM, RTK II": 5, "GBM, MES": 5}
"""


def environment(**changes: str) -> dict[str, str]:
    """The environment of a user whose virtual environment is active."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PYTEST_", "GIT_"))}
    kept.setdefault("LIFECYCLE_BROWSER", "none")  # seconds for every build, for pages not looked at
    return {**kept, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **changes}


def run_in(folder: Path, *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would; its exit code is for the caller to look at."""
    return subprocess.run(
        command, cwd=folder, env=environment(**changes), capture_output=True, text=True, check=False
    )


def new_project(folder: Path, params: str = SMALL) -> Path:
    """A project with two small classifiers, in git, nothing built yet."""
    folder.mkdir(parents=True)
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / "pipelines" / "environment" / "dvc.lock").unlink(missing_ok=True)
    (folder / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, folder / ".dvc" / name)
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    (folder / "data").mkdir()
    (folder / "simulator.yaml").write_text(SIMULATOR, encoding="utf-8")
    done = run_in(folder, "lifecycle", "data", "simulate", "simulator.yaml", "data/beta.csv")
    assert done.returncode == 0, done.stderr
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *command], cwd=folder, check=True)
    return folder


def every_flip(data: bytes) -> Iterator[bytes]:
    """The data with each single bit flipped, one after the other."""
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << (bit % 8)
        yield bytes(flipped)
