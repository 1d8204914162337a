"""The build at the paper's size, whole: 51,000 probes, 260 training samples, 64 epochs, k = 2.

    python benchmarks/paper_size.py [--probes 51000] [--mode exact]

A SIMULATED cohort (no patient's data) in a temporary project; the pipeline runs up to the build
stage. Prints the wall time and the peak memory of the build stage, which trains, scores the holdout
every epoch, tracks in MLflow and keeps weights.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ("lifecycle", "pipelines", "dvc.yaml", "params.yaml", ".dvcignore", "requirements.lock")
NAME = "gbm-methylation"
CHANGES = (
    ("minibatch: 1", "minibatch: 2"),
    ("features: 5000", "features: {probes}"),
    ("mode: exact, slices: 1", "mode: {mode}"),
)


def project(folder: Path, probes: int, mode: str) -> None:
    """The shipped project with more probes and minibatches of two."""
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    settings = folder / "pipelines" / "cohorts" / f"{NAME}.yaml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("probes: 20000", f"probes: {probes}"), encoding="utf-8")
    params = (folder / "params.yaml").read_text(encoding="utf-8")
    for old, new in CHANGES:
        if old not in params:
            raise SystemExit(
                f"params.yaml has no {old!r} any more; change benchmarks/paper_size.py"
            )
        params = params.replace(old, new.format(probes=probes, mode=mode))
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["dvc", "init", "-q"], cwd=folder, check=True)


def main() -> None:
    """Run, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=51_000)
    parser.add_argument("--mode", choices=["exact", "deterministic", "native"], default="exact")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        project(folder, options.probes, options.mode)
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        before = ["dvc", "repro", "-q", f"search@{NAME}"]
        subprocess.run(before, cwd=folder, env=environment, check=True)
        earlier = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        start = time.perf_counter()
        stage = ["python", "-m", "pipelines.build", NAME]
        subprocess.run(stage, cwd=folder, env=environment, check=True)
        taken = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    note = "" if peak > earlier else " or less (an earlier stage took as much)"
    print(
        f"{options.mode}, {options.probes} probes, k = 2, SIMULATED: build stage {taken:.0f} s, "
        f"peak memory {peak / 2**20:.2f} GiB{note}"
    )


if __name__ == "__main__":
    main()
