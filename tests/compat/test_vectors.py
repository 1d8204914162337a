"""The vectors for other implementers: our own reader accepts and refuses just these."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lifecycle.dossier.files import read_record
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.records.catalogue import FORMATS
from lifecycle.release import chain
from lifecycle.release.roster import read_rosters

HERE = Path(__file__).parent
VECTORS = HERE / "vectors"
INDEX = json.loads((VECTORS / "index.json").read_bytes())
BY_KIND = {form.kind: form for form in FORMATS}


def accept(entry: dict, folder: Path) -> None:
    """Read a vector as the program reads such a file."""
    path = VECTORS / entry["file"]
    if entry["kind"] == "roster":
        shutil.copy(path, folder / "00001.json")
        read_rosters(folder)
    elif entry["kind"] == "release":
        place = folder / "releases"
        place.mkdir()
        shutil.copy(path, place / "00001-sign-off.json")
        chain.read(place, "wine", read_rosters(HERE / "0.2.0/dossier/_signers"))
    else:
        BY_KIND[entry["kind"]].read(read_record(path), str(path))


@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: entry["file"])
def test_a_vector(entry: dict, tmp_path: Path) -> None:
    if entry["valid"]:
        accept(entry, tmp_path)
        return
    newer = entry["file"].endswith("-newer.json")
    with pytest.raises(UnusableInputError if newer else IntegrityError) as refused:
        accept(entry, tmp_path)
    if newer:
        assert "was written by lifecycle 9.1.0" in str(refused.value)


def test_every_file_is_in_the_index_and_every_kind_has_both() -> None:
    there = {p.relative_to(VECTORS).as_posix() for p in VECTORS.rglob("*.json")} - {"index.json"}
    assert there == {entry["file"] for entry in INDEX}
    assert all(entry["reason"] for entry in INDEX if not entry["valid"])
    kinds = {entry["kind"] for entry in INDEX}
    # of the others the metadata stand in Parquet, the head in a trace, the list in a bundle
    assert set(BY_KIND) - kinds == {"predictions", "trace", "bundle"}
    for kind in kinds:
        assert {entry["valid"] for entry in INDEX if entry["kind"] == kind} == {True, False}
