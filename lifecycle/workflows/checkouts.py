"""A new checkout of a commit in a folder of its own, and programs run in it: nothing is shared.

The repository is only read (a clone, no worktree: not even `.git` changes). The folder goes when
the block ends; one that a killed process left is removed by the next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from lifecycle.errors import UnusableInputError
from lifecycle.system.stopping import stopped_like_interrupt
from lifecycle.workflows import dvc_state
from lifecycle.workflows.secret import PASSPHRASE

PREFIX, HELD = "lifecycle-drill-", ".held"
_PATIENCE = 20.0  # seconds that a child has to end by itself
# Variables that lead elsewhere, or are no business of a stage.
_OTHERS = frozenset(
    {
        "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "MLFLOW_TRACKING_URI", "PYTHONHOME",
        PASSPHRASE,
    }
)  # fmt: skip


@contextmanager
def new_checkout(root: Path, commit: str, outside: Sequence[str]) -> Iterator[Path]:
    """The project as it was at a commit, in a new folder.

    Args:
        root: the project, at the top of a git repository or below.
        commit: of it.
        outside: relative paths that lead out of the project; the folder is deep enough for them.

    Raises:
        UnusableInputError: git refuses; its words are told.
    """
    _sweep()
    with (
        stopped_like_interrupt(signal.SIGTERM),
        tempfile.TemporaryDirectory(prefix=PREFIX) as folder,
    ):
        base = Path(folder).resolve()
        with (base / HELD).open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            place = base.joinpath(*["up"] * max(map(_ups, outside), default=0), "checkout")
            top = git(root, "rev-parse", "--show-toplevel")
            git(root, "clone", "--quiet", "--no-checkout", top, str(place))
            git(place, "checkout", "--quiet", "--detach", commit)
            yield place / git(root, "rev-parse", "--show-prefix")


def _ups(path: str) -> int:
    return PurePosixPath(path).parts.count("..")


def git(place: Path, *arguments: str) -> str:
    """What git says.

    Raises:
        UnusableInputError: it fails.
    """
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=place, env=surroundings(place), text=True,
            capture_output=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise UnusableInputError("git is not on the path") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise UnusableInputError(f"git {arguments[0]}: {said[-1] if said else done.returncode}")
    return done.stdout.strip()


def surroundings(place: Path) -> dict[str, str]:
    """The environment of programs in a checkout: its code, this interpreter, its own tracking."""
    kept = {key: value for key, value in os.environ.items() if key not in _OTHERS}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**kept, "PYTHONPATH": str(place), "PATH": programs}


def run_here(place: Path, code: str, *arguments: str) -> int:
    """Run Python code with the checkout's packages; what it says goes to standard error.

    Returns:
        Its exit code. An interrupt ends it, and what it has started, before it goes on.
    """
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=place, env=surroundings(place),
        stdin=subprocess.DEVNULL, stdout=2, start_new_session=True,
    )  # fmt: skip
    try:
        return child.wait()
    except BaseException:
        _end(child)
        raise


def output_here(place: Path, *arguments: str) -> str | None:
    """Standard output of `python -m ...` in a folder, None where it fails."""
    # DVC breaks lines at the width of a terminal, which an address may well exceed.
    wide = {**surroundings(place), "COLUMNS": "8192"}
    return dvc_state.output(place, [sys.executable, "-m", *arguments], environment=wide)[0]


def _end(child: subprocess.Popen[bytes]) -> None:
    """The child and its children: asked first, then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_PATIENCE)


def link_outside(place: Path, root: Path, paths: Sequence[str]) -> list[str]:
    """Let files that no clone has be found where params.yaml says: links to the originals.

    Returns:
        The paths that were linked.

    Raises:
        UnusableInputError: a path leads out of the new folder, or there is no original.
    """
    linked = []
    for path in dict.fromkeys(paths):
        target = Path(os.path.normpath(place / path))
        if target.exists():
            continue
        original = (root / path).resolve()
        if not original.exists():
            raise UnusableInputError(f"{path} is neither in git nor at its place; bring it back")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(original)
        linked.append(path)
    return linked


def _sweep() -> None:
    """Remove folders whose owner was killed: nobody holds them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), (folder / HELD).open("r+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
