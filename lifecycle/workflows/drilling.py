"""Disaster recovery, rehearsed: is the released build made again from what git and DVC keep?

In a new checkout of the commit that holds the release, in new processes, with the released code;
the rebuilt weights and predictions are then compared with those that were signed. The repository
is only read, but for the record that is signed in the end.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lifecycle.consistency.align import align
from lifecycle.domain.classifier import Classifier
from lifecycle.domain.digests import sha256, tensors_digests
from lifecycle.domain.predictions import Predictions
from lifecycle.dossier import builds as kept
from lifecycle.dossier.builds import Build
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.once import reading_once
from lifecycle.dossier.predictions import read_parquet
from lifecycle.dossier.weights import tensors_in
from lifecycle.errors import ExitCode, IntegrityError, UnusableInputError
from lifecycle.gate.criteria import judge_consistency, judge_stated
from lifecycle.numerics.fingerprint import changed_keys, fingerprint
from lifecycle.params.reader import load_one
from lifecycle.release.case import agreement_of, evidence_of
from lifecycle.release.chain import Link
from lifecycle.release.standing import Release
from lifecycle.release.subjects import weights_file
from lifecycle.stats.intervals import attempt_level
from lifecycle.workflows import dvc_state
from lifecycle.workflows.auditing import verify
from lifecycle.workflows.boundary import say
from lifecycle.workflows.building import WEIGHTS
from lifecycle.workflows.checkouts import git, link_outside, new_checkout, output_here, run_here
from lifecycle.workflows.project import Project
from lifecycle.workflows.released import case_of_release, release_in_force
from lifecycle.workflows.signing import Proposal, rosters_of
from lifecycle.workflows.surroundings import source_files

LOCK = "requirements.lock"
# `lifecycle rebuild NAME --force`: --force, because a shared DVC cache would answer for a stage.
_REBUILD = """
from lifecycle.workflows.stage import die_with_parent
die_with_parent()
from lifecycle.cli.main import entry
entry()
"""
# A line of `dvc remote list`.
_REMOTE = re.compile(r"(?P<name>\S+)\s+(?P<address>.+?)(?P<default>\s+\(default\))?\s*")
_WORST = {"pass": 0, "inconclusive": 1, "fail": 2}
_CODES = {
    "pass": ExitCode.DONE,
    "inconclusive": ExitCode.VERDICT_INCONCLUSIVE,
    "fail": ExitCode.VERDICT_FAIL,
}


@dataclass(frozen=True, slots=True)
class Drill:
    """What a rehearsed recovery came to.

    Attributes:
        release, link: what was recovered, and the record that completed it.
        facts: what the record of the drill says (docs/how-to/drill.md).
        said: the outcome in a sentence.
        code: 0 same bits or consistent, 12 an exact build with other bits, else 20 or 21.
    """

    release: Release
    link: Link
    facts: Mapping[str, Any]
    said: str
    code: ExitCode


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What the checkout made.

    Attributes:
        weights: md5 and sha256 over the tensors.
        frozen, holdout: scores.
    """

    weights: Mapping[str, str]
    frozen: Predictions
    holdout: Predictions


@reading_once()
def drill(project: Project) -> Drill:
    """Recover the release in force, and compare.

    Raises:
        SignOffRefusedError: nothing is released.
        UnusableInputError: the release is not committed, or the recovery failed; says where.
        IntegrityError: the chain does not verify, or the commit holds another release.
    """
    root, name = project.root, project.name
    dvc_state.require_whole(root)
    audit = verify(root, name, weights=False, progress=say)
    _, release = release_in_force(audit, demonstration=True)
    link = next(k for k in release.links if k.record.number == release.number)
    commit = _commit_of(root, link)
    build = kept.read_build(project.layout, release.subject.build)
    say(f"{name} {build.version} {build.name}: released with commit {commit[:12]}")
    start = time.monotonic()
    sources = [path for _, path in source_files(project.classifier)]
    with new_checkout(root, commit, sources) as place:
        say("1 of 4: a new checkout is made")
        classifier = _require_release(place, link, build)
        data = _bring_data(root, place, classifier, Layout(place, name), build)
        say(f"3 of 4: rebuilding {name} with the released code, every stage")
        _rebuild(place, name)
        rebuilt = _rebuilt(Layout(place, name))
        lock = _lock_facts(root, place)
    seconds = round(time.monotonic() - start, 1)
    say("4 of 4: comparing with the released build")
    compared = _compared(project.layout, release, build, rebuilt, classifier)
    changed = changed_keys(build.content["environment"], fingerprint())
    facts = {
        "commit": commit,
        "seconds": seconds,
        "data": data,
        "weights": {"released": build.weights, "rebuilt": rebuilt.weights["sha256"]},
        "environment": {**lock, "changed": changed},
        **compared,
    }
    return Drill(release, link, facts, _said(build, facts), _code(build, facts))


