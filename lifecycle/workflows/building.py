"""Search, build, predict, enrol: from network input to a numbered build."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts import preprocess
from lifecycle.domain.classifier import Classifier, Recipe, Task
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.digests import digest_of, sha256, tensors_digests
from lifecycle.domain.predictions import Predictions
from lifecycle.dossier import builds as kept
from lifecycle.dossier.files import folder_whole, read_fields, read_json, write_json, write_whole
from lifecycle.dossier.predictions import write_parquet
from lifecycle.dossier.traces import TRACE, to_bytes
from lifecycle.dossier.weights import packed
from lifecycle.errors import UnusableInputError
from lifecycle.gate.judge import policy_digest
from lifecycle.records.format import published
from lifecycle.records.settings import RecipeRecord
from lifecycle.workflows.boundary import say
from lifecycle.workflows.code_digests import noted_code
from lifecycle.workflows.data import (
    cohorts_of,
    first_build,
    read_input,
)
from lifecycle.workflows.progress import bar
from lifecycle.workflows.project import Project
from lifecycle.workflows.terms import require_same_terms

Targets = NDArray[np.int64] | NDArray[np.float64]
WEIGHTS, FACTS, CURVES = "weights.safetensors", "facts.json", "curves.csv"


def class_indices(cases: Cohort, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Index of each case's class.

    Raises:
        UnusableInputError: a case has no label, or one that is not a class.
    """
    place = {name: i for i, name in enumerate(classes)}
    for case, label in zip(cases.ids, cases.labels, strict=True):
        if label not in place:
            raise UnusableInputError(f"case {case}: label {label!r} is not among the classes")
    return np.array([place[label] for label in cases.labels], dtype=np.int64)


def targets(cases: Cohort, classes: tuple[str, ...], task: Task) -> Targets:
    """What is to be learnt: (n,) class indices, or (n, C) float64 of 0 and 1 where `task` is multi.

    Raises:
        UnusableInputError: a case has no label, or one that is not a class.
    """
    if task == "single":
        return class_indices(cases, classes)
    place = {name: i for i, name in enumerate(classes)}
    found = np.zeros((len(cases.ids), len(classes)))
    for row, (case, label) in enumerate(zip(cases.ids, cases.labels, strict=True)):
        for name in label.split("|"):
            if name not in place:
                raise UnusableInputError(f"case {case}: label {name!r} is not among the classes")
            found[row, place[name]] = 1.0
    return found


def find_rates(project: Project) -> None:
    """Learning rate and L2: the first build's, or searched, or as params.yaml says."""
    recipe = project.classifier.recipe
    first = first_build(project)
    if first is not None:
        rates = {key: first.content["recipe"][key] for key in ("lr", "l2")}
        write_json(project.rates, {**rates, "from": f"{first.name} (kept)", "points": []})
    elif project.classifier.search.run:
        write_json(project.rates, _searched(project))
    else:
        rates = {"lr": recipe.lr, "l2": recipe.l2}
        write_json(project.rates, {**rates, "from": "params.yaml", "points": []})


def _searched(project: Project) -> dict[str, Any]:
    from lifecycle.training.search import search

    classifier = project.classifier
    training, holdout = examples(project, "training"), examples(project, "holdout")
    with bar(f"{project.name}: search") as advance:
        points = search(
            classifier.search,
            classifier.model,
            classifier.recipe,
            training,
            holdout,
            len(classifier.classes),
            advance,
        )
    best = points[0]
    say(f"{project.name}: search: lr {best.lr:.4g}, L2 {best.l2:.4g}, error {best.error:.1%}")
    rows = [asdict(point) for point in points]
    return {"lr": best.lr, "l2": best.l2, "from": f"search of {len(points)}", "points": rows}


def examples(project: Project, part: Any) -> Any:
    """Network input of a part and what is to be learnt of it (`training.Examples`)."""
    from lifecycle.training.trainer import Examples

    x, cases = read_input(project, part)
    return Examples(x, targets(cases, project.classifier.classes, project.classifier.task))


