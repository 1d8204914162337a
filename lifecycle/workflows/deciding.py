"""Threshold, compare, gate: from kept predictions to a verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lifecycle.consistency import agree as agreeing
from lifecycle.consistency.tau import choose, curve
from lifecycle.consistency.units import require_groups
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.domain.sheets import sheet
from lifecycle.dossier import builds as kept
from lifecycle.dossier.attempts import file_of, read_attempts, require_attempts
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import folder_whole, read_fields, write_json, write_whole
from lifecycle.dossier.pipeline import follows, read_current, read_threshold, write_threshold
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.gate.rules import NOW, RULES
from lifecycle.records.format import plain
from lifecycle.release import chain as chains
from lifecycle.release.case import agreement_of, faced, needs_of, pinned_scores
from lifecycle.release.derived import owed
from lifecycle.release.followed import Facts
from lifecycle.release.predecessors import facts_of
from lifecycle.release.roster import read_rosters
from lifecycle.release.standing import released_builds, standing
from lifecycle.release.subjects import attempts_named, require_subjects
from lifecycle.workflows.boundary import say
from lifecycle.workflows.data import pinned_cohort
from lifecycle.workflows.exposing import exposure_of
from lifecycle.workflows.project import Project
from lifecycle.workflows.terms import require_same_terms

AGREEMENT = "agreement.json"


def current_build(project: Project) -> tuple[Build, tuple[Build, ...]]:
    """The build that the pipeline stands at, and those of its version before it.

    Raises:
        UnusableInputError: nothing is enrolled yet, or it is a build of another version.
    """
    if not project.layout.current.exists() and not kept.read_builds(project.layout):
        raise UnusableInputError(
            f"{project.name}: no build yet; `lifecycle rebuild {project.name}` makes one"
        )
    pointer = read_current(project.layout)
    number = pointer.build
    builds = kept.read_builds(project.layout)
    require_same_terms(project.name, project.classifier, builds)
    if not 1 <= number <= len(builds):
        raise IntegrityError(
            f"{project.layout.current} names b{number}, which is not in the dossier"
        )
    build = builds[number - 1]
    if pointer.version != build.version:
        raise IntegrityError(f"{project.layout.current} was changed; run `dvc repro`")
    if build.version != project.classifier.version:
        raise UnusableInputError(
            f"{project.name}: {build.name} is of version {build.version}, params.yaml says "
            f"{project.classifier.version}; run `dvc repro`"
        )
    _require_running(project, build)
    return build, tuple(b for b in builds[: number - 1] if b.version == build.version)


def _require_running(project: Project, build: Build) -> None:
    """The pointer must name the build that the pipeline made last (where that is at hand)."""
    facts = project.build / "facts.json"
    needed = {"weights.sha256": str}
    if facts.exists() and read_fields(facts, needed)["weights"]["sha256"] != build.weights:
        raise IntegrityError(
            f"{project.layout.current} names {build.name}, but the pipeline's own build has other "
            f"weights; run `dvc repro enrol@{project.name}`"
        )


def choose_threshold(project: Project) -> None:
    """Tau from the holdout of the version's first build: later builds are held to it."""
    build, before = current_build(project)
    first = before[0] if before else build
    holdout = kept.holdout_predictions(first)
    plan = project.classifier.tau
    cutoffs = choose(holdout, plan)
    write_threshold(project.layout, build.version, first.name, cutoffs)
    rows = "".join(
        f"{point[0]!r},{point[1]!r},{point[2]!r}\n"
        for point in curve(holdout, plan.positive or project.classifier.classes[0])
    )
    path = project.layout.work / "holdout_curve.csv"
    write_whole(path, ("score,precision,recall\n" + rows).encode())
    say(f"{project.name}: tau {cutoffs.status}: {_tau_said(cutoffs)}")


def _tau_said(cutoffs: Cutoffs) -> str:
    distinct = sorted(set(cutoffs.yes))
    return ", ".join(f"{value:.4g}" for value in distinct)


def read_cutoffs(project: Project) -> Cutoffs:
    """Tau as the threshold stage kept it, strictly: it must follow from the first build again.

    Raises:
        IntegrityError: the file was changed.
    """
    build, before = current_build(project)
    entry = read_threshold(project.layout)
    first = before[0] if before else build
    cutoffs = choose(kept.holdout_predictions(first), project.classifier.tau)
    if not follows(entry, build.version, first.name, cutoffs):
        raise IntegrityError(
            f"{project.layout.threshold}: tau does not follow from the holdout of {first.name}; "
            f"restore the file, or run `dvc repro threshold@{project.name}`"
        )
    return cutoffs


def pinned_predictions(project: Project, build: Build) -> Predictions:
    """A build's scores on exactly the pinned cases.

    Raises:
        IntegrityError: they are scores of other cases.
    """
    _, pin = pinned_cohort(project)
    return pinned_scores(project.layout, build, pin)


def references(
    build: Build, builds: Sequence[Build], released: Collection[int]
) -> tuple[Build, ...]:
    """Whom a candidate faces: every released build of its version but itself, later ones too.

    Where none is released yet, the version's first build and the latest before the candidate: good
    for a look, and the verdict's basis says so. The first one is always among them, or a build
    that lost reports would be washed clean by building it again and comparing it with its twin.
    """
    faces = owed(released, build.number, RULES[NOW])
    own = tuple(one for one in builds if one.version == build.version)
    signed = tuple(one for one in own if one.number in faces)
    before = tuple(one for one in own if one.number < build.number)
    return signed or (before[:1] + before[1:][-1:])


