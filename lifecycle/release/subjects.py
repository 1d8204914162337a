"""The files that a decision rests on, each by its SHA-256: the subjects of a signed Statement."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from lifecycle.domain.digests import sha256
from lifecycle.dossier import builds as kept
from lifecycle.dossier import rehearsals
from lifecycle.dossier.attempts import file_of, read_attempts
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import not_a_file, read_evidence, read_regular
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.once import held_digests, reading_once
from lifecycle.dossier.pins import pin_digest, read_pins
from lifecycle.errors import IntegrityError
from lifecycle.gate.rules import rules_of
from lifecycle.release.case import Case, first_build, looked_at
from lifecycle.release.chain import Chain
from lifecycle.release.files import require_folder
from lifecycle.release.standing import versions

_POINTER, _WEIGHTS = ".dvc", ".safetensors"


def weights_file(layout: Layout, build: Build) -> Path:
    """Where the weights of a build lie, by content."""
    return layout.weights / f"{build.content['weights']['file']}.safetensors"


def require_weights(layout: Layout, build: Build) -> None:
    """The weights file, where it is here, is the one that the build's record names.

    Raises:
        IntegrityError: it was changed.
    """
    path = weights_file(layout, build)
    if not path.exists():
        return
    if sha256(read_evidence(path, follow=True)) != build.content["weights"]["file"]:
        raise IntegrityError(
            f"{path} was changed: it is not the file that {build.name} names; remove it and run "
            "`dvc checkout` or `dvc pull`"
        )


@reading_once()
def subjects_of(layout: Layout, case: Case) -> dict[str, str]:
    """Every file that the decision rests on, with its SHA-256; a pin under its own digest.

    Each file is read one time: what its record was held to is what is named here.

    Raises:
        IntegrityError: a file does not match its record, or is none.
    """
    require_plain(layout)
    root = layout.root
    found: dict[str, str] = {}
    looked = [build.number for build in looked_at(layout, case)]
    for number in sorted(
        {case.build, case.first, *case.references, *looked, *_before(layout, case)}
    ):
        build = kept.read_build(layout, number)
        paths = [build.folder / name for name in (kept.RECORD, *build.files)]
        found |= {path.relative_to(root).as_posix(): sha256(read_evidence(path)) for path in paths}
    build = kept.read_build(layout, case.build)
    weights = weights_file(layout, build).relative_to(root).as_posix()
    found[weights] = str(build.content["weights"]["file"])
    return (
        found
        | _pins(layout, case.version, _last_pin(layout, case, build))
        | _pins_before(layout, case)
    )


def _last_pin(layout: Layout, case: Case, build: Build) -> int | None:
    """Number of the pin that a build was scored under; `gate/1` took the first of the same set.

    That left out the amendments between a set and the same set restored.
    """
    if rules_of(case.rules, f"b{case.build}").looks_at_all:
        return int(build.content["inputs"]["pin"]["number"])
    pins = (pin for pin in read_pins(layout.pins) if pin.version == case.version)
    return next((pin.number for pin in pins if pin.total == case.pin), None)


def _before(layout: Layout, case: Case) -> set[int]:
    """Builds of the version that is followed: its releases, and its first, which has its tau."""
    plan = case.policy.predecessor
    if case.followed is None or plan is None or not case.followed.builds:
        return set()
    return {first_build(layout, plan.version).number, *case.followed.builds}


def _pins_before(layout: Layout, case: Case) -> dict[str, str]:
    """The pins that the releases of the version that is followed were scored under."""
    found: dict[str, str] = {}
    for number in sorted(_before(layout, case)):
        build = kept.read_build(layout, number)
        found |= _pins(layout, build.version, int(build.content["inputs"]["pin"]["number"]))
    return found


def attempt_subjects(layout: Layout, case: Case) -> dict[str, str]:
    """Every attempt of the version, and all that its exposure counts, with their SHA-256.

    Bound by a signature, none can be taken away. Those of other classifiers stand in the case.

    Raises:
        IntegrityError: one was changed.
    """
    found = {}
    versions_bound = {case.version}
    versions_bound |= {one.version for one in case.exposure if one.classifier == layout.name}
    for attempt in read_attempts(layout):
        if attempt.version in versions_bound:
            path = layout.attempts / file_of(attempt)
            found[path.relative_to(layout.root).as_posix()] = sha256(read_evidence(path))
    return found


def attempts_named(layout: Layout, subjects: Mapping[str, str]) -> set[str]:
    """File names of the attempts among the subjects of a record."""
    place = f"{layout.attempts.relative_to(layout.root).as_posix()}/"
    return {name.removeprefix(place) for name in subjects if name.startswith(place)}


def pin_subjects(layout: Layout, version: str) -> dict[str, str]:
    """Digest of each pin of a version, under the name of the file and the pin's number.

    Args:
        layout: the classifier's folders.
        version: whose pins.

    Raises:
        IntegrityError: something else stands in the place of a file of evidence (`require_plain`).
    """
    require_plain(layout)
    return _pins(layout, version, None)


def _pins(layout: Layout, version: str, last: int | None) -> dict[str, str]:
    place = layout.pins.relative_to(layout.root).as_posix()
    return {
        f"{place}#{pin.version}/{pin.number}": pin_digest(pin)
        for pin in read_pins(layout.pins)
        if pin.version == version and (last is None or pin.number <= last)
    }


def require_plain(layout: Layout) -> None:
    """Evidence is regular files in folders, at its very place, before any of it is read.

    No link that leads to what git does not keep, no pipe that would be waited for, no folder in the
    place of a file. Weights may be links to regular files: DVC keeps them so where its cache is
    told to. Names that begin with a dot are nobody's evidence; the chain itself has its own reader.

    Raises:
        IntegrityError: names the first path that is something else.
    """
    require_folder(layout.dossier.parent)
    require_folder(layout.dossier)
    for path in _visible(layout.dossier):
        _require_file_or_folder(path)
    for path in (layout.pins, layout.threshold, layout.current):
        _require_file(path)
    for folder in (layout.verdicts, layout.attempts, rehearsals.folder(layout)):
        _require_files(folder)
    require_folder(layout.builds)
    for folder in _visible(layout.builds):
        _require_files(folder)
    _require_weights_files(layout.weights)


def _visible(folder: Path) -> list[Path]:
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if not path.name.startswith("."))


def _require_files(folder: Path) -> None:
    require_folder(folder)
    for path in _visible(folder):
        _require_file(path)


def _require_file(path: Path, *, follow: bool = False) -> None:
    try:
        mode = (path.stat() if follow else path.lstat()).st_mode
    except FileNotFoundError:  # what must be there, others ask for
        return
    except OSError:  # a link to itself
        mode = 0
    if not stat.S_ISREG(mode):
        raise IntegrityError(not_a_file(path))


def _require_file_or_folder(path: Path) -> None:
    if not stat.S_ISDIR(path.lstat().st_mode):
        _require_file(path)


def _require_weights_files(folder: Path) -> None:
    for path in _visible(folder):
        if path.suffix in (_WEIGHTS, _POINTER):
            _require_file(path, follow=path.suffix == _WEIGHTS)


def require_subjects(layout: Layout, chain: Chain, *, weights: bool) -> int:
    """Every file that a record of a chain names is there, as it was signed.

    Args:
        layout: the classifier's folders.
        chain: verified.
        weights: whether weights must be there; without, they are checked where they are.

    Returns:
        How many were checked, each once.

    Raises:
        IntegrityError: names every file that differs, with the record that names it.
    """
    require_plain(layout)
    signed: dict[tuple[str, str], Path] = {}
    for link in chain.links:
        for name, digest in link.record.subjects.items():
            signed.setdefault((name, digest), link.path)
    pins = {
        k: v
        for version in versions(chain)
        for k, v in pin_subjects(layout, version).items()
    }  # fmt: skip
    faults = [
        fault
        for (name, digest), path in signed.items()
        if (fault := _fault_of(layout, name, digest, pins, weights))
        and (fault := f"{fault} (named by {path.name})")
    ]
    if faults:
        raise IntegrityError("\n".join(faults))
    return len(signed)


def _fault_of(
    layout: Layout, name: str, digest: str, pins: dict[str, str], weights: bool
) -> str | None:
    if "#" in name:
        found = pins.get(name)
        return None if found == digest else f"{name}: the pin is missing or was changed"
    path = layout.root / name
    large = path.suffix == ".safetensors"
    if large and not weights and not path.exists():
        return None
    try:
        found = held_digests(path, lambda: read_regular(path, follow=large)[0]).sha256
    except OSError as error:
        cure = "`dvc pull`" if large else "git"
        return f"{path} cannot be read ({error.strerror}); restore it from {cure}"
    return None if found == digest else f"{path} was changed; restore it from git or `dvc pull`"
