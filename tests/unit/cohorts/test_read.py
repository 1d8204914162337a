"""Import of cohorts: what is read, which way round, and how attributes are found."""

from __future__ import annotations

import csv
import gzip
import os
import random
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.cohorts import simulate
from lifecycle.cohorts.read import import_cohort
from lifecycle.domain.classifier import Annotation, CohortSource, ColumnRule
from lifecycle.domain.cohort import Cohort
from lifecycle.errors import UnusableInputError

ROWS = """sample,label,slide,site,cg1,cg2,cg3
TCGA-02-0001-A,"GBM, MES",77_R01,Bonn,0.1,0.25,
TCGA-02-0001-B,RTK I,77_R02,,0.5,NA,0.75
TCGA-03-0002-A,"GBM, MES",78_R01,Genf,1e-3,NaN,1
"""
COLUMNS = """probe,a,b,c
cg1,0.1,0.5,1e-3
cg2,0.25,NA,NaN
cg3,,0.75,1
"""
NOTES = """id\tklass\tpatient\tage
c\tRTK I\tq\t3
a\tGBM, MES\tp\t1
b\tRTK I\tp\t2
unused\tRTK I\tr\t9
"""
VALUES = [[0.1, 0.25, np.nan], [0.5, np.nan, 0.75], [0.001, np.nan, 1.0]]
CLASSES = ("GBM, MES", "RTK I")


def _source(**fields) -> CohortSource:
    fields = {"path": "m.csv", "id": "sample", "label": "label", **fields}
    return CohortSource(source="beta_matrix", **fields)


FULL = _source(
    patient=ColumnRule("sample", first=12),
    group=ColumnRule("slide", before="_"),
    subgroups=("site",),
)
NOTED = _source(
    id=None,
    label="klass",
    patient=ColumnRule("patient"),
    subgroups=("age",),
    annotation=Annotation("notes.tsv", "id"),
)


def _import(root: Path, source: CohortSource, classes=CLASSES, task="single") -> Cohort:
    return import_cohort(source, classes, task, root)


def _put(root: Path, text: str, name: str = "m.csv") -> None:
    (root / name).write_text(text, encoding="utf-8")


def _is_full(cohort: Cohort) -> None:
    assert cohort.ids == ("TCGA-02-0001-A", "TCGA-02-0001-B", "TCGA-03-0002-A")
    assert cohort.patients == ("TCGA-02-0001", "TCGA-02-0001", "TCGA-03-0002")
    assert cohort.groups == ("77", "77", "78")
    assert cohort.labels == ("GBM, MES", "RTK I", "GBM, MES")
    assert dict(cohort.subgroups) == {"site": ("Bonn", "", "Genf")}
    assert cohort.features == ("cg1", "cg2", "cg3")
    assert cohort.values.dtype == np.float64
    np.testing.assert_array_equal(cohort.values, VALUES)
    assert cohort.origin == "real"


def test_samples_in_rows_with_all_attributes(tmp_path: Path) -> None:
    _put(tmp_path, ROWS)
    cohort = _import(tmp_path, FULL)
    _is_full(cohort)
    assert cohort.about["orientation"] == "samples-in-rows"
    assert cohort.about["missing"] == 3


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_ends_blank_lines_and_a_byte_order_mark_do_not_matter(tmp_path, ending) -> None:
    text = "\n\n" + ROWS.replace("\nTCGA-03", "\n\nTCGA-03")
    (tmp_path / "m.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", ending).encode())
    _is_full(_import(tmp_path, FULL))


