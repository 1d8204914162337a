"""Verify and read the chain of signed records, offline, with the saved predictions alone.

An auditor runs this two years later without our servers: nothing here needs torch, MLflow, DVC,
params.yaml or the training data. Digests of all files that a record names are checked and every
verdict is computed anew (decision 8).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lifecycle.domain.digests import sha256
from lifecycle.dossier import builds as kept
from lifecycle.dossier.attempts import name_of
from lifecycle.dossier.builds import Build
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.once import reading_once
from lifecycle.errors import IntegrityError, UnusableInputError, UsageError
from lifecycle.gate.rules import rules_of
from lifecycle.records.types import time_of
from lifecycle.release import chain as chains
from lifecycle.release.case import Case, Judged, kept_case, needs_of, replayed
from lifecycle.release.chain import Chain, Link
from lifecycle.release.derived import owed, require_derived
from lifecycle.release.files import read_plain
from lifecycle.release.roster import read_rosters
from lifecycle.release.standing import Standing, released_builds, standing, versions
from lifecycle.release.subjects import attempts_named, require_subjects, subjects_of
from lifecycle.release.tested import tested_fields
from lifecycle.workflows.auditing_before import require_before
from lifecycle.workflows.auditing_beside import verify_beside

Progress = Callable[[str], None]
CLOCKS = timedelta(minutes=10)  # by which two clocks may differ
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")  # as params.yaml may name a classifier


@dataclass(frozen=True, slots=True)
class Audit:
    """What was verified of one classifier.

    Attributes:
        classifier: whose chain.
        head: SHA-256 of the newest record, None for an empty chain.
        records: how many.
        files: files whose digest was checked.
        verdicts: verdicts computed anew, each equal to the signed one.
        weights_checked: whether the weights were among the files.
        standings: where each version stands.
        fingerprint: of the first roster; what `--trust` is held to.
    """

    classifier: str
    head: str | None
    records: int
    files: int
    verdicts: int
    weights_checked: bool
    standings: tuple[Standing, ...]
    fingerprint: str | None


def classifiers_of(root: Path) -> list[str]:
    """Classifiers of the dossier that have a chain.

    Raises:
        UnusableInputError: there is no dossier.
    """
    folder = root / "dossier"
    if not folder.is_dir():
        raise UnusableInputError(f"there is no folder {folder}; change to the project's root")
    return sorted(path.parent.name for path in folder.glob("*/releases") if path.is_dir())


@reading_once()
def verify(
    root: Path,
    name: str,
    *,
    trust: str | None = None,
    head: str | None = None,
    weights: bool = True,
    progress: Progress | None = None,
) -> Audit:
    """Verify a classifier's whole chain.

    Every file is read one time, so that the bytes which were held to the signed digests are those
    that the verdicts are computed from. A caller who goes on to use them does so inside the same
    `reading_once`.

    Args:
        root: the project, or an exported bundle.
        name: the classifier.
        trust: fingerprint of the first roster, known from elsewhere.
        head: digest of the newest record, known from elsewhere.
        weights: whether the weights files are checked; without, they may be missing.
        progress: told what begins.

    Raises:
        IntegrityError: names the file and the field, or each file that differs.
        UsageError: there is no such classifier.
    """
    layout, say = _layout(root, name), progress or (lambda sentence: None)
    rosters = read_rosters(layout.signers, trust)
    chain = chains.read(layout.releases, name, rosters)
    if head is not None:
        chains.require_head(chain, head)
    say(f"{name}: {len(chain.links)} signatures hold")
    files = require_subjects(layout, chain, weights=weights)
    say(f"{name}: {files} files are those that were signed")
    judged = _verify_verdicts(layout, chain)
    say(f"{name}: {len(judged)} verdicts follow again from the saved predictions")
    if chain.links:
        named = _weights_named(layout, chain)
        beside = verify_beside(layout, judged, named, chain)
        say(f"{name}: {beside} records beside the chain are whole")
    return Audit(
        classifier=name,
        head=chain.head,
        records=len(chain.links),
        files=files,
        verdicts=len(judged),
        weights_checked=weights,
        standings=standings_of(layout, chain),
        fingerprint=rosters[0].digest if rosters else None,
    )


def _weights_named(layout: Layout, chain: Chain) -> list[Path]:
    names = {name for link in chain.links for name in link.record.subjects}
    return [layout.root / name for name in sorted(names) if name.endswith(".safetensors")]


def _verify_verdicts(layout: Layout, chain: Chain) -> list[Judged]:
    """Every case once: its file, what the record says of it, and the verdict itself."""
    done: dict[str, Judged] = {}
    for at, link in enumerate(chain.links):
        if link.record.case is None:
            continue
        if link.record.case not in done:
            done[link.record.case] = _replayed(layout, link.record.case)
        before = replace(chain, links=chain.links[:at])
        _require_said(layout, link, done[link.record.case], before)
    _require_no_strangers(layout, set(done))
    return list(done.values())


def _replayed(layout: Layout, digest: str) -> Judged:
    """A case file whose verdict follows again.

    Raises:
        IntegrityError: the file is missing or was changed, or the verdict is another one.
    """
    path, judged = layout.cases / f"{digest}.json", kept_case(layout, digest)
    try:
        replayed(layout, judged, str(path))
    except UsageError as error:  # a limit that no policy can have
        raise IntegrityError(f"{path}: it cannot be judged: {error}") from None
    return judged


def _require_said(layout: Layout, link: Link, judged: Judged, before: Chain) -> None:
    """A record says of its case what the case says, and the case what the dossier says.

    Raises:
        IntegrityError: names record and field.
    """
    record, case = link.record, judged.case
    build = kept.read_build(layout, case.build)
    run = kept.run_facts(build)
    said: dict[str, tuple[Any, Any]] = {
        "classifier": (record.classifier, case.classifier),
        "version": (record.version, case.version),
        "build": (record.build, case.build),
        "builtBy": (record.built_by, run["by"]),
        "demonstration": (record.demonstration, case.origin == "simulated"),
        "subjects": (_but_attempts(layout, record.subjects), subjects_of(layout, case)),
    }
    tested = tested_fields(judged.verdict, refused=record.kind == "refusal")
    said |= {key: (getattr(record, key), value) for key, value in tested.items()}
    for field, (one, two) in said.items():
        if one != two:
            raise IntegrityError(f"{link.path}: field {field}: not what case {record.case} says")
    _require_moment(link, build, str(run["built"]))
    _require_of_its_time(layout, link, case, before)
    where = f"{layout.cases / str(record.case)}.json"
    require_derived(layout, case, where)
    if record.kind == "sign-off":
        _require_faced(layout, link, case, before)
        require_before(layout, case, before, record.subjects, where)


def _require_of_its_time(layout: Layout, link: Link, case: Case, before: Chain) -> None:
    """A record is no laxer than the program that signed it could be.

    Since `gate/2` a signature binds the attempts, which is what keeps them; and where the roster
    that it binds is of a later format, no older rules are in force.
    """
    record = link.record
    rules = rules_of(case.rules, str(link.path))
    if not rules.looks_at_all:
        if before.rosters[record.roster[0] - 1].chains is not None:
            raise IntegrityError(
                f"{link.path}: field case.rules: {rules.name}, no longer in force when the "
                "roster that it binds was issued"
            )
        return
    named = attempts_named(layout, record.subjects)
    for build in kept.builds_here(layout):
        if build.version == case.version and build.number <= case.build:
            name = name_of(build.version, build.weights)
            if name not in named:
                raise IntegrityError(
                    f"{link.path}: field subject: the attempt of {build.name}, {name}, is not bound"
                )


def _require_moment(link: Link, build: Build, built: str) -> None:
    """A signature is no older than what it signs, and not of a time that has not come."""
    at = link.record.signature.signed_at
    if time_of(at) < time_of(built):
        raise IntegrityError(f"{link.path}: field signedAt: {at}, before {build.name} was built")
    if time_of(at) > datetime.now(UTC) + CLOCKS:
        raise IntegrityError(
            f"{link.path}: field signedAt: {at}, which has not come yet; if it has, set the clock "
            "of this machine right"
        )


def _require_faced(layout: Layout, link: Link, case: Case, before: Chain) -> None:
    """A signed build was compared with every build that was released when it was signed."""
    released = released_builds(before, case.version, needs_of(layout))
    faces = owed(released, case.build, rules_of(case.rules, str(link.path)))
    first = not faces and not case.references and case.first == case.build
    if not first and not (case.released and faces == set(case.references)):
        names = ", ".join(f"b{number}" for number in sorted(faces)) or "no build"
        raise IntegrityError(
            f"{link.path}: field case.references: when it was signed, {names} was released, and "
            f"b{case.build} was compared with {sorted(case.references)}"
        )


def _but_attempts(layout: Layout, subjects: Mapping[str, str]) -> dict[str, str]:
    """Subjects without the attempts: of these the record itself says which there were."""
    place = f"{layout.attempts.relative_to(layout.root).as_posix()}/"
    return {name: one for name, one in subjects.items() if not name.startswith(place)}


def _require_no_strangers(layout: Layout, known: set[str]) -> None:
    """A case that no record names is left over from a killed sign-off, if its name is its digest.

    Raises:
        IntegrityError: a file that is no case.
    """
    paths = sorted(layout.cases.iterdir()) if layout.cases.is_dir() else []
    for path in paths:
        if path.name.startswith(".") or path.stem in known:
            continue
        if path.suffix != ".json" or sha256(read_plain(path)) != path.stem:
            raise IntegrityError(f"{path} does not belong here; remove it or restore it from git")


def standings_of(layout: Layout, chain: Chain) -> tuple[Standing, ...]:
    """Where each version stands, by the signatures that each case's own policy named."""
    needs = needs_of(layout)
    return tuple(standing(chain, version, needs) for version in versions(chain))


