from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import every_flip

from lifecycle.domain.cohort import Pin
from lifecycle.dossier.pins import append_pin, pin_of, read_pins
from lifecycle.errors import IntegrityError, UsageError

PIN = Pin("1.0.0", 1, {"a": "0" * 64, "b": "1" * 64}, "2" * 64, "", "simulated")


def test_pins_are_added_and_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "frozen.json"
    append_pin(path, PIN)
    append_pin(path, replace(PIN, number=2, reason="a withdrew"))
    append_pin(path, replace(PIN, version="2.0.0"))
    assert len(read_pins(path)) == 3
    found = pin_of(path, "1.0.0")
    assert found is not None
    assert (found.number, found.reason) == (2, "a withdrew")
    assert pin_of(path, "3.0.0") is None


def test_numbers_follow(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not follow"):
        append_pin(tmp_path / "frozen.json", replace(PIN, number=2))


def test_every_single_bit_of_the_pins_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "frozen.json"
    append_pin(path, PIN)
    data = path.read_bytes()
    for flipped in every_flip(data):
        path.write_bytes(flipped)
        with pytest.raises(IntegrityError):
            read_pins(path)