def released_of(project: Project, version: str) -> frozenset[int]:
    """Numbers of the version's builds that are signed releases; the chain is verified.

    A withdrawn release is not among them: a build that must not be used is nothing to agree with.
    """
    rosters = read_rosters(project.layout.signers)
    chain = chains.read(project.layout.releases, project.name, rosters)
    # a released build that is gone or another one would leave nothing to contradict
    require_subjects(project.layout, chain, weights=False)
    return released_builds(chain, version, needs_of(project.layout))


def settled_attempts(project: Project, version: str) -> set[str]:
    """Weights of the attempts that a release has settled: after them the count begins anew.

    Only a release of a network that was not released before settles anything: building a released
    network once more proves nothing new. Settled are the attempts that the release's own record
    names; records of `gate/1` name none, there it is the builds up to the released one.

    Raises:
        IntegrityError: a file that was signed is missing or was changed. Nothing is scored then: a
            build that took the place of a missing one would be numbered as it, with another tau.
    """
    layout = project.layout
    chain = chains.read(layout.releases, project.name, read_rosters(layout.signers))
    require_subjects(layout, chain, weights=False)
    builds = {one.number: one for one in kept.read_builds(layout) if one.version == version}
    known: set[str] = set()
    settled: set[str] = set()
    for release in standing(chain, version, needs_of(layout)).releases:
        build = builds.get(release.subject.build)
        if build is None or build.weights in known:
            continue
        known.add(build.weights)
        link = next(one for one in release.links if one.record.number == release.number)
        named = attempts_named(layout, link.record.subjects)
        settled = (
            {
                one.weights
                for one in read_attempts(layout)
                if one.version == version and file_of(one) in named
            }
            if named
            else {one.weights for one in builds.values() if one.number <= build.number}
        )
    return settled


def compare_builds(project: Project) -> None:
    """Agreement of the current build with those that it must not contradict."""
    entry = comparison_of(project)
    agreement = None if entry["agreement"] is None else agreeing.from_json(entry["agreement"])
    with folder_whole(project.comparison) as folder:
        write_json(folder / AGREEMENT, entry)
        write_whole(folder / "discordant.csv", cases_csv(agreement).encode())
    say(f"{project.name}: {_agreement_said(entry, agreement)}")


def comparison_of(project: Project) -> dict[str, Any]:
    """The comparison of the current build, from the kept predictions; nothing is written."""
    build, _ = current_build(project)
    own = pinned_predictions(project, build)  # also where there is nothing to compare with
    unit = project.classifier.policy.unit
    require_groups(unit, own.ids, own.groups, f"{project.name} {build.name}, frozen set")
    cutoffs = read_cutoffs(project)
    released = released_of(project, build.version)
    faces = references(build, kept.read_builds(project.layout), released)
    signed = any(one.number in released for one in faces)
    names = [reference.name for reference in faces]
    agreement = None
    if names:
        aligned = faced_predictions(project, build, names)
        policy = project.classifier.policy
        agreement = agreement_of(aligned, cutoffs, policy, attempt_of(project, build))
    return {
        "build": build.name,
        "references": names,
        "released": signed,
        "tau": list(cutoffs.yes),
        "attempt": attempt_of(project, build),
        "followed": plain(followed_now(project, build)),
        "agreement": None if agreement is None else agreeing.to_json(agreement),
    }


def followed_now(project: Project, build: Build) -> Facts:
    """What the chain says of the versions before the build's own; the chain is verified."""
    layout = project.layout
    chain = chains.read(layout.releases, project.name, read_rosters(layout.signers))
    first = kept.first_of(kept.read_builds(layout), build.version) or build
    exposure = exposure_of(project, build)
    return facts_of(layout, chain, build.version, first.number, project.classifier.policy, exposure)


def faced_predictions(project: Project, build: Build, names: list[str]) -> dict[str, Predictions]:
    """Frozen scores of the references and of the build (last), on the same cases.

    Raises:
        IntegrityError: the frozen set is not the pinned one, or scores are of other cases.
    """
    _, pin = pinned_cohort(project)
    references = [kept.read_build(project.layout, int(name[1:])) for name in names]
    return faced(project.layout, build, references, pin.total)


def attempt_of(project: Project, build: Build) -> int:
    """Which attempt the build's network was: 0 for a version's first.

    Raises:
        IntegrityError: it, or any other build, was scored without being recorded.
    """
    attempts = [a for a in read_attempts(project.layout) if a.version == build.version]
    builds = [b for b in kept.read_builds(project.layout) if b.version == build.version]
    require_attempts(project.layout, build.version, attempts, [b.weights for b in builds])
    return {a.weights: a.k for a in attempts}[build.weights]


def _agreement_said(entry: Mapping[str, Any], agreement: agreeing.Agreement | None) -> str:
    if agreement is None:
        return f"{entry['build']} is the first build of its version; nothing to compare with"
    series = agreement.series
    return (
        f"{entry['build']} against {', '.join(entry['references'])}: {series.D} of {series.R} "
        f"reportable cases discordant, {series.conversions} conversions, {series.S} cases"
    )


def cases_csv(agreement: agreeing.Agreement | None) -> str:
    """Discordant and converted cases as CSV for people."""
    names = () if agreement is None else agreement.names
    listed = [] if agreement is None else _listed(agreement)
    rows = [[one.case, one.patient, kind, *(one.calls[name] for name in names)]
            for kind, many in listed for one in many]  # fmt: skip
    return sheet([["case", "patient", "kind", *names], *rows])


def _listed(agreement: agreeing.Agreement) -> list[tuple[str, tuple[agreeing.Discordant, ...]]]:
    return [("discordant", agreement.discordant), ("conversion", agreement.conversions)]
