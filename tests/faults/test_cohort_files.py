"""Files of the laboratory that cannot be used: each is refused with file, line, column and cure."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.cohorts.read import import_cohort
from lifecycle.domain.classifier import Annotation, CohortSource, ColumnRule
from lifecycle.errors import UnusableInputError

GOOD = b"sample,label,cg1,cg2\na,A,0.5,0.25\nb,B,0.75,0.125\n"
WIDE = b"sample,label,cg1\n" + b"".join(b"s%d,A,0.%d\n" % (i, i) for i in range(3000))


def _refusal(root: Path, **fields) -> str:
    fields = {"path": "m.csv", "id": "sample", "label": "label", **fields}
    with pytest.raises(UnusableInputError) as refused:
        import_cohort(CohortSource(source="beta_matrix", **fields), ("A", "B"), "single", root)
    return str(refused.value)


def _said(root: Path, data: bytes, **fields) -> str:
    (root / fields.get("path", "m.csv")).write_bytes(data)
    return _refusal(root, **fields)


def test_the_good_file_is_good(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(GOOD)
    source = CohortSource(source="beta_matrix", path="m.csv", id="sample", label="label")
    assert import_cohort(source, ("A", "B"), "single", tmp_path).ids == ("a", "b")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((b"0.75", b"high"), "m.csv, line 3, column 'cg1': 'high' is not a number"),
        ((b"0.125", b"0x10"), "m.csv, line 3, column 'cg2': '0x10' is not a number"),
        ((b"0.125", b"1_0"), "line 3, column 'cg2': '1_0'"),
        ((b"0.125", b'"0,125"'), "line 3, column 'cg2': '0,125' is not a number; write decimals"),
        ((b"0.125", b"n/a"), "line 3, column 'cg2': 'n/a'"),
        ((b"0.125", b"\xc2\xbd"), "line 3, column 'cg2': '½'"),
        ((b"b,B,0.75", b'"b\nb",B,x'), "line 3, column 'cg1': 'x'"),
        ((b"\nb,B,0.75", b"\n\n\nb,B,x"), "m.csv, line 5, column 'cg1': 'x'"),
        ((b"0.125", b"0.125,"), "m.csv, line 3 has too many cells: 5, and the header has 4"),
        ((b",0.125", b""), "m.csv, line 3 has too few cells: 3, and the header has 4"),
        ((b"0.125\n", b'"0.125\n'), "line 3, column 'cg2': '0.125\\n' is not a number; a quot"),
        ((b"cg2", b"cg1"), "m.csv: columns 3 and 4 are both called 'cg1'"),
        ((b"cg1", b"label"), "m.csv: columns 2 and 3 are both called 'label'"),
        ((b"cg1", b""), "m.csv: column 3 has no name"),
        ((b"\nb,", b"\n,"), "m.csv: case 2 has no id"),
        ((b"0.125", b"inf"), "m.csv: case 'b', feature 'cg2' is infinite"),
        ((b"0.125", b"1e999"), "m.csv: case 'b', feature 'cg2' is infinite"),
        ((b",B,", b",,"), "m.csv: case 'b' has no label"),
        ((b"0.125", b"0.1\x0025"), "m.csv, line 3: a NUL byte"),
        ((b"b,B", b"\xe9,B"), "m.csv, line 3: byte 0xe9 is not UTF-8"),
        ((b"0.125", b"\xff"), "m.csv, line 3: byte 0xff is not UTF-8"),
    ],
)
def test_one_fault_in_a_good_file(tmp_path: Path, change, said) -> None:
    data = GOOD.replace(*change)
    assert data != GOOD
    assert said in _said(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "m.csv is empty"),
        (b" \n\n", "m.csv is empty"),
        (b"\xef\xbb\xbf", "m.csv is empty"),
        (b"sample,label,cg1\n", "m.csv has a header and no rows"),
        (b"sample,label,cg1", "m.csv has a header and no rows"),
        (b"sample,label\na,A\n", "m.csv: no column of measurements is left"),
        (b"sample\na\n", "m.csv has a single column; a table of cases"),
        (b"sample label cg1\na A 0.5\n", "m.csv has a single column; save it with commas"),
        (GOOD.decode().encode("utf-16"), "m.csv is UTF-16"),
        (b"PK\x03\x04" + bytes(50), "m.csv is a zip or spreadsheet file"),
    ],
)
def test_files_that_are_no_table(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in _said(tmp_path, data)


@pytest.mark.parametrize(
    ("name", "separator", "word"),
    [
        ("m.csv", b";", 'semicolon: set `separator: ";"`'),
        ("m.csv", b"\t", 'tab: set `separator: "tab"`'),
        ("m.tsv", b",", 'comma: set `separator: ","`'),
        ("m.tsv", b"|", 'bar: set `separator: "|"`'),
    ],
)
def test_the_right_separator_is_named(tmp_path: Path, name, separator, word) -> None:
    said = _said(tmp_path, GOOD.replace(b",", separator), path=name)
    assert f"{name} has a single column; its separator seems to be the {word}" in said


@pytest.mark.parametrize("separator", [",,", '"', "\n", "é"])
def test_a_separator_is_one_character(tmp_path: Path, separator: str) -> None:
    assert "give one character, or `tab`" in _said(tmp_path, GOOD, separator=separator)


def test_a_missing_file(tmp_path: Path) -> None:
    assert _refusal(tmp_path) == "m.csv does not exist; check `path`"


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "m.csv").mkdir()
    assert "m.csv is a folder" in _refusal(tmp_path)


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    assert "data/m.csv cannot be read" in _refusal(tmp_path, path="data/m.csv")


@pytest.mark.parametrize("lost", [1, 8, 9, 2000])
def test_a_torn_gzip_file(tmp_path: Path, lost: int) -> None:
    data = gzip.compress(WIDE)[:-lost]
    assert "m.csv.gz is torn" in _said(tmp_path, data, path="m.csv.gz")


def test_a_damaged_gzip_file(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(WIDE))
    data[len(data) // 2] ^= 0xFF
    assert "m.csv.gz is damaged" in _said(tmp_path, bytes(data), path="m.csv.gz")


def test_a_gzip_file_by_name_only(tmp_path: Path) -> None:
    assert "m.csv.gz is called .gz but is not" in _said(tmp_path, GOOD, path="m.csv.gz")


def test_a_gzip_file_of_nothing(tmp_path: Path) -> None:
    assert "m.csv.gz is empty" in _said(tmp_path, gzip.compress(b""), path="m.csv.gz")


def _parquet(root: Path, table: pa.Table) -> str:
    pq.write_table(table, root / "m.parquet")
    return _refusal(root, path="m.parquet")


@pytest.mark.parametrize("keep", [4, 100, -1, -8])
def test_a_torn_parquet_file(tmp_path: Path, keep: int) -> None:
    table = pa.table({"sample": ["a"], "label": ["A"], "cg1": [0.5]})
    pq.write_table(table, tmp_path / "m.parquet")
    data = (tmp_path / "m.parquet").read_bytes()[:keep]
    assert "m.parquet is torn or no Parquet file" in _said(tmp_path, data, path="m.parquet")


def test_a_csv_called_parquet(tmp_path: Path) -> None:
    assert "m.parquet is torn or no Parquet file" in _said(tmp_path, GOOD, path="m.parquet")


def test_text_in_a_parquet_column(tmp_path: Path) -> None:
    table = pa.table({"sample": ["a", "b"], "label": ["A", "B"], "cg1": ["0.5", "high"]})
    assert "m.parquet, row 2, column 'cg1': 'high' is not a number" in _parquet(tmp_path, table)


@pytest.mark.parametrize("column", [pa.array([True]), pa.array([[0.5]])])
def test_a_parquet_column_that_holds_no_numbers(tmp_path: Path, column: pa.Array) -> None:
    said = _parquet(tmp_path, pa.table({"sample": ["a"], "label": ["A"], "cg1": column}))
    assert "m.parquet, column 'cg1' holds" in said


def test_a_parquet_file_with_one_name_twice_or_no_rows(tmp_path: Path) -> None:
    columns = [pa.array(["a"]), pa.array(["A"]), pa.array([0.5]), pa.array([0.5])]
    twice = pa.Table.from_arrays(columns, names=["sample", "label", "cg1", "cg1"])
    assert "columns 3 and 4 are both called 'cg1'" in _parquet(tmp_path, twice)
    assert "m.parquet has no rows" in _parquet(tmp_path, twice.slice(0, 0).select([0, 1, 2]))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": "Sample"}, "no column 'Sample', which `id` names; similar: 'sample'"),
        ({"patient": ColumnRule("lable")}, "'lable', which `patient` names; similar: 'label'"),
        ({"group": ColumnRule("slide")}, "'slide', which `group` names; there are: 'sample', "),
        ({"subgroups": ("sex",)}, "no column 'sex', which `subgroups` names"),
        ({"drop": ("cg",)}, "no column 'cg', which `drop` names; similar: 'cg"),
        ({"label": None}, "`label` is not given; name the column"),
        ({"label": "labels", "orientation": "samples-in-rows"}, "which `label` names; similar: "),
        ({"label": "labels"}, "no column 'labels', which `label` names; similar: 'label'"),
        ({"id": None, "label": "sample"}, "`id` is not given and the first column is the label"),
        ({"group": ColumnRule("label", before="_")}, "case 'a': label is 'A', which has no '_'"),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, fields, said) -> None:
    assert said in _said(tmp_path, GOOD, **fields)


def test_it_must_be_clear_which_way_round(tmp_path: Path) -> None:
    unlabelled = {"label": None, "keep_unlabelled": True, "id": None}
    said = _said(tmp_path, b"probe,a,b\ncg1,0.5,0.25\n", **unlabelled)
    assert "set `orientation` to samples-in-rows or features-in-rows" in said
    both = b"sample,label,x\nlabel,A,B\na,A,0.5\n"
    assert "both ways round fit" in _said(tmp_path, both)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"probe,a,b\nlabel,A,B\ncg1,0.5,x\n", "m.csv, line 3, column 'b': 'x' is not a number"),
        (b"probe,a,b\nlabel,A,B\ncg1,0.5\n", "m.csv, line 3 has too few cells"),
        (b"probe,a,b\nlabel,A\ncg1,0.5,1\n", "m.csv, line 2 has too few cells"),
        (b"probe,a,b\nlabel,A,B\nlabel,A,B\ncg1,0.5,1\n", "two rows are called 'label'"),
        (b"probe,a,b\nlabel,A,B\ncg1,0.5,1\ncg1,0.5,1\n", "feature 'cg1' occurs twice"),
        (b"probe,a,b\nlabel,A,B\n,0.5,1\n", "feature name '' is empty"),
        (b"probe,a,a\nlabel,A,B\ncg1,0.5,1\n", "columns 2 and 3 are both called 'a'"),
        (b"probe,a,b\nlabel,A,B\n", "m.csv has a header and no rows"),
        (b'id,a,b\nlabel,A,"B\ncg1,.5,1\n', "m.csv, line 2: a quotation mark is missing"),
        (b'id,a,"b\nlabel,A,B\ncg1,.5,1\n', "m.csv, line 1: a quotation mark is missing"),
        (b"probe,a,b\nlabel,A,\ncg1,0.5,1\n", "case 'b' has no label"),
        (b"probe,a,b\nlabel,A,B\ncg1,0.5,-inf\n", "case 'b', feature 'cg1' is infinite"),
    ],
)
def test_faults_with_features_in_rows(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in _said(tmp_path, data, id=None)


def test_missing_rows_with_features_in_rows(tmp_path: Path) -> None:
    data = b"probe,a,b\nlabel,A,B\npatients,p,q\ncg1,0.5,1\n"
    said = _said(tmp_path, data, id=None, patient=ColumnRule("patient"))
    assert "'patient', which `patient` names; similar: 'patients'" in said
    said = _said(tmp_path, data, id=None, drop=("gene",))
    assert "no row 'gene', which `drop` names" in said


def test_the_feature_names_stand_in_the_first_column(tmp_path: Path) -> None:
    data = b"gene,probe,a\nlabel,,A\nTERT,cg1,0.5\n"
    said = _said(tmp_path, data, id="probe", orientation="features-in-rows")
    assert "must stand in the first column ('gene'), not in 'probe'" in said


NOTED = {"label": "klass", "annotation": Annotation("notes.csv", "id"), "id": None}


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        (b"id,klass\na,A\n", "notes.csv has no row for case 'b'; add it"),
        (b"id,klass\na,A\nb,B\nb,B\n", "notes.csv has more than one row for case 'b'"),
        (
            b"ID,klass\na,A\nb,B\n",
            "notes.csv has no column 'id', which `annotation.id` names; similar: 'ID'",
        ),
        (
            b"id,class\na,A\nb,B\n",
            "neither notes.csv nor m.csv has a column 'klass', which `label` names; similar: 'clas",
        ),
        (b"id,klass\na,A,x\nb,B\n", "notes.csv, line 2 has too many cells"),
        (b"id,klass\na,A\nb,\n", "case 'b' has no label"),
        (b"id;klass\na;A\n", "notes.csv has a single column; its separator seems to be the semi"),
        (b"", "notes.csv is empty"),
    ],
)
def test_faults_of_the_annotation_file(tmp_path: Path, notes: bytes, said: str) -> None:
    (tmp_path / "notes.csv").write_bytes(notes)
    assert said in _said(tmp_path, b"probe,a,b\ncg1,0.5,0.25\n", **NOTED)


def test_a_missing_annotation_file(tmp_path: Path) -> None:
    assert "notes.csv does not exist" in _said(tmp_path, GOOD, **NOTED)


TURNED = b"id,a,b\nlabel,A,B\nslide,s_1,s_2\ncg1,0.5,1\n"
PIECES = st.sampled_from([b'"', b",", b"\n", b"\r", b"\0", b"", b"\xff"])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_ends_in_a_message_or_in_a_cohort(tmp_path_factory, data) -> None:
    """Cuts, insertions and flips of a good file: read, or refused in words that name the file."""
    damaged = bytearray(data.draw(st.sampled_from([GOOD, TURNED, gzip.compress(GOOD, mtime=0)])))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged)))
        end = place + data.draw(st.integers(0, 8))
        damaged[place:end] = data.draw(st.one_of(PIECES, st.binary(max_size=3)))
    root = tmp_path_factory.mktemp("damaged")
    (root / "m.csv").write_bytes(bytes(damaged))
    source = CohortSource(source="beta_matrix", path="m.csv", label="label")
    try:
        cohort = import_cohort(source, ("A", "B"), "single", root)
    except UnusableInputError as refused:
        assert "m.csv" in str(refused)
    else:
        assert cohort.values.shape == (len(cohort.ids), len(cohort.features))
        assert cohort.ids
        assert all(cohort.ids)
        assert all(cohort.labels)


def test_two_features_of_a_reference_file_with_detection_columns(tmp_path: Path) -> None:
    """The layout of GSE90496: one heading 2,801 times."""
    data = b"ID_REF\tS 1\tDetection Pval\tS 2\tDetection Pval\ncg1\t0.5\t0\t0.25\t0\n"
    said = _said(tmp_path, data, path="m.txt", id=None)
    assert "m.txt: columns 3 and 5 are both called 'Detection Pval'" in said
