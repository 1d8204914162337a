"""The frozen clinical test set's pins: lock, show, amend (`verify` is `data.pinned_cohort`)."""

from __future__ import annotations

import json
from dataclasses import asdict

from lifecycle.cohorts.pin import make_pin
from lifecycle.domain.cohort import Pin
from lifecycle.dossier.pins import append_pin, pin_of, read_pins
from lifecycle.errors import UsageError
from lifecycle.workflows.boundary import say
from lifecycle.workflows.data import frozen_cohort, lock_frozen
from lifecycle.workflows.project import Project


def lock_first(project: Project) -> Pin:
    """Pin the frozen set of a version that has no pin yet.

    Raises:
        UsageError: there is one; changing it is an amendment.
    """
    pin = pin_of(project.layout.pins, project.classifier.version)
    if pin is not None:
        raise UsageError(
            f"{project.name} {pin.version} has pin {pin.number} already; "
            f'change it with `lifecycle frozen amend {project.name} --reason "…"`'
        )
    return lock_frozen(project)


def amend(project: Project, reason: str) -> Pin:
    """Pin a changed frozen set under the next number; earlier pins stay in the file.

    Raises:
        UsageError: the reason is empty, there is no pin yet, or nothing changed.
    """
    version = project.classifier.version
    old = pin_of(project.layout.pins, version)
    if not reason.strip():
        raise UsageError("an amendment needs a reason that an auditor can read: --reason TEXT")
    if old is None:
        raise UsageError(f"{project.name} {version} has no pin yet; `lifecycle frozen lock` first")
    new = make_pin(frozen_cohort(project), version, old.number + 1, reason.strip())
    if new.total == old.total:
        raise UsageError(f"pin {old.number} holds as it is; there is nothing to amend")
    append_pin(project.layout.pins, new)
    say(
        f"{project.name} {version}: pin {new.number}, {len(new.cases)} cases "
        f"({_difference(old, new)}); the attempts so far still count"
    )
    return new


def _difference(old: Pin, new: Pin) -> str:
    gone, come = set(old.cases) - set(new.cases), set(new.cases) - set(old.cases)
    both = set(old.cases) & set(new.cases)
    changed = sum(old.cases[case] != new.cases[case] for case in both)
    return f"{len(gone)} removed, {len(come)} added, {changed} changed"


def shown(project: Project, as_json: bool) -> str:
    """All pins, as a table or as JSON."""
    pins = read_pins(project.layout.pins)
    if as_json:
        return json.dumps([{**asdict(pin), "cases": dict(pin.cases)} for pin in pins], indent=2)
    if not pins:
        return f"{project.name}: no pin yet"
    lines = [f"{'version':<12} {'pin':>3} {'cases':>6}  {'total':<16} {'origin':<9} reason"]
    for pin in pins:
        reason = pin.reason or "first lock"
        lines.append(
            f"{pin.version:<12} {pin.number:>3} {len(pin.cases):>6}  {pin.total[:16]} "
            f"{pin.origin:<9} {reason}"
        )
    return "\n".join(lines)
