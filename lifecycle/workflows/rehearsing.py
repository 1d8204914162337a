"""Rehearse: carry a build's recipe out under other numerics profiles, before others have to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lifecycle.cohorts import preprocess
from lifecycle.cohorts.store import recorded_digest
from lifecycle.domain.classifier import Numerics, Part, Recipe
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.digests import digest_of, tensors_digests
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.dossier import builds as kept
from lifecycle.dossier import rehearsals as evidence
from lifecycle.dossier import weights
from lifecycle.dossier.arrays import read_array
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import folder_whole, read_fields, write_json
from lifecycle.dossier.traces import trace_of
from lifecycle.errors import ExitCode, UnusableInputError, UsageError
from lifecycle.numerics.fingerprint import fingerprint
from lifecycle.numerics.profiles import STAND_IN, Choice, Profile, choose
from lifecycle.workflows.boundary import say
from lifecycle.workflows.building import (
    WEIGHTS,
    examples,
    predictions_of,
    resolved_recipe,
)
from lifecycle.workflows.children import Task, run_children
from lifecycle.workflows.data import pinned_cohort, read_input, read_parts
from lifecycle.workflows.deciding import current_build, pinned_predictions, read_cutoffs
from lifecycle.workflows.progress import bar
from lifecycle.workflows.project import Project
from lifecycle.workflows.rehearsed import Findings, Outcome, compare
from lifecycle.workflows.rehearsing_child import (
    CLASSES,
    FACTS,
    FROZEN,
    FROZEN_EPOCHS,
    HOLDOUT,
    TASK,
)
from lifecycle.workflows.stage import alone

RESULT = "rehearsal.json"
TRAINED_ON: tuple[Part, ...] = ("training", "holdout")
Mode = Literal["native", "deterministic", "exact"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What `lifecycle rehearse` was asked.

    Attributes:
        profiles: names with commas, `all` or `standard`.
        mode, slices: instead of the recipe's; then it is a look and no evidence.
        jobs: profiles at a time.
    """

    profiles: str = "standard"
    mode: Mode | None = None
    slices: int | None = None
    jobs: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A rehearsal that is about to begin.

    Attributes:
        project, build, cutoffs: what is rehearsed, and tau in force.
        recipe: with the numerics that were asked for.
        choice: profiles.
        frozen: the pinned cases.
        pin: their total.
        counts: whether the result is evidence.
    """

    project: Project
    build: Build
    cutoffs: Cutoffs
    recipe: Recipe
    choice: Choice
    frozen: Cohort
    pin: str
    counts: bool

    @property
    def mode(self) -> str:
        """The numerics mode that is rehearsed."""
        return self.recipe.numerics.mode


def rehearse(project: Project, asked: Asked) -> tuple[dict[str, Any], int]:
    """Rehearse the current build's recipe, and keep the result as evidence where it is its mode.

    Every profile trains in a process of its own from the prepared input, for as many epochs as the
    build; its network is declared unreleasable and not kept. Nothing is written where the command
    is ended before all profiles are done.

    Returns:
        What was found, and an exit code: 12 where an exact profile has other bits, 10 where a
        profile could not be carried out, else 0.

    Raises:
        UnusableInputError: there is no build to rehearse, its input is not at hand, or no profile
            could be carried out.
        UsageError: a profile does not exist or cannot run here; slices without exact mode.
    """
    with alone(project):
        plan = _plan(project, asked)
        with folder_whole(project.layout.work / "rehearsal") as folder:
            run = _rehearsed(plan, folder, asked.jobs)
        if plan.counts:
            path = evidence.append_run(project.layout, plan.build.number, run)
            say(
                f"{project.name}: kept as evidence: {path.relative_to(project.root)}; "
                f"`lifecycle rebuild {project.name}` judges the build with it"
            )
    return {**run, "build": plan.build.name, "evidence": plan.counts}, _code(plan, run)


def _rehearsed(plan: Plan, folder: Path, jobs: int) -> dict[str, Any]:
    """Carry all profiles out and compare them; the scores stay in `folder`."""
    failed = _carry_out(plan, folder, jobs)
    outcomes = [
        _outcome(plan, profile, folder / profile.name)
        for profile in plan.choice.run
        if profile.name not in failed
    ]
    if not outcomes:
        name, why = next(iter(failed.items()))
        raise UnusableInputError(f"no profile could be rehearsed; {name}: {why}")
    run = _run(plan, outcomes, failed, _compared(plan, outcomes))
    _leave(folder, outcomes)
    write_json(folder / RESULT, run)
    return run


def _plan(project: Project, asked: Asked) -> Plan:
    if not project.layout.current.exists():
        raise UnusableInputError(
            f"{project.name} has no build yet; `lifecycle rebuild {project.name}` makes one"
        )
    build, _ = current_build(project)
    own = recipe_carried_out(project, build)
    recipe = replace(own, numerics=numerics_asked(own, asked))
    require_input(project, build)
    frozen, pin = pinned_cohort(project)
    return Plan(
        project=project,
        build=build,
        cutoffs=read_cutoffs(project),
        recipe=recipe,
        choice=choose(asked.profiles),
        frozen=frozen,
        pin=pin.total,
        counts=recipe == own,
    )


def recipe_carried_out(project: Project, build: Build) -> Recipe:
    """The build's recipe as it was carried out, for its number of epochs."""
    done = build.content["recipe"]
    recipe = replace(
        project.classifier.recipe,
        lr=float(done["lr"]),
        l2=float(done["l2"]),
        epochs=int(done["epochs"]),
        stop="fixed",
    )
    planned = resolved_recipe(project)
    if (planned.lr, planned.l2) != (recipe.lr, recipe.l2):
        raise UnusableInputError(
            f"{project.rates} has other rates than {build.name}; run `dvc repro`"
        )
    return recipe


