"""Gate: from a comparison and the kept evidence to a verdict."""

from __future__ import annotations

from typing import Any

from lifecycle.cohorts.expectations import read_result
from lifecycle.consistency.calls import call
from lifecycle.domain.digests import digest_of
from lifecycle.domain.predictions import Calls, Cutoffs, Predictions
from lifecycle.domain.verdict import Verdict
from lifecycle.dossier import builds as kept
from lifecycle.dossier import rehearsals
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import read_record, write_json
from lifecycle.dossier.pins import pin_of
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.gate import judge as judging
from lifecycle.gate.rules import NOW, RULES
from lifecycle.release.case import Case, replay
from lifecycle.release.derived import (
    arithmetic_fault,
    identical,
    policy_newer,
    recipe_changed_after_list,
)
from lifecycle.release.subjects import require_weights
from lifecycle.stats.auc import macro_auc
from lifecycle.workflows.boundary import say
from lifecycle.workflows.data import pinned_cohort
from lifecycle.workflows.deciding import (
    AGREEMENT,
    attempt_of,
    comparison_of,
    current_build,
    followed_now,
    read_cutoffs,
)
from lifecycle.workflows.exposing import exposure_of
from lifecycle.workflows.project import Project


def judge_build(project: Project) -> None:
    """Judge the current build and keep the verdict, whatever it is."""
    verdict = judge_now(project)
    path = project.layout.verdicts / f"b{verdict.build}.json"
    build = kept.read_build(project.layout, verdict.build)
    write_json(path, judging.to_record(verdict, project.name, build.weights))
    write_json(project.layout.dossier / "metrics.json", metrics_of(project, verdict))
    say(f"{project.name} b{verdict.build}: {verdict.status.upper()} ({verdict.basis})")


def judge_now(project: Project) -> Verdict:
    """The verdict on the current build, recomputed from its evidence; nothing is written."""
    return replay(project.layout, case_of(project))


def case_of(project: Project) -> Case:
    """What the verdict on the current build rests on, checked on the way."""
    build, before = current_build(project)
    require_weights(project.layout, build)
    cutoffs = read_cutoffs(project)
    compared = _read_comparison(project, build)
    _, pin = pinned_cohort(project)
    policy = project.classifier.policy
    rehearsed = rehearsed_profiles(project, build, cutoffs)
    builds = kept.read_builds(project.layout)
    faced = [other for other in builds if other.name in compared["references"]]
    rules = RULES[NOW]
    return Case(
        classifier=project.name,
        version=build.version,
        task=project.classifier.task,
        build=build.number,
        first=(before[0] if before else build).number,
        references=tuple(other.number for other in faced),
        released=bool(compared["released"]),
        identical=identical(build, faced),
        pin=pin.total,
        attempt=attempt_of(project, build),
        policy=policy,
        tau=project.classifier.tau,
        yes=cutoffs.yes,
        no=cutoffs.no,
        validation_passed=read_result(project.validation / "result.json").passed,
        policy_newer=policy_newer(project.layout, build, builds, policy, rules),
        arithmetic_fault=arithmetic_fault(build, before, rules),
        list_seen=recipe_changed_after_list(project.layout, build, builds),
        numerics_mode=project.classifier.recipe.numerics.mode,
        rehearsals=rehearsed.agree,
        rehearsed_other_bits=rehearsed.other_bits,
        origin="simulated" if build.content["origin"] == "simulated" else "real",
        rules=rules.name,
        criteria=tuple(rules.criteria),
        followed=followed_now(project, build),
        exposure=exposure_of(project, build),
    )


def rehearsed_profiles(project: Project, build: Build, cutoffs: Cutoffs) -> rehearsals.Counted:
    """What the rehearsals of a build amount to; those of other weights, recipe or tau do not count.

    Raises:
        IntegrityError: the record of rehearsals was changed.
    """
    pin = pin_of(project.layout.pins, build.version)
    bound = rehearsals.bound_to(build, "" if pin is None else pin.total, cutoffs)
    mode = project.classifier.recipe.numerics.mode
    return rehearsals.count(rehearsals.read_runs(project.layout, build.number), bound, mode)


