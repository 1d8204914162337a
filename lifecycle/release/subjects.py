"""The files that a decision rests on, each by its SHA-256: the subjects of a signed Statement."""

from __future__ import annotations

from pathlib import Path

from lifecycle.domain.digests import sha256
from lifecycle.dossier import builds as kept
from lifecycle.dossier.builds import Build
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import pin_digest, read_pins
from lifecycle.errors import IntegrityError
from lifecycle.release.case import Case


def weights_file(layout: Layout, build: Build) -> Path:
    """Where the weights of a build lie, by content."""
    return layout.weights / f"{build.content['weights']['file']}.safetensors"


def require_weights(layout: Layout, build: Build) -> None:
    """The weights file, where it is here, is the one that the build's record names.

    Raises:
        IntegrityError: it was changed.
    """
    path = weights_file(layout, build)
    if path.exists() and sha256(path.read_bytes()) != build.content["weights"]["file"]:
        raise IntegrityError(
            f"{path} was changed: it is not the file that {build.name} names; remove it and run "
            "`dvc checkout` or `dvc pull`"
        )


def subjects_of(layout: Layout, case: Case) -> dict[str, str]:
    """Every file that the decision rests on, with its SHA-256; a pin under its own digest.

    Raises:
        IntegrityError: a file does not match its record.
    """
    root = layout.root
    found: dict[str, str] = {}
    for number in sorted({case.build, case.first, *case.references}):
        build = kept.read_build(layout, number)
        paths = [build.folder / name for name in (kept.RECORD, *build.files)]
        found |= {path.relative_to(root).as_posix(): sha256(path.read_bytes()) for path in paths}
    build = kept.read_build(layout, case.build)
    weights = weights_file(layout, build).relative_to(root).as_posix()
    found[weights] = str(build.content["weights"]["file"])
    return found | pin_subjects(layout, case.version, case.pin)


def pin_subjects(layout: Layout, version: str, last: str | None = None) -> dict[str, str]:
    """Digest of each pin of a version, under the name of the file and the pin's number.

    Args:
        layout: the classifier's folders.
        version: whose pins.
        last: total of the last pin that is meant; later ones are left out.
    """
    place = layout.pins.relative_to(layout.root).as_posix()
    found: dict[str, str] = {}
    for pin in read_pins(layout.pins):
        if pin.version == version:
            found[f"{place}#{pin.version}/{pin.number}"] = pin_digest(pin)
            if pin.total == last:
                break
    return found
