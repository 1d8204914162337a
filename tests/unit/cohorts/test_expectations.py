"""Each way in which data can be wrong is found by its expectation, and named."""

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from lifecycle.cohorts.expectations import Validation, read_result, validate, write_result
from lifecycle.cohorts.suites import Thresholds
from lifecycle.cohorts.summaries import summarise
from lifecycle.domain.cohort import Cohort

CLASSES = ("RTK I", "MES")
FEATURES = tuple(f"cg{i:04d}" for i in range(40))
SIDES = ("training",) * 8 + ("holdout",) * 4 + ("frozen",) * 4
IDS = tuple(f"TCGA-{i:02d}" for i in range(len(SIDES)))
PARTS = dict(zip(IDS, SIDES, strict=True))


def good(prefix: str = "TCGA") -> Cohort:
    """Sixteen cases of two classes on eight slides, none of which straddles the split."""
    ids = tuple(f"{prefix}-{i:02d}" for i in range(len(SIDES)))
    return Cohort(
        ids=ids,
        patients=tuple(f"{case}-P" for case in ids),
        groups=tuple(f"{prefix}-slide{i // 2}" for i in range(len(ids))),
        labels=tuple(CLASSES[i % 2] for i in range(len(ids))),
        features=FEATURES,
        values=np.random.default_rng(7).random((len(ids), len(FEATURES))),
        origin="real",
    )


def put(values: tuple[str, ...], at: int, value: str) -> tuple[str, ...]:
    return (*values[:at], value, *values[at + 1 :])


def value_at(case: int, feature: int | slice, value: float) -> Callable[[Cohort], Cohort]:
    def spoil(cohort: Cohort) -> Cohort:
        values = cohort.values.copy()
        values[case, feature] = value
        return replace(cohort, values=values)

    return spoil


def attribute(name: str, at: int, value: str) -> Callable[[Cohort], Cohort]:
    return lambda cohort: replace(cohort, **{name: put(getattr(cohort, name), at, value)})


def feature(at: int | slice, value: Any, rows: Any = slice(None)) -> Callable[[Cohort], Cohort]:
    def spoil(cohort: Cohort) -> Cohort:
        values = cohort.values.copy()
        values[rows, at] = value
        return replace(cohort, values=values)

    return spoil


def run(folder: Path, cohort: Cohort, frozen: Cohort | None = None, **other: Any) -> Validation:
    arguments: dict[str, Any] = {
        "parts": PARTS,
        "classes": CLASSES,
        "task": "single",
        "measures": "beta",
    } | other
    return validate(cohort, frozen, folder=folder, **arguments)


def titles(validation: Validation) -> set[str]:
    return {failure.expectation for failure in validation.failures}


def said(validation: Validation) -> str:
    return "\n".join(f.said for f in (*validation.failures, *validation.warnings))


