"""The five formats: what becomes of a data set, good and bad."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ecg_files import ptbxl_row, wave, write_ptbxl, write_record, write_table
from scipy.io import loadmat, savemat

from lifecycle.cohorts.ecg.faults import BadRecordError
from lifecycle.cohorts.ecg.matfile import read_struct
from lifecycle.cohorts.ecg.ptbxl import version_of
from lifecycle.cohorts.ecg.read import import_ecg
from lifecycle.domain.classifier import LEADS, CohortSource, ColumnRule, SignalPlan
from lifecycle.domain.cohort import Cohort
from lifecycle.errors import UnusableInputError

RHYTHMS = ("AFIB", "SR")


def load(
    root: Path,
    kind: Any,
    path: str = "set",
    classes: tuple[str, ...] = RHYTHMS,
    plan: SignalPlan | None = None,
    **other: Any,
) -> Cohort:
    source = CohortSource(source=kind, path=path, measures="ecg", signal=plan, **other)
    return import_ecg(source, classes, root, lambda sentence: None)


SKIP = SignalPlan(bad_records="skip")


def ptbxl(root: Path, rows: Sequence[dict[str, str]], **other: Any) -> Cohort:
    write_ptbxl(root / "set", rows)
    return load(root, "ptbxl", **other)


# ---- PTB-XL


def test_ptbxl_as_published(tmp_path: Path) -> None:
    rows = [
        ptbxl_row(1),
        ptbxl_row(2, scp_codes="{'AFIB': 0.0, 'SR': 0.0, 'IMI': 15.0}", age="300.0", sex="0"),
        ptbxl_row(3, scp_codes="{'IMI': 100.0}"),
    ]
    cohort = ptbxl(tmp_path, rows, subgroups=("age", "sex"))
    assert cohort.ids == ("1", "2", "3")
    assert cohort.patients == ("1001", "1002", "1003")
    assert cohort.folds == ("2", "3", "4")
    assert cohort.labels == ("SR", "AFIB|SR", "")
    assert cohort.features == LEADS
    assert cohort.groups == ("", "", "")
    assert cohort.subgroups == {
        "age": ("40-64", "90+", "40-64"),
        "sex": ("female", "male", "female"),
    }
    assert cohort.values.dtype == np.int16
    assert np.array_equal(cohort.values, np.stack([wave(1000, seed=i) for i in range(3)]))
    about = cohort.about
    assert (about["rate"], about["annotated"], about["without_class"]) == (100, 3, 1)
    assert about["other_statements"] == {"IMI": 2, "NORM": 1}
    assert about["left_out"] == {}
    assert set(about["sha256"]) == {"ptbxl_database.csv"}


def test_ptbxl_500_hz_is_resampled_only_where_asked(tmp_path: Path) -> None:
    rows = [ptbxl_row(1)]
    native = ptbxl(tmp_path, rows, plan=SignalPlan(rate=500))
    assert np.array_equal(native.values[0], wave(5000))
    low = load(tmp_path, "ptbxl", plan=SignalPlan(read_rate=500))
    assert low.values.shape == (1, 1000, 12)
    assert low.about["resampling"][0]["from"] == 500
    assert low.about["read_rate"] == 500


def test_superclasses_follow_any_diagnostic_statement(tmp_path: Path) -> None:
    rows = [
        ptbxl_row(1, scp_codes="{'IMI': 0.0, 'AMI': 50.0, 'SR': 0.0}"),
        ptbxl_row(2, scp_codes="{'SR': 0.0}"),
        ptbxl_row(3),
    ]
    plan = SignalPlan(statements="superclass")
    cohort = ptbxl(tmp_path, rows, plan=plan, classes=("NORM", "MI"))
    assert cohort.labels == ("MI", "", "NORM")
    assert cohort.about["other_statements"] == {"SR": 3}
    assert set(cohort.about["sha256"]) == {"ptbxl_database.csv", "scp_statements.csv"}


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("statements", {"scp_codes": "['SR']"}),
        ("statements", {"scp_codes": ""}),
        ("statements", {"scp_codes": "{'SR': 0.0"}),
        ("statements", {"scp_codes": "{'SR': 'yes'}"}),
        ("statements", {"scp_codes": "{1: 0.0}"}),
        ("statements", {"scp_codes": "__import__('os').system('true')"}),
        ("statements", {"scp_codes": "{'\\d': 0.0,}['x']"}),
        ("statements", {"scp_codes": "(" * 5000}),
        ("statements", {"scp_codes": "{'SR': " + "-" * 9000 + "1}"}),
        ("fold", {"strat_fold": "11"}),
        ("fold", {"strat_fold": "0"}),
        ("fold", {"strat_fold": "1.5"}),
        ("fold", {"strat_fold": ""}),
        ("patient", {"patient_id": ""}),
        ("patient", {"patient_id": "12.5"}),
        ("name", {"ecg_id": "x"}),
        ("missing file", {"filename_lr": "records100/00000/99999_lr"}),
        ("path outside the folder", {"filename_lr": "../secret"}),
        ("path outside the folder", {"filename_lr": "/etc/hostname"}),
        ("rate", {"filename_lr": "records500/00000/00002_hr"}),
    ],
)
def test_bad_ptbxl_rows_stop_or_are_counted(
    tmp_path: Path, reason: str, change: dict[str, str]
) -> None:
    write_ptbxl(tmp_path / "set", [ptbxl_row(1), ptbxl_row(2), ptbxl_row(3)])
    rows = [ptbxl_row(1), ptbxl_row(2, **change), ptbxl_row(3)]
    write_ptbxl(tmp_path / "set", rows, write=False)
    with pytest.raises(BadRecordError, match=r"record (2|\(row 3\)): " + reason):
        load(tmp_path, "ptbxl")
    cohort = load(tmp_path, "ptbxl", plan=SKIP)
    assert cohort.ids == ("1", "3")
    assert cohort.about["left_out"] == {reason: ["(row 3)" if reason == "name" else "2"]}
    assert np.array_equal(cohort.values[1], wave(1000, seed=2))


def test_500_hz_called_100_hz(tmp_path: Path) -> None:
    rows = [ptbxl_row(1), ptbxl_row(2)]
    write_ptbxl(tmp_path / "set", rows)
    write_record(tmp_path / "set" / rows[1]["filename_lr"], wave(5000), rate=100)
    with pytest.raises(BadRecordError, match="5000 samples are not 10 seconds"):
        load(tmp_path, "ptbxl")
    write_record(tmp_path / "set" / rows[1]["filename_lr"], wave(5000), rate=500)
    with pytest.raises(BadRecordError, match="its header says 500 Hz"):
        load(tmp_path, "ptbxl")
    assert load(tmp_path, "ptbxl", plan=SKIP).about["left_out"] == {"rate": ["2"]}


def test_a_patient_in_two_folds_always_stops(tmp_path: Path) -> None:
    rows = [ptbxl_row(1, patient_id="7.0"), ptbxl_row(2, patient_id="7")]
    with pytest.raises(UnusableInputError, match=r"patient 7 is in fold 2 .* in fold 3"):
        ptbxl(tmp_path, rows, plan=SKIP)


def test_two_records_of_one_name_are_both_left_out(tmp_path: Path) -> None:
    rows = [ptbxl_row(1), ptbxl_row(2), ptbxl_row(2)]
    with pytest.raises(BadRecordError, match="duplicate id"):
        ptbxl(tmp_path, rows)
    cohort = load(tmp_path, "ptbxl", plan=SKIP)
    assert cohort.ids == ("1",)
    assert cohort.about["left_out"] == {"duplicate id": ["2", "2"]}


def test_two_rows_that_name_one_file_are_refused(tmp_path: Path) -> None:
    rows = [ptbxl_row(1), ptbxl_row(2)]
    rows[1]["filename_lr"] = rows[0]["filename_lr"]
    with pytest.raises(UnusableInputError, match=r"rows 2 and 3: filename_lr is .* in both"):
        ptbxl(tmp_path, rows)


def test_a_file_name_that_is_no_path_is_a_bad_record(tmp_path: Path) -> None:
    folder = write_ptbxl(tmp_path / "set", [ptbxl_row(1)])
    table = folder / "ptbxl_database.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace(ptbxl_row(1)["filename_lr"], "."), encoding="utf-8")
    with pytest.raises(BadRecordError, match="is not in records100/"):
        load(tmp_path, "ptbxl")


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    folder = write_ptbxl(tmp_path / "set", [ptbxl_row(1)])
    table = folder / "ptbxl_database.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    table.write_text("".join(f"{line},{end}\n" for line, end in zip(
        lines, ("strat_fold", "9"), strict=True)), encoding="utf-8")  # fmt: skip
    with pytest.raises(UnusableInputError, match="column 'strat_fold' twice"):
        load(tmp_path, "ptbxl")


def test_records_of_one_signal_are_one_group(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_record(
            tmp_path / "set" / name, wave(1000, seed=seed), kind="mat", comments=["Dx: 426783006"]
        )
    cohort = load(tmp_path, "cinc2021")
    groups = dict(zip(cohort.ids, cohort.groups, strict=True))
    assert groups == {"a": "signal of a", "b": "signal of a", "c": ""}


@pytest.mark.parametrize(
    ("classes", "statements"), [(("NORM", "XYZ"), "superclass"), (("SR", "NORM"), "rhythm")]
)
def test_a_class_that_cannot_occur_is_refused(
    tmp_path: Path, classes: tuple[str, ...], statements: Any
) -> None:
    with pytest.raises(UnusableInputError, match=f"`classes` names {classes[1]!r}"):
        ptbxl(tmp_path, [ptbxl_row(1)], classes=classes, plan=SignalPlan(statements=statements))


def test_nothing_usable_is_an_error_even_where_records_are_skipped(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match=r"none of 1 records can be used \(fold 1\)"):
        ptbxl(tmp_path, [ptbxl_row(1, strat_fold="12")], plan=SKIP)


def test_ptbxl_tables_that_are_torn(tmp_path: Path) -> None:
    folder = write_ptbxl(tmp_path / "set", [ptbxl_row(1)])
    table = folder / "ptbxl_database.csv"
    whole = table.read_bytes()
    for content, told in (
        (whole[:-30], "cells under 8 columns"),
        (whole[:20], "no rows"),
        (b"\xff\xfe" + whole, "damaged"),
        (whole.replace(b"strat_fold", b"fold"), "no column 'strat_fold'"),
        (whole.replace(b'"', b"", 1), "cells under"),
    ):
        table.write_bytes(content)
        with pytest.raises(UnusableInputError, match=told):
            load(tmp_path, "ptbxl")
    table.unlink()
    with pytest.raises(UnusableInputError, match="cannot be read"):
        load(tmp_path, "ptbxl")
    with pytest.raises(UnusableInputError, match="is no folder"):
        load(tmp_path, "ptbxl", path="nowhere")


def test_version_is_told_as_far_as_it_can_be() -> None:
    assert version_of(21799) == "1.0.3"
    assert version_of(21837).startswith("1.0.1 or 1.0.2")
    assert version_of(500).startswith("not known")


def test_unknown_subgroup_of_ptbxl(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="no column 'sexx'; similar: 'sex'"):
        ptbxl(tmp_path, [ptbxl_row(1)], subgroups=("sexx",))


def test_progress_is_told(tmp_path: Path) -> None:
    write_ptbxl(tmp_path / "set", [ptbxl_row(1)])
    said: list[str] = []
    source = CohortSource(source="ptbxl", path="set", measures="ecg")
    import_ecg(source, RHYTHMS, tmp_path, said.append)
    assert said[0] == "set: 1 records to read"
    assert said[-1].startswith("1 cases x 1000 samples x 12 leads")


# ---- CinC 2021


def cinc(root: Path, name: str, *comments: str, **other: Any) -> Path:
    settings: dict[str, Any] = {"rate": 500, "kind": "mat", "comments": comments}
    return write_record(root / "set" / name, wave(5000), **(settings | other))


def test_cinc_codes_with_stray_commas(tmp_path: Path) -> None:
    cinc(tmp_path, "A1", "Age: 91", "Sex: F", "Dx: ,426783006,,164889003, ,")
    cinc(tmp_path, "g1/A2", " Age: NaN", " Sex: Unknown", " Dx:284470004")
    cohort = load(tmp_path, "cinc2021", subgroups=("age", "sex", "folder"))
    assert cohort.ids == cohort.patients == ("A1", "A2")
    assert cohort.labels == ("AFIB|SR", "")
    assert cohort.subgroups == {"age": ("90+", ""), "sex": ("female", ""), "folder": ("", "g1")}
    assert cohort.about["other_statements"] == {"284470004": 1}
    assert cohort.folds == ()


def test_cinc_faults_are_counted_by_reason(tmp_path: Path) -> None:
    cinc(tmp_path, "good", "Dx: 426783006")
    cinc(tmp_path, "headless", "Dx: 426783006")
    (tmp_path / "set" / "headless.hea").unlink()
    cinc(tmp_path, "signalless", "Dx: 426783006")
    (tmp_path / "set" / "signalless.mat").unlink()
    cinc(tmp_path, "silent", "Age: 50")
    cinc(tmp_path, "unknown", "Dx: Unknown")
    cinc(tmp_path, "commas", "Dx: , ,")
    holed = wave(5000)
    holed[40, 0] = -32768
    write_record(tmp_path / "set" / "nan", holed, rate=500, kind="mat", comments=["Dx: 426783006"])
    for folder in ("x", "y"):
        cinc(tmp_path, f"{folder}/same", "Dx: 426783006")
    cohort = load(tmp_path, "cinc2021", plan=SKIP)
    assert cohort.ids == ("good",)
    assert cohort.about["left_out"] == {
        "duplicate id": ["same", "same"],
        "missing file": ["headless", "signalless"],
        "missing samples": ["nan"],
        "not annotated": ["commas", "silent", "unknown"],
    }
    with pytest.raises(BadRecordError, match="record commas: not annotated"):
        load(tmp_path, "cinc2021")


def test_records_without_annotation_are_kept_where_asked(tmp_path: Path) -> None:
    cinc(tmp_path, "a", "Dx: 426783006")
    cinc(tmp_path, "b")
    cinc(tmp_path, "c", "Dx: 1")
    cohort = load(tmp_path, "cinc2021", keep_unlabelled=True)
    assert cohort.labels == ("SR", "", "")
    assert cohort.about["not_annotated"] == ["b"]
    assert (cohort.about["annotated"], cohort.about["without_class"]) == (2, 1)


def test_cinc_refuses_what_it_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(UnusableInputError, match=r"holds no \.hea and \.mat"):
        load(tmp_path, "cinc2021")
    with pytest.raises(UnusableInputError, match="it has age, sex, folder"):
        load(tmp_path, "cinc2021", subgroups=("height",))


# ---- CPSC2018


def cpsc(root: Path, name: str, **other: Any) -> Path:
    path = root / "set" / f"{name}.mat"
    path.parent.mkdir(exist_ok=True)
    fields = {"sex": "Male", "age": 49, "data": wave(5000).T / 1000.0} | other
    savemat(path, {"ECG": fields}, do_compression=True)
    return path


def reference(root: Path, *lines: Sequence[str]) -> None:
    (root / "set").mkdir(exist_ok=True)
    header = ("Recording", "First_label", "Second_label", "Third_label")
    write_table(root / "set" / "REFERENCE.csv", [header, *lines])


def test_cpsc_labels_and_values(tmp_path: Path) -> None:
    reference(tmp_path, ("A1", "2", "5", ""), ("A2", "1", "", ""))
    cpsc(tmp_path, "A1")
    cpsc(tmp_path, "A2", sex="Female", age=95)
    plan = SignalPlan(rate=500, leads=("V6", "I"))
    cohort = load(tmp_path, "cpsc2018", plan=plan, subgroups=("sex", "age"))
    assert cohort.labels == ("AFIB", "SR")
    assert cohort.subgroups == {"sex": ("male", "female"), "age": ("40-64", "90+")}
    assert cohort.about["other_statements"] == {"5": 1}
    assert np.array_equal(cohort.values[0], wave(5000)[:, [11, 0]])


def bomb() -> bytes:
    """A packed element of over 64 MiB of zeros in some 65 kB."""
    packed = zlib.compress(b"\0" * ((1 << 26) + 1))
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    return head + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed


def test_cpsc_faults_are_counted_by_reason(tmp_path: Path) -> None:
    names = ["good", "absent", "text", "bomb", "torn", "turned", "nan", "inf", "short", "struct"]
    lines = [(name, "1", "", "") for name in names]
    reference(tmp_path, *lines, ("ten", "10", "", ""), ("none", "", "", ""), ("../up", "1", "", ""))
    cpsc(tmp_path, "good")
    (tmp_path / "set" / "text.mat").write_bytes(b"not a matrix")
    (tmp_path / "set" / "bomb.mat").write_bytes(bomb())
    torn = cpsc(tmp_path, "torn")
    torn.write_bytes(torn.read_bytes()[:3000])
    cpsc(tmp_path, "turned", data=wave(5000) / 1000.0)
    holed = wave(5000).T / 1000.0
    holed[3, 4] = np.nan
    cpsc(tmp_path, "nan", data=holed)
    holed = holed.copy()
    holed[3, 4] = np.inf
    cpsc(tmp_path, "inf", data=holed)
    cpsc(tmp_path, "short", data=wave(4000).T / 1000.0)
    savemat(tmp_path / "set" / "struct.mat", {"val": np.zeros((12, 5000))})
    cpsc(tmp_path, "extra")
    assert load(tmp_path, "cpsc2018", plan=SKIP).about["left_out"] == {
        "amplitude": ["inf"],
        "file too large": ["bomb"],
        "missing file": ["absent"],
        "missing lead": ["turned"],
        "missing samples": ["nan"],
        "not annotated": ["extra"],
        "path outside the folder": ["../up"],
        "statements": ["ten", "none"],
        "too short": ["short"],
        "unreadable file": ["text", "torn", "struct"],
    }


def test_damaged_mat_files_are_never_a_crash(tmp_path: Path) -> None:
    reference(tmp_path, ("good", "1", "", ""), ("bad", "1", "", ""))
    cpsc(tmp_path, "good")
    fields = {"sex": "Male", "age": 49, "data": wave(5000)[:, :12].T / 1000.0}
    path = tmp_path / "set" / "bad.mat"
    savemat(path, {"ECG": fields}, do_compression=False)
    whole = path.read_bytes()
    rng = np.random.default_rng(8)
    left = 0
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.integers(128, 700, 3):
            data[place] = int(rng.integers(256))
        path.write_bytes(bytes(data))
        left += len(load(tmp_path, "cpsc2018", plan=SKIP).about["left_out"])
    assert left > 50


@pytest.mark.parametrize("packed", [False, True])
def test_mat_fields_are_those_of_scipy(tmp_path: Path, packed: bool) -> None:
    fields = {
        "sex": "Männlich", "age": 49, "data": wave(30) / 7.0, "short": np.int16([[1, -2], [3, 4]]),
        "empty": np.zeros((0, 0)), "one": np.float32(0.5),
    }  # fmt: skip
    savemat(tmp_path / "a.mat", {"x": 1.0, "ECG": fields}, do_compression=packed)
    ours = read_struct((tmp_path / "a.mat").read_bytes(), "ECG", 1 << 20)
    theirs = loadmat(tmp_path / "a.mat")["ECG"]
    assert set(ours) == set(fields)
    assert ours["sex"] == "Männlich"
    for name in set(fields) - {"sex"}:
        assert np.array_equal(np.atleast_2d(ours[name]).squeeze(), theirs[name][0, 0].squeeze())


# ---- rhythm annotations


def test_times_counted_at_another_rate(tmp_path: Path) -> None:
    path = long_record(tmp_path)
    annotate(path, (0, "(N"))
    text = b"## time resolution: 250"
    note = (22 << 10).to_bytes(2, "little") + ((63 << 10) + len(text)).to_bytes(2, "little")
    notes = path.with_name("04015.atr")
    notes.write_bytes(note + text + b"\0" * (len(text) % 2) + notes.read_bytes())
    with pytest.raises(BadRecordError, match=r"rate: 04015\.atr counts 250 a second"):
        load(tmp_path, "rhythm_atr", plan=HOLTER)


def annotate(path: Path, *marks: tuple[int, str]) -> None:
    """An .atr file in the MIT format: a skip of four bytes, a rhythm change, its text."""
    data, before = b"", 0
    for sample, text in marks:
        step = (sample - before).to_bytes(4, "little")
        skip = (59 << 10).to_bytes(2, "little") + step[2:] + step[:2]
        aux = text.encode() + b"\0" * (len(text) % 2)
        note = (28 << 10).to_bytes(2, "little") + ((63 << 10) + len(text)).to_bytes(2, "little")
        data, before = data + skip + note + aux, sample
    path.with_name(path.name + ".atr").write_bytes(data + b"\0\0")


def long_record(root: Path, seconds: int = 65, **other: Any) -> Path:
    values = other.pop("values", wave(seconds * 200, 2))
    settings: dict[str, Any] = {"names": ("MLII", "V5"), "rate": 200}
    return write_record(root / "set" / "04015", values, **(settings | other))


HOLTER = SignalPlan(rate=200, leads=("II", "V5"))


def test_windows_have_every_rhythm_in_force(tmp_path: Path) -> None:
    path = long_record(tmp_path)
    annotate(path, (2000, "(N"), (4001, "(AFIB"), (6000, "(NOISE"), (8000, "(N"), (8001, "(VT"))
    cohort = load(tmp_path, "rhythm_atr", plan=HOLTER, keep_unlabelled=True)
    assert cohort.ids == tuple(f"04015-{i:04d}" for i in range(1, 7))
    assert set(cohort.patients) == {"04015"}
    assert cohort.labels == ("", "SR", "AFIB|SR", "AFIB", "SR", "")
    assert cohort.about["not_annotated"] == ["04015-0001"]
    assert cohort.about["other_statements"] == {"(VT": 2}
    assert cohort.features == ("II", "V5")
    assert np.array_equal(cohort.values.reshape(-1, 2), wave(13000, 2)[:12000])


def test_a_missing_sample_costs_its_window_only(tmp_path: Path) -> None:
    values = wave(13000, 2)
    values[4100, 1] = -32768
    annotate(long_record(tmp_path, values=values), (0, "(N"))
    plan = SignalPlan(rate=200, leads=("II", "V5"), bad_records="skip")
    cohort = load(tmp_path, "rhythm_atr", plan=plan)
    assert cohort.about["left_out"] == {"missing samples": ["04015-0003"]}
    assert len(cohort.ids) == 5


def test_rhythm_faults(tmp_path: Path) -> None:
    path = long_record(tmp_path)
    with pytest.raises(BadRecordError, match="missing file"):
        load(tmp_path, "rhythm_atr", plan=HOLTER)
    annotate(path, (0, "(N"), (13000, "(AFIB"))
    with pytest.raises(BadRecordError, match="length: a rhythm is marked at sample 13000 of 13000"):
        load(tmp_path, "rhythm_atr", plan=HOLTER)
    annotate(path, (0, "(N"))
    with pytest.raises(BadRecordError, match="missing lead: no channel is lead I "):
        load(tmp_path, "rhythm_atr")
    notes = path.with_name("04015.atr")
    whole = notes.read_bytes()
    for content, told in (
        (whole[:-2], r"04015\.atr has no end mark"),
        (b"\x01\0\0", r"04015\.atr cannot be read"),
        (b"", "has no end mark"),
    ):
        notes.write_bytes(content)
        with pytest.raises(BadRecordError, match=f"unreadable file: .*{told}|{told}"):
            load(tmp_path, "rhythm_atr", plan=HOLTER)
    annotate(long_record(tmp_path, seconds=9), (0, "(N"))
    with pytest.raises(BadRecordError, match="too short: 9 seconds"):
        load(tmp_path, "rhythm_atr", plan=HOLTER)


# ---- plain tables


def table_source(path: str = "index.csv", **other: Any) -> dict[str, Any]:
    settings = {"id": "case", "label": "rhythm", "patient": ColumnRule("person", before="_")}
    return {"path": path, **settings, **other}


def index_rows() -> list[tuple[str, ...]]:
    return [
        ("case", "person", "rhythm", "path", "rate", "ward"),
        ("c1", "p1_a", "SR|AFIB", "signals/c1.csv", "100", "w1"),
        ("c2", "p1_b", "other", "signals/c2.parquet", "500", "w2"),
    ]


def write_signals(root: Path) -> None:
    (root / "signals").mkdir(exist_ok=True)
    columns = [lead.upper() for lead in LEADS]
    pd.DataFrame(wave(1000) / 1000.0, columns=columns).to_csv(
        root / "signals" / "c1.csv", index=False
    )
    pd.DataFrame(wave(5000) / 1000.0, columns=columns).to_parquet(root / "signals" / "c2.parquet")


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_tables_as_csv_and_parquet(tmp_path: Path, end: str) -> None:
    write_signals(tmp_path)
    header, *rows = index_rows()
    if end == "csv":
        write_table(tmp_path / "index.csv", [header, *rows])
    else:
        pd.DataFrame(rows, columns=list(header)).to_parquet(tmp_path / "index.parquet")
    cohort = load(tmp_path, "ecg_table", **table_source(f"index.{end}", subgroups=("ward",)))
    assert cohort.ids == ("c1", "c2")
    assert cohort.patients == ("p1", "p1")
    assert cohort.labels == ("AFIB|SR", "")
    assert cohort.subgroups == {"ward": ("w1", "w2")}
    assert np.array_equal(cohort.values[0], wave(1000))
    assert {one["from"] for one in cohort.about["resampling"]} == {100, 500}


@pytest.mark.parametrize(
    ("reason", "column", "cell"),
    [
        ("path outside the folder", 3, "../c1.csv"),
        ("missing file", 3, "signals/c9.csv"),
        ("unreadable file", 3, "signals/words.csv"),
        ("missing lead", 3, "signals/few.csv"),
        ("missing samples", 3, "signals/holes.csv"),
        ("amplitude", 3, "signals/microvolt.csv"),
        ("rate", 4, "fast"),
        ("rate", 4, "0"),
        ("rate", 4, "1/0"),
        ("rate", 4, "1e9999999999"),
        ("too short", 4, "500"),
        ("not annotated", 2, ""),
        ("patient", 1, ""),
        ("patient", 1, "p2"),
        ("duplicate id", 0, "c2"),
    ],
)
def test_bad_rows_of_tables(tmp_path: Path, reason: str, column: int, cell: str) -> None:
    write_signals(tmp_path)
    folder = tmp_path / "signals"
    frame = pd.DataFrame(wave(1000) / 1000.0, columns=list(LEADS))
    frame.iloc[:, :11].to_csv(folder / "few.csv", index=False)
    frame.mask(frame.index.to_numpy()[:, None] == np.full(12, 5)).to_csv(
        folder / "holes.csv", index=False
    )
    (frame * 1000).to_csv(folder / "microvolt.csv", index=False)
    frame.astype(str).replace({"V2": {frame["V2"].astype(str)[3]: "x"}}).to_csv(
        folder / "words.csv", index=False
    )
    header, first, second = index_rows()
    changed = (*first[:column], cell, *first[column + 1 :])
    write_table(tmp_path / "index.csv", [header, changed, second])
    with pytest.raises(UnusableInputError, match=reason):
        load(tmp_path, "ecg_table", **table_source())
    if reason == "duplicate id":
        return
    cohort = load(tmp_path, "ecg_table", plan=SKIP, **table_source())
    assert cohort.ids == ("c2",)
    assert cohort.about["left_out"] == {reason: ["c1"]}


@pytest.mark.parametrize("name", ["", "e\u0301"])
def test_names_that_are_no_names(tmp_path: Path, name: str) -> None:
    write_signals(tmp_path)
    header, first, second = index_rows()
    write_table(tmp_path / "index.csv", [header, (name, *first[1:]), second])
    cohort = load(tmp_path, "ecg_table", plan=SKIP, **table_source())
    assert cohort.about["left_out"] == {"name": [name]}


def test_index_without_a_column(tmp_path: Path) -> None:
    write_table(tmp_path / "index.csv", [row[:4] for row in index_rows()])
    with pytest.raises(UnusableInputError, match="no column 'rate'"):
        load(tmp_path, "ecg_table", **table_source())
    with pytest.raises(UnusableInputError, match="give `id`"):
        load(tmp_path, "ecg_table", path="index.csv", label="rhythm")
