"""Everything that a report shows, gathered from dossier and work."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifecycle.cohorts.expectations import read_result
from lifecycle.consistency import agree as agreeing
from lifecycle.consistency.tau import curve
from lifecycle.dossier import builds as kept
from lifecycle.dossier import rehearsals
from lifecycle.dossier.attempts import read_attempts
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import read_fields, read_record
from lifecycle.release import chain as chains
from lifecycle.release.case import needs_of
from lifecycle.release.chain import Link
from lifecycle.release.roster import Roster, read_rosters
from lifecycle.release.standing import Standing, standing
from lifecycle.report.source import ReportInput, Signature, Validation
from lifecycle.workflows.building import CURVES
from lifecycle.workflows.changes import changes_between, features_between
from lifecycle.workflows.data import pinned_cohort
from lifecycle.workflows.deciding import AGREEMENT, current_build, faced_predictions, read_cutoffs
from lifecycle.workflows.divergences import kept_divergence
from lifecycle.workflows.judging import kept_verdict
from lifecycle.workflows.project import Project


def gather(project: Project) -> ReportInput:
    """What follows from the pipeline alone: the same whenever it is asked for."""
    build, _ = current_build(project)
    before = _build_before(project, build)
    comparison = read_record(project.comparison / AGREEMENT)
    kept_agreement = comparison["agreement"]
    frozen = faced_predictions(project, build, comparison["references"])
    holdout = kept.holdout_predictions(build)
    positive = project.classifier.tau.positive or project.classifier.classes[0]
    return ReportInput(
        name=project.name,
        classifier=project.classifier,
        verdict=kept_verdict(project, build),
        agreement=None if kept_agreement is None else agreeing.from_json(kept_agreement),
        cutoffs=read_cutoffs(project),
        holdout=holdout,
        frozen=frozen.pop(build.name),
        frozen_before=frozen,
        holdout_curve=curve(holdout, positive),
        epochs=_epochs(project.layout.work / CURVES),
        number=build.number,
        content=dict(build.content),
        run=_run_facts(project, build),
        pin=pinned_cohort(project)[1],
        validation=_validation(project),
        changes=None if before is None else changes_between(project.root, before, build),
        features=None if before is None else features_between(before, build),
        rehearsals=_rehearsals(project, build),
        attempts=sum(a.version == build.version and a.k > 0 for a in read_attempts(project.layout)),
    )


def decided(project: Project) -> dict[str, Any]:
    """What came after the pipeline: signatures on the build, and a divergence that was looked for.

    Returns:
        Fields of `ReportInput`.
    """
    build, _ = current_build(project)
    rosters = read_rosters(project.layout.signers)
    chain = chains.read(project.layout.releases, project.name, rosters)
    links = [
        link
        for link in chain.links
        if link.record.version == build.version and link.record.build in (build.number, None)
    ]
    where = standing(chain, build.version, needs_of(project.layout))
    return {
        "standing": _standing_said(where, build.number),
        "signatures": tuple(_signature(link, chain.rosters) for link in _of(links, build.number)),
        "divergence": kept_divergence(project, build),
    }


def _build_before(project: Project, build: Build) -> Build | None:
    """The build enrolled before, of whichever version: what a reviewer knew last."""
    earlier = [one for one in kept.read_builds(project.layout) if one.number < build.number]
    return earlier[-1] if earlier else None


def _validation(project: Project) -> Validation:
    found = read_result(project.validation / "result.json")
    return Validation(
        found.passed,
        found.checked,
        tuple(str(failure) for failure in found.failures),
        tuple(str(warning) for warning in found.warnings),
    )


def _rehearsals(project: Project, build: Build) -> list[Mapping[str, Any]]:
    """The rehearsals that speak of this build, at the pin and tau in force."""
    pin, cutoffs = pinned_cohort(project)[1], read_cutoffs(project)
    bound = rehearsals.bound_to(build, pin.total, cutoffs)
    return [run for run in rehearsals.read_runs(project.layout, build.number)
            if run["bound"] == bound]  # fmt: skip


def _run_facts(project: Project, build: Build) -> dict[str, Any]:
    """When and from what the build was first made; its run is that of the latest repetition."""
    latest = read_fields(project.build / kept.RUN, {"run": str})
    return {**kept.run_facts(build), "run": latest["run"]}


def _epochs(path: Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _of(links: list[Link], build: int) -> list[Link]:
    """Records on one build, and those without a build that speak of one of them."""
    digests = {link.digest for link in links if link.record.build == build}
    return [one for one in links if one.record.build == build or one.record.target in digests]


def _signature(link: Link, rosters: tuple[Roster, ...]) -> Signature:
    record, signed = link.record, link.record.signature
    roster = next(one for one in rosters if one.version == record.roster[0])
    person = next(one for one in roster.people if one.keyid == signed.keyid)
    return Signature(
        number=record.number,
        kind=record.kind,
        meaning=signed.meaning,
        name=signed.printed_name,
        role=", ".join(person.roles),
        at=signed.signed_at,
        build=f"b{record.build}" if record.build else "",
        reason=record.reason or "",
        digest=link.digest,
    )


def _standing_said(where: Standing, build: int) -> str:
    """Where a build stands, and which other one is in force."""
    said, current = _decided(where, build), where.current
    if current is None or current.subject.build == build:
        return said
    return f"{said}; released is b{current.subject.build}"


def _decided(where: Standing, build: int) -> str:
    """The last word on a build."""
    released = [one for one in where.releases if one.subject.build == build]
    if released and released[-1].withdrawn is not None:
        return "withdrawn"
    if released:
        mark = " (DEMONSTRATION)" if released[-1].subject.demonstration else ""
        return f"released{mark}"
    if any(link.record.build == build for link in where.refusals):
        return "refused"
    partial = [one for one in where.partial if one.subject.build == build]
    if partial:
        return f"signed in part, missing {' and '.join(partial[-1].missing)}"
    return "not signed"
