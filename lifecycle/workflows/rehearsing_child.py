"""The child of a rehearsal: trains a recipe in the environment that its parent gave it.

Run as `python -m lifecycle.workflows.rehearsing_child TASK`. Tells every epoch's weight digest on
standard output, one JSON object a line, and leaves weights, scores and facts in the task's folder.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.domain.classifier import Numerics, Recipe
from lifecycle.dossier.arrays import read_array
from lifecycle.workflows.boundary import guarded, leave
from lifecycle.workflows.stage import die_with_parent

CLASSES = "{}_classes.npy"
TASK, FACTS, WEIGHTS = "task.json", "facts.json", "weights.safetensors"
FROZEN, HOLDOUT, FROZEN_EPOCHS = "frozen.npy", "holdout.npy", "frozen_epochs.npy"


def main() -> None:
    """Do the task of the folder named on the command line, and exit with its code."""
    die_with_parent()
    leave(guarded(lambda: _work(Path(sys.argv[1]))))


def _work(folder: Path) -> None:
    from lifecycle.dossier.files import read_fields
    from lifecycle.workflows.project import open_project

    task = read_fields(folder / TASK, {"classifier": str, "recipe": dict})
    rehearse_here(open_project(task["classifier"]), recipe_of(task["recipe"]), folder)


def recipe_of(entry: Mapping[str, Any]) -> Recipe:
    """The recipe that `asdict` wrote."""
    return Recipe(**{**entry, "numerics": Numerics(**entry["numerics"])})


def rehearse_here(project: Any, recipe: Recipe, folder: Path) -> None:
    """Train from the prepared input, score holdout and frozen set, and leave all of it in `folder`.

    The frozen set is scored at every epoch by a copy of the network, so that the training does not
    notice.
    """
    from lifecycle.dossier.files import write_json
    from lifecycle.training.trainer import train

    started = time.monotonic()
    training, holdout = (_examples(project, folder, part) for part in ("training", "holdout"))
    watch = _Watch(project, recipe, _frozen_input(project))
    classes = len(project.classifier.classes)
    trained = train(project.classifier.model, recipe, training, holdout, classes, (watch,))
    held = watch.scored(trained.tensors, holdout.x)
    _write_arrays(folder, trained.tensors, held, watch.frozen)
    facts = {
        "digests": watch.digests,
        "seen": seen(recipe.numerics),
        "seconds": time.monotonic() - started,
    }
    write_json(folder / FACTS, facts)


def _examples(project: Any, folder: Path, part: str) -> Any:
    """The prepared input, and the targets that the parent found for it.

    Found there, because whoever finds them loads more libraries than a training needs.
    """
    from lifecycle.training.trainer import Examples

    x = read_array(project.prepared / f"{part}.npy")
    return Examples(x, read_array(folder / CLASSES.format(part)))


def _frozen_input(project: Any) -> NDArray[np.float64]:
    from lifecycle.cohorts import preprocess
    from lifecycle.workflows.data import pinned_cohort

    cohort, _ = pinned_cohort(project)
    return preprocess.apply(preprocess.read(project.prepared), cohort)


class _Watch:
    """Observes the epochs: weight digests and scores on the frozen set."""

    def __init__(self, project: Any, recipe: Recipe, frozen: NDArray[np.float64]) -> None:
        self.project, self.recipe, self.x = project, recipe, frozen
        self.digests: list[str] = []
        self.frozen: list[NDArray[np.float64]] = []

    def __call__(self, epoch: Any, model: Any) -> None:
        """Look at the network as the epoch left it."""
        from lifecycle.domain.digests import tensors_digests
        from lifecycle.models.build import tensors_of

        tensors = tensors_of(model)
        self.digests.append(tensors_digests(tensors)["sha256"])
        self.frozen.append(self.scored(tensors, self.x))
        _tell({"epoch": epoch.epoch})

    def scored(
        self, tensors: Mapping[str, NDArray[Any]], x: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Scores by a network of these tensors."""
        from lifecycle.models.build import build_model, load_tensors
        from lifecycle.training.trainer import scores

        classifier = self.project.classifier
        model = build_model(classifier.model, self.recipe, x.shape[-1], len(classifier.classes))
        load_tensors(model, dict(tensors))
        model.eval()
        return scores(model, x, self.recipe, classifier.task)


def _tell(entry: Mapping[str, Any]) -> None:
    print(json.dumps(entry), flush=True)  # noqa: T201  # to the parent


def _write_arrays(
    folder: Path,
    tensors: Mapping[str, NDArray[Any]],
    held: NDArray[np.float64],
    frozen: list[NDArray[np.float64]],
) -> None:
    from lifecycle.dossier.weights import packed

    (folder / WEIGHTS).write_bytes(packed(tensors))
    np.save(folder / HOLDOUT, held, allow_pickle=False)
    np.save(folder / FROZEN, frozen[-1], allow_pickle=False)
    np.save(folder / FROZEN_EPOCHS, np.stack(frozen), allow_pickle=False)


def seen(numerics: Numerics | None = None) -> dict[str, str]:
    """What the libraries say that they compute with, in this process."""
    from threadpoolctl import threadpool_info

    from lifecycle.numerics.modes import framework_facts

    found = dict(framework_facts(numerics))
    for pool in threadpool_info():
        if pool["user_api"] == "blas":
            found[f"{pool['internal_api']}_kernels"] = str(pool.get("architecture") or "")
    return found


if __name__ == "__main__":
    main()