def test_a_transposed_table_keeps_its_attributes_in_rows(tmp_path: Path) -> None:
    rows = list(csv.reader(ROWS.splitlines()))
    with (tmp_path / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows(zip(*rows, strict=True))
    cohort = _import(tmp_path, FULL)
    _is_full(cohort)
    assert cohort.about["orientation"] == "features-in-rows"
    assert cohort.values.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize(
    ("name", "separator", "given"),
    [
        ("m.tsv", "\t", None),
        ("m.tab", "\t", None),
        ("m.txt", ";", None),
        ("m.txt", "|", None),
        ("m.csv", ";", ";"),
        ("m.csv", "\t", "tab"),
        ("m.csv", "\t", "\\t"),
    ],
)
def test_separators(tmp_path: Path, name: str, separator: str, given: str | None) -> None:
    with (tmp_path / name).open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(csv.reader(ROWS.splitlines()))
    _is_full(_import(tmp_path, replace(FULL, path=name, separator=given)))


@pytest.mark.parametrize("name", ["m.csv.gz", "m.csv"])
def test_gzip_is_seen_by_its_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(gzip.compress(ROWS.encode()))
    _is_full(_import(tmp_path, replace(FULL, path=name)))


def _parquet(path: Path, text: bool = False) -> None:
    rows = list(csv.reader(ROWS.splitlines()))
    columns = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
    data = {name: pa.array(list(columns[name])) for name in ("sample", "slide", "site")}
    data["label"] = pa.array(list(columns["label"])).dictionary_encode()
    for j, name in enumerate(("cg1", "cg2", "cg3")):
        numbers = [None if np.isnan(row[j]) else row[j] for row in VALUES]
        data[name] = pa.array(columns[name]) if text else pa.array(numbers, pa.float64())
    pq.write_table(pa.table(data), path)


@pytest.mark.parametrize("text", [False, True])
def test_parquet_of_numbers_and_of_decimals_as_text(tmp_path: Path, text: bool) -> None:
    _parquet(tmp_path / "m.parquet", text)
    _is_full(_import(tmp_path, replace(FULL, path="m.parquet")))


def test_parquet_with_features_in_rows(tmp_path: Path) -> None:
    rows = list(csv.reader(ROWS.splitlines()))
    head, *body = zip(*rows, strict=True)
    columns = list(zip(*body, strict=True))
    pq.write_table(
        pa.table({name: list(c) for name, c in zip(head, columns, strict=True)}),
        tmp_path / "m.parquet",
    )
    _is_full(_import(tmp_path, replace(FULL, path="m.parquet")))


def test_parquet_keeps_single_precision_and_integers_exactly(tmp_path: Path) -> None:
    single = pa.array([0.1, 0.2], pa.float32())
    table = pa.table({"sample": [1, 2], "label": ["A", "B"], "x": single, "n": [3, 2**40]})
    pq.write_table(table, tmp_path / "m.parquet")
    cohort = _import(tmp_path, _source(path="m.parquet"))
    assert cohort.ids == ("1", "2")
    assert cohort.values.tolist() == [[np.float32(0.1), 3.0], [np.float32(0.2), 2.0**40]]


def test_an_annotation_file_with_features_in_rows(tmp_path: Path) -> None:
    _put(tmp_path, COLUMNS)
    _put(tmp_path, NOTES, "notes.tsv")
    cohort = _import(tmp_path, NOTED)
    assert cohort.ids == ("a", "b", "c")
    assert cohort.labels == ("GBM, MES", "RTK I", "RTK I")
    assert cohort.patients == ("p", "p", "q")
    assert cohort.subgroups["age"] == ("1", "2", "3")
    assert cohort.features == ("cg1", "cg2", "cg3")
    np.testing.assert_array_equal(cohort.values, VALUES)
    assert cohort.about["orientation"] == "features-in-rows"
    assert cohort.about["annotation"]["unused_rows"] == 1


def test_an_annotation_file_with_samples_in_rows(tmp_path: Path) -> None:
    text = "\n".join(",".join(c) for c in zip(*csv.reader(COLUMNS.splitlines()), strict=True))
    _put(tmp_path, text)
    _put(tmp_path, NOTES, "notes.tsv")
    cohort = _import(tmp_path, NOTED)
    assert cohort.about["orientation"] == "samples-in-rows"
    np.testing.assert_array_equal(cohort.values, VALUES)
    assert cohort.patients == ("p", "p", "q")


def test_the_annotation_comes_first_and_its_name_is_no_feature(tmp_path: Path) -> None:
    _put(tmp_path, "sample,klass,slide,cg1\na,old,s1,0.5\nb,old,s2,0.25\n")
    _put(tmp_path, NOTES, "notes.tsv")
    cohort = _import(tmp_path, replace(NOTED, id="sample", group=ColumnRule("slide")))
    assert cohort.labels == ("GBM, MES", "RTK I")
    assert cohort.groups == ("s1", "s2")
    assert cohort.features == ("cg1",)


def test_dropped_columns_and_rows_are_no_features(tmp_path: Path) -> None:
    _put(tmp_path, ROWS)
    dropped = _import(tmp_path, _source(drop=("slide", "site", "cg2")))
    assert dropped.features == ("cg1", "cg3")
    _put(tmp_path, "probe,a,b,Gene\nlabel,x,y,\nchromosome,chr1,chr2,\ncg1,0.5,0.25,TERT\n")
    turned = _import(tmp_path, _source(id=None, drop=("Gene", "chromosome")))
    assert turned.ids == ("a", "b")
    assert turned.values.tolist() == [[0.5], [0.25]]


def test_the_first_column_is_the_id_where_none_is_named(tmp_path: Path) -> None:
    _put(tmp_path, ',label,cg1\nx,A,0.5\n"y, z",B,0.25\n')  # as written by R
    assert _import(tmp_path, _source(id=None)).ids == ("x", "y, z")


@pytest.mark.parametrize("name", ["y\nz", "y\u200b", "e\u0301"])
def test_names_that_only_look_alike_are_refused(tmp_path: Path, name: str) -> None:
    _put(tmp_path, f'sample,label,cg1\nx,A,0.5\n"{name}",B,0.25\n')
    with pytest.raises(UnusableInputError, match=r"m\.csv, case 2 .*, column .*; correct it"):
        _import(tmp_path, _source())


@pytest.mark.parametrize(
    ("one", "two"),
    [("S1", "s1"), ("s 1", "s1"), ("12", "12.0"), ("012", "12"), ("a\u20101", "a-1")],
)
def test_one_name_in_two_spellings_is_refused(tmp_path: Path, one: str, two: str) -> None:
    _put(tmp_path, f"sample,label,who,cg1\na,A,{one},0.5\nb,B,{two},0.25\n")
    for kind in ("patient", "group"):
        rules = {kind: ColumnRule("who")}
        with pytest.raises(UnusableInputError) as refused:
            _import(tmp_path, _source(**rules))
        said = str(refused.value)
        assert f"m.csv, column 'who': {kind} {one!r} and {kind} {two!r} differ only" in said


def test_blanks_around_a_cell_are_not_part_of_a_name(tmp_path: Path) -> None:
    rows = "".join(f"c{i},A,slide1{' ' * i},0.5\n" for i in range(5))
    _put(tmp_path, f"sample,label,slide,cg1\n{rows}")
    cohort = _import(tmp_path, _source(group=ColumnRule("slide")))
    assert set(cohort.groups) == {"slide1"}
    _put(tmp_path, "sample,label,slide,cg1\na,A,x_1,0.5\nb,B,x _2,0.25\n")
    with pytest.raises(UnusableInputError, match=r"case 2 \('b'\), column 'slide': group 'x '"):
        _import(tmp_path, _source(group=ColumnRule("slide", before="_")))


def test_a_column_of_groups_holds_some(tmp_path: Path) -> None:
    _put(tmp_path, "sample,label,slide,cg1\na,A,,0.5\nb,B,NA,0.25\n")
    with pytest.raises(UnusableInputError, match="column 'slide': no case has a group"):
        _import(tmp_path, _source(group=ColumnRule("slide")))


def test_the_orientation_may_be_said(tmp_path: Path) -> None:
    _put(tmp_path, "probe,a,b\ncg1,0.5,0.25\n")
    source = _source(id=None, label=None, keep_unlabelled=True)
    assert _import(tmp_path, replace(source, orientation="features-in-rows")).ids == ("a", "b")
    assert _import(tmp_path, replace(source, orientation="samples-in-rows")).ids == ("cg1",)


def test_labels_are_mapped_and_others_are_left_to_the_expectations(tmp_path: Path) -> None:
    _put(tmp_path, ROWS)
    mapped = replace(FULL, labels={"GBM, MES": "MES"})
    assert _import(tmp_path, mapped).labels == ("MES", "RTK I", "MES")


def test_parts_of_a_multi_label_case_stand_in_class_order(tmp_path: Path) -> None:
    _put(tmp_path, "sample,label,x\na,B | A,1\nb,A,2\nc,z|b2|A,3\n")
    cohort = _import(tmp_path, _source(labels={"b2": "B"}), ("A", "B"), "multi")
    assert cohort.labels == ("A|B", "A", "A|B|z")


def test_unlabelled_cases_are_kept_only_where_asked(tmp_path: Path) -> None:
    _put(tmp_path, "sample,label,cg1\na,A,0.5\nb,,0.25\nc,NA,0.125\n")
    assert _import(tmp_path, _source(keep_unlabelled=True)).labels == ("A", "", "")
    with pytest.raises(UnusableInputError, match=r"case 'b' \(and 1 more\) has no label"):
        _import(tmp_path, _source())


def test_a_class_called_na_is_a_label(tmp_path: Path) -> None:
    _put(tmp_path, "sample,label,cg1\na,NA,0.5\n")
    assert _import(tmp_path, _source(), ("NA", "B")).labels == ("NA",)


def test_a_case_is_its_own_patient_only_where_no_patient_is_asked_for(tmp_path: Path) -> None:
    _put(tmp_path, "sample,label,who,slide,cg1\na,A,,NA,0.5\nb,A,NA,,0.5\nc,A,p,s,0.5\n")
    with pytest.raises(UnusableInputError, match="case 'a' has no patient in 'who'"):
        _import(tmp_path, _source(patient=ColumnRule("who"), group=ColumnRule("slide")))
    grouped = _import(tmp_path, _source(drop=("who",), group=ColumnRule("slide")))
    assert grouped.groups == ("", "", "s")
    assert _import(tmp_path, _source(drop=("who", "slide"))).patients == ("a", "b", "c")


def test_what_the_expectations_judge_is_read(tmp_path: Path) -> None:
    _put(tmp_path, "sample,label,cg1\na,unheard,1.5\na,A,-0.25\nb,A,\n")
    cohort = _import(tmp_path, _source())
    assert cohort.ids == ("a", "a", "b")
    assert cohort.values[:2, 0].tolist() == [1.5, -0.25]


def test_decimals_are_rounded_correctly(tmp_path: Path) -> None:
    rng = random.Random(1)
    cells = [f"{rng.random():.17g}" for _ in range(2000)]
    cells += [f"{rng.random():.30f}" for _ in range(2000)]
    cells += ["0.500000000000000166533453693773481063544750213623046875", "2.2250738585072011e-308"]
    cells += ["+.5", "1.", "1E-3", "9007199254740993", " 0.1"]
    _put(tmp_path, "sample,label,x\n" + "".join(f"s{i},A,{c}\n" for i, c in enumerate(cells)))
    cohort = _import(tmp_path, _source())
    assert cohort.values[:, 0].tolist() == [float(cell) for cell in cells]


def test_a_very_wide_row_is_read(tmp_path: Path) -> None:
    p = 60_000
    header = ",".join(f"cg{i:08d}" for i in range(p))
    row = ",".join(f"0.{i % 977:09d}" for i in range(p))
    _put(tmp_path, f"sample,label,{header}\n" + "".join(f"{s},A,{row}\n" for s in "abc"))
    cohort = _import(tmp_path, _source())
    assert cohort.values.shape == (3, p)
    assert cohort.values[2, 5] == 5e-9


def test_progress_is_told(tmp_path: Path) -> None:
    _put(tmp_path, ROWS)
    said: list[str] = []
    import_cohort(FULL, CLASSES, "single", tmp_path, said.append)
    assert said == ["reading m.csv", "3 cases x 3 features (real)"]


def test_facts_name_the_bytes_that_were_read(tmp_path: Path) -> None:
    _put(tmp_path, ROWS)
    first = _import(tmp_path, FULL).about["sha256"]
    _put(tmp_path, ROWS.replace("0.1", "0.10"))
    assert _import(tmp_path, FULL).about["sha256"] != first


# ---- bundled and simulated


@pytest.mark.parametrize(
    ("dataset", "shape", "first", "counts"),
    [
        ("breast_cancer", (569, 30), "wdbc-001", {"benign": 357, "malignant": 212}),
        ("wine", (178, 13), "wine-001", {"class_0": 59, "class_1": 71, "class_2": 48}),
        ("iris", (150, 4), "iris-001", {"setosa": 50, "versicolor": 50, "virginica": 50}),
        ("digits", (1797, 64), "digits-0001", {"0": 178, "9": 180}),
    ],
)
def test_bundled_sets(tmp_path: Path, dataset, shape, first, counts) -> None:
    source = CohortSource(source="bundled", path=".", dataset=dataset, measures="table")
    cohort = import_cohort(source, tuple(counts), "single", tmp_path)
    assert cohort.values.shape == shape == (len(cohort.ids), len(cohort.features))
    assert cohort.ids[0] == first
    assert len(set(cohort.ids)) == shape[0]
    assert cohort.patients == cohort.ids
    assert cohort.origin == "real"
    found = Counter(cohort.labels)
    assert {name: found[name] for name in counts} == counts
    assert "UCI" in cohort.about["citation"]


def test_bundled_labels_can_be_mapped(tmp_path: Path) -> None:
    source = CohortSource("bundled", ".", dataset="breast_cancer", labels={"malignant": "cancer"})
    cohort = import_cohort(source, ("benign", "cancer"), "single", tmp_path)
    assert cohort.labels[0] == "cancer"  # the first case of the published file is malignant
    assert cohort.values[0, :2].tolist() == [17.99, 10.38]


def test_a_bundled_source_needs_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="breast_cancer, wine, iris, digits"):
        import_cohort(CohortSource("bundled", "."), ("A", "B"), "single", tmp_path)


