"""What stages depend on besides their inputs: environment, code, source files, as digests."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from lifecycle.domain.classifier import Classifier, CohortSource
from lifecycle.dossier import rehearsals
from lifecycle.dossier.files import read_json, write_json
from lifecycle.dossier.layout import Layout
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.numerics.fingerprint import fingerprint
from lifecycle.params.reader import load
from lifecycle.release import chain as chains
from lifecycle.release.case import needs_of
from lifecycle.release.roster import read_rosters
from lifecycle.release.standing import released_builds, versions
from lifecycle.workflows.boundary import say
from lifecycle.workflows.code_digests import write_codes
from lifecycle.workflows.exposing import note_of, noted
from lifecycle.workflows.project import require_root
from lifecycle.workflows.stage import sweep_left

_CHUNK = 1 << 20


def look_around(root: Path | None = None) -> None:
    """Write the fingerprint, digests of code, sources, rehearsals; close runs of killed builds."""
    place = require_root(root)
    write_codes(place)
    classifiers = load(place)
    write_json(Layout(place, "").environment, fingerprint())
    remembered = place / "work" / "digests-by-time.json"
    known = _remembered(remembered)
    for name, classifier in classifiers.items():
        layout = Layout(place, name)
        write_json(layout.sources, _noted(name, place, classifier, known))
        # null where nothing was rehearsed: the gate can depend on it either way
        write_json(place / "work" / "rehearsals" / f"{name}.json", rehearsals.digests(layout))
        write_json(place / "work" / "released" / f"{name}.json", _released(layout))
        write_json(note_of(place, name), noted(layout))
        _close_orphan(place, layout)
        sweep_left(layout)
    write_json(remembered, known)


def _remembered(path: Path) -> dict[str, Any]:
    """Digests of files by size and time; only a cache, so a spoilt one is forgotten."""
    try:
        known = read_json(path)
    except (UnusableInputError, IntegrityError):
        return {}
    return known if isinstance(known, dict) else {}


def _noted(name: str, root: Path, classifier: Classifier, known: dict[str, Any]) -> dict[str, str]:
    """Source digests; a missing file stops its own classifier (in its import), and no other."""
    try:
        return source_digests(root, classifier, known)
    except UnusableInputError as error:
        say(f"{name}: {error}")
        return {"missing": str(error)}


def _released(layout: Layout) -> dict[str, Any]:
    """Released builds by version, so that compare runs anew when they change.

    A chain that does not verify stops the compare of its own classifier, which reads it itself.
    """
    try:
        chain = chains.read(layout.releases, layout.name, read_rosters(layout.signers))
        needs = needs_of(layout)
        return {one: sorted(released_builds(chain, one, needs)) for one in versions(chain)}
    except IntegrityError as error:
        say(f"{layout.name}: {error}")
        return {"broken": str(error)}


def _close_orphan(root: Path, layout: Layout) -> None:
    lock = layout.work / "running.json"
    if not lock.exists():
        return
    from lifecycle.tracking.runs import mark_orphan

    orphan = mark_orphan(root, lock)
    if orphan is not None:
        say(f"{layout.name}: the run {orphan} of a killed build is now marked FAILED")


def source_digests(root: Path, classifier: Classifier, known: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of every source file of a classifier, by path.

    Args:
        root: the project's root.
        classifier: whose sources.
        known: size, time of change and digest of files seen before; added to. A file whose size
            and time are as before is not read again (cohorts can be tens of gigabytes).

    Raises:
        UnusableInputError: a file is missing; the key of params.yaml is named.
    """
    found = {}
    for key, path in source_files(classifier):
        place = root / path
        if not place.exists():
            raise UnusableInputError(f"params.yaml: {key}: there is no file {path}")
        for file in _files(place):
            inside = file.relative_to(place).as_posix()
            found[path if inside == "." else f"{path}/{inside}"] = _digest(file, known)
    return found


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return sorted(path for path in place.rglob("*") if path.is_file())


def _digest(file: Path, known: dict[str, Any]) -> str:
    state = file.stat()
    facts = [state.st_size, state.st_mtime_ns]
    entry = known.get(str(file))
    if isinstance(entry, list) and entry[:2] == facts:
        return str(entry[2])
    digest = hashlib.sha256()
    with file.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    known[str(file)] = [*facts, digest.hexdigest()]
    return digest.hexdigest()


def source_files(classifier: Classifier) -> list[tuple[str, str]]:
    """Every file that a classifier's data come from, with its key in params.yaml."""
    found = _of_source("cohort", classifier.cohort)
    if classifier.frozen.source is not None:
        found += _of_source("frozen.source", classifier.frozen.source)
    return found + [("preprocess.filters", path) for path in classifier.preprocess.filters]


def _of_source(key: str, source: CohortSource) -> list[tuple[str, str]]:
    found = [(f"{key}.path", source.path)]
    if source.annotation is not None:
        found.append((f"{key}.annotation.path", source.annotation.path))
    return found