def numerics_asked(own: Recipe, asked: Asked) -> Numerics:
    """The recipe's numerics with the mode and slices that were asked for.

    Raises:
        UsageError: slices without exact mode, or exact mode with initial values that are not ours.
    """
    mode = asked.mode or own.numerics.mode
    if asked.slices is not None and mode != "exact":
        raise UsageError("--slices belongs to --mode exact")
    if mode == "exact" and own.init == "torch":
        raise UsageError("--mode exact needs `recipe.init: uniform`")
    dtype = "float64" if mode == "exact" else own.numerics.dtype
    slices = (asked.slices or own.numerics.slices) if mode == "exact" else 1
    return replace(own.numerics, mode=mode, dtype=dtype, slices=slices)


def require_input(project: Project, build: Build) -> None:
    """What the profiles train on must be what the build was trained on.

    Raises:
        UnusableInputError: it is missing, or of another build.
    """
    inputs = build.content["inputs"]
    here = {
        "cohort": recorded_digest(project.cohort),
        "parts": digest_of(dict(read_parts(project))),
        "features": preprocess.read(project.prepared).digest,
    }
    for key, digest in here.items():
        if inputs[key] != digest:
            raise UnusableInputError(
                f"{project.layout.work}: the {key} are not those of {build.name}; run `dvc repro`"
            )


def _carry_out(plan: Plan, folder: Path, jobs: int) -> dict[str, str]:
    """Run every profile in a child of its own; name -> last words of those that failed."""
    labels = {str(part): examples(plan.project, part).y for part in TRAINED_ON}
    tasks = [_task(plan, profile, folder / profile.name, labels) for profile in plan.choice.run]
    total, done = plan.recipe.epochs * len(tasks), 0
    with bar(f"{plan.project.name}: rehearsing") as advance:
        advance(0, total)

        def hear(name: str, entry: Mapping[str, Any]) -> None:
            nonlocal done
            if "epoch" in entry:
                done += 1
                advance(done, total)

        return run_children(tasks, jobs, hear)


def _task(plan: Plan, profile: Profile, place: Path, labels: Mapping[str, Any]) -> Task:
    place.mkdir()
    for part, y in labels.items():
        np.save(place / CLASSES.format(part), y, allow_pickle=False)
    recipe = replace(plan.recipe, numerics=replace(plan.recipe.numerics, threads=profile.threads))
    write_json(place / TASK, {"classifier": plan.project.name, "recipe": asdict(recipe)})
    module = "lifecycle.workflows.rehearsing_child"
    command = (sys.executable, "-m", module, str(place.resolve()))
    return Task(profile.name, command, profile.environment(os.environ), plan.project.root)


def _outcome(plan: Plan, profile: Profile, place: Path) -> Outcome:
    facts = read_fields(place / FACTS, {"digests": list, "seen": dict})
    _, held = read_input(plan.project, "holdout")
    tensors = tensors_in(place / WEIGHTS)
    return Outcome(
        name=profile.name,
        weights=tensors_digests(tensors()),
        frozen=predictions_of(plan.project, plan.frozen, read_array(place / FROZEN)),
        holdout=predictions_of(plan.project, held, read_array(place / HOLDOUT)),
        tensors=tensors,
        digests=tuple(facts["digests"]),
        folder=place,
        seen=facts["seen"],
    )