def _commit_of(root: Path, link: Link) -> str:
    """The commit that brought the record which completed the release.

    Raises:
        UnusableInputError: there is none.
    """
    found = git(root, "log", "--diff-filter=A", "--format=%H", "--", str(link.path.resolve()))
    if not found:
        raise UnusableInputError(
            f"{link.path} is in no commit, so no other machine could recover the release; "
            "`git add dossier && git commit` first"
        )
    return found.splitlines()[-1]


def _require_release(place: Path, link: Link, build: Build) -> Classifier:
    """The checkout holds the very release, and a section of its version.

    Raises:
        IntegrityError: it does not.
    """
    layout = Layout(place, link.record.classifier)
    record = layout.releases / link.path.name
    if not record.is_file() or sha256(record.read_bytes()) != link.digest:
        raise IntegrityError(f"the commit does not hold the record {link.path.name} as it is here")
    if kept.read_build(layout, build.number).digest != build.digest:
        raise IntegrityError(f"the commit holds another {build.name} than the one here")
    classifier = load_one(place, layout.name)
    if classifier.version != build.version:
        raise IntegrityError(
            f"params.yaml of the commit says version {classifier.version}, {build.name} is of "
            f"{build.version}"
        )
    return classifier


def _bring_data(
    root: Path, place: Path, classifier: Classifier, layout: Layout, build: Build
) -> dict[str, Any]:
    """What git does not keep: pulled by DVC, else taken from where params.yaml says it is."""
    paths = [path for _, path in source_files(classifier)]
    remotes = _remotes(root, place)
    weights = weights_file(layout, build).relative_to(place).as_posix()
    tracked = [t for t in map(str, (*paths, weights)) if (place / f"{t}.dvc").is_file()]
    pulled = [one for one in tracked if remotes and _pulled(place, one)]
    linked = link_outside(place, root, paths)
    if not remotes:
        say("2 of 4: no DVC remote is configured: the data come from their sources")
    else:
        say(f"2 of 4: pulled from {', '.join(remotes)}: {', '.join(pulled) or 'nothing'}")
    if linked:
        say(f"not in git, taken from its place: {', '.join(linked)}")
    missing = sorted({one for one in tracked if not (place / one).exists()})
    return {"remotes": remotes, "pulled": pulled, "fromSource": linked, "missing": missing}


def _remotes(root: Path, place: Path) -> list[str]:
    """Names of the DVC remotes; a folder that is named relative to the project is found again."""
    listed = output_here(root, "dvc", "remote", "list") or ""
    rows = [match for line in listed.splitlines() if (match := _REMOTE.fullmatch(line))]
    for row in rows:
        chosen = ["-d"] if row["default"] or len(rows) == 1 else []
        # as DVC resolved it here: .dvc/config names a folder relative to itself
        output_here(
            place, "dvc", "remote", "add", "--local", "-f", *chosen, row["name"], row["address"]
        )
    return [row["name"] for row in rows]


def _pulled(place: Path, target: str) -> bool:
    done = output_here(place, "dvc", "pull", "--quiet", f"{target}.dvc") is not None
    if not done:
        say(f"`dvc pull {target}` failed: was it pushed?")
    return done


def _rebuild(place: Path, name: str) -> None:
    code = run_here(place, _REBUILD, "rebuild", "--force", name)
    if code != 0:
        raise UnusableInputError(
            f"the recovery failed: `lifecycle rebuild {name}` in the new checkout ended with exit "
            f"code {code} (see above); nothing was signed"
        )


def _rebuilt(layout: Layout) -> Rebuilt:
    """What the stages of the checkout computed, not what its dossier remembers."""
    build = layout.work / "build"
    tensors = tensors_in((build / WEIGHTS).read_bytes(), build / WEIGHTS)
    return Rebuilt(
        dict(tensors_digests(tensors)),
        read_parquet(layout.work / "predictions" / kept.FROZEN),
        read_parquet(build / kept.HOLDOUT),
    )


