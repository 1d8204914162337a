"""Export a release: one folder or zip that verifies alone, without us, our servers or the network.

What is signed keeps its place below the root, so `lifecycle release verify` works there as here.
Created whole or not at all; what is there already is never overwritten.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.consistency.calls import call, said
from lifecycle.domain.digests import canonical_json, sha256
from lifecycle.domain.predictions import Predictions
from lifecycle.domain.sheets import sheet
from lifecycle.dossier import builds as kept
from lifecycle.dossier.files import writing
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.once import reading_once
from lifecycle.errors import (
    IntegrityError,
    LifecycleError,
    SignOffRefusedError,
    UnusableInputError,
    UsageError,
)
from lifecycle.records.release import BUNDLE
from lifecycle.release import chain as chains
from lifecycle.release.bom import bom_of, faults, libraries
from lifecycle.release.case import Judged, evidence_of, kept_case, replayed
from lifecycle.release.chain import Chain
from lifecycle.release.instructions import instructions
from lifecycle.release.model_card import SIMULATED, Facts, card_of, markdown_of
from lifecycle.release.roster import read_rosters
from lifecycle.release.standing import Release
from lifecycle.version import VERSION
from lifecycle.workflows.auditing import standings_of, verify
from lifecycle.workflows.auditing_beside import BUNDLE_FILE
from lifecycle.workflows.boundary import say
from lifecycle.workflows.deciding import current_build
from lifecycle.workflows.openssf import WeightsKey, sign_weights
from lifecycle.workflows.openssf import how as how_signed
from lifecycle.workflows.printing import print_page
from lifecycle.workflows.project import Project
from lifecycle.workflows.reporting import PAGE, report_now

LOCK, SUMS, HOW = "requirements.lock", "SHA256SUMS", "VERIFY.md"
BOM = "ml-bom.cdx.json"
SIGNED = ("dossier/", "weights/")  # what the signatures bind
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can say
_EXPORT = ".export-"
# As `_aside` names it: the target, the process and what mkdtemp adds.
_LEFT_OVER = re.compile(rf"\..+{re.escape(_EXPORT)}([0-9]{{1,9}})-[a-z0-9_]{{8}}", re.DOTALL)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was made.

    Attributes:
        path: the folder or zip.
        files: how many files it holds.
        digest: SHA-256 of the zip, or of the folder's SHA256SUMS.
        head, fingerprint: what `verify --head --trust` is held to.
        notes: what is missing in it and why.
    """

    path: Path
    files: int
    digest: str
    head: str
    fingerprint: str
    notes: tuple[str, ...]


@reading_once()
def export(project: Project, out: Path, key: WeightsKey | None = None) -> Exported:
    """Export the newest release that was not withdrawn; the newest of all where none is left.

    Args:
        project: whose classifier.
        out: a folder, or a file whose name ends in `.zip`; it must not exist.
        key: signs the weights as OpenSSF model-signing does; None leaves that out.

    Raises:
        UsageError: `out` is there already.
        SignOffRefusedError: nothing was released, or the key does not open.
        IntegrityError: the chain or a file that it names does not verify.
        UnusableInputError: `out` cannot be written, or there is no model-signing for the key.
        OSError: the disk is full; it names `out`.
    """
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} is there already and is not overwritten; name another")
    audit = verify(project.root, project.name, progress=say)
    facts = facts_of(project)
    with _aside(out) as aside:
        folder = aside / "bundle"
        folder.mkdir()
        notes = _fill(project, facts, folder, key)
        # the copy is what will be relied on, so it is what must verify
        audit = verify(folder, project.name, trust=facts.chain.rosters[0].digest, head=audit.head)
        files = [name for name, _ in _files(folder)]
        if out.suffix == ".zip":
            digest = _zip(folder, out, f"{project.name}-{facts.build.version}-{facts.build.name}")
        else:
            digest = sha256((folder / SUMS).read_bytes())
            _place_folder(folder, out)
    return Exported(out, len(files), digest, str(audit.head), str(audit.fingerprint), tuple(notes))


def facts_of(project: Project) -> Facts:
    """The release to speak of, with all that a card says of it.

    Raises:
        SignOffRefusedError: nothing was released.
    """
    layout = project.layout
    chain = chains.read(layout.releases, project.name, read_rosters(layout.signers))
    release = _newest(layout, chain)
    path = layout.cases / f"{release.subject.case}.json"
    signed = kept_case(layout, release.subject.case)
    judged = Judged(signed.case, replayed(layout, signed, str(path)))
    build = kept.read_build(layout, release.subject.build)
    cutoffs = evidence_of(layout, judged.case).cutoffs
    if cutoffs is None:
        raise IntegrityError(f"{path} gives no tau, so nothing could have been released")
    return Facts(
        title=project.classifier.title,
        chain=chain,
        release=release,
        build=build,
        judged=judged,
        cutoffs=cutoffs,
        frozen=_labels(kept.frozen_predictions(build)),
        holdout=_labels(kept.holdout_predictions(build)),
    )