def tensors_in(path: Path) -> Callable[[], dict[str, Any]]:
    """Tensors are read when they are asked for: many profiles of a wide network fill the memory."""
    return lambda: weights.tensors_in(path.read_bytes(), path)


def _compared(plan: Plan, outcomes: Sequence[Outcome]) -> Findings:
    """Against the build where its own mode is rehearsed, else against the first profile."""
    reference = _build_outcome(plan) if plan.counts else None
    if reference is not None:
        outcomes = [_in_order(one, reference) for one in outcomes]
    return compare(reference, outcomes, plan.cutoffs, plan.project.classifier.policy.alpha)


def _build_outcome(plan: Plan) -> Outcome:
    project, build = plan.project, plan.build
    path = project.layout.weights / f"{build.content['weights']['file']}.safetensors"
    trace = trace_of(build)
    return Outcome(
        name=build.name,
        weights={key: build.content["weights"][key] for key in ("md5", "sha256")},
        frozen=pinned_predictions(project, build),
        holdout=kept.holdout_predictions(build),
        tensors=tensors_in(path) if path.exists() else None,
        digests=() if trace is None else trace.weights[1:],
    )


def _in_order(one: Outcome, reference: Outcome) -> Outcome:
    """Kept and rehearsed scores stand in the same order of cases (that of the part)."""
    for mine, theirs in ((one.frozen, reference.frozen), (one.holdout, reference.holdout)):
        _require_same_cases(one.name, mine, reference.name, theirs)
    return one


def _require_same_cases(name: str, mine: Predictions, other: str, theirs: Predictions) -> None:
    if mine.ids != theirs.ids:
        raise UnusableInputError(f"{name} and {other} scored other cases; run `dvc repro`")


def _run(
    plan: Plan, outcomes: Sequence[Outcome], failed: Mapping[str, str], found: Findings
) -> dict[str, Any]:
    """The run as it is kept (`dossier.rehearsals.RUN`)."""
    here = fingerprint()
    return {
        "bound": evidence.bound_to(plan.build, plan.pin, plan.cutoffs),
        "made": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "mode": plan.mode,
        "machine": here["machine"],
        "libraries": here["libraries"],
        "note": STAND_IN,
        "releasable": False,
        "profiles": [_profile_entry(one, found) for one in outcomes],
        "traces": {digest_of(list(one.digests)): list(one.digests) for one in outcomes},
        "series": dict(found.series),
        "worst": None if found.worst is None else dict(found.worst),
        "failed": dict(failed),
        "left_out": dict(plan.choice.left_out),
    }


def _profile_entry(one: Outcome, found: Findings) -> dict[str, Any]:
    from lifecycle.numerics.profiles import PROFILES

    return {
        "name": one.name,
        "settings": PROFILES[one.name].settings(),
        "seen": dict(one.seen or {}),
        "weights": dict(one.weights),
        "scores": {"frozen": one.frozen.digest(), "holdout": one.holdout.digest()},
        "trace": digest_of(list(one.digests)),
        "against": dict(found.against[one.name]),
    }


def _leave(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Scores stay for a look, the networks do not: they are not to be released."""
    for one in outcomes:
        place = folder / one.name
        for name in (WEIGHTS, TASK, *(CLASSES.format(part) for part in TRAINED_ON)):
            (place / name).unlink()
    for place in folder.iterdir():
        if not (place / FROZEN_EPOCHS).exists():  # a profile that failed
            _remove(place)


def _remove(place: Path) -> None:
    for path in place.iterdir():
        path.unlink()
    place.rmdir()


def _code(plan: Plan, run: Mapping[str, Any]) -> int:
    if plan.mode == "exact" and len(_digests(plan, run)) > 1:
        return int(ExitCode.INTEGRITY)
    return int(ExitCode.UNUSABLE_INPUT if run["failed"] else ExitCode.DONE)


def _digests(plan: Plan, run: Mapping[str, Any]) -> set[str]:
    """Distinct weights: of the profiles, and of the build where its own mode is rehearsed."""
    found = {profile["weights"]["sha256"] for profile in run["profiles"]}
    return found | {plan.build.weights} if plan.counts else found
