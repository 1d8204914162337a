"""A laboratory's project as the program sees it: every action by the lines that the commands run.

The stage functions are called in the order of `dvc.yaml`, in this process. What costs minutes and
is asked by other tests has a stand-in: MLflow (a run that notes nothing), DVC (a note of what the
pipeline has seen, for its `status`; a pointer file, for its `add`), the checks of the data (all
tables here are clean), the self-test of exact arithmetic, and a shelf of networks that were trained
before, found by the digest of what they are trained from. The judge, the chain, signatures,
rosters, git and all readers are the program's own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache, partial
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

from stateful import tables

from lifecycle.cohorts.expectations import Validation, write_result
from lifecycle.domain.digests import canonical_json, sha256
from lifecycle.dossier import builds as kept
from lifecycle.dossier.files import folder_whole, write_json
from lifecycle.errors import LifecycleError
from lifecycle.gate.evidence import frozen_areas
from lifecycle.numerics.fingerprint import fingerprint
from lifecycle.params.reader import load_one
from lifecycle.release import case
from lifecycle.release.keys import create, unlock
from lifecycle.workflows import binding, building, data, enrolling, readiness, rostering, signing
from lifecycle.workflows.auditing import Audit, verify
from lifecycle.workflows.deciding import choose_threshold, compare_builds
from lifecycle.workflows.exposing import note_of, noted
from lifecycle.workflows.frozen import amend
from lifecycle.workflows.judging import judge_build, judge_now
from lifecycle.workflows.project import Project
from lifecycle.workflows.surroundings import source_digests

NAME = "toy"
PASSPHRASE = "correct horse battery"
PARAMS = """\
classifiers:
  toy:
    version: "{version}"
    title: A toy
    task: single
    classes: [A, B, C]
    cohort: {{source: beta_matrix, path: data/training.csv, {columns}}}
    frozen:
      source: {{source: beta_matrix, path: data/frozen.csv, {columns}}}
    split: {{holdout: 0.4, seed: 0}}
    preprocess: {{convention: standardised}}
    model: {{kind: logistic}}
    recipe:
      {{lr: 0.05, l2: 0.001, epochs: 8, minibatch: 8, seed: {seed}, numerics: {{mode: {mode}}}}}
    search: {{run: false}}
    tau: {{positive: A, refuse_below: 0.5}}
    policy: {policy}