BAD: dict[str, tuple[Callable[[Cohort], Cohort], set[str], str]] = {
    "beta above one": (
        value_at(3, 5, 1.2),
        {"cases.beta-at-most-one"},
        "beta outside [0, 1]: case TCGA-03 feature cg0005 value 1.2",
    ),
    "beta just above one": (
        value_at(3, 5, float(np.nextafter(1, 2))),
        {"cases.beta-at-most-one"},
        "case TCGA-03 feature cg0005 value 1.0000000000000002",
    ),
    "beta below zero": (
        value_at(2, 6, -0.1),
        {"cases.beta-at-least-zero"},
        "beta outside [0, 1]: case TCGA-02 feature cg0006 value -0.1",
    ),
    "infinite": (
        value_at(9, 7, np.inf),
        {"cases.finite"},
        "infinite values: case TCGA-09 feature cg0007",
    ),
    "minus infinite": (value_at(9, 7, -np.inf), {"cases.finite"}, "case TCGA-09 feature cg0007"),
    "too much missing in one case": (
        value_at(4, slice(0, 5), np.nan),
        {"cases.missing"},
        "case TCGA-04 share 0.125",
    ),
    "a case without any value": (
        value_at(4, slice(None), np.nan),
        {"cases.missing"},
        "case TCGA-04 share 1",
    ),
    "all-NaN probe": (
        feature(11, np.nan),
        {"features.missing", "features.measured-in-training", "features.measured-in-frozen"},
        "a feature with no value in any training case: feature cg0011",
    ),
    "probe not measured in the frozen part": (
        feature(11, np.nan, slice(12, 16)),
        {"features.missing", "features.measured-in-frozen"},
        "a feature with no value in any frozen case: feature cg0011",
    ),
    "probe missing in too many cases": (
        feature(12, np.nan, [0, 1, 8, 12]),
        {"features.missing"},
        "feature cg0012 share 0.25",
    ),
    "feature named twice": (
        attribute("features", 1, "cg0000"),
        {"features.name-unique", "features.once-in-frozen"},
        "a feature name that is not unique: feature cg0000; feature cg0000",
    ),
    "feature without a name": (
        attribute("features", 1, " "),
        {"features.name-given"},
        "a feature without a name: feature ' '",
    ),
    "unknown label": (
        attribute("labels", 13, "RTK  I"),
        {"cases.label-known"},
        "a label that is not among the classes: case TCGA-13 label 'RTK  I'",
    ),
    "no label in the holdout": (
        attribute("labels", 8, ""),
        {"cases.label-given"},
        "a case without a label outside the frozen set: case TCGA-08 (holdout)",
    ),
    "no patient": (
        attribute("patients", 1, ""),
        {"cases.patient-given"},
        "a case without a patient: case TCGA-01 (row 2 of the cohort)",
    ),
    "empty id": (
        attribute("ids", 3, ""),
        {"cases.id-given", "split.case-placed", "split.case-known"},
        "a case without an id: case '' (row 4 of the cohort)",
    ),
    "blank id": (
        attribute("ids", 5, " \t"),
        {"cases.id-given", "split.case-placed", "split.case-known"},
        r"a case without an id: case ' \t' (row 6 of the cohort)",
    ),
    "duplicated id": (
        attribute("ids", 3, "TCGA-02"),
        {"cases.id-unique", "split.case-known"},
        "case TCGA-02 (row 3 of the cohort); case TCGA-02 (row 4 of the cohort)",
    ),
    "patient on both sides": (
        attribute("patients", 9, "TCGA-01-P"),
        {"split.patient-on-one-side"},
        "patient TCGA-01-P in training (case TCGA-01), holdout (case TCGA-09)",
    ),
    "patient in training and frozen": (
        attribute("patients", 15, "TCGA-01-P"),
        {"split.patient-on-one-side"},
        "patient TCGA-01-P in training (case TCGA-01), frozen (case TCGA-15)",
    ),
    "slide on both sides": (
        attribute("groups", 8, "TCGA-slide0"),
        {"split.group-on-one-side"},
        "group TCGA-slide0 in training (case TCGA-00), holdout (case TCGA-08)",
    ),
    "label only in one part": (
        lambda cohort: replace(cohort, labels=(*cohort.labels[:8], *("MES",) * 8)),
        {"split.class-in-holdout", "split.class-in-frozen"},
        "a class with fewer than 1 in holdout: class RTK I has 0",
    ),
    "class with one case": (
        lambda c: replace(c, labels=("RTK I", *("MES",) * 7, *c.labels[8:])),
        {"split.class-in-training"},
        "a class with fewer than 2 in training: class RTK I has 1",
    ),
}


# A validation takes most of a second: defects that do not meddle with each other share one.
TOGETHER = (
    (
        "beta above one",
        "beta below zero",
        "infinite",
        "too much missing in one case",
        "unknown label",
        "no label in the holdout",
        "patient on both sides",
        "slide on both sides",
    ),
    (
        "beta just above one",
        "minus infinite",
        "a case without any value",
        "feature without a name",
        "no patient",
        "label only in one part",
    ),
    (
        "all-NaN probe",
        "probe missing in too many cases",
        "feature named twice",
        "empty id",
        "patient in training and frozen",
        "class with one case",
    ),
    ("probe not measured in the frozen part", "duplicated id", "blank id"),
)


@pytest.fixture(scope="module", params=TOGETHER, ids=lambda names: names[0])
def defects(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[str, ...], Validation]:
    """Names of some defects, and what was found where a cohort has all of them."""
    cohort = good()
    for name in request.param:
        cohort = BAD[name][0](cohort)
    return request.param, run(tmp_path_factory.mktemp("bad"), cohort)


def test_bad_input_fails_with_the_right_thing_named(
    defects: tuple[tuple[str, ...], Validation],
) -> None:
    names, found = defects
    assert not found.passed
    assert titles(found) == set().union(*(BAD[name][1] for name in names))
    for name in names:
        _, expected, sentence = BAD[name]
        named = [f.expectation for f in found.failures if sentence in f.said]
        assert len(named) == 1, (name, said(found))
        assert named[0] in expected
    assert found.warnings == ()


def test_every_defect_is_tried() -> None:
    assert sorted(name for names in TOGETHER for name in names) == sorted(BAD)