def test_a_simulated_source_asks_the_simulator_for_its_part(tmp_path, monkeypatch) -> None:
    made = Cohort(("a",), ("a",), ("",), ("x",), ("cg",), np.zeros((1, 1)), "simulated")
    asked: list[object] = []
    monkeypatch.setattr(simulate, "load_settings", lambda path: asked.append(path) or "settings")
    monkeypatch.setattr(simulate, "simulate", lambda s, part: asked.extend([s, part]) or made)
    source = CohortSource("simulated", "simulator.yaml", part="frozen", labels={"x": "A"})
    cohort = import_cohort(source, ("A", "B"), "single", tmp_path)
    assert asked == [tmp_path / "simulator.yaml", "settings", "frozen"]
    assert cohort.labels == ("A",)
    assert cohort.origin == "simulated"


# ---- real data


@pytest.fixture
def methylation() -> Path:
    """The folder of real methylation files, or a skip that says where it was looked for."""
    beside = Path(__file__).parents[4] / "shared" / "data"
    folder = Path(os.environ.get("LIFECYCLE_REAL_DATA", beside)) / "methylation"
    if not folder.is_dir():
        pytest.skip("no real data: set LIFECYCLE_REAL_DATA to the folder that holds methylation/")
    return folder


TCGA = CohortSource(
    source="beta_matrix",
    path="tcga_idhwt_glioma_430x843_beta.csv",
    id="sample",
    label="label",
    patient=ColumnRule("sample", first=12),
    subgroups=("ceccarelli_cluster", "histology"),
    labels={"IDHwt-K1": "K1", "IDHwt-K2": "K2", "IDHwt-K3": "K3"},
)


