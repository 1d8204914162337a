"""The report for people, and the view in MLflow."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifecycle.cohorts.expectations import read_result
from lifecycle.consistency import agree as agreeing
from lifecycle.consistency.tau import curve
from lifecycle.domain.verdict import Verdict
from lifecycle.dossier import builds as kept
from lifecycle.dossier import rehearsals
from lifecycle.dossier.attempts import read_attempts
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import folder_whole, read_json, read_record
from lifecycle.errors import UnusableInputError
from lifecycle.numerics.fingerprint import changed_keys
from lifecycle.report.figures import figures
from lifecycle.report.page import render
from lifecycle.report.source import ReportInput, Validation
from lifecycle.workflows.boundary import say
from lifecycle.workflows.building import CURVES
from lifecycle.workflows.data import pinned_cohort
from lifecycle.workflows.deciding import AGREEMENT, current_build, faced_predictions, read_cutoffs
from lifecycle.workflows.judging import read_verdict
from lifecycle.workflows.project import Project

PAGE = "report.html"
SIGNS = {"pass": "PASS ✓", "fail": "FAIL ✖", "inconclusive": "INCONCLUSIVE ?"}


def report_path(project: Project) -> Path:
    """The report of the current build.

    Raises:
        UnusableInputError: it is not written yet.
    """
    path = project.report / PAGE
    if not path.is_file():
        raise UnusableInputError(
            f"{project.name} has no report yet; `lifecycle rebuild {project.name}` writes it"
        )
    return path


def write_report(project: Project) -> None:
    """Write the report of the current build, and complete its run in MLflow."""
    material = gather(project)
    with folder_whole(project.report) as folder:
        drawn = figures(material)
        (folder / PAGE).write_text(render(material, drawn), encoding="utf-8")
        (folder / "figures").mkdir()
        for name, svg in drawn.items():
            (folder / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8")
    _tell_tracking(project, material)
    say(f"{project.name}: report {report_path(project).relative_to(project.root)}")


def gather(project: Project) -> ReportInput:
    """Everything that the report shows, read from dossier and work."""
    build, before = current_build(project)
    comparison = read_record(project.comparison / AGREEMENT)
    kept_agreement = comparison["agreement"]
    frozen = faced_predictions(project, build, comparison["references"])
    holdout = kept.holdout_predictions(build)
    positive = project.classifier.tau.positive or project.classifier.classes[0]
    validation = read_result(project.validation / "result.json")
    return ReportInput(
        name=project.name,
        classifier=project.classifier,
        verdict=read_verdict(project, build),
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
        validation=Validation(
            validation.passed,
            validation.checked,
            tuple(str(failure) for failure in validation.failures),
            tuple(str(warning) for warning in validation.warnings),
        ),
        environment_changes=_changes(build, before),
        rehearsals=_rehearsals(project, build),
        attempts=sum(a.version == build.version and a.k > 0 for a in read_attempts(project.layout)),
    )


def _rehearsals(project: Project, build: Build) -> list[Mapping[str, Any]]:
    """The rehearsals that speak of this build, at the pin and tau in force."""
    pin, cutoffs = pinned_cohort(project)[1], read_cutoffs(project)
    bound = rehearsals.bound_to(build, pin.total, cutoffs)
    return [run for run in rehearsals.read_runs(project.layout, build.number)
            if run["bound"] == bound]  # fmt: skip


def _run_facts(project: Project, build: Build) -> dict[str, Any]:
    """When and from what the build was first made; its run is that of the latest repetition."""
    latest = read_json(project.build / kept.RUN)
    return {**read_json(build.folder / kept.RUN), "run": latest["run"]}


def _changes(build: Build, before: tuple[Build, ...]) -> list[str]:
    if not before:
        return []
    return changed_keys(before[-1].content["environment"], build.content["environment"])


def _epochs(path: Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _tell_tracking(project: Project, material: ReportInput) -> None:
    from lifecycle.tracking.runs import VERDICT_COLOURS, Addition, add_to_run

    verdict = material.verdict
    metrics = read_json(project.layout.dossier / "metrics.json")
    sign = SIGNS[verdict.status]
    addition = Addition(
        tags={
            "verdict": sign,
            "verdict.code": verdict.status,
            "verdict.basis": verdict.basis,
            "tau": "refused" if metrics["tau"] is None else f"{metrics['tau']:.6g}",
            "mlflow.runColor": VERDICT_COLOURS[verdict.status],
        },
        metrics={k: float(v) for k, v in metrics.items() if _is_number(v) and k != "build"},
        files=_artifacts(project, verdict),
        tables={
            "tables/criteria.json": _criteria(verdict),
            "tables/discordant_cases.json": _cases(material.agreement),
        },
        note=f"{sign} {_why(verdict)}",
    )
    run = str(material.run["run"])
    if not add_to_run(project.root, run, addition):
        say(f"{project.name}: MLflow does not know the run {run}; the report stands on its own")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _artifacts(project: Project, verdict: Verdict) -> list[tuple[Path, str | None]]:
    found: list[tuple[Path, str | None]] = [(project.report / PAGE, None)]
    found.append((project.layout.verdicts / f"b{verdict.build}.json", "verdict"))
    found.append((project.comparison / "discordant.csv", "tables"))
    drawn = sorted((project.report / "figures").iterdir())
    return found + [(path, "figures") for path in drawn]


def _criteria(verdict: Verdict) -> list[Mapping[str, object]]:
    return [
        {
            "criterion": finding.criterion,
            "status": finding.status,
            "figure": finding.figure,
            "limit": finding.limit,
            "bound": finding.bound,
            "said": finding.said,
        }
        for finding in verdict.findings
    ]


def _cases(agreement: agreeing.Agreement | None) -> list[Mapping[str, object]]:
    if agreement is None:
        return []
    return [
        {"case": one.case, "patient": one.patient, **dict(one.calls)}
        for one in agreement.discordant
    ]


def _why(verdict: Verdict) -> str:
    worst = [finding for finding in verdict.findings if finding.status == verdict.status]
    return worst[0].said if worst and verdict.status != "pass" else f"basis: {verdict.basis}"
