"""`dvc repro` for people: what a rebuild would be, progress, mapped exit codes, verdicts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lifecycle.domain.classifier import Classifier
from lifecycle.dossier.builds import first_of, read_builds
from lifecycle.dossier.files import read_fields
from lifecycle.dossier.layout import Layout
from lifecycle.errors import ExitCode, UnusableInputError, UsageError
from lifecycle.numerics.fingerprint import changed_keys, fingerprint
from lifecycle.params.reader import load
from lifecycle.workflows import dvc_state
from lifecycle.workflows.boundary import INTERRUPTED, say
from lifecycle.workflows.code_digests import FOLDER, changed_codes, other_program, said_of
from lifecycle.workflows.project import require_root
from lifecycle.workflows.stage import LAST_FAILURE, die_with_parent
from lifecycle.workflows.surroundings import source_files
from lifecycle.workflows.terms import require_same_terms

_DVC_FAILED = 255
_STANDARD_ERROR = 2  # its file descriptor


def rebuild(names: tuple[str, ...], force: bool, root: Path | None = None) -> int:
    """Rebuild some classifiers (all where none is named) and say the verdicts.

    Returns:
        0 where the pipeline ran to its end, whatever the verdicts are (`lifecycle gate` has them as
        exit codes); else the exit code of the stage that stopped it.
    """
    place = require_root(root)
    classifiers = load(place)
    for name in names:
        if name not in classifiers:
            raise UsageError(f"no classifier {name!r}; there are: {', '.join(classifiers)}")
    chosen = {name: classifiers[name] for name in (names or classifiers)}
    _require_tools(place)
    for name, classifier in chosen.items():
        say(_plan(place, name, classifier))
    _say_code(place)
    targets = [f"report@{name}" for name in names]
    code = _repro(place, [*targets, *(["--force"] if force else [])])
    if code != 0:
        say("nothing is judged by this run; earlier verdicts are in `lifecycle builds NAME`")
        return code
    for name in chosen:
        say(_verdict_line(name))
    if _untracked(place):
        say(
            "keep the record in git: "
            "git add params.yaml dossier weights dvc.lock pipelines/environment"
        )
    return code


def _untracked(root: Path) -> bool:
    """Whether git does not have the record yet (False where git does not answer)."""
    if shutil.which("git") is None:
        return False
    done = subprocess.run(
        ["git", "status", "--porcelain", "dossier", "weights", "dvc.lock"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode == 0 and done.stdout != ""


def run_until(stage: str, name: str, root: Path | None = None, aside: bool = False) -> int:
    """`dvc repro` up to a stage of one classifier; `aside`: what it says goes to standard error."""
    place = require_root(root)
    if name not in load(place):
        raise UsageError(f"no classifier {name!r}; there are: {', '.join(load(place))}")
    _require_tools(place)
    return _repro(place, [f"{stage}@{name}"], _STANDARD_ERROR if aside else None)


def _require_tools(root: Path) -> None:
    if shutil.which("dvc") is None:
        raise UnusableInputError(
            "`dvc` is not on the path: activate the environment (. .venv/bin/activate), "
            "or use `make rebuild`"
        )
    if not (root / ".dvc").is_dir():
        raise UnusableInputError(
            "there is no .dvc folder here: work in a git clone of the project, or run "
            "`git init && dvc init`"
        )


def _plan(root: Path, name: str, classifier: Classifier) -> str:
    """What a run amounts to, said before it starts."""
    for key, path in source_files(classifier):
        if not (root / path).exists():
            raise UnusableInputError(f"params.yaml: classifiers.{name}.{key}: there is no {path}")
    builds = read_builds(Layout(root, name))
    require_same_terms(name, classifier, builds)
    first = first_of(builds, classifier.version)
    if first is None:
        return f"{name} {classifier.version}: first build of the version"
    now = fingerprint()
    own = [build for build in builds if build.version == classifier.version]
    same = [build for build in own if build.content["environment"] == now]
    if same:
        return f"{name} {classifier.version}: {same[-1].name} was built in this environment"
    changes = "; ".join(changed_keys(own[-1].content["environment"], now))
    return f"{name} {classifier.version}: a new build after {own[-1].name}: {changes}"


def _say_code(root: Path) -> None:
    """Which stages run for their code, where there was a run before."""
    other = other_program(root)
    if other is not None:
        say(
            f"this command runs the program in {other}, and the project has other code of its own, "
            "which its stages run: activate the project's own environment"
        )
    if (root / FOLDER).is_dir() and (changed := changed_codes(root)):
        say(f"code changed since the last run: {said_of(changed)}")


def _repro(root: Path, arguments: list[str], out: int | None = None) -> int:
    failure = root / LAST_FAILURE
    failure.unlink(missing_ok=True)
    dvc_state.require_whole(root)
    dvc_state.wait_until_free(root)
    command = ["dvc", "repro", *arguments]
    # A killed command must not leave dvc, and so a stage, at work behind the next one's back.
    code = subprocess.run(  # no thread runs yet
        command, cwd=root, check=False, stdout=out, preexec_fn=die_with_parent
    ).returncode
    if code == 0:
        return 0
    if failure.exists():
        entry = read_fields(failure, {"stage": str, "classifier": str, "code": int})
        say(f"stage {entry['stage']} of {entry['classifier']} stopped the pipeline (see above)")
        return int(entry["code"])
    if code < 0:
        return INTERRUPTED
    return int(ExitCode.UNUSABLE_INPUT) if code == _DVC_FAILED else code


def _verdict_line(name: str) -> str:
    """The kept verdict on the current build, verified."""
    from lifecycle.workflows.deciding import current_build
    from lifecycle.workflows.judging import kept_verdict
    from lifecycle.workflows.project import open_project

    project = open_project(name)
    verdict = kept_verdict(project, current_build(project)[0])
    said = next((f.said for f in verdict.findings if f.status == verdict.status), "")
    why = "" if verdict.status == "pass" else f" {said}"
    return f"{name} b{verdict.build}: {verdict.status.upper()} (basis: {verdict.basis}).{why}"
