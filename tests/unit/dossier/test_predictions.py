"""Predictions files: what is written comes back; what is malformed is named."""

from __future__ import annotations

import gzip
import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.domain.predictions import Predictions
from lifecycle.dossier.predictions import (
    check,
    read_csv,
    read_parquet,
    write_csv,
    write_parquet,
)
from lifecycle.errors import UnusableInputError

CSV = "case_id,patient_id,A,B\nx,p,0.25,0.75\ny,q,1,0\n"


@pytest.fixture
def some() -> Predictions:
    rng = np.random.Generator(np.random.PCG64(1))
    scores = rng.dirichlet([0.3, 1, 2], size=7)
    return Predictions(
        ids=tuple(f"case,{i}" for i in range(7)),
        patients=tuple(f"p{i // 2}" for i in range(7)),
        groups=("", "s1", "s1", "", "", "s2", ""),
        labels=("A", "", 'B "x"', "C", "A", "A", "="),
        classes=("A", 'B "x"', "C"),
        scores=scores,
        task="single",
        subgroups={"sex": tuple("fmfmfmf")},
    )


def test_parquet_round_trip(tmp_path, some):
    path = tmp_path / "deep" / "p.parquet"
    write_parquet(path, some)
    back = read_parquet(path)
    assert back.digest() == some.digest()
    assert back.scores.dtype == np.float64
    assert [p.name for p in path.parent.iterdir()] == ["p.parquet"]


@pytest.mark.parametrize("change", [{"labels": None}, {"subgroups": {}}, {"task": "multi"}])
def test_parquet_round_trip_of_variants(tmp_path, some, change):
    changed = replace(some, **change)
    write_parquet(tmp_path / "p.parquet", changed)
    assert read_parquet(tmp_path / "p.parquet").digest() == changed.digest()


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz"])
def test_csv_round_trip_is_exact(tmp_path, some, name):
    write_csv(tmp_path / name, some)
    assert read_csv(tmp_path / name).digest() == some.digest()
    first = (tmp_path / name).read_bytes()
    write_csv(tmp_path / name, some)
    assert (tmp_path / name).read_bytes() == first


def test_csv_decimals_are_the_shortest(tmp_path, some):
    scores = np.array([[0.1, 0.2, 0.7]])
    one = Predictions(("c",), ("p",), ("",), None, ("A", "B", "C"), scores, "single")
    write_csv(tmp_path / "p.csv", one)
    assert (tmp_path / "p.csv").read_text().splitlines()[1] == "c,p,,0.1,0.2,0.7"


def test_csv_without_patients_makes_each_case_its_own(tmp_path):
    (tmp_path / "p.csv").write_text("case_id,A,B\nx,0.5,0.5\ny,1,0\n")
    back = read_csv(tmp_path / "p.csv")
    assert back.patients == back.ids == ("x", "y")
    assert (back.groups, back.labels) == (("", ""), None)


def test_csv_columns_are_found_by_name(tmp_path):
    (tmp_path / "p.csv").write_text("B,case_id,A,subgroup:sex\n0.75,x,0.25,f\n")
    back = read_csv(tmp_path / "p.csv", classes=("A", "B"))
    assert (back.classes, back.scores.tolist()) == (("A", "B"), [[0.25, 0.75]])
    assert back.subgroups == {"sex": ("f",)}
    assert read_csv(tmp_path / "p.csv").classes == ("B", "A")


def test_csv_with_byte_order_mark_and_windows_lines(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode())
    assert read_csv(tmp_path / "p.csv").ids == ("x", "y")


def test_csv_tolerance(tmp_path):
    (tmp_path / "p.csv").write_text("case_id,A,B\nx,0.25,0.7500005\n")
    assert read_csv(tmp_path / "p.csv").ids == ("x",)
    with pytest.raises(UnusableInputError, match=r"row 1 \(case 'x'\).*sum to"):
        read_csv(tmp_path / "p.csv", tolerance=1e-9)
    assert read_csv(tmp_path / "p.csv", tolerance=0, task="multi").task == "multi"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("case_id,A,B\n", "no case"),
        ("id,A,B\nx,0.5,0.5\n", "column 'case_id' is missing"),
        ("case_id,A\nx,1\n", "1 class column"),
        ("case_id,A,A\nx,0.5,0.5\n", "column 'A' is there twice"),
        ("case_id,A,B\nx,0.5,0.5\nx,0.5,0.5\n", "row 2: case 'x' is already in row 1"),
        ("case_id,A,B\n ,0.5,0.5\n", "row 1: column 'case_id' is empty"),
        ("case_id,patient_id,A,B\nx,,0.5,0.5\n", r"row 1 \(case 'x'\): column 'patient_id'"),
        ("case_id,A,B\nx,nan,0.5\n", "row 1 .*column 'A': the score is nan"),
        ("case_id,A,B\nx,0.5,inf\n", "row 1 .*column 'B': the score is inf"),
        ("case_id,A,B\nx,0,1\ny,-0.5,1.5\n", "row 2 .*case 'y'.*column 'A'.*-0.5"),
        ("case_id,A,B\nx,1.5,0\n", "column 'A'.*1.5"),
        ("case_id,A,B\nx,0.5,0.4\n", "sum to 0.9"),
        ("case_id,A,B\nx,high,0.5\n", "row 1, column 'A': 'high' is not a number"),
        ("case_id,A,B\nx,,0.5\n", "row 1, column 'A': '' is not a number"),
        ("case_id,A,B\nx,0_1,0\n", "'0_1' is not a number"),
        ("case_id,A,B\nx,0.5\n", "row 1: 2 fields where the header has 3"),
        ("case_id,age,A,B\nx,77,0.5,0.5\n", "column 'age'"),
        ('case_id,A,B\n"x,0.5,0.5\n', "not a CSV file"),
        ("case_id,A,B,\nx,0.5,0.5,0\n", "'' cannot be the name"),
    ],
)
def test_malformed_csv_is_named(tmp_path, text, words):
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(UnusableInputError, match=words) as caught:
        read_csv(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("classes", "words"),
    [(("A", "B", "C"), "column 'C' of the classifier is missing"), (("A",), "'B' is no class")],
)
def test_csv_of_another_classifier(tmp_path, classes, words):
    (tmp_path / "p.csv").write_text(CSV)
    with pytest.raises(UnusableInputError, match=words):
        read_csv(tmp_path / "p.csv", classes=classes)


