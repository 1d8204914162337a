"""What the terminal shows: builds, tau, verdicts."""

from __future__ import annotations

import json
from dataclasses import asdict

from lifecycle.domain.predictions import Cutoffs
from lifecycle.domain.verdict import Finding, Verdict
from lifecycle.dossier.builds import Build, read_builds, run_facts
from lifecycle.dossier.pipeline import read_threshold
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
    lines = [head, *(_line(finding) for finding in verdict.findings)]
    said = verdict.shown.get("guaranteed")
    return "\n".join([*lines, f"  {said}"] if said else lines)


def _line(finding: Finding) -> str:
    return f"  {MARKS[finding.status]} {finding.criterion:<28} {finding.said}"


def show_threshold(project: Project, as_json: bool) -> str:
    """Tau and its evidence."""
    cutoffs = read_cutoffs(project)
    if as_json:
        return json.dumps(asdict(cutoffs), indent=2)
    kept = read_threshold(project.layout)
    lines = [f"{project.name} {kept.version}: from the holdout of {kept.build}"]
    values = sorted(set(cutoffs.yes))
    if cutoffs.no is not None:
        lines += _choices(cutoffs)
    elif cutoffs.status != "refused" and len(values) == 1:
        lines.append(f"tau = {values[0]:.6g} for every class ({cutoffs.status})")
    elif cutoffs.status != "refused":
        lines += _choices(cutoffs)
    said = [str(cutoffs.evidence.get(key, "")) for key in ("said", "note")]
    return "\n".join([*lines, *(text for text in said if text)])


def _choices(cutoffs: Cutoffs) -> list[str]:
    """A line for each class and side: the cutoff, its patients and what they show."""
    lines = [
        f"{'class':<16} {'call':<8} {'tau':>11} {'patients':>11} {'precision at least':>19}  status"
    ]
    for chosen in cutoffs.evidence.get("chosen", ()):
        call = "present" if chosen["side"] == "yes" else "absent"
        value = "none" if chosen["tau"] is None else f"{chosen['tau']:.6g}"
        patients = f"{chosen['tp']} of {chosen['n_pos']}"
        lines.append(
            f"{chosen['positive']:<16} {call:<8} {value:>11} {patients:>11} "
            f"{chosen['precision_bound']:>19.3f}  {chosen['status']}"
        )
    return lines


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
    run = run_facts(build)
    return {
        "build": build.name,
        "version": build.version,
        "weights": build.weights,
        "verdict": read_verdict(project, build).status if path.exists() else "not judged",
        "built": run["built"],
        "origin": str(build.content["origin"]),
        "run": run["run"],
    }
