"""Networks on some frozen cases: by content, over versions and names, each network once."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.domain.cohort import Pin
from lifecycle.dossier.attempts import record_attempt
from lifecycle.dossier.exposed import Exposed, joined, judged_by, missing, others, sharing
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.pins import append_pin, read_pins
from lifecycle.errors import IntegrityError

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def kept(root: Path, name: str, version: str, cases: dict, weights: str, values=None) -> Layout:
    layout = Layout(root, name)
    layout.dossier.mkdir(parents=True, exist_ok=True)
    pins = [pin for pin in read_pins(layout.pins) if pin.version == version]
    total = "f" * 64
    append_pin(layout.pins, Pin(version, len(pins) + 1, cases, total, "", "real", values or {}))
    record_attempt(layout, version, weights, (), policy="a" * 64)
    return layout


def test_a_case_is_known_by_its_content_under_every_version_and_name(tmp_path: Path) -> None:
    own = kept(tmp_path, "wine", "1", {"x": A, "y": B}, "1" * 64)
    kept(tmp_path, "wine", "2", {"y": B}, "2" * 64)
    kept(tmp_path, "wine", "3", {"z": C}, "3" * 64)
    kept(tmp_path, "vintage", "1", {"called otherwise": A}, "4" * 64)
    kept(tmp_path, "other", "1", {"x": C}, "5" * 64)
    every = [*judged_by(own), *(one for two in others(own) for one in judged_by(two))]
    found = sharing(every, tmp_path, read_pins(own.pins)[0])
    assert [(one.classifier, one.version) for one in found] == [
        ("wine", "1"), ("wine", "2"), ("vintage", "1"),
    ]  # fmt: skip


def test_a_case_of_another_label_or_name_has_the_same_values(tmp_path: Path) -> None:
    own = kept(tmp_path, "wine", "1", {"x": A}, "1" * 64, {"x": "d" * 64})
    other = kept(tmp_path, "vintage", "1", {"renamed": B}, "2" * 64, {"renamed": "d" * 64})
    assert sharing(judged_by(other), tmp_path, *read_pins(own.pins))


def test_an_earlier_pin_counts_too(tmp_path: Path) -> None:
    own = kept(tmp_path, "wine", "1", {"x": A}, "1" * 64)
    other = kept(tmp_path, "vintage", "1", {"x": A}, "2" * 64)
    append_pin(other.pins, Pin("1", 2, {"z": C}, "e" * 64, "amended", "real"))
    assert sharing(judged_by(other), tmp_path, *read_pins(own.pins))


def test_each_network_of_a_version_once_and_what_is_missing_by_version() -> None:
    one, two = Exposed("w", "1", (A, B)), Exposed("w", "1", (B, C))
    assert joined([two], [one]) == (Exposed("w", "1", (A, B, C)),)
    assert missing([one, two], [one]) == [Exposed("w", "1", (C,))]
    assert missing([one], [one, two]) == []
    assert missing([Exposed("w", "2", (A,))], [one]) == [Exposed("w", "2", (A,))]


def test_what_was_changed_is_found(tmp_path: Path) -> None:
    own = kept(tmp_path, "wine", "1", {"x": A}, "1" * 64)
    (path,) = own.attempts.iterdir()
    path.write_bytes(path.read_bytes().replace(b"1111", b"1112", 1))
    with pytest.raises(IntegrityError):
        judged_by(own)
