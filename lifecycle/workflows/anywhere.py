"""Longitudinal consistency of predictions from anywhere, and of the kept builds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lifecycle.consistency import agree as agreeing
from lifecycle.consistency.align import align
from lifecycle.consistency.calls import call
from lifecycle.consistency.figures import Figures, Unit
from lifecycle.consistency.units import require_groups
from lifecycle.domain.classifier import Policy
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.domain.verdict import Status, worst
from lifecycle.dossier.builds import frozen_predictions, read_builds
from lifecycle.dossier.files import write_whole
from lifecycle.dossier.predictions import read_csv, read_parquet, require_foreign_names
from lifecycle.errors import ExitCode, UsageError
from lifecycle.gate.criteria import judge_stated
from lifecycle.gate.guarantee import guaranteed, needed_patients
from lifecycle.stats.intervals import attempt_level
from lifecycle.workflows.boundary import say
from lifecycle.workflows.deciding import attempt_of, cases_csv, current_build, read_cutoffs
from lifecycle.workflows.project import Project


@dataclass(frozen=True, slots=True)
class Question:
    """What `lifecycle consistency predictions` was asked."""

    files: tuple[Path, ...]
    tau: float
    p: float
    alpha: float
    tolerance: float
    unit: str
    discordant: Path | None
    consistency_of: Literal["patients", "cases", "both"] = "both"
    most_cases: int = 1

    @property
    def policy(self) -> Policy:
        """What is asked, as a policy says it."""
        return Policy(
            p=self.p,
            alpha=self.alpha,
            consistency_of=self.consistency_of,
            most_cases=self.most_cases,
        )


SHOWN: dict[Status, str] = {"pass": "SHOWN", "fail": "NOT KEPT", "inconclusive": "CANNOT BE SHOWN"}
LARGEST_TOLERANCE = 0.01  # beyond it a row is no distribution over classes
EXIT: dict[Status, ExitCode] = {
    "pass": ExitCode.DONE,
    "fail": ExitCode.VERDICT_FAIL,
    "inconclusive": ExitCode.VERDICT_INCONCLUSIVE,
}


def compare_files(question: Question, as_json: bool) -> tuple[str, int]:
    """Compare prediction files, oldest build first; the last is the candidate.

    Returns:
        Text (or JSON), and 0 where consistency p is shown, 20 where it is not kept, 21 where the
        cases are too few to tell.
    """
    if not 0 < question.p < 1 or not 0 < question.alpha < 1:
        raise UsageError("--p and --alpha must lie between 0 and 1")
    if not 0 <= question.tolerance <= LARGEST_TOLERANCE:
        raise UsageError(f"--tolerance must lie between 0 and {LARGEST_TOLERANCE}")
    real = [path.resolve() for path in question.files]
    if len(set(real)) < len(real):
        raise UsageError("a file is named twice; a build always agrees with itself")
    if question.discordant is not None and question.discordant.resolve() in real:
        raise UsageError("--discordant names one of the prediction files; choose another name")
    if len(question.files) < 2:
        raise UsageError("name at least two prediction files, the oldest build first")
    aligned = align(_read_all(question))
    _warn(aligned)
    for name, one in aligned.items():
        require_groups(question.unit, one.ids, one.groups, name)
    agreement = _agree(aligned, _one_tau(aligned, question.tau), question.alpha, question.unit)
    if question.discordant is not None:
        write_whole(question.discordant, cases_csv(agreement).encode())
    status = _status(agreement, question.policy, question.alpha)
    if as_json:
        entry = {"status": status, "p": question.p, "agreement": agreeing.to_json(agreement)}
        return json.dumps(entry, indent=2), int(EXIT[status])
    return _told(agreement, question.policy, question.alpha, status), int(EXIT[status])


def _read_all(question: Question) -> dict[str, Predictions]:
    named: dict[str, Predictions] = {}
    for path in question.files:
        if path.suffix == ".parquet":
            named[str(path)] = read_parquet(path)
            require_foreign_names(named[str(path)], str(path))
        else:
            named[str(path)] = read_csv(path, tolerance=question.tolerance)
    return named


def _warn(aligned: dict[str, Predictions]) -> None:
    digests = [one.digest() for one in aligned.values()]
    if len(set(digests)) < len(digests):
        say("warning: two of the files hold the same predictions")
    bare = [name for name, one in aligned.items() if one.patients == one.ids]
    if bare:
        say(f"warning: {bare[0]} names no patients: every case counts as a patient of its own")


def _one_tau(aligned: dict[str, Predictions], tau: float) -> Cutoffs:
    classes = next(iter(aligned.values())).classes
    return Cutoffs((tau,) * len(classes), None, "given", {"tau": tau, "from": "--tau"})


def _agree(
    aligned: dict[str, Predictions], cutoffs: Cutoffs, alpha: float, unit: str
) -> agreeing.Agreement:
    series = agreeing.Series(tuple(aligned), tuple(call(p, cutoffs) for p in aligned.values()))
    chosen: Unit = "component" if unit == "component" else "patient"
    scores = [predictions.scores for predictions in aligned.values()]
    subgroups = next(iter(aligned.values())).subgroups
    return agreeing.agree(series, alpha, unit=chosen, subgroups=subgroups, scores=scores)


def _status(agreement: agreeing.Agreement, policy: Policy, a: float) -> Status:
    """The worst of series, the candidate's pairs and `ever`, by the gate's own rule."""
    found = judge_stated(policy, agreement, a)
    return worst(tuple(finding.status for finding in found))


def _told(agreement: agreeing.Agreement, policy: Policy, a: float, status: Status) -> str:
    unit = "patients" if agreement.unit == "patient" else "components"
    lines = [f"{len(agreement.names)} builds, {agreement.series.S} cases, {agreement.units} {unit}"]
    lines += _table([agreement.series, *(pair.figures for pair in agreement.pairs), agreement.ever])
    lines += ["", "per class (cases that any build calls so)", *_table(list(agreement.by_class))]
    if agreement.by_subgroup:
        lines += ["", "per subgroup", *_table(list(agreement.by_subgroup))]
    lines += ["", *_cases(agreement)]
    needed = needed_patients(policy, agreement.series.S, agreement.units, a)
    lines.append(
        f"{SHOWN[status]}: consistency {policy.p:g} at error {a:g}; without a single discordant "
        f"case it takes {needed} reported {unit}, here are {agreement.series.m}"
    )
    lines.append(guaranteed(policy, agreement, a))
    return "\n".join(lines)


def _table(figures: list[Figures]) -> list[str]:
    width = max([len(one.name) for one in figures] + [4])
    head = f"{'':<{width}}  {'|S|':>6} {'|R|':>6} {'|D|':>5} {'conv.':>6} {'discordant':>10}"
    lines = [f"{head} {'bound':>7} {'consistency':>11}"]
    for one in figures:
        share = "-" if one.consistency is None else f"{1 - one.consistency:.2%}"
        kept = "-" if one.consistency is None else f"{one.consistency:.2%}"
        lines.append(
            f"{one.name:<{width}}  {one.S:>6} {one.R:>6} {one.D:>5} {one.conversions:>6} "
            f"{share:>10} {one.upper:>7.2%} {kept:>11}"
        )
    return lines


def _cases(agreement: agreeing.Agreement, most: int = 20) -> list[str]:
    if not agreement.discordant:
        return ["no discordant case"]
    lines = ["discordant cases"]
    for one in agreement.discordant[:most]:
        calls = "; ".join(f"{name}: {said}" for name, said in one.calls.items())
        lines.append(f"  {one.case} (patient {one.patient}): {calls}")
    more = len(agreement.discordant) - most
    return [*lines, f"  … and {more} more (--discordant FILE writes all)"] if more > 0 else lines


def compare_builds(project: Project, names: tuple[str, ...], as_json: bool) -> str:
    """Compare kept builds of the current version at its tau: all, or those that are named."""
    cutoffs = read_cutoffs(project)
    current_build(project)
    version = project.classifier.version
    builds = {b.name: b for b in read_builds(project.layout) if b.version == version}
    for name in names:
        if name not in builds:
            raise UsageError(f"{project.name} {version} has no build {name!r}: {', '.join(builds)}")
    chosen = [builds[name] for name in (names or builds)]
    if len(chosen) < 2:
        few = "name at least two builds" if len(builds) > 1 else "it has one build only"
        raise UsageError(f"{project.name} {version}: nothing to compare: {few}")
    aligned = align({build.name: frozen_predictions(build) for build in chosen})
    policy = project.classifier.policy
    for name, one in aligned.items():
        require_groups(policy.unit, one.ids, one.groups, f"{project.name} {name}")
    level = attempt_level(policy.alpha, max(1, attempt_of(project, chosen[-1])))
    agreement = _agree(aligned, cutoffs, level, policy.unit)
    if as_json:
        entry: Any = agreeing.to_json(agreement)
        return json.dumps(entry, indent=2)
    text = _told(agreement, policy, level, _status(agreement, policy, level))
    return f"{text}\nThis is consistency alone; the verdict is `lifecycle gate {project.name}`"