"""
COLUMNS = "measures: table, id: id, label: label, patient: {column: patient}"
WATCHED = ("attempts", "builds", "verdicts", "current.json", "threshold.json", "metrics.json")


@dataclass(frozen=True)
class Done:
    """What became of an action: exit code, and what was said."""

    code: int
    said: str = ""
    value: Any = None


@dataclass(frozen=True)
class Shelf:
    """Trained networks and imported tables, by the digest of what they are made from."""

    folder: Path

    def take(self, key: str, place: Path, make: Callable[[], object]) -> None:
        """Have `place` as `make` makes it."""
        kept_one = self.folder / key
        if place.exists():
            shutil.rmtree(place)
        if not kept_one.exists():
            make()
            aside = self.folder / f".{key}.{os.getpid()}"
            shutil.copytree(place, aside)
            try:
                aside.rename(kept_one)
            except OSError:  # another process was quicker
                shutil.rmtree(aside)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(kept_one, place)


_AREAS: dict[Any, Any] = {}


def _areas(predictions: Any, policy: Any) -> Any:
    """The same areas for the same scores: a thousand resamples are drawn once."""
    key = (predictions.digest(), repr(policy))
    if key not in _AREAS:
        _AREAS[key] = frozen_areas(predictions, policy)
    return _AREAS[key]


@cache
def _fingerprint() -> dict[str, dict[str, str]]:
    return fingerprint({})


class _Run:
    """An MLflow run that notes nothing."""

    run_id = "0" * 32

    def epoch(self, *_: object) -> None: ...

    def dataset(self, *_: object) -> None: ...

    def model(self, *_: object) -> None: ...


@contextmanager
def _no_run(*_: object) -> Iterator[_Run]:
    yield _Run()


def _dvc_add(root: Path, command: list[str], *_: object) -> tuple[str, str]:
    """The pointer that `dvc add` writes."""
    path = Path(command[-1])
    content = path.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    text = f"outs:\n- md5: {md5}\n  size: {len(content)}\n  hash: md5\n  path: {path.name}\n"
    path.with_name(f"{path.name}.dvc").write_text(text, encoding="ascii")
    return "", ""


@dataclass
class Laboratory:
    """A project with its keys; `root` is git's.

    Attributes:
        root, keys, shelf: where things stand.
        mode: numerics mode of the recipe.
        seen: what `dvc status` would compare with: the state at the end of the last whole run.
        builder: who builds.
    """

    root: Path
    keys: Path
    shelf: Shelf
    mode: str = "native"
    seen: str = ""
    builder: str = "bob"
    opened: dict[bytes, Any] = field(default_factory=dict)
    unlocked: dict[Path, Any] = field(default_factory=dict)

    # ---- surroundings

    def stand_ins(self) -> ExitStack:
        """What is replaced while the laboratory is at work."""
        stack = ExitStack()
        for where, name, value in (
            (readiness, "changed_since", lambda project: self.status()),
            (building, "builder", lambda root: self.builder),
            (building, "git_state", lambda root: ("", None)),
            (building, "_self_test", lambda recipe: {}),
            (case, "frozen_areas", _areas),
            (enrolling, "_tell_tracking", lambda *_: None),
            (enrolling.dvc_state, "output", _dvc_add),
            *((place, "unlock", self._unlock) for place in (signing, rostering, binding)),
        ):
            stack.enter_context(mock.patch.object(where, name, value))
        stack.enter_context(mock.patch("lifecycle.tracking.runs.build_run", _no_run))
        return stack

    def _unlock(self, path: Path, passphrase: str) -> Any:
        if path not in self.unlocked:
            self.unlocked[path] = unlock(path, passphrase)
        return self.unlocked[path]

    def project(self) -> Project:
        """As `params.yaml` says; read anew where it was changed."""
        text = (self.root / "params.yaml").read_bytes()
        if text not in self.opened:
            self.opened[text] = load_one(self.root, NAME)
        return Project(self.root, NAME, self.opened[text], self.layout)

    @property
    def layout(self) -> Any:
        """Folders."""
        from lifecycle.dossier.layout import Layout

        return Layout(self.root, NAME)

    def do(self, work: Callable[[], Any]) -> Done:
        """Run an action as the command line would: an error is an exit code and a sentence."""
        err = StringIO()
        try:
            with redirect_stderr(err), redirect_stdout(StringIO()):
                return Done(0, "", work())
        except LifecycleError as error:
            return Done(int(error.exit_code), str(error))
        except OSError as error:
            return Done(10, str(error))

    def status(self) -> str:
        """`dvc status`: whether anything differs from what the last whole run has seen."""
        return "" if self.seen == self._state() else "`dvc status` says that something changed"

    def _state(self) -> str:
        digest = hashlib.sha256((self.root / "params.yaml").read_bytes())
        for name in ("training", "frozen"):
            digest.update((self.root / f"data/{name}.csv").read_bytes())
        digest.update((self.layout.pins).read_bytes() if self.layout.pins.exists() else b"")
        for watched in WATCHED:
            place = self.layout.dossier / watched
            for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
                if path.is_file():
                    name = path.relative_to(self.root).as_posix()
                    digest.update(name.encode() + path.read_bytes())
        return digest.hexdigest()

    # ---- what a person edits

    def write_params(self, version: str, seed: int, policy: Mapping[str, object]) -> None:
        """`params.yaml`."""
        text = PARAMS.format(
            version=version, seed=seed, mode=self.mode, policy=json.dumps(policy), columns=COLUMNS
        )
        (self.root / "params.yaml").write_text(text, encoding="utf-8")

    def write_tables(self, training: str, frozen: str) -> None:
        """The source files."""
        folder = self.root / "data"
        folder.mkdir(exist_ok=True)
        for name, rows in (
            ("training", tables.training(training)),
            ("frozen", tables.frozen(frozen)),
        ):
            (folder / f"{name}.csv").write_text(tables.written(list(rows)), encoding="ascii")

    def commit(self) -> None:
        """Everything into git."""
        for words in (["add", "-A"], ["commit", "-qm", "kept", "--allow-empty"]):
            self.git(*words)

    def git(self, *words: str) -> None:
        """A git command here."""
        subprocess.run(["git", *words], cwd=self.root, check=True, capture_output=True)

    def is_clean(self) -> bool:
        """Git has it all, records and rosters apart: the next signer adds to them."""
        words = ["git", "status", "--porcelain", "-uall"]
        done = subprocess.run(words, cwd=self.root, check=True, capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if "/releases/" not in line]
        return not [line for line in lines if "/_signers/" not in line]

    # ---- the pipeline

    def rebuild(self, machine: str = "one", path: int = 0) -> Done:
        """Every stage, in order.

        Args:
            machine: what the fingerprint calls this machine.
            path: which way the arithmetic of this machine goes: a machine that rounds otherwise
                comes to another network from the same recipe. 0 is the recipe's own.
        """
        return self.do(lambda: self._rebuild(machine, path))

    def _rebuild(self, machine: str, path: int) -> None:
        project = self.project()
        self._look_around(project, machine)
        self._import(project)
        data.split_data(project)
        self._validate(project)
        data.prepare_data(project)
        building.find_rates(project)
        self._build(project, path)
        enrolling.predict_frozen(project)
        enrolling.enrol_build(project)
        choose_threshold(project)
        self._judge(project)

    def judge(self) -> Done:
        """The stages `compare` and `gate`, as after an edit of the policy or a release."""
        return self.do(lambda: self._judge(self.project()))

    def _judge(self, project: Project) -> None:
        compare_builds(project)
        judge_build(project)
        self.seen = self._state()

    def _look_around(self, project: Project, machine: str) -> None:
        facts = {key: dict(group) for key, group in _fingerprint().items()}
        facts["machine"] = {**facts["machine"], "cpu": machine}
        write_json(project.layout.environment, facts)
        write_json(project.layout.sources, source_digests(self.root, project.classifier, {}))
        write_json(note_of(self.root, NAME), noted(project.layout))

    def _import(self, project: Project) -> None:
        builds = kept.read_builds(project.layout)
        data.require_same_terms(project.name, project.classifier, builds)
        sources = (self.root / f"data/{name}.csv" for name in ("training", "frozen"))
        key = sha256(b"".join(path.read_bytes() for path in sources))
        self.shelf.take(f"cohort-{key}", project.cohort.parent, partial(data.import_data, project))

    def _validate(self, project: Project) -> None:
        with folder_whole(project.validation) as folder:
            write_result(folder / "result.json", Validation(True, (), (), 1))

    def _build(self, project: Project, path: int) -> None:
        recipe = building.resolved_recipe(project)
        key = digest_of_input(project, canonical_json([repr(recipe), path]))
        make = partial(self._train, project, path)
        self.shelf.take(f"build-{key}", project.build, make)
        # who builds, when and under which policy is of today, whenever the network was trained
        write_json(project.build / kept.RUN, building.run_facts(project, _Run.run_id))

    def _train(self, project: Project, path: int) -> None:
        """The stage `build`; on another path the network that another seed leads to."""
        if path == 0:
            building.train_build(project)
            return
        from lifecycle.training import trainer

        real = trainer.train

        def astray(model: Any, recipe: Any, *rest: Any) -> Any:
            return real(model, replace(recipe, seed=recipe.seed + 1000 * path), *rest)

        with mock.patch.object(trainer, "train", astray):
            building.train_build(project)

    # ---- the frozen set

    def amend(self, reason: str) -> Done:
        """`data import` and `frozen amend`."""

        def work() -> None:
            project = self.project()
            self._import(project)
            data.split_data(project)
            amend(project, reason)

        return self.do(work)

    # ---- judging and signing

    def gate(self) -> Done:
        """`lifecycle gate`: the verdict, computed anew."""
        return self.do(lambda: judge_now(self.project()))

    def may_sign(self) -> Done:
        """Whether the current build may be signed by anybody."""
        return self.do(lambda: signing.propose_sign_off(self.project(), "review"))

    def sign(self, user: str, meaning: str, reason: str = "") -> Done:
        """`release sign-off`."""
        return self.do(lambda: self._sign(user, meaning, reason))

    def _sign(self, user: str, meaning: str, reason: str) -> Any:
        proposal = signing.propose_sign_off(self.project(), meaning, reason=reason)
        return signing.sign(proposal, self.key(user), PASSPHRASE)

    def refuse(self, user: str) -> Done:
        """`release refuse`."""

        def work() -> Any:
            proposal = signing.propose_refusal(self.project(), "approval", "no")
            return signing.sign(proposal, self.key(user), PASSPHRASE)

        return self.do(work)

    def about(self, kind: str, user: str, build: int | None) -> Done:
        """`release withdraw` and `release amend`."""
        meaning = {"withdrawal": "approval", "amendment": "responsibility"}[kind]

        def work() -> Any:
            proposal = signing.propose_about(self.project(), kind, meaning, "a reason", build)
            return signing.sign(proposal, self.key(user), PASSPHRASE)

        return self.do(work)

    def verify(self) -> Done:
        """`release verify`."""

        def work() -> Audit:
            return verify(self.root, NAME)

        return self.do(work)

    # ---- people

    def key(self, user: str) -> Path:
        """A key file."""
        return self.keys / f"{user}.pem"

    def new_key(self, holder: str) -> str:
        """Make a key file; its public half."""
        with mock.patch("lifecycle.release.keys.ROUNDS", 75_000):  # an eighth
            return create(self.key(holder), PASSPHRASE).public

    def enrol(self, user: str, roles: tuple[str, ...], public: str, by: str) -> Done:
        """`release keys enrol`."""
        return self.do(
            lambda: rostering.enrol(
                self.root, user, f"Dr {user}", roles, public, self.key(by), PASSPHRASE
            )
        )

    def revoke(self, user: str, by: str) -> Done:
        """`release keys revoke`."""
        return self.do(lambda: rostering.revoke(self.root, user, self.key(by), PASSPHRASE))


def digest_of_input(project: Project, more: bytes) -> str:
    """What decides a trained network, as the digest of it all."""
    parts = [path.read_bytes() for path in sorted(project.prepared.iterdir())]
    cases = [project.parts.read_bytes(), (project.layout.sources).read_bytes()]
    return sha256(b"".join([*parts, *cases, more]))


def new_laboratory(folder: Path, shelf: Shelf, mode: str) -> Laboratory:
    """A project in git, nothing built, nobody enrolled."""
    lab = Laboratory(folder / "project", folder / "keys", shelf, mode)
    lab.root.mkdir(parents=True)
    lab.git("init", "-q")
    settings = {
        "user.name": "t", "user.email": "t@example.org", "gc.auto": "0", "core.fsync": "none",
    }  # fmt: skip
    with (lab.root / ".git" / "config").open("a") as file:
        for name, value in settings.items():
            section, key = name.split(".")
            file.write(f"[{section}]\n\t{key} = {value}\n")
    (lab.root / ".gitignore").write_text("/work\n/weights/**/*.safetensors\n")
    return lab