def resolved_recipe(project: Project) -> Recipe:
    """The recipe with its rates, and the first build's number of epochs in a rebuild."""
    rates = read_fields(project.rates, {"lr": float, "l2": float})
    recipe = replace(project.classifier.recipe, lr=float(rates["lr"]), l2=float(rates["l2"]))
    first = first_build(project)
    if first is None or recipe.stop == "fixed":
        return recipe
    return replace(recipe, stop="fixed", epochs=int(first.content["recipe"]["epochs"]))


def train_build(project: Project) -> None:
    """Train the network in an MLflow run of its own, and keep weights, curves and run id."""
    require_same_terms(project.name, project.classifier, kept.read_builds(project.layout))
    from lifecycle.tracking.runs import build_run

    recipe = resolved_recipe(project)
    tested = _self_test(recipe)
    title = f"{project.name} {project.classifier.version}"
    with build_run(
        project.root, project.name, title, _params(project, recipe), _tags(project), project.running
    ) as run:
        _train_into(project, recipe, run, tested)


def _self_test(recipe: Recipe) -> dict[str, str]:
    """What the self-test of exact arithmetic says on this machine; nothing in the other modes."""
    if recipe.numerics.mode != "exact":
        return {}
    from lifecycle.numerics.modes import threads_of
    from lifecycle.workflows.doctoring import require_exact_arithmetic

    return require_exact_arithmetic(threads_of(recipe.numerics))


def _params(project: Project, recipe: Recipe) -> dict[str, object]:
    environment = read_json(project.layout.environment)
    flat = {f"recipe.{key}": value for key, value in asdict(recipe).items() if key != "numerics"}
    flat |= {f"numerics.{key}": value for key, value in asdict(recipe.numerics).items()}
    flat |= {f"model.{key}": value for key, value in asdict(project.classifier.model).items()}
    flat |= {f"policy.{key}": value for key, value in asdict(project.classifier.policy).items()}
    for group, entries in environment.items():
        flat |= {f"env.{group}.{key}": value for key, value in entries.items()}
    return flat


def _tags(project: Project) -> dict[str, str]:
    cohort, _ = cohorts_of(project)
    return {
        "classifier": project.name,
        "version": project.classifier.version,
        "data.origin": cohort.origin,
        "numerics": project.classifier.recipe.numerics.mode,
        "model.operations": "framework",  # also in exact mode: see models.build.portable
        "signed": "no",
    }


def _train_into(project: Project, recipe: Recipe, run: Any, tested: dict[str, str]) -> None:
    from lifecycle.models.build import build_model, load_tensors
    from lifecycle.numerics.modes import framework_facts
    from lifecycle.training.trace import Tracer
    from lifecycle.training.trainer import Epoch, scores, train

    classifier = project.classifier
    training, holdout = examples(project, "training"), examples(project, "holdout")
    classes = len(classifier.classes)
    _log_datasets(project, run)
    tracer = Tracer(training)
    with bar(f"{project.name}: training") as advance:

        def watch(epoch: Epoch, _model: object) -> None:
            run.epoch(epoch.epoch, _curve_point(epoch))
            advance(epoch.epoch, recipe.epochs)

        trained = train(
            classifier.model, recipe, training, holdout, classes, (tracer.epoch, watch), tracer
        )
    model = build_model(classifier.model, recipe, training.x.shape[-1], classes)
    load_tensors(model, trained.tensors)
    model.eval()
    held = scores(model, holdout.x, recipe, classifier.task)
    _log_model(run, classifier, recipe, trained.tensors, holdout.x[:2], held[:2])
    facts = {
        # as the version states it, so that a rebuild with the kept epochs has the same content
        "recipe": {
            **published(recipe, RecipeRecord),
            "stop": classifier.recipe.stop,
            "epochs": trained.epochs,
        },
        "weights": tensors_digests(trained.tensors),
        "framework": framework_facts(recipe.numerics) | tested,
        "training": asdict(trained.history[trained.epochs - 1]),
    }
    trace = to_bytes(tracer.trace(trained.epochs))
    _write_build(project, trained.tensors, held, facts, run.run_id, trace)
    _write_curves(project, trained.history)