def _read_comparison(project: Project, build: Build) -> dict[str, Any]:
    """The comparison of the current build; it must follow from the kept predictions again.

    Raises:
        IntegrityError: it is of another build, or was changed.
    """
    path = project.comparison / AGREEMENT
    if not path.exists():
        raise UnusableInputError(
            f"{path} is missing: work/ is not kept by git; `lifecycle rebuild {project.name}` "
            "makes it again"
        )
    entry: dict[str, Any] = read_record(path)
    if digest_of(entry) != digest_of(comparison_of(project)):
        raise IntegrityError(
            f"{path} does not follow from the kept predictions of {build.name}: it is stale or "
            f"was changed; run `dvc repro compare@{project.name}`"
        )
    return entry


def read_verdict(project: Project, build: Build) -> Verdict:
    """The kept verdict on a build, whole.

    Raises:
        UnusableInputError: the build is not judged yet.
        IntegrityError: it was changed, or is a verdict on another build.
    """
    path = project.layout.verdicts / f"{build.name}.json"
    return judging.from_record(
        read_record(path), str(path), build.number, project.name, build.weights
    )


def kept_verdict(project: Project, build: Build) -> Verdict:
    """The kept verdict on the current build in the sentences of today: it must follow again.

    Raises:
        UnusableInputError: the build is not judged yet.
        IntegrityError: the evidence amounts to another decision than the one that was kept.
    """
    kept_one, now = read_verdict(project, build), judge_now(project)
    found = judging.difference(kept_one, now)
    if found is not None:
        raise IntegrityError(
            f"{project.layout.verdicts / build.name}.json is not what the evidence amounts to now "
            f"({found} differs): something was added after it, such as a rehearsal, or was "
            f"changed; run `lifecycle rebuild {project.name}`"
        )
    return now


def metrics_of(project: Project, verdict: Verdict) -> dict[str, Any]:
    """The few figures that `dvc metrics diff` shows."""
    build, _ = current_build(project)
    cutoffs = read_cutoffs(project)
    frozen, holdout = kept.frozen_predictions(build), kept.holdout_predictions(build)
    calls = call(frozen, cutoffs)
    series = verdict.shown.get("series")
    return {
        "build": build.number,
        "verdict": verdict.status,
        "tau": None if cutoffs.status == "refused" else max(cutoffs.yes),
        "tau_status": cutoffs.status,
        "holdout_accuracy": accuracy(holdout),
        "frozen_accuracy": accuracy(frozen),
        "frozen_macro_auc": _macro_auc(frozen),
        "frozen_reportable": _reportable(calls),
        "frozen_cases": len(frozen.ids),
        "discordant": None if series is None else series["D"],
        "conversions": None if series is None else series["conversions"],
        "consistency": None if series is None else series["consistency"],
        "simulated": build.content["origin"] == "simulated",
    }


def _reportable(calls: Calls) -> float:
    """Share that is reported: of cases; multi-label: of (case, class) results."""
    said = calls.state != 0
    return float((said if calls.task == "multi" else said.any(axis=1)).mean())


def _macro_auc(predictions: Predictions) -> float | None:
    """Mean one-vs-rest area over the classes that have one; None without labels."""
    if predictions.labels is None:
        return None
    return macro_auc(predictions.scores, predictions.labels, predictions.classes)[0]


def accuracy(predictions: Predictions) -> float | None:
    """Share of labelled cases whose argmax is right, every case called; None without labels."""
    known = [
        (label, top)
        for label, top in zip(
            predictions.labels or (), predictions.scores.argmax(axis=1).tolist(), strict=False
        )
        if label
    ]
    if not known or predictions.task != "single":
        return None
    right = sum(predictions.classes[top] == label for label, top in known)
    return float(right / len(known))
