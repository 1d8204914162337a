"""The classifier `wine` of the test project, released by two people, everything committed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lifecycle.release.chain import Link
from lifecycle.release.keys import create
from lifecycle.workflows.project import open_project
from lifecycle.workflows.rostering import enrol
from lifecycle.workflows.signing import propose_about, propose_sign_off, sign

PASSPHRASE = "correct horse battery"
PEOPLE = {"ada": ("admin", "author"), "rev": ("reviewer",), "app": ("approver",)}


def key_of(project: Path, user: str) -> Path:
    return project.parent / "keys" / f"{user}.pem"


def commit(project: Path, said: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["add", "-A"], ["commit", "-qm", said]):
        subprocess.run(["git", *identity, *command], cwd=project, check=True)


def released_copy(built: Path, folder: Path, committed: bool = True) -> Path:
    """A copy of the built project in which `wine` b1 is signed by a reviewer and an approver."""
    shutil.copytree(built, folder, symlinks=True)
    (folder.parent / "keys").mkdir()
    for user, roles in PEOPLE.items():
        info = create(key_of(folder, user), PASSPHRASE)
        enrol(folder, user, f"Dr {user}", roles, info.public, key_of(folder, "ada"), PASSPHRASE)
    commit(folder, "built")
    for user, meaning in (("rev", "review"), ("app", "approval")):
        sign(
            propose_sign_off(open_project("wine", folder), meaning),
            key_of(folder, user),
            PASSPHRASE,
        )
    if committed:
        commit(folder, "released")
    return folder


def withdraw(project: Path, reason: str) -> Link:
    proposal = propose_about(
        open_project("wine", project), "withdrawal", "approval", reason, build=None
    )
    return sign(proposal, key_of(project, "app"), PASSPHRASE)