@pytest.mark.parametrize("cut", [1, 5, 20, 40])
def test_torn_gzip(tmp_path, cut):
    data = gzip.compress(CSV.encode() * 3)
    (tmp_path / "p.csv.gz").write_bytes(data[:-cut])
    with pytest.raises(UnusableInputError, match="torn or no gzip"):
        read_csv(tmp_path / "p.csv.gz")


def test_not_what_the_name_says(tmp_path):
    (tmp_path / "p.csv.gz").write_text(CSV)
    with pytest.raises(UnusableInputError, match="torn or no gzip"):
        read_csv(tmp_path / "p.csv.gz")
    (tmp_path / "p.csv").write_bytes(b"case_id,A,B\n\xff\xfe,0.5,0.5\n")
    with pytest.raises(UnusableInputError, match="UTF-8"):
        read_csv(tmp_path / "p.csv")
    (tmp_path / "q.csv").write_bytes(gzip.compress(CSV.encode()))  # content decides
    assert read_csv(tmp_path / "q.csv").ids == ("x", "y")


@pytest.mark.parametrize("read", [read_csv, read_parquet])
def test_missing_file_and_folder(tmp_path, read):
    with pytest.raises(UnusableInputError, match="missing"):
        read(tmp_path / "none")
    with pytest.raises(UnusableInputError, match="cannot be read"):
        read(tmp_path)


def test_not_a_parquet_file(tmp_path, some):
    path = tmp_path / "p.parquet"
    path.write_text(CSV)
    with pytest.raises(UnusableInputError, match=r"p\.parquet is not a readable Parquet"):
        read_parquet(path)
    write_parquet(path, some)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UnusableInputError, match="not a readable Parquet"):
        read_parquet(path)


def rewritten(path, some, change):
    write_parquet(path, some)
    table = pq.read_table(path)
    pq.write_table(change(table), path)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace_schema_metadata({}), "holds no predictions"),
        (lambda t: t.replace_schema_metadata({"lifecycle.predictions": "[]"}), "not an object"),
        (lambda t: t.replace_schema_metadata({"lifecycle.predictions": "{"}), "readable"),
        (lambda t: t.drop_columns(["C"]), "column 'C' is missing"),
        (lambda t: t.drop_columns(["patient_id"]), "column 'patient_id' is missing"),
        (
            lambda t: t.set_column(0, "case_id", pa.array([1] * 7)),
            "column 'case_id' must hold text",
        ),
        (
            lambda t: t.set_column(t.column_names.index("A"), "A", pa.array(["high"] * 7)),
            "column 'A' must hold a float64",
        ),
        (
            lambda t: t.set_column(
                t.column_names.index("A"), "A", pa.array([None] * 7, type=pa.float64())
            ),
            "column 'A' must hold a float64",
        ),
        (
            lambda t: t.set_column(t.column_names.index("A"), "A", pa.array([float("nan")] * 7)),
            "row 1 .*column 'A'",
        ),
        (lambda t: t.slice(0, 0), "no case"),
    ],
)
def test_malformed_parquet_is_named(tmp_path, some, change, words):
    with pytest.raises(UnusableInputError, match=words):
        read_parquet(rewritten(tmp_path / "p.parquet", some, change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ids": ("a",) * 7}, "already in row 1"),
        ({"patients": ("p",)}, "column 'patient_id' has 1 of 7"),
        ({"labels": ("A",)}, "column 'label' has 1 of 7"),
        ({"subgroups": {"sex": ()}}, "column 'subgroup:sex' has 0 of 7"),
        ({"classes": ("A", "B")}, "shape"),
        ({"classes": ("A", "B", "label")}, "'label' cannot be the name"),
        ({"classes": ("A", "B", "B")}, "class column 'B' is there twice"),
        ({"task": "other"}, "neither single nor multi"),
    ],
)
def test_nothing_malformed_is_ever_written(tmp_path, some, change, words):
    with pytest.raises(UnusableInputError, match=words):
        write_parquet(tmp_path / "p.parquet", replace(some, **change))
    assert not list(tmp_path.iterdir())


def test_our_rows_sum_to_one_within_1e_9(tmp_path, some):
    off = some.scores.copy()
    off[3, 0] += 2e-9
    with pytest.raises(UnusableInputError, match="row 4 "):
        write_parquet(tmp_path / "p.parquet", replace(some, scores=off))
    check(replace(some, scores=off), "here", 1e-6)


def test_a_failed_write_leaves_the_old_file(tmp_path, some, monkeypatch):
    path = tmp_path / "p.parquet"
    write_parquet(path, some)
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_parquet(path, replace(some, labels=None))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]
