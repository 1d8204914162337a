"""A cohort as a folder: the same back, the same bytes, and every torn file named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lifecycle.cohorts import store
from lifecycle.domain.cohort import Cohort
from lifecycle.errors import IntegrityError, LifecycleError, UnusableInputError

FILES = (store.MEASUREMENTS, store.CASES, store.FEATURES, store.FACTS)


def _cohort(dtype: str = "float64") -> Cohort:
    values = np.random.default_rng(3).random((5, 4))
    values[2, 1] = np.nan
    if dtype == "uint16":
        values = np.arange(20, dtype=np.uint16).reshape(5, 4) * 3000
    return Cohort(
        ids=("a", "b", "c, d", "e", "ü"),
        patients=("p", "p", "q", "r", "s"),
        groups=("", "s1", "s1", "", "s2"),
        labels=("GBM, MES", "", "x", "y", "x"),
        features=("cg1", "mean radius", "λ\x85", "cg4"),
        values=values,
        origin="simulated",
        subgroups={"label": ("f", "m", "f", "", "m"), "histology": ("", "", "a", "b", "c")},
        about={"path": "x.csv", "sha256": "00", "nested": {"missing": 1}},
    )


@pytest.mark.parametrize("dtype", ["float64", "uint16"])
def test_what_was_written_is_read(tmp_path: Path, dtype: str) -> None:
    cohort = _cohort(dtype)
    store.write(tmp_path / "cohort", cohort)
    back = store.read(tmp_path / "cohort", check=True)
    for name in ("ids", "patients", "groups", "labels", "features", "origin"):
        assert getattr(back, name) == getattr(cohort, name)
    assert dict(back.subgroups) == dict(cohort.subgroups)
    assert dict(back.about) == dict(cohort.about)
    assert back.values.dtype == cohort.values.dtype
    np.testing.assert_array_equal(back.values, cohort.values)


def test_values_are_mapped_and_cannot_be_written(tmp_path: Path) -> None:
    store.write(tmp_path / "cohort", _cohort())
    values = store.read(tmp_path / "cohort").values
    assert isinstance(values, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        values[0, 0] = 1.0


def test_the_same_cohort_gives_the_same_bytes(tmp_path: Path) -> None:
    cohort = _cohort()
    reordered = replace(
        cohort,
        values=np.asfortranarray(cohort.values),
        about=dict(reversed(list(cohort.about.items()))),
    )
    store.write(tmp_path / "one", cohort)
    store.write(tmp_path / "two", reordered)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_writing_again_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    store.write(tmp_path / "cohort", _cohort())
    (tmp_path / "cohort" / "stray.txt").write_text("old")
    store.write(tmp_path / "cohort", _cohort().take([1, 0]))
    assert store.read(tmp_path / "cohort").ids == ("b", "a")
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]
    assert sorted(path.name for path in (tmp_path / "cohort").iterdir()) == sorted(FILES)


def test_a_cohort_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    store.write(tmp_path / "cohort", _cohort())
    before = {name: (tmp_path / "cohort" / name).read_bytes() for name in FILES}
    with pytest.raises(ValueError, match="JSON"):
        store.write(tmp_path / "cohort", replace(_cohort(), about={"missing": float("nan")}))
    assert before == {name: (tmp_path / "cohort" / name).read_bytes() for name in FILES}
    assert [path.name for path in tmp_path.iterdir()] == ["cohort"]


@pytest.mark.parametrize(
    "change",
    [
        {"patients": ("p",)},
        {"features": ("a", "b")},
        {"subgroups": {"sex": ("f",)}},
        {"features": ("a", "b\nc", "d", "e")},
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path: Path, change) -> None:
    with pytest.raises(UnusableInputError):
        store.write(tmp_path / "cohort", replace(_cohort(), **change))
    assert not (tmp_path / "cohort").exists()


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    cohort = _cohort()
    store.write(tmp_path / "cohort", cohort)
    digest = store.recorded_digest(tmp_path / "cohort")
    assert digest == store.content_digest(cohort)
    assert digest == store.content_digest(store.read(tmp_path / "cohort"))
    assert digest == store.content_digest(replace(cohort, about={}))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: replace(c, ids=("z", *c.ids[1:])),
        lambda c: replace(c, patients=("z", *c.patients[1:])),
        lambda c: replace(c, groups=("z", *c.groups[1:])),
        lambda c: replace(c, labels=("z", *c.labels[1:])),
        lambda c: replace(c, features=("z", *c.features[1:])),
        lambda c: replace(c, subgroups={}),
        lambda c: replace(c, origin="real"),
        lambda c: replace(c, values=np.nextafter(c.values, 1)),
        lambda c: c.take([1, 0, 2, 3, 4]),
    ],
)
def test_the_digest_sees_every_change(change) -> None:
    assert store.content_digest(change(_cohort())) != store.content_digest(_cohort())


def test_a_large_cohort_has_the_digest_of_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = store.content_digest(_cohort())
    monkeypatch.setattr(store, "_BLOCK_BYTES", 40)
    assert store.content_digest(_cohort()) == whole


def _damaged(folder: Path, name: str, damage) -> pytest.ExceptionInfo[LifecycleError]:
    store.write(folder, _cohort())
    path = folder / name
    data = damage(path.read_bytes())
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises((UnusableInputError, IntegrityError)) as refused:
        store.read(folder)
    return refused


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "damage",
    [
        lambda b: None,
        lambda b: b"",
        lambda b: b[: len(b) // 2],
        lambda b: b[:-1],
        lambda b: b + b"x",
    ],
    ids=["missing", "empty", "half", "last byte lost", "longer"],
)
def test_missing_and_torn_files_are_named(tmp_path: Path, name: str, damage) -> None:
    found = _damaged(tmp_path / "cohort", name, damage).value
    said = str(found)
    assert isinstance(found, UnusableInputError if "is missing" in said else IntegrityError)
    assert name in said
    assert "run the import stage again" in said


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="run the import stage again"):
        store.read(tmp_path / "nowhere")


def test_measurements_of_another_cohort_are_refused(tmp_path: Path) -> None:
    store.write(tmp_path / "one", _cohort())
    store.write(tmp_path / "two", _cohort().take([0, 1, 2]))
    other = (tmp_path / "two" / store.MEASUREMENTS).read_bytes()
    (tmp_path / "one" / store.MEASUREMENTS).write_bytes(other)
    with pytest.raises(IntegrityError, match=r"measurements\.npy holds \(3, 4\)"):
        store.read(tmp_path / "one")


def test_pickled_measurements_are_never_loaded(tmp_path: Path) -> None:
    store.write(tmp_path / "cohort", _cohort())
    np.save(tmp_path / "cohort" / store.MEASUREMENTS, np.array([{}], dtype=object))
    with pytest.raises(IntegrityError, match="measurements"):
        store.read(tmp_path / "cohort")


def test_a_changed_measurement_is_found_where_asked(tmp_path: Path) -> None:
    store.write(tmp_path / "cohort", _cohort())
    path = tmp_path / "cohort" / store.MEASUREMENTS
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    store.read(tmp_path / "cohort")
    with pytest.raises(IntegrityError, match="does not match the digest"):
        store.read(tmp_path / "cohort", check=True)


def test_the_record_of_another_format_is_refused(tmp_path: Path) -> None:
    def other(data: bytes) -> bytes:
        return json.dumps({**json.loads(data), "schema": "lifecycle/cohort/9"}).encode()

    assert "cohort/9" in str(_damaged(tmp_path / "cohort", store.FACTS, other).value)


def _signals() -> Cohort:
    values = np.random.default_rng(8).integers(-32768, 32768, (5, 7, 4)).astype(np.int16)
    return replace(_cohort(), values=values, folds=("1", "", "9", "10", "10"))


def test_signals_and_folds_are_read_as_written(tmp_path: Path) -> None:
    cohort = _signals()
    store.write(tmp_path / "cohort", cohort)
    back = store.read(tmp_path / "cohort", check=True)
    assert (back.values.dtype, back.folds) == (np.int16, cohort.folds)
    assert isinstance(back.values, np.memmap)
    np.testing.assert_array_equal(back.values, cohort.values)
    assert dict(back.subgroups) == dict(cohort.subgroups)
    assert store.content_digest(back) == store.recorded_digest(tmp_path / "cohort")
    assert store.content_digest(replace(cohort, folds=("1", "", "9", "10", "9"))) != (
        store.content_digest(cohort)
    )


def test_signals_of_another_length_or_a_changed_sample_are_refused(tmp_path: Path) -> None:
    cohort = _signals()
    store.write(tmp_path / "cohort", cohort)
    place = tmp_path / "cohort" / store.MEASUREMENTS
    other = cohort.values.copy()
    other[4, 6, 3] ^= 1
    np.save(place, other)
    with pytest.raises(IntegrityError, match="does not match the digest"):
        store.read(tmp_path / "cohort", check=True)
    np.save(place, cohort.values[:, :6])
    with pytest.raises(IntegrityError, match=r"holds \(5, 6, 4\) int16 and not \(5, 7, 4\)"):
        store.read(tmp_path / "cohort")
    with pytest.raises(UnusableInputError, match="do not fit"):
        store.write(tmp_path / "wrong", replace(cohort, values=cohort.values[:, :, :3]))
