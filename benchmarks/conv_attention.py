"""A step of exact arithmetic over one of stock PyTorch, for a conv + attention + norm network.

Both train the network of tests/networks.py with Adam on the same minibatch, float64, in turns in
one process, so that a busy machine slows both alike. Stock: deterministic algorithms, foreach Adam.

    python benchmarks/conv_attention.py [--preset small|medium] [--threads 1] [--pairs 40]
                                        [--smallest]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import networks
from benching import count, leave_with, parsed

from lifecycle.numerics.exact import optimisers
from lifecycle.numerics.exact.ops import ExactOps
from lifecycle.numerics.ops import FrameworkOps

TIME = 1000
PRESETS = {"small": (22, 1, 8), "medium": (40, 2, 16)}  # width, blocks, minibatch
TARGET, LIMIT = 1.0, 1.5
RATE = 1e-3


def stepper(exact: bool, width: int, blocks: int, batch: int) -> tuple[Callable[[], float], int]:
    """A function that does one training step and gives its loss; and the number of parameters."""
    ops = ExactOps(1) if exact else FrameworkOps()
    model = networks.EcgNetwork(ops, width, blocks)
    parameters = list(model.parameters())
    if exact:
        optimiser: object = optimisers.Adam(parameters, RATE, 0.0)
    else:
        optimiser = torch.optim.Adam(parameters, RATE, foreach=True)
    x, y = networks.examples(batch, TIME)

    def step() -> float:
        torch.use_deterministic_algorithms(not exact)
        return networks.losses_of(model, optimiser, iter([(x, y)]))[0]

    return step, sum(parameter.numel() for parameter in parameters)


def timed(step: Callable[[], float]) -> float:
    """Seconds of one step."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, action="append")
    parser.add_argument("--threads", type=count, default=1)
    parser.add_argument("--pairs", type=count, default=40)
    chosen = parsed(parser, preset=["small"], pairs=2)
    torch.set_num_threads(chosen.threads)
    for preset in chosen.preset or PRESETS:
        exact, size = stepper(True, *PRESETS[preset])
        stock, _ = stepper(False, *PRESETS[preset])
        for _ in range(3):
            exact(), stock()
        pairs = [(timed(exact), timed(stock)) for _ in range(chosen.pairs)]
        ratios = sorted(one / two for one, two in pairs)
        quarter = len(ratios) // 4
        mine, theirs = (statistics.median(part) for part in zip(*pairs, strict=True))
        print(
            f"{preset}: {size} parameters, batch {PRESETS[preset][2]}, {chosen.threads} threads: "
            f"exact {mine * 1e3:.1f} ms, stock float64 {theirs * 1e3:.1f} ms; exact / stock median "
            f"{statistics.median(ratios):.2f}, middle half {ratios[quarter]:.2f} to "
            f"{ratios[-1 - quarter]:.2f}, range {ratios[0]:.2f} to {ratios[-1]:.2f} "
            f"(target {TARGET}, at most {LIMIT})"
        )


if __name__ == "__main__":
    leave_with(main)
