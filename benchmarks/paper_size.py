"""The build at the paper's size, whole: 51,000 probes, 260 training samples, 64 epochs, k = 2.

    python benchmarks/paper_size.py [--probes 51000] [--mode exact] [--smallest]

A SIMULATED cohort (no patient's data) in a temporary project; the pipeline runs up to the build
stage. Prints the wall time and the peak memory of the build stage, which trains, scores the holdout
every epoch, tracks in MLflow and keeps weights.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

from benching import at_least, count, leave_with, parsed, project_of, run

NAME = "gbm-methylation"


def main() -> None:
    """Run, and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=at_least(100), default=51_000)
    parser.add_argument("--epochs", type=count, default=64)
    parser.add_argument("--mode", choices=["exact", "deterministic", "native"], default="exact")
    options = parsed(parser, probes=500, epochs=1)
    changes = {
        "preprocess": {"features": options.probes},
        "recipe": {
            "minibatch": 2,
            "epochs": options.epochs,
            "numerics": {"mode": options.mode, "slices": 1},
        },
    }
    with project_of(NAME, changes, {"probes": options.probes}) as folder:
        run(folder, "dvc", "repro", "-q", f"search@{NAME}")
        earlier = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        start = time.perf_counter()
        run(folder, sys.executable, "-m", "pipelines.build", NAME)
        taken = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    note = "" if peak > earlier else " or less (an earlier stage took as much)"
    print(
        f"{options.mode}, {options.probes} probes, k = 2, SIMULATED: build stage {taken:.0f} s, "
        f"peak memory {peak / 2**20:.2f} GiB{note}"
    )


if __name__ == "__main__":
    leave_with(main)