def _newest(layout: Layout, chain: Chain) -> Release:
    every = [release for one in standings_of(layout, chain) for release in one.releases]
    if not every:
        raise SignOffRefusedError(
            f"{layout.name} has no release to export; see `lifecycle release history {layout.name}`"
        )
    return max(every, key=lambda release: (release.withdrawn is None, release.number))


def _labels(predictions: Predictions) -> dict[str, int]:
    """Cases by class; a multi-label case counts for each of its classes."""
    labels = predictions.labels or ()
    found = Counter(name for label in labels for name in (label.split("|") if label else [""]))
    order = [*predictions.classes, ""]
    return {name: found[name] for name in order if found[name]}


def _fill(project: Project, facts: Facts, folder: Path, key: WeightsKey | None) -> list[str]:
    """Everything but what is signed twice; returns what is missing."""
    _copy_signed(project, facts.chain, folder)
    lock, notes = _lock(project, facts)
    card = card_of(facts)
    bom = bom_of(facts, libraries(lock, facts.build.content["environment"]["libraries"]), VERSION)
    notes += _require_valid(bom)
    texts = {
        "model-card.json": json.dumps(card, indent=2, sort_keys=True, allow_nan=False) + "\n",
        "model-card.md": markdown_of(card),
        BOM: canonical_json(bom).decode("ascii"),
        LOCK: lock,
        f"predictions/frozen-{facts.build.name}.csv": _predictions(facts),
    }
    for name, text in texts.items():
        _write(folder / name, text.encode("utf-8"))
    notes += _write_report(project, facts, folder)
    if key is not None:
        sign_weights(folder, key)
    notes.append(how_signed(key is not None))
    extras = [name for name, _ in _files(folder) if not name.startswith(SIGNED)]
    extras = sorted([*extras, HOW, SUMS, BUNDLE_FILE])
    _write(folder / HOW, _how(project, facts, extras, notes).encode("utf-8"))
    _write(folder / BUNDLE_FILE, canonical_json(_contents(facts, folder)))
    sums = "".join(f"{sha256(path.read_bytes())}  ./{name}\n" for name, path in _files(folder))
    _write(folder / SUMS, sums.encode("utf-8"))
    return notes


def _contents(facts: Facts, folder: Path) -> dict[str, Any]:
    """What stands in the bundle beside the signed files, each by its digest."""
    files = {name: sha256(path.read_bytes()) for name, path in _files(folder)}
    case = facts.judged.case
    return BUNDLE.write(
        {
            "classifier": case.classifier,
            "version": case.version,
            "build": case.build,
            "head": facts.chain.head,
            "fingerprint": facts.chain.rosters[0].digest,
            "files": {name: one for name, one in files.items() if not name.startswith(SIGNED)},
        },
        BUNDLE_FILE,
    )


def _how(project: Project, facts: Facts, extras: list[str], notes: list[str]) -> str:
    withdrawn = facts.release.withdrawn
    marks = f"**{SIMULATED}.** " if facts.simulated else ""
    if withdrawn is not None:
        at = withdrawn.record.signature.signed_at
        marks += f"**WITHDRAWN at {at}: not to be used.**"
    title = (project.name, facts.judged.case.version, facts.build.name)
    said = [*notes, "Cases are named as in the laboratory's own files: treat this folder as "
            "patient data where those names lead to patients."]  # fmt: skip
    return instructions(facts.chain, title, marks, extras, said)


