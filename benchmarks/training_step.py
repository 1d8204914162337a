"""A training step of the methylation network, exact beside stock PyTorch, in one run.

51,000-128-32-7 in float64 (the paper's size), minibatches of k of 260 cases in random order, as
`lifecycle` trains it inside an epoch: mode `exact` with one slice against mode `deterministic`
(torch.optim.Adamax, foreach, deterministic flags). Steps of the two alternate in blocks, and a
stream that reads and writes in place with as many threads is measured between them, so that a
change of the machine's speed meets all three. Prints time a step (and of it the optimiser's: the
sweep, and rounding for it), the ratio of each pair of blocks (median and range), and the bytes that
a step must move (weights and two moments, read and written once) over what the stream would have
moved in that time.

The first epoch is left out: weights still grow fast then, many rows change their exponent and are
multiplied twice, and each case is looked at for the first time. What stands between epochs, the
scoring and the first product of the next, is left out too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from benching import count, leave_with, parsed

from lifecycle.domain.classifier import Numerics, Recipe
from lifecycle.domain.networks import ModelPlan
from lifecycle.models.build import build_model
from lifecycle.numerics.minibatch import Minibatch
from lifecycle.numerics.modes import numerics_mode
from lifecycle.training.optimising import optimiser_for

CLASSES = 7
CASES = 260


class Side:
    """One network in training, step by step."""

    def __init__(self, mode: str, width: int, k: int, threads: int) -> None:
        self.numerics = Numerics(mode=mode, threads=threads)
        self.recipe = Recipe(lr=0.0094, l2=0.0094, epochs=1, minibatch=k, numerics=self.numerics)
        with numerics_mode(self.numerics):
            self.model = build_model(ModelPlan(), self.recipe, width, CLASSES)
            self.optimiser = optimiser_for(self.model, self.recipe, 1)
        draw = np.random.Generator(np.random.PCG64(1))
        self.x = torch.from_numpy(draw.normal(size=(CASES, width)))
        self.y = torch.from_numpy(draw.integers(0, CLASSES, CASES))
        self.draw, self.k = draw, k
        self.order = np.zeros(0, np.int64)
        self.upcoming = self._next()
        self.updates: list[float] = []

    def seconds(self, steps: int) -> float:
        """Mean time of a step, whole: indexing, forward, backward, update."""
        with numerics_mode(self.numerics):
            start = time.perf_counter()
            for _ in range(steps):
                self._step()
            return (time.perf_counter() - start) / steps

    def _step(self) -> None:
        current = self.upcoming
        target = self.y[torch.from_numpy(current.rows)]
        self.upcoming = self._next()
        self.optimiser.zero_grad()
        loss = self.model.ops.cross_entropy(self.model(current.values), target)
        loss.backward()
        start = time.perf_counter()
        self.optimiser.step(self.upcoming)
        self.updates.append(time.perf_counter() - start)

    def _next(self) -> Minibatch:
        if len(self.order) < self.k:
            self.order = self.draw.permutation(CASES)
        rows, self.order = self.order[: self.k], self.order[self.k :]
        return Minibatch(self.x, rows)


class Stream:
    """Numbers that are read and written in place."""

    def __init__(self, threads: int, size: int) -> None:
        self.data = np.ones(size)
        self.parts = np.array_split(self.data, threads)
        self.pool = ThreadPoolExecutor(threads)

    def rate(self) -> float:
        """Bytes a second, read and written, best of five."""
        return max(self._rate() for _ in range(5))

    def _rate(self) -> float:
        start = time.perf_counter()
        list(self.pool.map(lambda part: np.multiply(part, 1.0000001, out=part), self.parts))
        return 2 * self.data.nbytes / (time.perf_counter() - start)


def main() -> None:
    """Print one line a k."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=count, default=51_000)
    parser.add_argument("--threads", type=count, default=2)
    parser.add_argument("--blocks", type=count, default=9)
    parser.add_argument("--steps", type=count, default=15)
    parser.add_argument("--stream", type=count, default=40_000_000, help="numbers in the stream")
    parser.add_argument("--k", type=count, nargs="+", default=[1, 4, 8])
    options = parsed(parser, width=600, blocks=2, steps=2, k=[8], stream=100_000)
    moved = 6 * 8 * options.width * 128
    print(f"{options.width}-128-32-{CLASSES}, float64, {options.threads} threads")
    print("  k   exact ms (update)   stock ms   exact / stock (range)     of the stream (range)")
    stream = Stream(options.threads, options.stream)
    for k in options.k:
        first = max(20, CASES // k)
        sides = [Side(m, options.width, k, options.threads) for m in ("exact", "deterministic")]
        for side in sides:
            side.seconds(first)
        pairs, shares, before = [], [], stream.rate()
        for _ in range(options.blocks):
            pairs.append([side.seconds(options.steps) for side in sides])
            after = stream.rate()
            shares.append(moved / pairs[-1][0] / max(before, after))
            before = after
        update = statistics.median(sides[0].updates[first:])
        ratios = sorted(exact / stock for exact, stock in pairs)
        exact, stock = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{k:3d} {exact * 1e3:10.1f} ({update * 1e3:5.1f}) {stock * 1e3:11.1f}   "
            f"{statistics.median(ratios):8.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})   "
            f"{statistics.median(shares):6.0%} "
            f"({min(shares):.0%}-{max(shares):.0%})   at {before / 1e9:.0f} GB/s"
        )


if __name__ == "__main__":
    leave_with(main)
