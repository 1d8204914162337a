"""May this build be signed now? Every reason against it, not the first alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lifecycle.domain.digests import sha256
from lifecycle.domain.verdict import Verdict
from lifecycle.dossier import builds as kept
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import read_fields
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import pins_in, read_pins
from lifecycle.errors import IntegrityError, LifecycleError
from lifecycle.release.case import Case
from lifecycle.release.subjects import weights_file
from lifecycle.workflows import dvc_state
from lifecycle.workflows.code_digests import changed_codes, noted_code, other_program, said_of
from lifecycle.workflows.project import Project

# The stages of a classifier. Not the surroundings, which run always and so are never up to date.
STAGES = (
    *("import", "split", "validate", "prepare", "search", "build", "predict", "enrol"),
    *("threshold", "compare", "gate", "report"),
)
OTHERS = ":(glob)dossier/*/attempts/*"
SHOWN = 3  # changed files that are named


def against(project: Project, case: Case, verdict: Verdict, demonstration: bool) -> list[str]:
    """Reasons why this build may not be signed as a release; none is permission.

    Args:
        project: the classifier's project.
        case: what the verdict rests on.
        verdict: made from it just now.
        demonstration: a simulated cohort is accepted, and marked in the record for ever.
    """
    reasons = [
        _verdict_said(verdict),
        _basis_said(case),
        _origin_said(case, demonstration),
        _git_said(project.root),
        _history_said(project),
        changed_since(project),
        _weights_said(project.layout, kept.read_build(project.layout, case.build)),
    ]
    return [reason for reason in reasons if reason]


def _verdict_said(verdict: Verdict) -> str:
    if verdict.status == "fail":
        failed = [one.criterion for one in verdict.findings if one.status == "fail"]
        return f"the verdict is fail ({', '.join(failed)}); a failed build cannot be released"
    return ""


def _basis_said(case: Case) -> str:
    if case.references and not case.released:
        return (
            f"b{case.build} was compared with b{', b'.join(map(str, case.references))}, which "
            "nobody has released; sign off the version's first build, then run `dvc repro`"
        )
    return ""


def _origin_said(case: Case, demonstration: bool) -> str:
    if case.origin == "simulated" and not demonstration:
        return (
            "its cohort is SIMULATED; `--demonstration` signs it all the same and marks the "
            "record so for ever"
        )
    if case.origin == "real" and demonstration:
        return "`--demonstration` is for simulated cohorts, and this one is real"
    return ""


def _git_said(root: Path) -> str:
    """Signed records and rosters may stand there uncommitted: the next signer adds to them."""
    paths = (":!dossier/*/releases/*", ":!dossier/_signers/*")
    changed = _output(root, ["git", "status", "--porcelain", "-uall", "--", ".", *paths])
    if changed is None:
        return "git does not answer here, so nobody can say what was built"
    lines = [line[3:] for line in changed.splitlines() if line.strip()]
    if lines:
        more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        return f"the tree is not clean: {', '.join(lines[:SHOWN])}{more}; commit or restore them"
    return ""


def _history_said(project: Project) -> str:
    """Builds and attempts that git remembers are all there: none is taken away to begin anew."""
    folders = [project.layout.builds, project.layout.attempts]
    names = [folder.relative_to(project.root).as_posix() for folder in folders]
    gone = _deleted(project.root, names)
    gone += [path for path in _deleted(project.root, [OTHERS]) if _was_of_these(project, path)]
    if gone:
        more = f" and {len(gone) - SHOWN} more" if len(gone) > SHOWN else ""
        return (
            f"builds or attempts were taken away: {', '.join(gone[:SHOWN])}{more}; restore them "
            "from git (`git log --diff-filter=D` names the commit)"
        )
    return ""


def _deleted(root: Path, names: Sequence[str]) -> list[str]:
    """Files that a commit took away and that are not there now."""
    command = ["git", "log", "--no-renames", "--diff-filter=D", "--name-only", "--format="]
    deleted = _output(root, [*command, "--relative", "--", *names])
    lines = sorted({line for line in (deleted or "").splitlines() if line.strip()})
    return [line for line in lines if not (root / line).exists()]


def _was_of_these(project: Project, path: str) -> bool:
    """Whether an attempt that was taken away was of another classifier and of our frozen cases.

    Its pins are those that git remembers; where they cannot be read, nobody can say that it was
    not.
    """
    name = path.split("/")[1]
    if name == project.name:
        return False  # told of already
    place = f"dossier/{name}/frozen.json"
    before = _output(project.root, ["git", "log", "-1", "--format=%H", "--", path])
    text = _output(project.root, ["git", "show", f"{(before or '').strip()}^:./{place}"])
    if text is None:
        return True
    own = {one for pin in read_pins(project.layout.pins) for one in pin.contents()}
    try:
        pins = pins_in(text.encode("utf-8"), place)
    except LifecycleError:
        return True
    return any(own & pin.contents() for pin in pins)


def changed_since(project: Project) -> str:
    """Whether something that the verdict rests on changed since; "" for no.

    DVC does not look at the code itself, but at what `dvc repro` last noted of it: so the code as
    it is now is held against that note, and DVC asked about the rest.
    """
    return (
        _code_said(project.root)
        or _trained_said(project)
        or _program_said(project.root)
        or _status_said(project)
    )


def _trained_said(project: Project) -> str:
    """The network was trained by the code that is here.

    `dvc commit --force` tells DVC that an output belongs to code that never made it.
    """
    path = project.build / kept.RUN
    trained = read_fields(path, {"run": str}).get("code") if path.exists() else None
    if trained != noted_code(project.root, "build"):
        return (
            f"{path} says that the network was trained by other code than the project's, though "
            f"DVC calls it up to date; run `dvc repro --force build@{project.name}`, then `dvc "
            "repro`"
        )
    return ""


def _code_said(root: Path) -> str:
    changed = changed_codes(root)
    if changed:
        return (
            f"code changed since the build was judged: {said_of(changed)}; restore it, or run "
            "`dvc repro`"
        )
    return ""


def _program_said(root: Path) -> str:
    other = other_program(root)
    if other is not None:
        return (
            f"this command runs the program in {other}, and the project has other code of its own, "
            "which its stages run: activate the project's own environment"
        )
    return ""


def _status_said(project: Project) -> str:
    stages = [f"{stage}@{project.name}" for stage in STAGES]
    dvc_state.require_whole(project.root)
    command = [sys.executable, "-m", "dvc", "status", "--json", *stages]
    status, said = dvc_state.output(project.root, command)
    if status is None:
        return (
            f"`dvc status` does not answer ({said}), so nobody can say whether what was judged is "
            "what is here; run the command again"
        )
    if status.strip() not in ("", "{}"):
        named = _changed_named(status)
        return (
            "`dvc status` says that something changed since the build was judged: "
            f"{named}; restore it, or run `dvc repro`"
        )
    return ""


def _changed_named(status: str) -> str:
    """What `dvc status --json` calls changed: `work/c/curves.csv (modified)`, some of it."""
    found = dict.fromkeys(_entries(json.loads(status)))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(list(found)[:SHOWN]) + more


def _entries(value: Any) -> Iterator[str]:
    """Leaves of DVC's answer: a path with what became of it, or a word such as `always changed`."""
    if isinstance(value, dict):
        for key, one in value.items():
            nested = isinstance(one, (dict, list))
            yield from _entries(one) if nested else [f"{key} ({one})"]
    else:
        for one in value if isinstance(value, list) else [str(value)]:
            yield from [one] if isinstance(one, str) else _entries(one)


def _weights_said(layout: Layout, build: Build) -> str:
    path = weights_file(layout, build)
    if not path.is_file():
        return f"{path} is missing; `dvc pull` brings it"
    if sha256(path.read_bytes()) != build.content["weights"]["file"]:
        raise IntegrityError(f"{path} was changed: it is not the file that {build.name} names")
    return ""


def _output(root: Path, command: list[str]) -> str | None:
    """Standard output; None where the command fails or is not there."""
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