@pytest.mark.real
def test_tcga_is_read_exactly_and_in_under_a_second(methylation: Path) -> None:
    began = time.process_time()
    cohort = import_cohort(TCGA, ("K1", "K2", "K3"), "single", methylation)
    assert time.process_time() - began < 1.0
    assert cohort.values.shape == (430, 843)
    assert Counter(cohort.labels) == {"K1": 148, "K2": 215, "K3": 67}
    assert not np.isnan(cohort.values).any()
    assert len([c for c in cohort.subgroups["ceccarelli_cluster"] if c]) == 357
    with (methylation / TCGA.path).open(newline="") as file:
        slow = [[float(cell) for cell in row[4:]] for row in list(csv.reader(file))[1:]]
    np.testing.assert_array_equal(cohort.values, slow)


@pytest.mark.real
def test_medulloblastoma_is_read(methylation: Path) -> None:
    source = replace(
        TCGA,
        path="GSE85212_medulloblastoma_523x399_beta.csv",
        patient=None,
        subgroups=(),
        labels={},
    )
    classes = ("Group3", "Group4", "SHH", "WNT")
    cohort = import_cohort(source, classes, "single", methylation)
    counts = {"Group4": 207, "SHH": 145, "Group3": 101, "WNT": 70}
    assert Counter(cohort.labels) == counts
    assert cohort.values.shape == (523, 399)


