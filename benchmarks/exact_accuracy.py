"""Does exact arithmetic cost accuracy? Exact builds beside native ones, over seeds.

    python benchmarks/exact_accuracy.py [PROJECT NAME] [--seeds 5] [--slices 1 3] [--smallest]

PROJECT is a folder in which `lifecycle rebuild NAME` has run; nothing in it is changed. NAME gives
each case one class. Without them it is breast-cytology in a temporary project. Each seed gives
other initial values and another order of cases; the recipe is the classifier's otherwise, and its
tau plan chooses tau on the holdout. Prints, for the frozen set, accuracy with every case called,
tau, the share reported at tau, and whether exact builds lie within the native ones' range.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from benching import count, leave_with, parsed, project_of, run

from lifecycle.cohorts import preprocess
from lifecycle.consistency.calls import call
from lifecycle.consistency.tau import choose
from lifecycle.domain.classifier import Numerics
from lifecycle.errors import UsageError
from lifecycle.models.build import build_model, load_tensors
from lifecycle.training.trainer import scores, train
from lifecycle.workflows.building import examples, predictions_of, resolved_recipe
from lifecycle.workflows.data import pinned_cohort, read_input
from lifecycle.workflows.judging import accuracy
from lifecycle.workflows.project import Project, open_project

Row = tuple[float, float, float]
NAME = "breast-cytology"
SMALLEST = {"recipe": {"epochs": 1}, "search": {"run": False}}


def figures(project: Project, numerics: Numerics, seed: int) -> Row:
    """Accuracy on the frozen set, tau, share of the frozen set reported at tau."""
    classifier = project.classifier
    recipe = replace(resolved_recipe(project), seed=seed, numerics=numerics)
    recipe = replace(recipe, stop=classifier.recipe.stop, epochs=classifier.recipe.epochs)
    training, holdout = examples(project, "training"), examples(project, "holdout")
    classes = len(classifier.classes)
    trained = train(classifier.model, recipe, training, holdout, classes)
    model = build_model(classifier.model, recipe, training.x.shape[-1], classes)
    load_tensors(model, trained.tensors)
    cohort, _ = pinned_cohort(project)
    x = preprocess.apply(preprocess.read(project.prepared), cohort)
    frozen = predictions_of(project, cohort, scores(model, x, recipe, "single"))
    held = predictions_of(
        project, read_input(project, "holdout")[1], scores(model, holdout.x, recipe, "single")
    )
    cutoffs = choose(held, replace(classifier.tau, refuse_below=0.0))
    reported = (call(frozen, cutoffs).state != 0).any(axis=1).mean()
    return accuracy(frozen) or float("nan"), max(cutoffs.yes), float(reported)


def arms(slices: list[int]) -> Iterator[tuple[str, Numerics]]:
    """Native, and exact with each number of slices."""
    yield "native", Numerics(mode="native")
    for number in slices:
        yield f"exact, {number} slice(s)", Numerics(mode="exact", slices=number)


def spread(rows: list[Row]) -> str:
    """Median and range of each figure."""
    table = np.array(rows)
    low, middle, high = table.min(axis=0), np.median(table, axis=0), table.max(axis=0)
    shares = (f"{m:.3f} ({a:.3f}-{b:.3f})" for a, m, b in zip(low, middle, high, strict=True))
    return "   ".join(f"{text:<22}" for text in shares)


def show(project: Project, seeds: int, slices: list[int]) -> None:
    """Print one line an arm."""
    print(f"{project.name}: {seeds} seeds; median (range)")
    print(f"{'':<18}{'accuracy, frozen set':<25}{'tau':<25}reported at tau")
    native: list[Row] = []
    for title, numerics in arms(slices):
        rows = [figures(project, numerics, seed) for seed in range(seeds)]
        native = native or rows
        low, high = min(row[0] for row in native), max(row[0] for row in native)
        inside = low <= float(np.median([row[0] for row in rows])) <= high
        print(f"{title:<18}{spread(rows)}  {'within native' if inside else 'OUTSIDE native'}")


def main() -> None:
    """Take the project that is named, or make one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path, nargs="?")
    parser.add_argument("name", nargs="?", default=NAME)
    parser.add_argument("--seeds", type=count, default=5)
    parser.add_argument("--slices", type=int, choices=(1, 2, 3, 4), nargs="+", default=[1, 3])
    options = parsed(parser, seeds=1, slices=[1])
    if options.project is None:
        # what is trained here needs the data as the pipeline prepares them, and no build
        with project_of(NAME, SMALLEST if options.smallest else None) as folder:
            run(folder, "dvc", "repro", "-q", f"search@{NAME}")
            show(open_project(NAME, folder), options.seeds, options.slices)
        return
    project = open_project(options.name, options.project.resolve())
    if project.classifier.task != "single":
        raise UsageError(f"{options.name} gives a case several classes; name another classifier")
    show(project, options.seeds, options.slices)


if __name__ == "__main__":
    leave_with(main)
