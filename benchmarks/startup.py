"""Start-up of the command line, whole process, beside `python -c "import click"`.

Prints the median of `--runs` paired runs and the ratio of the medians.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time

from benching import count, leave_with, parsed

PEERS = {
    "lifecycle --help": [shutil.which("lifecycle") or "lifecycle", "--help"],
    "lifecycle gate --help": [shutil.which("lifecycle") or "lifecycle", "gate", "--help"],
    'python -c "import click"': [sys.executable, "-c", "import click"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one whole process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Time all commands in turn, so that a change of the machine's speed meets all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=count, default=5)
    runs = parsed(parser, runs=1).runs
    for command in PEERS.values():
        seconds(command)
    taken = {name: [] for name in PEERS}
    for _ in range(runs):
        for name, command in PEERS.items():
            taken[name].append(seconds(command))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    peer = medians['python -c "import click"']
    for name, median in medians.items():
        low, high = min(taken[name]), max(taken[name])
        print(f"{name:<28} {median:.3f} s ({low:.3f}-{high:.3f})  x {median / peer:.2f}")


if __name__ == "__main__":
    leave_with(main)