def test_a_good_cohort_passes_and_the_docs_say_so(tmp_path: Path) -> None:
    found = run(tmp_path, good())
    assert found == Validation(True, (), (), found.checked)
    assert found.checked == 28
    index = (tmp_path / "data_docs" / "index.html").read_text()
    assert "Expectations met: 28 evaluated" in index
    for suite in ("cases", "features", "split"):
        assert f"<td>{suite}</td>" in index
    assert "simulated" not in index


def spoilt() -> Cohort:
    """Several defects at once, in simulated data."""
    cohort = replace(good(), origin="simulated")
    for name in ("beta above one", "unknown label", "patient on both sides", "all-NaN probe"):
        cohort = BAD[name][0](cohort)
    return cohort


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data Docs of the cohort with several defects."""
    folder = tmp_path_factory.mktemp("spoilt")
    write_result(folder / "result.json", run(folder, spoilt()))
    return folder


def links(page: Path) -> list[str]:
    found = re.findall(r'(?:href|src)="([^"]*)"', page.read_text(encoding="utf-8"))
    return [unquote(unescape(link)) for link in found]


def test_every_link_of_the_data_docs_works_without_a_network(site: Path) -> None:
    pages = sorted((site / "data_docs").rglob("*.html"))
    assert len(pages) == 7
    for page in pages:
        local = [link for link in links(page) if not link.startswith(("#", "https://great"))]
        assert local
        for link in local:
            assert not Path(link).is_absolute()
            assert (page.parent / link).exists(), (page, link)
        text = page.read_text(encoding="utf-8")
        assert "<script" not in text
        assert not re.search(r'(?:src="|url\(.?|<link[^>]*")https?:', text)
        assert str(site) not in text


def test_the_index_leads_to_every_page(site: Path) -> None:
    index = site / "data_docs" / "index.html"
    reached = {(index.parent / link).resolve() for link in links(index) if link.endswith(".html")}
    others = {page.resolve() for page in index.parent.rglob("*.html")} - {index.resolve()}
    assert others <= reached


def test_simulated_data_are_marked_on_every_page(site: Path) -> None:
    for page in (site / "data_docs").rglob("*.html"):
        assert "<h2>Data checks: simulated cohort</h2>" in page.read_text(encoding="utf-8")


def test_the_data_docs_are_those_of_great_expectations_and_name_the_offender(site: Path) -> None:
    (page,) = (site / "data_docs" / "validations" / "cases").rglob("*.html")
    text = page.read_text(encoding="utf-8")
    assert "Great Expectations Version" in text
    for name in ("TCGA-03", "cg0005", "1.2", "RTK  I"):
        assert name in text


def test_the_index_says_what_is_wrong(site: Path) -> None:
    index = unescape((site / "data_docs" / "index.html").read_text(encoding="utf-8"))
    assert "Expectations NOT met" in index
    assert "critical: beta outside [0, 1]: case TCGA-03 feature cg0005 value 1.2" in index


def test_the_result_file_is_the_same_bytes_every_time(site: Path, tmp_path: Path) -> None:
    write_result(tmp_path / "result.json", run(tmp_path, spoilt()))
    assert (tmp_path / "result.json").read_bytes() == (site / "result.json").read_bytes()
    assert not read_result(site / "result.json").passed


def test_a_constant_feature_is_a_warning_and_a_table_holds_any_finite_value(
    tmp_path: Path,
) -> None:
    # Varying outside training is no help: the network cannot learn from it.
    cohort = feature(3, 0.5, slice(0, 8))(feature(0, [-300.0, *range(15)])(good()))
    found = run(tmp_path, cohort, measures="table")
    assert found.passed
    assert found.checked == 26
    assert [f.said for f in found.warnings] == [
        "a feature that is constant in training: feature cg0003"
    ]


def test_limits_are_inclusive_and_can_be_set(tmp_path: Path) -> None:
    cohort = value_at(4, slice(0, 5), np.nan)(good())
    limits = Thresholds(missing_per_case=0.125, training_per_class=5, holdout_per_class=2)
    found = run(tmp_path, cohort, thresholds=limits)
    assert titles(found) == {"split.class-in-training"}
    assert found.failures[0].count == 2


def test_values_kept_as_integers_and_a_frozen_part_without_labels(tmp_path: Path) -> None:
    counts = np.random.default_rng(3).integers(0, 65536, (16, 40)).astype(np.uint16)
    labels = (*good().labels[:12], *("",) * 4)
    found = run(tmp_path, replace(good(), values=counts, labels=labels))
    assert found == Validation(True, (), (), 27)


def test_a_case_that_is_set_aside_is_on_no_side(tmp_path: Path) -> None:
    parts = PARTS | {"TCGA-07": "aside"}
    cohort = attribute("patients", 7, "TCGA-09-P")(attribute("labels", 7, "")(good()))
    cohort = attribute("groups", 6, "")(attribute("groups", 7, "TCGA-slide4")(cohort))
    found = run(tmp_path, cohort, parts=parts)
    assert found.passed
    assert [f.expectation for f in found.warnings] == ["cases.label-given-aside"]


def test_a_split_that_names_other_cases(tmp_path: Path) -> None:
    parts = {case: side for case, side in PARTS.items() if case != "TCGA-07"}
    found = run(tmp_path, good(), parts=parts | {"TCGA-99": "training"})
    assert titles(found) == {"split.case-placed", "split.case-known"}
    assert "a case that the split puts nowhere: case TCGA-07" in said(found)
    assert "the split names a case that the cohort does not have: case TCGA-99" in said(found)


OWN_PARTS = dict(zip(IDS, ("training",) * 8 + ("holdout",) * 8, strict=True))


def test_a_frozen_set_of_its_own(tmp_path: Path) -> None:
    frozen = replace(good("GEO"), labels=("",) * 16, origin="simulated")
    found = run(tmp_path, good(), frozen, parts=OWN_PARTS)
    assert found == Validation(True, (), (), 27)
    index = (tmp_path / "data_docs" / "index.html").read_text()
    assert "Data checks: cohort with simulated frozen set" in index


def test_a_frozen_set_of_its_own_is_looked_at_as_well(tmp_path: Path) -> None:
    frozen = value_at(2, 6, 1.5)(attribute("labels", 1, "other")(good("GEO")))
    frozen = replace(
        frozen,
        ids=put(frozen.ids, 0, "TCGA-00"),
        patients=put(frozen.patients, 1, "TCGA-09-P"),
        labels=tuple("MES" if label == "RTK I" else label for label in frozen.labels),
        features=put(frozen.features, 39, "cg9999"),
    )
    found = run(tmp_path, good(), frozen, parts=OWN_PARTS)
    assert [f.said for f in found.failures] == [
        "a label that is not among the classes: case GEO-01 label 'other'",
        "beta outside [0, 1]: case GEO-02 feature cg0006 value 1.5",
        "a case on more than one side of the split: case TCGA-00 in training, frozen",
        "a patient on more than one side of the split: "
        "patient TCGA-09-P in holdout (case TCGA-09), frozen (case GEO-01)",
    ]
    assert [f.said for f in found.warnings] == [
        "a feature that the frozen set does not have: feature cg0039",
        "a class with fewer than 1 in frozen: class RTK I has 0",
    ]


def test_multi_label_cases_count_for_each_of_their_classes(tmp_path: Path) -> None:
    classes = ("AF", "1st ($) deg.", "SB")
    labels = ("AF|1st ($) deg.", "SB", "SB|AF", "1st ($) deg.") * 4
    wrong = replace(good(), labels=put(labels, 5, "SB|"))
    found = run(tmp_path, wrong, task="multi", classes=classes)
    assert titles(found) == {"cases.label-known"}
    assert found.failures[0].offenders == ("case TCGA-05 label 'SB|'",)


def test_no_cases_and_no_features_fail(tmp_path: Path) -> None:
    nobody = good().take([])
    found = run(tmp_path, nobody, parts={})
    assert {"cases.present", "split.class-in-training"} <= titles(found)
    nothing = replace(good(), features=(), values=np.empty((16, 0)))
    assert titles(run(tmp_path, nothing)) == {"features.present"}


def test_blocks_do_not_show_in_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = value_at(4, slice(0, 5), np.nan)(value_at(9, 7, np.inf)(good()))
    whole = summarise(cohort, None, PARTS, CLASSES, "single")
    monkeypatch.setattr("lifecycle.cohorts.summaries._BLOCK_VALUES", 3 * len(FEATURES))
    parts = summarise(cohort, None, PARTS, CLASSES, "single")
    for name in ("cases", "features", "split"):
        assert getattr(whole, name).equals(getattr(parts, name))


def test_the_tables_agree_with_numpy() -> None:
    cohort = value_at(4, slice(0, 5), np.nan)(good())
    tables = summarise(cohort, None, PARTS, CLASSES, "single")
    values = cohort.values
    assert np.array_equal(tables.cases["minimum"], np.nanmin(values, axis=1))
    lowest = [FEATURES[i] for i in np.nanargmin(values, axis=1)]
    assert tables.cases["minimum_at"].tolist() == lowest
    assert np.array_equal(tables.cases["missing"], np.isnan(values).mean(axis=1))
    training = values[:8]
    spread = np.nanmax(training, axis=0) - np.nanmin(training, axis=0)
    assert np.array_equal(tables.features["training_spread"], spread)
    assert np.array_equal(tables.features["missing"], np.isnan(values).mean(axis=0))