def _lock_facts(root: Path, place: Path) -> dict[str, Any]:
    """Whether the environment's lock is the released one: the checkout runs in this environment."""
    here, there = (_digest(folder / LOCK) for folder in (root, place))
    same = here is not None and here == there
    if same:
        say(f"{LOCK} is the released one ({there})")
    else:
        say(f"{LOCK} is not the released one: this environment may be another")
    return {"lock": there, "lockSame": same}


def _digest(path: Path) -> str | None:
    return sha256(path.read_bytes()) if path.is_file() else None


def _compared(
    layout: Layout, release: Release, build: Build, rebuilt: Rebuilt, classifier: Classifier
) -> dict[str, Any]:
    own = {key: build.content["weights"][key] for key in ("md5", "sha256")}
    digests = {"frozen": rebuilt.frozen.digest(), "holdout": rebuilt.holdout.digest()}
    same = {
        "weights": rebuilt.weights == own,
        **{key: digests[key] == build.content["predictions"][key] for key in digests},
    }
    facts: dict[str, Any] = {"sameBits": all(same.values()), "same": same}
    if facts["sameBits"]:
        return {**facts, "status": "pass", "figures": None}
    return {**facts, **_figures(layout, release, build, rebuilt)}


def _figures(layout: Layout, release: Release, build: Build, rebuilt: Rebuilt) -> dict[str, Any]:
    """Longitudinal consistency with the released build, by the policy of its release."""
    case = case_of_release(layout, release)
    cutoffs = evidence_of(layout, case).cutoffs
    if cutoffs is None:
        return {"status": "inconclusive", "figures": None}
    both = align({build.name: kept.frozen_predictions(build), "rebuilt": rebuilt.frozen})
    agreement = agreement_of(both, cutoffs, case.policy, attempt=1)
    # by the rules of the release: `gate/1` knew one meaning of p only
    tests = judge_stated if "consistency.cases" in case.criteria else judge_consistency
    findings = tests(case.policy, agreement, attempt_level(case.policy.alpha, 1))
    worst = max(findings, key=lambda one: _WORST[one.status])
    figures = asdict(agreement.series)
    return {
        "status": worst.status,
        "figures": {
            **{key: figures[key] for key in ("S", "R", "D", "m", "Z")},
            "discordant": [one.case for one in agreement.discordant],
            "conversions": len(agreement.conversions),
            "said": worst.said,
        },
    }


def _said(build: Build, facts: Mapping[str, Any]) -> str:
    head = f"{build.name} of version {build.version} from commit {facts['commit'][:12]}"
    took = f"recovered in {facts['seconds']:.1f} s"
    if facts["sameBits"]:
        return f"{head}: {took}, the same bits: weights {build.weights}"
    differ = ", ".join(key for key, same in facts["same"].items() if not same)
    figures = facts["figures"] or {}
    why = figures.get("said", "there is no tau to call with")
    fault = "an arithmetic or environment fault; " if _is_exact(build) else ""
    return f"{head}: {took}, other bits ({differ}): {fault}{facts['status']}: {why}"


def _is_exact(build: Build) -> bool:
    return bool(build.content["recipe"]["numerics"]["mode"] == "exact")


def _code(build: Build, facts: Mapping[str, Any]) -> ExitCode:
    if not facts["sameBits"] and _is_exact(build):
        return ExitCode.INTEGRITY
    return _CODES[str(facts["status"])]


def require_signer(project: Project, key: Path) -> None:
    """What can be known before the work of a drill: there is a roster, and the key is a file.

    Raises:
        SignOffRefusedError: nobody may sign yet.
        UnusableInputError: there is no such file.
    """
    rosters_of(project)
    if not key.is_file():
        raise UnusableInputError(f"there is no key file {key}")


def propose_drill(project: Project, done: Drill) -> Proposal:
    """The record of a drill, to be signed by whoever is responsible for it."""
    rosters_of(project)
    record = done.link.record
    return Proposal(
        project, "drill", "responsibility", record.version, done.release.subject.build,
        str(record.built_by), dict(record.subjects), reason=done.said,
        demonstration=record.demonstration, drill=done.facts,
    )  # fmt: skip
