"""A project that can sign: the small one of the tests, committed, with keys and a roster."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager, chdir, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from lifecycle.cli.main import _invoke
from lifecycle.domain.digests import canonical_json, sha256, tensors_digests
from lifecycle.dossier import builds as kept
from lifecycle.dossier.attempts import record_attempt
from lifecycle.dossier.files import write_json
from lifecycle.dossier.pipeline import write_current
from lifecycle.dossier.predictions import read_parquet, write_parquet
from lifecycle.dossier.weights import packed, unpacked
from lifecycle.gate.judge import policy_digest
from lifecycle.release.keys import create
from lifecycle.release.subjects import weights_file
from lifecycle.workflows import readiness
from lifecycle.workflows.boundary import guarded
from lifecycle.workflows.deciding import compare_builds, released_of
from lifecycle.workflows.judging import judge_build
from lifecycle.workflows.project import Project, open_project
from lifecycle.workflows.rostering import enrol

PASSPHRASE = "correct horse battery"
# `own` is the user who built b1; `eve` has a key and stands in no roster.
ROLES = {
    "ada": ("admin",),
    "aut": ("approver", "author"),
    "rev": ("reviewer",),
    "app": ("approver",),
    "two": ("approver", "reviewer"),
    "own": ("approver", "author", "reviewer"),
}


@dataclass(frozen=True)
class Done:
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both, as at a terminal."""
        return self.out + self.err


@dataclass(frozen=True)
class Site:
    """A project with signers, and their keys beside it."""

    root: Path
    keys: Path
    mirrored: bool = False  # a sign-off is told to MLflow, as it is at a user's

    def key(self, user: str) -> Path:
        """The key file of a user."""
        return self.keys / f"{user}.pem"

    def run(self, *command: str, answer: str = "", passphrase: str | None = PASSPHRASE) -> Done:
        """`lifecycle …` in this process: the same lines as the installed command, but faster."""
        changes = {"LIFECYCLE_PASSPHRASE": passphrase} if passphrase is not None else {}
        out, err = io.StringIO(), io.StringIO()
        with (
            chdir(self.root),
            mock.patch.dict("os.environ", changes),
            mock.patch("sys.stdin", io.StringIO(answer)),
            redirect_stdout(out),
            redirect_stderr(err),
            nullcontext() if self.mirrored else mock.patch("lifecycle.cli.release.mirror_after"),
        ):
            code = guarded(lambda: _invoke(command))
        assert "Traceback" not in err.getvalue()
        return Done(code, out.getvalue(), err.getvalue())

    def sign(self, user: str, meaning: str, *more: str, name: str = "wine") -> Done:
        """`release sign-off`, asked no question."""
        return self.act("sign-off", user, "--meaning", meaning, *more, name=name)

    def act(self, what: str, user: str, *more: str, name: str = "wine") -> Done:
        """Another command that signs."""
        key = str(self.key(user))
        return self.run("release", what, name, *more, "--key", key, "--yes")

    def verify(self, *more: str, name: str = "wine") -> Done:
        """`release verify`."""
        return self.run("release", "verify", name, *more)

    def records(self, name: str = "wine") -> list[str]:
        """File names of the chain."""
        return [p.name for p in sorted((self.root / "dossier" / name / "releases").glob("*.json"))]

    def commit(self) -> None:
        """Everything into git."""
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        for words in (["add", "-A"], ["commit", "-qm", "kept"]):
            subprocess.run(["git", *identity, *words], cwd=self.root, check=True)

    def copy(self, folder: Path) -> Site:
        """The same project in another folder; keys are read only, so they are shared."""
        shutil.copytree(self.root, folder, symlinks=True)
        return replace(self, root=folder)


def new_site(built: Path, folder: Path, users: Sequence[str] = (*ROLES, "eve")) -> Site:
    """A copy of a built project with signers; committed."""
    site = Site(folder / "project", folder / "keys")
    shutil.copytree(built, site.root, symlinks=True)
    by = json.loads((site.root / "dossier/wine/builds/b1/run.json").read_bytes())["by"]
    for user in users:
        # an eighth of the rounds: each signature of the tests opens a key
        with mock.patch("lifecycle.release.keys.ROUNDS", 75_000):
            info = create(site.key(user), PASSPHRASE)
        if user in ROLES:
            name = by if user == "own" else user
            enrol(site.root, name, f"Dr {user}", ROLES[user], info.public, site.key("ada"),
                  PASSPHRASE)  # fmt: skip
    site.commit()
    return site


def quiet_dvc() -> AbstractContextManager[object]:
    """`dvc status` says that all is well, without the seconds that it takes to say so."""
    return mock.patch.object(readiness, "changed_since", lambda project: "")


def release(site: Site) -> Site:
    """Wine b1 released: reviewed by rev, approved by app."""
    with quiet_dvc():
        for user, meaning in (("rev", "review"), ("app", "approval")):
            done = site.sign(user, meaning)
            assert done.code == 0, done.said
    site.commit()
    return site


def second_build(
    site: Site, name: str = "wine", *, weights: bool = False, origin: str | None = None
) -> None:
    """The next build as another machine would make it, without the minutes of training; committed.

    Args:
        site: the project.
        name: its classifier.
        weights: with other weights and scores than b1, by a hair.
        origin: of the cohort, in the place of b1's.
    """
    with chdir(site.root), redirect_stderr(io.StringIO()):
        project = open_project(name)
        first = kept.read_build(project.layout, 1)
        content = json.loads(canonical_json(first.content))
        content["environment"]["machine"]["cpu"] = "of another maker"
        content["origin"] = origin or content["origin"]
        files = {n: (first.folder / n).read_bytes() for n in first.files if n != kept.PARTS}
        run = json.loads(files.pop(kept.RUN))
        if weights:
            _change(project, content, files)
        number = kept.enrol(project.layout, content, files, run)
        write_current(project.layout, number, first.version)
        compare_builds(project)
        judge_build(project)
    site.commit()


def _change(project: Project, content: dict[str, Any], files: dict[str, bytes]) -> None:
    """Other weights, and scores a millionth nearer to saying nothing."""
    layout, first = project.layout, kept.read_build(project.layout, 1)
    tensors = unpacked(weights_file(layout, first).read_bytes())
    data = packed({name: tensor * (1 + 1e-9) for name, tensor in tensors.items()})
    content["weights"] = {**tensors_digests(unpacked(data)), "file": sha256(data)}
    (layout.weights / f"{sha256(data)}.safetensors").write_bytes(data)
    for file, key in ((kept.FROZEN, "frozen"), (kept.HOLDOUT, "holdout")):
        before = read_parquet(first.folder / file)
        scores = before.scores * (1 - 1e-6) + 1e-6 / len(before.classes)
        write_parquet(project.root / "scores", replace(before, scores=scores))
        files[file] = (project.root / "scores").read_bytes()
        content["predictions"][key] = read_parquet(project.root / "scores").digest()
    (project.root / "scores").unlink()
    facts = json.loads((project.build / "facts.json").read_bytes())
    digests = {key: content["weights"][key] for key in ("md5", "sha256")}
    write_json(project.build / "facts.json", {**facts, "weights": digests})
    settled = {first.weights} if released_of(project, first.version) else set()
    record_attempt(
        layout, first.version, digests["sha256"], (first.weights,), settled,
        policy=policy_digest(project.classifier.policy),
    )  # fmt: skip
