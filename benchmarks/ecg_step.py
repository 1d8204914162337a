"""A training step of the shipped ECG networks in exact arithmetic over one in stock PyTorch.

Both train a section's network with its recipe (Adam) on one minibatch of 12 leads
and 1,000 samples, float64, in turns in one process, so that a busy machine slows both alike.
Stock: the framework's operations with deterministic algorithms and its own Adam.

    python benchmarks/ecg_step.py [--name ecg-baseline] [--threads 1] [--pairs 20] [--published]
                                  [--smallest]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from benching import count, leave_with, parsed

from lifecycle.domain.classifier import Classifier, Numerics
from lifecycle.domain.networks import NETWORKS, Plan
from lifecycle.models.build import build_model
from lifecycle.numerics.modes import numerics_mode
from lifecycle.params.reader import load
from lifecycle.training.losses import loss_for, penalised
from lifecycle.training.optimising import optimiser_for

LEADS, SAMPLES = 12, 1000
WARM_UP = 3  # steps that are not timed
TARGET, LIMIT = 1.0, 1.5
# Their default sizes are the published ones; a section of params.yaml has the name of its network.
PUBLISHED: dict[str, Plan] = {
    kind: network.settings(kind) for kind, network in NETWORKS.items() if network.of_signals
}


def stepper(
    classifier: Classifier, numerics: Numerics, steps: int
) -> tuple[Callable[[], float], int]:
    """A function that times one training step, so many times; and the number of parameters."""
    recipe = replace(classifier.recipe, numerics=numerics)
    classes, batch = len(classifier.classes), max(2, recipe.minibatch)
    rng = np.random.default_rng(7)
    x = torch.from_numpy(rng.normal(size=(batch, SAMPLES, LEADS)))
    targets = (rng.random((batch, classes)) < 0.3).astype(np.float64)
    targets[0], targets[1] = 0.0, 1.0  # every class has cases on both sides
    with numerics_mode(numerics) as dtype:
        model = build_model(classifier.model, recipe, LEADS, classes).train()
        optimiser = optimiser_for(model, recipe, recipe.minibatch * steps)
        measure = loss_for(recipe, targets, dtype)
    y = torch.from_numpy(targets)

    def step() -> float:
        with numerics_mode(numerics):
            start = time.perf_counter()
            optimiser.zero_grad()
            loss = penalised(model, measure(model, model(x), y))
            loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            optimiser.step(None)
            return time.perf_counter() - start

    return step, sum(p.numel() for p in model.parameters())


def compare(name: str, classifier: Classifier, threads: int, pairs: int) -> None:
    """Time both in turns and print one line."""
    steps = WARM_UP + pairs  # a schedule has a rate for so many steps
    exact, size = stepper(classifier, Numerics(mode="exact", threads=threads), steps)
    stock, _ = stepper(classifier, Numerics(mode="deterministic", threads=threads), steps)
    for _ in range(WARM_UP):
        exact(), stock()
    times = [(exact(), stock()) for _ in range(pairs)]
    ratios = sorted(one / two for one, two in times)
    quarter = len(ratios) // 4
    mine, theirs = (statistics.median(part) for part in zip(*times, strict=True))
    print(
        f"{name}: {size} parameters, batch {classifier.recipe.minibatch}, {threads} threads: "
        f"exact {mine * 1e3:.1f} ms, stock float64 {theirs * 1e3:.1f} ms; exact / stock median "
        f"{statistics.median(ratios):.2f}, middle half {ratios[quarter]:.2f} to "
        f"{ratios[-1 - quarter]:.2f} (target {TARGET}, at most {LIMIT})"
    )


def main() -> None:
    """Both networks, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", choices=PUBLISHED, action="append")
    parser.add_argument("--threads", type=count, default=1)
    parser.add_argument("--pairs", type=count, default=20)
    parser.add_argument("--published", action="store_true", help="the published sizes")
    chosen = parsed(parser, pairs=2)
    torch.set_num_threads(chosen.threads)
    shipped = load(Path(__file__).parents[1])
    for name in chosen.name or PUBLISHED:
        classifier = shipped[name]
        if chosen.published:
            classifier = replace(classifier, model=PUBLISHED[name])
        compare(name, classifier, chosen.threads, chosen.pairs)


if __name__ == "__main__":
    leave_with(main)
