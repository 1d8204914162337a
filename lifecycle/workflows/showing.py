"""What the terminal shows: builds, tau, verdicts."""

from __future__ import annotations

import json
from dataclasses import asdict

from lifecycle.domain.verdict import Finding, Verdict
from lifecycle.dossier.builds import RUN, Build, read_builds
from lifecycle.dossier.files import read_json
from lifecycle.errors import ExitCode
from lifecycle.gate import judge as judging
from lifecycle.workflows.deciding import read_cutoffs
from lifecycle.workflows.judging import read_verdict
from lifecycle.workflows.project import Project

MARKS = {"pass": "✓", "fail": "✖", "inconclusive": "?"}
_CODES = {
    "pass": ExitCode.DONE,
    "fail": ExitCode.VERDICT_FAIL,
    "inconclusive": ExitCode.VERDICT_INCONCLUSIVE,
}


def exit_code(verdict: Verdict) -> int:
    """0 pass, 20 fail, 21 inconclusive."""
    return int(_CODES[verdict.status])


def show_verdict(name: str, verdict: Verdict, as_json: bool) -> str:
    """A verdict for a person, or as JSON."""
    if as_json:
        return json.dumps(judging.to_json(verdict), indent=2)
    head = f"{name} b{verdict.build}: {verdict.status.upper()} (basis: {verdict.basis})"
    return "\n".join([head, *(_line(finding) for finding in verdict.findings)])


def _line(finding: Finding) -> str:
    return f"  {MARKS[finding.status]} {finding.criterion:<28} {finding.said}"


def show_threshold(project: Project, as_json: bool) -> str:
    """Tau and its evidence."""
    cutoffs = read_cutoffs(project)
    if as_json:
        return json.dumps(asdict(cutoffs), indent=2)
    kept = read_json(project.layout.threshold)
    lines = [f"{project.name} {kept['version']}: from the holdout of {kept['build']}"]
    values = sorted(set(cutoffs.yes))
    if cutoffs.status != "refused" and len(values) == 1:
        lines.append(f"tau = {values[0]:.6g} for every class ({cutoffs.status})")
    elif cutoffs.status != "refused":
        pairs = zip(project.classifier.classes, cutoffs.yes, strict=True)
        lines += [f"tau = {value:.6g} for {name}" for name, value in pairs]
    said = [str(cutoffs.evidence.get(key, "")) for key in ("said", "note")]
    return "\n".join([*lines, *(text for text in said if text)])


def list_builds(project: Project, as_json: bool) -> str:
    """Every build with its verdict; all records are verified on the way."""
    rows = [_row(project, build) for build in read_builds(project.layout)]
    if as_json:
        return json.dumps(rows, indent=2)
    if not rows:
        return f"{project.name}: no build yet; `lifecycle rebuild {project.name}` makes one"
    lines = [f"{'build':<6} {'version':<10} {'weights':<13} {'verdict':<13} {'built':<26} origin"]
    for row in rows:
        lines.append(
            f"{row['build']:<6} {row['version']:<10} {row['weights'][:12]:<13} "
            f"{row['verdict']:<13} {row['built']:<26} {row['origin']}"
        )
    return "\n".join(lines)


def _row(project: Project, build: Build) -> dict[str, str]:
    path = project.layout.verdicts / f"{build.name}.json"
    run = read_json(build.folder / RUN)
    return {
        "build": build.name,
        "version": build.version,
        "weights": build.weights,
        "verdict": read_verdict(project, build).status if path.exists() else "not judged",
        "built": run["built"],
        "origin": str(build.content["origin"]),
        "run": run["run"],
    }
