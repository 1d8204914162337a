"""How many networks were judged on the frozen cases of a build, and by whom that is known.

Attempts of the classifier itself are read where they stand. Those of other classifiers are taken
from a note that `dvc repro` makes before it runs anything, so that a verdict does not change while
another classifier of the same run is scored; what came since, sign-off asks for.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lifecycle.domain.cohort import Pin
from lifecycle.dossier import builds as kept
from lifecycle.dossier.builds import Build
from lifecycle.dossier.exposed import Exposed, joined, judged_by, others, sharing, totals_sharing
from lifecycle.dossier.files import read_json
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import read_pins
from lifecycle.errors import IntegrityError, LifecycleError, UnusableInputError
from lifecycle.release import chain as chains
from lifecycle.release.predecessors import counted_before
from lifecycle.release.roster import read_rosters
from lifecycle.workflows.project import Project

_NOTES = TypeAdapter(tuple[Exposed, ...])


def note_of(root: Path, name: str) -> Path:
    """Where the networks of other classifiers are noted for one of them."""
    return root / "work" / "exposed" / f"{name}.json"


def noted(layout: Layout) -> list[dict[str, Any]] | dict[str, str]:
    """The note: networks of other classifiers whose frozen sets share a case with this one's.

    What cannot be read stops who needs it, and no other.
    """
    try:
        found = [one for other in others(layout) for one in judged_by(other)]
        return [asdict(one) for one in sharing(found, layout.root, *read_pins(layout.pins))]
    except LifecycleError as error:
        return {"broken": str(error)}


def exposure_of(project: Project, build: Build) -> tuple[Exposed, ...]:
    """Networks judged on the build's frozen cases, as the verdict counts them.

    Those of signed cases stay counted, whatever has become of their files.

    Raises:
        UnusableInputError: nothing is noted; `dvc repro` notes it.
        IntegrityError: attempts, pins or signed cases were changed.
    """
    return _counted(project, build, _read_note(note_of(project.root, project.name)))


def exposure_here(project: Project, number: int) -> tuple[Exposed, ...]:
    """The same with the other classifiers as they are now."""
    build = kept.read_build(project.layout, number)
    now = [one for other in others(project.layout) for one in judged_by(other)]
    return _counted(project, build, tuple(now))


def _counted(project: Project, build: Build, of_others: tuple[Exposed, ...]) -> tuple[Exposed, ...]:
    layout = project.layout
    pins = read_pins(layout.pins)
    pin = pin_scored(layout, pins, build)
    chain = chains.read(layout.releases, project.name, read_rosters(layout.signers))
    return joined(
        sharing((*judged_by(layout), *of_others), project.root, pin),
        counted_before(layout, chain, totals_sharing(pins, pin)),
    )


def pin_scored(layout: Layout, pins: tuple[Pin, ...], build: Build) -> Pin:
    """The pin that a build was scored under.

    Raises:
        IntegrityError: it is missing.
    """
    total = build.content["inputs"]["pin"]["total"]
    for pin in pins:
        if (pin.version, pin.total) == (build.version, total):
            return pin
    raise IntegrityError(f"{layout.pins}: the pin of {build.name} is missing; restore it from git")


def _read_note(path: Path) -> tuple[Exposed, ...]:
    if not path.exists():
        raise UnusableInputError(
            f"{path} is missing: work/ is not kept by git; `lifecycle rebuild` makes it again"
        )
    value = read_json(path)
    if isinstance(value, dict) and "broken" in value:
        raise IntegrityError(str(value["broken"]))
    try:
        return _NOTES.validate_python(value)
    except ValidationError:
        raise IntegrityError(f"{path} was changed; run `dvc repro`") from None
