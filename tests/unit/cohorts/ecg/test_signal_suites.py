"""Each way in which ECG records can be wrong is found by its expectation, and named."""

from __future__ import annotations

import ast
import csv
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lifecycle.cohorts.ecg.limits import SignalThresholds
from lifecycle.cohorts.ecg.simulate import EcgSettings, simulate
from lifecycle.cohorts.ecg.simulate_plan import CLASSES
from lifecycle.cohorts.ecg.summaries import summarise_signals
from lifecycle.cohorts.expectations import Validation, validate
from lifecycle.cohorts.suites import Thresholds
from lifecycle.domain.classifier import LEADS, Part
from lifecycle.domain.cohort import Cohort
from lifecycle.errors import UnusableInputError

Spoil = Callable[[Cohort], Cohort]
FEW = SignalThresholds(training_per_class=1, holdout_per_class=1, frozen_per_class=1)


@pytest.fixture(scope="module")
def good() -> Cohort:
    """Two hundred simulated records whose labels are made even: every class in every part."""
    cohort = simulate(EcgSettings(seed=4, records=200))
    labels = tuple(CLASSES[i // 10 % 12] for i in range(200))
    return replace(
        cohort,
        ids=tuple(f"r{i:03d}" for i in range(200)),
        patients=tuple(f"p{i:03d}" for i in range(200)),
        labels=labels,
        folds=tuple(str(i % 10 + 1) for i in range(200)),
        about={**cohort.about, "seconds": 10.0},
    )


def parts_of(cohort: Cohort) -> dict[str, Part]:
    side: dict[str, Part] = {"9": "holdout", "10": "frozen"}
    return {c: side.get(f, "training") for c, f in zip(cohort.ids, cohort.folds, strict=True)}


def run(
    folder: Path,
    cohort: Cohort,
    frozen: Cohort | None = None,
    parts: dict[str, Part] | None = None,
    **other: Any,
) -> Validation:
    arguments: dict[str, Any] = {
        "classes": CLASSES,
        "task": "multi",
        "measures": "ecg",
        "thresholds": Thresholds(signals=FEW),
    } | other
    return validate(cohort, frozen, parts or parts_of(cohort), folder=folder, **arguments)


def signal(change: Callable[[NDArray[np.int16]], None]) -> Spoil:
    def spoil(cohort: Cohort) -> Cohort:
        values = cohort.values.copy()
        change(values)
        return replace(cohort, values=values)

    return spoil


def attribute(name: str, at: int, value: str) -> Spoil:
    def spoil(cohort: Cohort) -> Cohort:
        column = getattr(cohort, name)
        changed: dict[str, Any] = {name: (*column[:at], value, *column[at + 1 :])}
        return replace(cohort, **changed)

    return spoil


def about(**facts: Any) -> Spoil:
    return lambda cohort: replace(cohort, about={**cohort.about, **facts})


def put(record: int, where: Any, lead: Any, value: int) -> Spoil:
    def change(values: NDArray[np.int16]) -> None:
        values[record, where, lead] = value

    return signal(change)


def clip(record: int, lead: int) -> Spoil:
    def change(values: NDArray[np.int16]) -> None:
        one = values[record, :, lead]
        np.clip(4 * one, -400, 400, out=one)

    return signal(change)


def scaled(cohort: Cohort) -> Cohort:
    return replace(cohort, values=cohort.values // 100)


def swapped(cohort: Cohort) -> Cohort:
    """aVR and aVL change places."""
    order = [0, 1, 2, 4, 3, *range(5, 12)]
    return replace(cohort, values=cohort.values[:, :, order])


def slowed(cohort: Cohort) -> Cohort:
    """What a file of 500 Hz called 100 Hz looks like: a fifth of the time, five times as slow."""
    at = np.arange(1000) / 5
    low = at.astype(int)
    share = (at - low)[:, None]
    part = cohort.values[:, low] * (1 - share) + cohort.values[:, low + 1] * share
    return replace(cohort, values=np.rint(part).astype(np.int16))


# name: (what is done, severity, expectation, sentence)
BAD: dict[str, tuple[Spoil, str, str, str]] = {
    "flat lead": (
        put(3, slice(None), 7, 12),
        "warning",
        "cases.no-flat-lead",
        "a flat lead: case r003 lead V2",
    ),
    "lead that comes off": (
        put(5, slice(300, 600), 8, 0),
        "warning",
        "cases.moves",
        "a lead that stands still for more than 1 s: case r005 lead V3 (3 s)",
    ),
    "clipped": (
        clip(11, 9),
        "warning",
        "cases.not-clipped",
        "saturated: more than 0.02 of a lead at its own extreme: case r011 lead V4",
    ),
    "railed": (
        put(14, slice(100, 103), 10, 32767),
        "critical",
        "cases.within-int16",
        "saturated: samples at the end of int16 (32.767 mV): case r014 lead V5 (3 samples)",
    ),
    "missing samples": (
        put(17, slice(0, 100), 11, -32768),
        "critical",
        "cases.complete",
        "missing samples (-32768): case r017 lead V6 share 0.1",
    ),
    "huge": (
        put(21, slice(0, 2), 6, 25000),
        "warning",
        "cases.amplitude",
        "mV); case r021 lead V1 (25.",
    ),
    "one lead off": (
        put(25, 7, 3, 9000),
        "warning",
        "cases.einthoven",
        "leads off Einthoven's or Goldberger's relation by over 50 uV: case r025",
    ),
    "unknown label": (
        attribute("labels", 30, "SR|VT"),
        "critical",
        "cases.label-known",
        "a label that is not among the classes: case r030 label 'SR|VT'",
    ),
    "patient in two parts": (
        attribute("patients", 39, "p042"),
        "critical",
        "split.patient-on-one-side",
        "patient p042 in training (case r042), frozen (case r039)",
    ),
    "duplicated id": (
        attribute("ids", 50, "r051"),
        "critical",
        "cases.id-unique",
        "a case id that is not unique: case r051 (row 51 of the cohort)",
    ),
    "left out": (
        about(left_out={"checksum": ["x1", "x2"], "rate": ["x3"]}),
        "warning",
        "recordings.none-left-out",
        "records that could not be used were left out: cohort: checksum (2); cohort: rate (1)",
    ),
    "not annotated": (
        about(not_annotated=["r060"]),
        "critical",
        "cases.annotated",
        "a record without any annotation: case r060 (training)",
    ),
    "500 Hz called 100": (
        slowed,
        "critical",
        "recordings.rate-fits-signals",
        "the rate does not fit the signals: steepness outside 0.3 to 0.7: cohort has 0.1",
    ),
    "no rate": (about(rate=None), "critical", "recordings.rate-given", "no sampling rate: cohort"),
    "rate that does not give the length": (
        about(rate=125),
        "critical",
        "recordings.rate-fits-length",
        "rate and samples do not give the stated length: cohort has -2 s more",
    ),
    "wrong gain": (
        scaled,
        "critical",
        "leads.gain",
        "median amplitude outside 0.1 to 10 mV, so the gain or unit is wrong: lead I (0.0",
    ),
    "swapped leads": (
        swapped,
        "critical",
        "recordings.leads-in-order",
        "Einthoven's and Goldberger's relations do not hold, so leads are swapped: cohort",
    ),
    "a lead twice": (
        attribute("features", 1, "I"),
        "critical",
        "leads.unique",
        "a lead that is there twice: lead I; lead I",
    ),
    "a lead of another name": (
        attribute("features", 11, "X"),
        "critical",
        "leads.known",
        "a lead that is none of the twelve: lead X",
    ),
    "a lead dead in many": (
        put(slice(0, 20), slice(None), 8, 0),  # type: ignore[arg-type]  # several records at once
        "critical",
        "leads.alive",
        "a lead that is flat in more than 0.05 of the records: lead V3 share 0.1",
    ),
    "a class gone from a part": (
        lambda c: replace(
            c,
            labels=tuple(
                "SR" if label == "TRIGU" and fold == "10" else label
                for label, fold in zip(c.labels, c.folds, strict=True)
            ),
        ),
        "warning",
        "split.class-in-frozen",
        "a class with fewer than 1 in frozen: class TRIGU has 0",
    ),
}

# A validation takes some seconds: defects that do not meddle with each other share one.
TOGETHER = (
    (
        *("flat lead", "lead that comes off", "clipped", "railed", "missing samples", "huge"),
        *("one lead off", "unknown label", "patient in two parts", "duplicated id", "left out"),
        *("not annotated", "a class gone from a part"),
    ),
    ("500 Hz called 100", "a lead of another name"),
    ("no rate", "wrong gain", "a lead twice"),
    ("rate that does not give the length", "swapped leads", "a lead dead in many"),
)


@pytest.fixture(scope="module", params=TOGETHER, ids=lambda names: names[0])
def found(
    request: pytest.FixtureRequest, good: Cohort, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[str, ...], Validation]:
    cohort = good
    for name in request.param:
        cohort = BAD[name][0](cohort)
    return request.param, run(tmp_path_factory.mktemp("bad"), cohort, parts=parts_of(good))


def test_each_fault_is_found_and_named(found: tuple[tuple[str, ...], Validation]) -> None:
    names, validation = found
    said = {f.expectation: f for f in (*validation.failures, *validation.warnings)}
    for name in names:
        _, severity, expectation, sentence = BAD[name]
        assert expectation in said, (name, sorted(said))
        assert said[expectation].severity == severity, name
        assert sentence in said[expectation].said, (name, said[expectation].said)


def test_every_fault_is_tried() -> None:
    assert sorted(name for names in TOGETHER for name in names) == sorted(BAD)


def test_nothing_else_is_found_beside_the_faults_of_single_records(
    good: Cohort, tmp_path: Path
) -> None:
    cohort = BAD["unknown label"][0](BAD["flat lead"][0](good))
    validation = run(tmp_path, cohort)
    assert [f.expectation for f in validation.failures] == ["cases.label-known"]
    assert [f.expectation for f in validation.warnings] == ["cases.no-flat-lead"]


def test_a_good_cohort_passes_and_its_pages_say_simulated(good: Cohort, tmp_path: Path) -> None:
    cohort = replace(good, labels=("", *good.labels[1:]))  # none of the classes is present
    validation = run(tmp_path, cohort)
    assert validation == Validation(True, (), (), validation.checked)
    assert validation.checked == 38
    index = unescape((tmp_path / "data_docs" / "index.html").read_text(encoding="utf-8"))
    assert "Data checks: simulated cohort" in index
    for suite in ("cases", "leads", "recordings", "split"):
        assert f"<td>{suite}</td>" in index
    assert "<td>features</td>" not in index


def test_in_a_single_label_task_a_label_is_needed(good: Cohort, tmp_path: Path) -> None:
    cohort = replace(good, labels=("", *good.labels[1:]))
    validation = run(tmp_path, cohort, task="single")
    assert [f.said for f in validation.failures] == [
        "a case without a label outside the frozen set: case r000 (training)"
    ]


def test_two_folds_a_record_set_aside_and_rare_classes_are_told(
    good: Cohort, tmp_path: Path
) -> None:
    parts: dict[str, Part] = parts_of(good) | {"r002": "aside"}
    cohort = attribute("patients", 1, "p000")(good)
    validation = run(tmp_path, cohort, parts=parts, thresholds=Thresholds())
    assert [f.said for f in validation.failures] == [
        "a patient in more than one published fold: patient p000 in fold 1 (case r000), "
        "fold 2 (case r001)"
    ]
    warned = {f.expectation: f for f in validation.warnings}
    assert warned["cases.used"].said == "a record that is set aside: case r002"
    assert warned["split.class-in-training"].count == 4  # those that came once, not twice
    assert warned["split.class-in-holdout"].count == 12
    said = warned["split.class-in-frozen"].said
    assert "a class with fewer than 5 in frozen: class SR has 2" in said
    assert len(warned) == 4


def test_a_frozen_set_of_its_own_must_have_the_same_signals(good: Cohort, tmp_path: Path) -> None:
    other = [1, 0, *range(2, 11)]
    frozen = replace(
        good.take(range(60)),
        ids=tuple(f"f{i:03d}" for i in range(60)),
        patients=tuple(f"fp{i:03d}" for i in range(60)),
        features=tuple(LEADS[i] for i in other),
        values=good.values[:60, :500, other],
        about={"rate": 50, "seconds": 10.0},
        origin="real",
    )
    validation = run(tmp_path, good, frozen)
    said = [f.said for f in validation.failures]
    assert said == [
        "a lead that the frozen set does not have: lead V6",
        "a lead that stands in another place in the frozen set: lead I; lead II",
        "a frozen set of another rate: frozen set has -50 Hz more",
        "a frozen set of another length: frozen set has -500 more",
    ]
    index = (tmp_path / "data_docs" / "index.html").read_text(encoding="utf-8")
    assert "simulated cohort with frozen set" in index


def test_values_that_are_no_signals_are_refused(good: Cohort) -> None:
    for values in (good.values[:, 0], good.values.astype(np.int32), good.values[:, :, :3]):
        wrong = replace(good, values=values)
        with pytest.raises(UnusableInputError, match=r"int16 \(records, samples, leads\)"):
            summarise_signals(wrong, None, {}, CLASSES, "multi")


def test_no_records_are_a_failure_and_no_crash(good: Cohort, tmp_path: Path) -> None:
    validation = run(tmp_path, good.take([]), parts={"gone": "training"})
    assert {"cases.present", "split.case-known"} <= {f.expectation for f in validation.failures}


# The tables


def test_blocks_do_not_show_in_the_tables(good: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = summarise_signals(good, None, parts_of(good), CLASSES, "multi")
    monkeypatch.setattr("lifecycle.cohorts.ecg.summaries._BLOCK_VALUES", 7 * 12_000)
    pieces = summarise_signals(good, None, parts_of(good), CLASSES, "multi")
    for name in ("cases", "leads", "recordings", "split"):
        assert getattr(whole, name).equals(getattr(pieces, name))


def test_the_tables_agree_with_numpy(good: Cohort) -> None:
    cohort = BAD["lead that comes off"][0](good)
    cases = summarise_signals(cohort, None, parts_of(good), CLASSES, "multi").cases
    peaks = np.ptp(cohort.values.astype(int), axis=1)
    assert np.array_equal(cases["amplitude"], peaks.max(axis=1) / 1000)
    assert cases["amplitude_at"].tolist() == [LEADS[i] for i in peaks.argmax(axis=1)]
    for record in (5, 6):
        lead = cohort.values[record, :, LEADS.index(cases["still_at"][record])]
        runs = np.diff(np.flatnonzero(np.diff(lead, prepend=lead[0] - 1, append=lead[-1] - 1)))
        assert cases["still"][record] == runs.max() / 100
    x = cohort.values.astype(float)
    jump = np.abs(np.diff(x, axis=1)).max(axis=1) / peaks
    assert np.allclose(cases["steepness"], np.median(jump, axis=1))
    assert cases["residual"].tolist() == [0.0] * 200


def test_records_of_ptbxl_meet_the_expectations_of_signals(real: Path, tmp_path: Path) -> None:
    folder = real / "ecg" / "ptbxl-500"
    if not folder.is_dir():
        pytest.skip(f"no ptbxl-500 at {folder}; set LIFECYCLE_REAL_DATA")
    rows = list(csv.DictReader((folder / "ptbxl_database.csv").read_text("utf-8").splitlines()))
    files = [folder / f"{row['filename_lr']}.dat" for row in rows]
    codes = [ast.literal_eval(row["scp_codes"]) for row in rows]
    cohort = Cohort(
        ids=tuple(row["ecg_id"] for row in rows),
        patients=tuple(row["patient_id"] for row in rows),
        groups=("",) * len(rows),
        labels=tuple("|".join(name for name in CLASSES if name in code) for code in codes),
        features=LEADS,
        values=np.stack([np.fromfile(file, "<i2").reshape(1000, 12) for file in files]),
        origin="real",
        about={"rate": 100, "seconds": 10.0},
        folds=tuple(row["strat_fold"] for row in rows),
    )
    validation = run(tmp_path, cohort)
    assert validation.failures == ()
    assert {f.expectation.split(".")[0] for f in validation.warnings} <= {"split"}
