"""Networks that were judged on some frozen cases, over all versions and classifiers of a dossier.

A case that many networks were judged on tells less of the next one: whoever chose among them has
seen it. A new version, or a new name in params.yaml, does not make the cases unseen. Two frozen
sets share a case where its content is the same; a network is known by its weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lifecycle.domain.cohort import Pin
from lifecycle.dossier.attempts import read_attempts
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import read_pins


@dataclass(frozen=True, slots=True)
class Exposed:
    """The networks of one version.

    Attributes:
        classifier, version: whose.
        weights: SHA-256 of each over parameters and buffers, sorted.
    """

    classifier: str
    version: str
    weights: tuple[str, ...]


def judged_by(layout: Layout) -> tuple[Exposed, ...]:
    """Every network of a classifier that an attempt is kept of.

    Raises:
        IntegrityError: an attempt was changed.
    """
    found: dict[str, set[str]] = {}
    for attempt in read_attempts(layout):
        found.setdefault(attempt.version, set()).add(attempt.weights)
    return tuple(Exposed(layout.name, one, tuple(sorted(found[one]))) for one in sorted(found))


def others(layout: Layout) -> list[Layout]:
    """Every other classifier of the dossier, also those that params.yaml does not name any more."""
    folder = layout.root / "dossier"
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    return [
        Layout(layout.root, name)
        for name in sorted(names)
        if name != layout.name and not name.startswith((".", "_"))
    ]


def sharing(entries: Iterable[Exposed], root: Path, *pins_here: Pin) -> tuple[Exposed, ...]:
    """Those whose frozen set, under any of the version's pins, has a case of these pins' content.

    Raises:
        IntegrityError: pins were changed.
    """
    wanted = {digest for pin in pins_here for digest in pin.contents()}
    known: dict[str, tuple[Pin, ...]] = {}
    found = []
    for entry in entries:
        if entry.classifier not in known:
            known[entry.classifier] = read_pins(Layout(root, entry.classifier).pins)
        pins = [one for one in known[entry.classifier] if one.version == entry.version]
        if any(wanted & one.contents() for one in pins):
            found.append(entry)
    return tuple(found)


def joined(*many: Iterable[Exposed]) -> tuple[Exposed, ...]:
    """All of them, each network of a version once."""
    found: dict[tuple[str, str], set[str]] = {}
    for entries in many:
        for one in entries:
            found.setdefault((one.classifier, one.version), set()).update(one.weights)
    return tuple(Exposed(*key, tuple(sorted(found[key]))) for key in sorted(found))


def missing(said: Iterable[Exposed], there: Iterable[Exposed]) -> list[Exposed]:
    """What is said and not there, by version."""
    known: Mapping[tuple[str, str], set[str]] = {
        (one.classifier, one.version): set(one.weights) for one in joined(there)
    }
    left = []
    for one in joined(said):
        there_of = known.get((one.classifier, one.version), set())
        weights = tuple(each for each in one.weights if each not in there_of)
        left += [Exposed(one.classifier, one.version, weights)] if weights else []
    return left


def totals_sharing(pins: tuple[Pin, ...], pin: Pin) -> set[str]:
    """Totals of the pins that have a case of this one's content."""
    wanted = pin.contents()
    return {one.total for one in pins if wanted & one.contents()}