def where_it_stands(root: Path, name: str) -> tuple[Standing, ...]:
    """Where each version stands by the chain, which is verified (files and verdicts are not)."""
    return standings_of(*_chain_of(root, name))


def _layout(root: Path, name: str) -> Layout:
    """The folders of a classifier that is there, under a name that a classifier can have.

    Raises:
        UsageError: there is none.
    """
    layout = Layout(root, name)
    if not _NAME.fullmatch(name):
        raise UsageError(f"there is no classifier {name!r} in {root / 'dossier'}")
    if not layout.dossier.is_dir():
        # one that a roster knows is gone, which is said by its chain
        chains.read(layout.releases, name, read_rosters(layout.signers))
        raise UsageError(f"there is no classifier {name!r} in {root / 'dossier'}")
    return layout


def _chain_of(root: Path, name: str) -> tuple[Layout, Chain]:
    layout = _layout(root, name)
    return layout, chains.read(layout.releases, name, read_rosters(layout.signers))


def history(root: Path, name: str) -> Iterator[dict[str, Any]]:
    """Every record as a row for people, the chain verified (files and verdicts are not)."""
    _, chain = _chain_of(root, name)
    for link in chain.links:
        record, signed = link.record, link.record.signature
        yield {
            "number": record.number,
            "kind": record.kind,
            "version": record.version,
            "build": f"b{record.build}" if record.build else "",
            "verdict": record.verdict or "",
            "meaning": signed.meaning,
            "signer": f"{signed.printed_name} ({signed.user_id})",
            "signed": signed.signed_at,
            "demonstration": record.demonstration,
            "reason": record.reason or "",
            "digest": link.digest,
        }