def _log_model(
    run: Any,
    classifier: Classifier,
    recipe: Recipe,
    tensors: dict[str, NDArray[Any]],
    x: NDArray[np.float64],
    held: NDArray[np.float64],
) -> None:
    """The network as MLflow can serve it; an exact one with the framework's operations."""
    from lifecycle.models.build import build_model, load_tensors, portable

    model = build_model(classifier.model, portable(recipe), x.shape[-1], len(classifier.classes))
    load_tensors(model, tensors)
    model.eval()
    run.model(model, x.astype(recipe.numerics.dtype), held)


def _curve_point(epoch: Any) -> dict[str, float]:
    return {
        "training_loss": epoch.loss,
        "holdout_loss": epoch.holdout_loss,
        "holdout_error": epoch.holdout_error,
    }


def _log_datasets(project: Project, run: Any) -> None:
    from lifecycle.tracking.runs import Dataset

    fitted = preprocess.read(project.prepared)
    for part in ("training", "holdout"):
        x, cases = read_input(project, part)
        digest = digest_of([list(cases.ids), list(cases.labels), sha256(x.tobytes())])
        size = (len(cases.ids), len(fitted.features))
        run.dataset(Dataset(f"{project.name}/{part}", part, digest, *size, cases.origin))


def _write_build(
    project: Project,
    tensors: Mapping[str, NDArray[Any]],
    held: NDArray[np.float64],
    facts: dict[str, Any],
    run_id: str,
    trace: bytes,
) -> None:
    _, cases = read_input(project, "holdout")
    predictions = predictions_of(project, cases, held)
    with folder_whole(project.build) as folder:
        (folder / WEIGHTS).write_bytes(packed(tensors))
        (folder / TRACE).write_bytes(trace)
        write_parquet(folder / kept.HOLDOUT, predictions)
        write_json(folder / FACTS, facts)
        write_json(folder / kept.RUN, run_facts(project, run_id))


def predictions_of(project: Project, cases: Cohort, values: NDArray[np.float64]) -> Predictions:
    """Scores with the cases that they belong to."""
    known = any(cases.labels)
    return Predictions(
        ids=cases.ids,
        patients=cases.patients,
        groups=cases.groups,
        labels=cases.labels if known else None,
        classes=project.classifier.classes,
        scores=values,
        task=project.classifier.task,
        subgroups=dict(cases.subgroups),
    )


def _write_curves(project: Project, history: tuple[Any, ...]) -> None:
    head = "epoch,training_loss,holdout_loss,holdout_error\n"
    rows = "".join(
        f"{e.epoch},{e.loss!r},{e.holdout_loss!r},{e.holdout_error!r}\n" for e in history
    )
    write_whole(project.layout.work / CURVES, (head + rows).encode())


def run_facts(project: Project, run_id: str) -> dict[str, Any]:
    """Volatile facts of a build, kept beside its content: they do not make it another one."""
    commit, clean = git_state(project.root)
    return {
        "run": run_id,
        "commit": commit,
        "clean": clean,
        "built": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "policy": policy_digest(project.classifier.policy),
        "by": builder(project.root),
        "code": noted_code(project.root, "build"),
    }


def builder(root: Path) -> str:
    """Who builds: git's e-mail of this person, else the login. Who builds does not sign."""
    named = _git(root, "config", "user.email")
    return named.strip() if named and named.strip() else getpass.getuser()


def git_state(root: Path) -> tuple[str, bool | None]:
    """Commit and whether the tree is clean, what the pipeline itself writes left out.

    Returns:
        ("", None) where git does not answer: then nothing is known, and nothing is claimed.
    """
    commit = _git(root, "rev-parse", "HEAD")
    paths = (":!dvc.lock", ":!pipelines/environment/dvc.lock", ":!dossier", ":!weights")
    status = _git(root, "status", "--porcelain", "--", ".", *paths)
    if commit is None or status is None:
        return "", None
    return commit.strip(), status.strip() == ""


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
