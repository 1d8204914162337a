"""Predict and enrol: from trained weights to a numbered, kept build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts import preprocess
from lifecycle.cohorts.store import recorded_digest
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.digests import digest_of, sha256, tensors_digests
from lifecycle.dossier import builds as kept
from lifecycle.dossier.attempts import record_attempt
from lifecycle.dossier.files import folder_whole, read_fields, read_json, write_json, write_whole
from lifecycle.dossier.pipeline import write_current
from lifecycle.dossier.predictions import read_parquet, write_parquet
from lifecycle.dossier.traces import TRACE
from lifecycle.dossier.weights import tensors_in
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.gate.judge import policy_digest
from lifecycle.workflows import dvc_state
from lifecycle.workflows.boundary import say
from lifecycle.workflows.building import FACTS, WEIGHTS, predictions_of, resolved_recipe
from lifecycle.workflows.data import (
    cohorts_of,
    pinned_cohort,
    read_parts,
)
from lifecycle.workflows.deciding import settled_attempts
from lifecycle.workflows.project import Project
from lifecycle.workflows.terms import require_same_terms, terms_of

_FACTS = {
    "framework": dict, "recipe": dict, "training": dict, "weights.md5": str, "weights.sha256": str,
}  # fmt: skip


def predict_frozen(project: Project) -> None:
    """Check the pin, record the attempt, then score the frozen clinical test set."""
    cohort, pin = pinned_cohort(project)
    facts = read_fields(project.build / FACTS, _FACTS)
    tensors = _read_weights(project, facts)
    with kept.locked(project.layout):
        version = project.classifier.version
        builds = [b for b in kept.read_builds(project.layout) if b.version == version]
        judged = tuple(build.weights for build in builds)
        settled = settled_attempts(project, version)
        record_attempt(
            project.layout, version, facts["weights"]["sha256"], judged, settled,
            policy=policy_digest(project.classifier.policy),
        )  # fmt: skip
    values = _frozen_scores(project, cohort, tensors, facts)
    with folder_whole(project.predictions) as folder:
        write_parquet(folder / kept.FROZEN, predictions_of(project, cohort, values))
        write_json(folder / "pin.json", {"number": pin.number, "total": pin.total})


def _read_weights(project: Project, facts: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    path = project.build / WEIGHTS
    tensors = tensors_in(path.read_bytes(), path)
    if tensors_digests(tensors) != facts["weights"]:
        raise IntegrityError(f"{path} holds other weights than the build stage recorded")
    return tensors


def _frozen_scores(
    project: Project, cohort: Cohort, tensors: dict[str, NDArray[Any]], facts: Mapping[str, Any]
) -> NDArray[np.float64]:
    from lifecycle.models.build import build_model, load_tensors
    from lifecycle.training.trainer import scores

    recipe = resolved_recipe(project)
    x = preprocess.apply(preprocess.read(project.prepared), cohort)
    model = build_model(
        project.classifier.model, recipe, x.shape[-1], len(project.classifier.classes)
    )
    load_tensors(model, tensors)
    model.eval()
    return scores(model, x, recipe, project.classifier.task)


def enrol_build(project: Project) -> None:
    """Give the build its number by content, and keep its weights under their digest."""
    builds = kept.read_builds(project.layout)
    require_same_terms(project.name, project.classifier, builds)
    content = _content(project)
    run = read_fields(project.build / kept.RUN, {"run": str})
    number = kept.enrol(project.layout, content, _files_to_keep(project, content, builds), run)
    keep_weights(project, content["weights"]["file"])
    write_current(project.layout, number, content["version"])
    build = kept.read_build(project.layout, number)
    say(f"{project.name}: {build.name}, weights {build.weights[:12]}")
    _tell_tracking(project, build, run["run"])


def _content(project: Project) -> dict[str, Any]:
    facts = read_fields(project.build / FACTS, _FACTS)
    classifier = project.classifier
    cohort, _ = cohorts_of(project)
    pin = read_fields(project.predictions / "pin.json", {"number": int, "total": str})
    return {
        "classifier": project.name,
        "version": classifier.version,
        "task": classifier.task,
        "classes": list(classifier.classes),
        "origin": cohort.origin,
        "terms": terms_of(classifier),
        "environment": read_json(project.layout.environment),
        "framework": facts["framework"],
        "inputs": {
            "sources": digest_of(read_json(project.layout.sources)),
            "cohort": recorded_digest(project.cohort),
            "parts": digest_of(dict(read_parts(project))),
            "features": preprocess.read(project.prepared).digest,
            "pin": pin,
        },
        "recipe": facts["recipe"],
        "training": facts["training"],
        "weights": {
            **facts["weights"],
            "file": sha256((project.build / WEIGHTS).read_bytes()),
        },
        "predictions": {
            "frozen": read_parquet(project.predictions / kept.FROZEN).digest(),
            "holdout": read_parquet(project.build / kept.HOLDOUT).digest(),
        },
    }


def _files_to_keep(
    project: Project, content: Mapping[str, Any], builds: tuple[kept.Build, ...]
) -> dict[str, bytes]:
    files = {
        kept.FROZEN: (project.predictions / kept.FROZEN).read_bytes(),
        kept.HOLDOUT: (project.build / kept.HOLDOUT).read_bytes(),
        TRACE: (project.build / TRACE).read_bytes(),
        # with the weights they are the function that is released
        kept.PREPROCESS: (project.prepared / preprocess.RECORD).read_bytes(),
        kept.FEATURES: (project.prepared / preprocess.FEATURES).read_bytes(),
    }
    if kept.first_of(builds, str(content["version"])) is None:
        files[kept.PARTS] = project.parts.read_bytes()
    return files


def keep_weights(project: Project, digest: str) -> None:
    """Keep weights under their digest, with a DVC pointer beside them."""
    path = project.layout.weights / f"{digest}.safetensors"
    if not path.exists() or sha256(path.read_bytes()) != digest:
        data = (project.build / WEIGHTS).read_bytes()
        if sha256(data) != digest:
            raise IntegrityError(f"{project.build / WEIGHTS} was changed; run `dvc repro`")
        write_whole(path, data)
    pointer = path.with_name(path.name + ".dvc")
    if not pointer.exists():
        done, said = dvc_state.output(project.root, ["dvc", "add", "--quiet", str(path)])
        if done is None:
            raise UnusableInputError(f"`dvc add {path.name}` failed: {said}")


def _tell_tracking(project: Project, build: kept.Build, run_id: str) -> None:
    from lifecycle.tracking.runs import Addition, add_to_run

    addition = Addition(
        name=f"{project.name} {build.version} {build.name}",
        tags={
            "build": build.name,
            "parent.build": _parent(project, build),
            "digest.weights": build.weights,
            "digest.predictions": build.content["predictions"]["frozen"],
            "digest.pin": build.content["inputs"]["pin"]["total"],
        },
        metrics={"build_number": build.number},
        files=[(build.folder / kept.RECORD, None), (build.folder / kept.FROZEN, "predictions")],
    )
    if not add_to_run(project.root, run_id, addition):
        say(f"{project.name}: MLflow does not know the run {run_id}; the dossier has the record")


def _parent(project: Project, build: kept.Build) -> str:
    """The build of the same version before this one."""
    before = [one.name for one in kept.read_builds(project.layout)
              if one.version == build.version and one.number < build.number]  # fmt: skip
    return before[-1] if before else "none"