def _copy_signed(project: Project, chain: Chain, folder: Path) -> None:
    """Rosters, records, cases and every file that a record names, at the same place."""
    layout = project.layout
    named = {name.partition("#")[0] for link in chain.links for name in link.record.subjects}
    paths = [layout.root / name for name in named]
    paths += [link.path for link in chain.links]
    paths += [layout.signers / f"{one.version:05d}.json" for one in chain.rosters]
    paths += [layout.cases / f"{link.record.case}.json" for link in chain.links if link.record.case]
    for path in sorted(set(paths)):
        target = folder / path.relative_to(layout.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _lock(project: Project, facts: Facts) -> tuple[str, list[str]]:
    """requirements.lock of the commit that the build was made from; today's where git has none."""
    commit = kept.run_facts(facts.build)["commit"]
    command = ["git", "show", f"{commit}:./{LOCK}"]
    with_git = shutil.which("git") is not None and bool(commit)
    if with_git:
        done = subprocess.run(command, cwd=project.root, capture_output=True, check=False)
        if done.returncode == 0:
            return done.stdout.decode("utf-8"), []
    try:
        text = (project.root / LOCK).read_text(encoding="utf-8")
    except FileNotFoundError:
        return "", [f"{LOCK} is missing in the project: the environment is known in part only."]
    return text, [f"{LOCK} is that of the export, not of the commit that was built."]


def _require_valid(bom: Mapping[str, Any]) -> list[str]:
    """Our own checks always, the strict schema where its validator is installed.

    Raises:
        IntegrityError: the bill of materials is not valid.
    """
    wrong = faults(bom)
    try:
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ImportError:
        notes = [f"{BOM} was not validated: cyclonedx-python-lib is not installed here."]
    else:
        text = canonical_json(bom).decode("ascii")
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
        wrong += [] if error is None else [str(error)]
        notes = []
    if wrong:
        raise IntegrityError(f"{BOM} would not be valid: {'; '.join(wrong)[:2000]}")
    return notes


def _write_report(project: Project, facts: Facts, folder: Path) -> list[str]:
    """The report as it stands now, signatures included, if the pipeline stands at that build."""
    number = facts.judged.case.build
    gone = f"The report of b{number} is missing"
    try:
        if current_build(project)[0].number != number:
            return [
                f"{gone}: the pipeline stands at another build. MLflow keeps it with the build's "
                f"run (release/{PAGE}); or run `lifecycle rebuild {project.name}` in the "
                f"environment of b{number}, which makes it current again, and export then."
            ]
        page = report_now(project, folder / "report")
    except LifecycleError as error:
        return [f"{gone}: {error}."]
    missing = print_page(page, page.with_suffix(".pdf"), facts.release.at)
    return [f"The report as PDF is missing: {missing}."] if missing else []


def _predictions(facts: Facts) -> str:
    """Calls and scores of every frozen case, for people and their spreadsheets."""
    scores = kept.frozen_predictions(facts.build)
    calls = call(scores, facts.cutoffs)
    rows: list[list[object]] = [["case_id", "patient_id", "label", "call", *scores.classes]]
    for at, case in enumerate(scores.ids):
        label = scores.labels[at] if scores.labels is not None else ""
        names = [case, scores.patients[at], label, said(calls, at)]
        rows.append([*names, *scores.scores[at].tolist()])
    return sheet(rows)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Every file, by its name below the folder, in the order of bytes."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    pairs = [(path.relative_to(folder).as_posix(), path) for path in found]
    return sorted(pairs, key=lambda pair: pair[0].encode("utf-8"))


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A folder beside the target that nobody else can read, gone afterwards.

    Raises:
        UnusableInputError: the target cannot be written.
        OSError: the disk is full; it names the target.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _sweep(out.parent)
        prefix = f".{out.name[:40]}{_EXPORT}{os.getpid()}-"
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=prefix))  # mode 700
    except OSError as error:
        raise UnusableInputError(f"{out} cannot be written: {error.strerror}") from None
    try:
        with _held(folder), writing(out):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder as in use; a kill lets go of it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        with suppress(OSError):  # a file system without locks: nobody sweeps there
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _sweep(parent: Path) -> None:
    """Remove what killed exports left: folders named as ours, of this user, that nobody holds."""
    for folder in parent.glob(f".*{_EXPORT}*"):
        if match := _LEFT_OVER.fullmatch(folder.name):
            with suppress(OSError):  # held by another process, or no folder of ours
                _remove_unheld(folder, int(match[1]))


def _remove_unheld(folder: Path, process: int) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # numbers of processes come again; but an empty one may be made and not yet held
        dead = bool(os.listdir(handle)) or not _runs(process)  # noqa: PTH208
        if dead and os.fstat(handle).st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:  # somebody else's
        return True
    except ProcessLookupError:
        return False
    return True


def _place_folder(folder: Path, out: Path) -> None:
    try:
        folder.chmod(0o755)
        folder.rename(out)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise UnusableInputError(f"{out} cannot be written: {error.strerror}") from None
        raise UsageError(f"{out} is there already and is not overwritten; name another") from None


def _zip(folder: Path, out: Path, top: str) -> str:
    """The same files give the same bytes: order, times, modes and compression are fixed."""
    aside = folder.with_name("bundle.zip")
    try:
        with zipfile.ZipFile(aside, "x", zipfile.ZIP_STORED) as archive:
            for name, path in _files(folder):
                entry = zipfile.ZipInfo(f"{top}/{name}", _EPOCH)
                entry.create_system, entry.external_attr = 3, 0o100644 << 16
                entry.file_size = path.stat().st_size  # decides between zip and zip64
                with archive.open(entry, "w") as into, path.open("rb") as source:
                    shutil.copyfileobj(source, into)
        os.link(aside, out)  # fails where something is
    except FileExistsError:
        raise UsageError(f"{out} is there already and is not overwritten; name another") from None
    return sha256(out.read_bytes())


def export_said(done: Exported) -> str:
    """What the person at the terminal is told."""
    what = "zip" if done.path.suffix == ".zip" else SUMS
    return "\n".join(
        [
            f"{done.path}: {done.files} files",
            f"sha256 of the {what}: {done.digest}",
            f"head {done.head}",
            f"roster fingerprint {done.fingerprint}",
            *done.notes,
            f"{HOW} in it says how to check it; give the three digests by another way.",
        ]
    )
