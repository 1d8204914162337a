from __future__ import annotations

from pathlib import Path

import pytest
from support import every_flip

from lifecycle.dossier.files import folder_whole, read_json, read_record, write_json, write_whole
from lifecycle.errors import IntegrityError, UnusableInputError


def test_every_single_bit_of_a_record_is_seen(tmp_path: Path) -> None:
    # canonical bytes guard the form; a changed value is for the digest inside the record
    path = tmp_path / "r.json"
    value = {"a": 1, "b": "text", "c": [1.5, None]}
    write_json(path, value)
    data = path.read_bytes()
    for flipped in every_flip(data):
        path.write_bytes(flipped)
        try:
            assert read_record(path) != value
        except IntegrityError:
            continue


@pytest.mark.parametrize("text", ['{"a": 1}\n', '{"a":1}', '{"a":1,"a":1}\n', '{"a":NaN}\n', "["])
def test_other_spellings_of_a_record_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    with pytest.raises(IntegrityError, match="was changed"):
        read_record(tmp_path / "r.json")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_whole(path, b"old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    with pytest.raises(TypeError):
        write_whole(path, "text")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with folder_whole(target) as folder:
        (folder / "a").write_text("1", encoding="utf-8")
    with pytest.raises(RuntimeError), folder_whole(target) as folder:
        (folder / "a").write_text("2", encoding="utf-8")
        raise RuntimeError
    assert (target / "a").read_text(encoding="utf-8") == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_reading_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match=r"nothing\.json is missing"):
        read_json(tmp_path / "nothing.json")
    (tmp_path / "torn.json").write_text("{", encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"torn\.json was changed or is torn"):
        read_json(tmp_path / "torn.json")
