"""The frozen set's amendments that came after a comparison, and what the comparison had shown.

Who takes the discordant cases out of the frozen set can make any build pass. An amendment may be
right all the same (a sample swap that the comparison brought to light), so it is not forbidden: it
is named, counted and accepted by a second person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lifecycle.consistency.calls import call
from lifecycle.domain.cohort import Pin
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.dossier import builds as kept
from lifecycle.dossier.builds import Build
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import read_pins
from lifecycle.gate.evidence import NOT_AMENDED, Amendment


def compared_before(
    layout: Layout, build: Build, settled: Sequence[Build], builds: Sequence[Build]
) -> list[Build]:
    """Builds that were compared on the frozen set as it was before it was amended.

    Args:
        layout: the classifier's folders.
        build: the candidate.
        settled: releases that it faces: what was amended before them, two people have signed.
        builds: every build at hand.

    Returns:
        Builds of the version but its first, scored under an earlier pin than the candidate's that
        is not older than the newest of `settled`.
    """
    pins = _pins(layout, build.version)
    force = _number(build)
    since = max((_place(pins, one, force) for one in settled), default=0)
    own = [one for one in builds if one.version == build.version]
    first = kept.first_of(tuple(own), build.version)
    return [
        one
        for one in own
        if one not in (build, first) and since <= _place(pins, one, force) < force
    ]


def amendment_of(
    layout: Layout, build: Build, faced: Sequence[Build], compared: Sequence[Build], tau: Cutoffs
) -> Amendment:
    """What was amended since builds were compared, and what these comparisons had shown.

    Args:
        layout: the classifier's folders.
        build: the candidate.
        faced: builds that it faces.
        compared: as `compared_before` gives them; where there is none, nothing was amended since.
        tau: in force.
    """
    if not compared:
        return NOT_AMENDED
    pins = _pins(layout, build.version)
    force = pins[_number(build)]
    since = min(_place(pins, one, force.number) for one in compared)
    older = [pins[number] for number in range(since, force.number)]
    gone = _gone(older, force)
    reported, discordant = _seen([*faced, *compared], gone, tau)
    return Amendment(
        since=since,
        pin=force.number,
        dropped=tuple(case for case in gone if case not in force.cases),
        changed=tuple(case for case in gone if case in force.cases),
        discordant=discordant,
        reported=reported,
    )


def _pins(layout: Layout, version: str) -> dict[int, Pin]:
    return {pin.number: pin for pin in read_pins(layout.pins) if pin.version == version}


def _number(build: Build) -> int:
    """Number of the pin that a build was scored under."""
    return int(build.content["inputs"]["pin"]["number"])


def _place(pins: Mapping[int, Pin], build: Build, force: int) -> int:
    """The last pin up to `force` that is the very set a build was scored on.

    A set that was restored is the set that it was. What came after `force` does not count, or a
    later amendment would change what follows from an earlier case.
    """
    if _number(build) > force:
        return _number(build)
    total = build.content["inputs"]["pin"]["total"]
    same = (number for number, pin in pins.items() if pin.total == total and number <= force)
    return max(same, default=0)


def _gone(older: Sequence[Pin], force: Pin) -> dict[str, set[str]]:
    """Cases of earlier pins that are not in force as they were: name -> digests of then."""
    gone: dict[str, set[str]] = {}
    for pin in older:
        for case, digest in sorted(pin.cases.items()):
            if force.cases.get(case) != digest:
                gone.setdefault(case, set()).add(digest)
    return gone


def _seen(
    builds: Sequence[Build], gone: Mapping[str, object], tau: Cutoffs
) -> tuple[int, tuple[str, ...]]:
    """How many of some cases two builds report, and those on which two contradict each other."""
    states: dict[str, list[np.ndarray]] = {}
    for build in builds:
        predictions = kept.frozen_predictions(build)
        for case, state in _states(predictions, tau).items():
            if case in gone:
                states.setdefault(case, []).append(state)
    reported, discordant = 0, []
    for case, rows in sorted(states.items()):
        both = [(a != 0) & (b != 0) for i, a in enumerate(rows) for b in rows[i + 1 :]]
        unlike = [a != b for i, a in enumerate(rows) for b in rows[i + 1 :]]
        reported += any(cells.any() for cells in both)
        if any((x & y).any() for x, y in zip(both, unlike, strict=True)):
            discordant.append(case)
    return reported, tuple(discordant)


def _states(predictions: Predictions, tau: Cutoffs) -> dict[str, np.ndarray]:
    calls = call(predictions, tau)
    return dict(zip(calls.ids, calls.state, strict=True))
