"""How a DVC stage runs a workflow: one at a time per classifier, and not longer than DVC lives."""

from __future__ import annotations

import ctypes
import fcntl
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lifecycle.dossier.files import write_json
from lifecycle.dossier.layout import Layout
from lifecycle.errors import UnusableInputError
from lifecycle.workflows import secret
from lifecycle.workflows.boundary import guarded, leave
from lifecycle.workflows.project import Project, open_project

LAST_FAILURE = Path("work") / "last-failure.json"
_PR_SET_PDEATHSIG = 1


def run_stage(stage: str, workflow: Callable[[Project], None]) -> None:
    """Run a stage's workflow for the classifier named on the command line, and exit."""
    die_with_parent()
    secret.take()  # no stage signs, and what a stage starts must not inherit it
    name = sys.argv[1] if len(sys.argv) > 1 else ""

    def work() -> None:
        project = open_project(name)
        with alone(project):
            workflow(project)

    leave(_noted(stage, name, guarded(work)))


def _noted(stage: str, name: str, code: int) -> int:
    """Leave the exit code for `lifecycle rebuild`: DVC turns every failure into 255."""
    if code != 0 and LAST_FAILURE.parent.is_dir():
        entry = {"stage": stage, "classifier": name, "code": code}
        with suppress(OSError):  # a full disk: the stage has said so already
            write_json(LAST_FAILURE, entry)
    return code


def die_with_parent() -> None:
    """End with DVC: a stage that outlives a killed `dvc repro` would overwrite a later one's work.

    Linux only; elsewhere the lock per classifier alone protects.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def alone(project: Project) -> Iterator[None]:
    """Hold the classifier for oneself, and begin by removing what a killed process left.

    Raises:
        UnusableInputError: another process holds it.
    """
    with _alone(project.layout):
        yield


def sweep_left(layout: Layout) -> None:
    """Remove what a killed stage left half-written, where nobody is at work on the classifier.

    DVC may bring back a stage's output from its cache without running the stage, and then nobody
    else would.
    """
    with suppress(UnusableInputError), _alone(layout):
        pass


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    path = layout.work / ".stage.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnusableInputError(
                f"another process is at work on {layout.name}; wait for it to end"
            ) from None
        _sweep(layout.work)
        yield


def _sweep(work: Path) -> None:
    """Remove what a killed stage left half-written (nobody else is at work here)."""
    for path in work.glob(".*.????????"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