@pytest.mark.real
def test_the_reference_annotation_joins_by_sentrix_id(methylation: Path, tmp_path: Path) -> None:
    with (methylation / "GSE90496_annotation_2801.csv").open(newline="") as file:
        cases = [row["geo_accession"] for row in csv.DictReader(file)]
    _put(tmp_path, "ID_REF\t" + "\t".join(cases) + "\ncg1" + "\t0.5" * 2801 + "\n", "m.tsv")
    source = CohortSource(
        source="beta_matrix",
        path=str(tmp_path / "m.tsv"),
        label="methylation_class",
        group=ColumnRule("sentrix", before="_"),
        annotation=Annotation("GSE90496_annotation_2801.csv", "geo_accession"),
    )
    cohort = import_cohort(source, ("GBM, G34",), "single", methylation)
    gbm = [i for i, label in enumerate(cohort.labels) if label.startswith("GBM, ")]
    assert len(gbm) == 347
    assert len({cohort.groups[i] for i in gbm}) == 187  # slides, as the design counts them
    assert len(set(cohort.labels)) == 91


def test_the_simulated_ecg_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lifecycle.cohorts.read._EVERY", 100)
    settings = "seed: 1\nrecords: 250\nseconds: 5\nrate: 50\n"
    (tmp_path / "ecg.yaml").write_text(settings, encoding="utf-8")
    source = CohortSource(source="simulated_ecg", path="ecg.yaml", measures="ecg")
    said: list[str] = []
    cohort = import_cohort(source, ("SR", "AFIB"), "multi", tmp_path, said.append)
    assert len(cohort.ids) == 250
    assert said == [
        "reading ecg.yaml",
        "100 of 250 records made",
        "200 of 250 records made",
        "250 cases x 12 leads (simulated)",
    ]
