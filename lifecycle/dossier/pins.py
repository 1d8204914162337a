"""Pins of the frozen clinical test set: in git, outside dvc.lock, none ever removed.

DVC does not protect frozen data: after a change of a tracked file `dvc repro` rebuilds on it
without an error. A pin of our own does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lifecycle.domain.cohort import Pin
from lifecycle.domain.digests import digest_of
from lifecycle.dossier.files import read_record, record_in, write_json
from lifecycle.errors import IntegrityError, UsageError
from lifecycle.records.evidence import PINS, PinRecord
from lifecycle.records.format import published


def read_pins(path: Path) -> tuple[Pin, ...]:
    """All pins in order of locking; none where the file does not exist.

    Raises:
        IntegrityError: a bit of the file was changed, or numbers do not follow.
    """
    if not path.exists():
        return ()
    return _pins(read_record(path), path)


def pins_in(data: bytes, where: str) -> tuple[Pin, ...]:
    """The pins that a file's bytes are, as git may remember them.

    Raises:
        IntegrityError: a bit of them was changed, or numbers do not follow.
    """
    return _pins(record_in(data, Path(where)), Path(where))


def _pins(record: object, path: Path) -> tuple[Pin, ...]:
    document = PINS.read(record, str(path))
    pins = tuple(_pin(path, entry) for entry in document["pins"])
    _require_order(path, pins)
    return pins


def pin_of(path: Path, version: str) -> Pin | None:
    """The pin in force for a version."""
    pins = [pin for pin in read_pins(path) if pin.version == version]
    return pins[-1] if pins else None


def append_pin(path: Path, pin: Pin) -> None:
    """Add a pin; earlier ones stay.

    Raises:
        UsageError: the number does not follow the last one of that version.
    """
    earlier = read_pins(path)
    last = max((p.number for p in earlier if p.version == pin.version), default=0)
    if pin.number != last + 1:
        raise UsageError(f"pin {pin.number} does not follow pin {last} of version {pin.version}")
    entries = [_entry(one) for one in (*earlier, pin)]
    write_json(path, PINS.write({"pins": entries}, str(path)))


def pin_digest(pin: Pin) -> str:
    """SHA-256 over everything that a pin says; it stands beside the pin in the file."""
    return digest_of({**published(pin, PinRecord), "cases": dict(pin.cases)})


def _entry(pin: Pin) -> dict[str, Any]:
    fields = {**published(pin, PinRecord), "cases": dict(pin.cases)}
    return {**fields, "digest": pin_digest(pin)}


def _pin(path: Path, entry: dict[str, Any]) -> Pin:
    body = {key: value for key, value in entry.items() if key != "digest"}
    if digest_of(body) != entry["digest"]:
        raise IntegrityError(
            f"{path} was changed: pin {entry.get('number')} of version {entry.get('version')} "
            "does not match its own digest; restore the file from git"
        )
    return Pin(**body)


def _require_order(path: Path, pins: tuple[Pin, ...]) -> None:
    numbers: dict[str, int] = {}
    for pin in pins:
        if pin.number != numbers.get(pin.version, 0) + 1:
            raise IntegrityError(
                f"{path} was changed: pin {pin.number} of version {pin.version} is out of order"
            )
        numbers[pin.version] = pin.number
