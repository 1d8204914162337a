"""A released model: applied as it was judged, and only if its release verifies."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from releasing import released_copy, withdraw
from support import run_in

from lifecycle.cohorts import store
from lifecycle.consistency.calls import call
from lifecycle.dossier.builds import frozen_predictions, read_build
from lifecycle.dossier.layout import Layout
from lifecycle.errors import IntegrityError, SignOffRefusedError, UnusableInputError
from lifecycle.release.standing import Release, Standing, Subject
from lifecycle.released import load_released
from lifecycle.workflows import doctoring
from lifecycle.workflows.auditing import Audit
from lifecycle.workflows.rehearsing_child import recipe_of
from lifecycle.workflows.released import (
    _preprocessing,
    _require_arithmetic,
    release_in_force,
    to_csv,
)


@pytest.fixture(scope="module")
def signed(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released_copy(_built, tmp_path_factory.mktemp("released") / "project")


@pytest.fixture(scope="module")
def model(signed: Path):
    return load_released("wine", signed)


@pytest.fixture
def copy(signed: Path, tmp_path: Path) -> Path:
    """What a release needs, and nothing else: no params.yaml, no work/, no data."""
    for name in ("dossier", "weights"):
        shutil.copytree(signed / name, tmp_path / "copy" / name)
    return tmp_path / "copy"


@pytest.fixture
def no_self_test(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    asked: list[int] = []

    def tested(threads: int) -> dict[str, str]:
        asked.append(threads)
        return {}

    monkeypatch.setattr(doctoring, "require_exact_arithmetic", tested)
    return asked


@pytest.fixture(scope="module")
def frozen(signed: Path):
    """The frozen set as imported, and the scores that were signed."""
    scores = frozen_predictions(read_build(Layout(signed, "wine"), 1))
    cohort = store.read(signed / "work/wine/cohort/main")
    place = {case: i for i, case in enumerate(cohort.ids)}
    return cohort.take([place[case] for case in scores.ids]), scores


def test_the_scores_are_the_signed_ones_to_the_bit_and_tau_is_the_released_one(
    model, frozen, signed: Path
) -> None:
    cohort, scores = frozen
    turned = np.arange(len(cohort.features))[::-1]
    values = cohort.rows(range(len(cohort.ids)))[:, turned]
    result = model.predict(values, cohort.ids, [cohort.features[i] for i in turned])
    assert result.scores.tobytes() == scores.scores.tobytes()
    assert result.ids == scores.ids
    threshold = json.loads((signed / "dossier/wine/threshold.json").read_bytes())
    assert list(model.cutoffs.yes) == threshold["yes"]
    states = call(scores, model.cutoffs).state
    assert np.array_equal(result.states, states)
    assert 0 < sum(result.reportable) < len(result.ids)
    for row, said in enumerate(result.calls):
        top = scores.classes[int(scores.scores[row].argmax())]
        assert said == (top if states[row].any() else "inconclusive")
        assert result.reportable[row] == bool(states[row].any())


def test_the_result_says_which_release_it_is_from(model, signed: Path) -> None:
    said = run_in(signed, "lifecycle", "release", "history", "wine", "--json")
    rows = json.loads(said.stdout)
    about = model.provenance
    assert (about.classifier, about.version, about.build) == ("wine", "1", 1)
    assert about.record == about.head == rows[-1]["digest"]
    assert (about.verdict, about.demonstration) == ("pass", False)
    assert about.weights == read_build(Layout(signed, "wine"), 1).weights


def test_the_dossier_and_the_weights_are_enough(
    model, frozen, copy: Path, no_self_test: list[int]
) -> None:
    cohort, scores = frozen
    again = load_released("wine", copy)
    result = again.predict(cohort.rows(range(len(cohort.ids))), cohort.ids, cohort.features)
    assert result.scores.tobytes() == scores.scores.tobytes()
    assert len(no_self_test) == 1  # exact arithmetic is tested before it is used
    assert again.provenance == model.provenance


def _table(path: Path, model, rows: dict[str, list[object]], drop: str = "", **more: str) -> Path:
    names = [name for name in model.features if name != drop]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *more, *names])
        for case, values in rows.items():
            writer.writerow([case, *more.values(), *values[: len(names)]])
    return path


def test_the_command_writes_calls_that_no_spreadsheet_runs(
    signed: Path, model, frozen, tmp_path: Path
) -> None:
    cohort, scores = frozen
    order = [cohort.features.index(name) for name in model.features]
    values = cohort.rows(range(3))[:, order].tolist()
    ids = ["=HYPERLINK(1)", "plain", "-2"]
    rows = dict(zip(ids, values, strict=True))
    table = _table(tmp_path / "new.csv", model, rows, colour="red")
    out = tmp_path / "calls.csv"
    command = ("lifecycle", "release", "predict", "wine", str(table), "--out", str(out))
    done = run_in(signed, *command)
    assert done.returncode == 0, done.stderr
    assert model.provenance.record in done.stdout
    assert "'colour'" in done.stderr
    assert "checks are right" in done.stderr
    with out.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["id"] for row in found] == ["'=HYPERLINK(1)", "plain", "-2"]
    for row, wanted in zip(found, scores.scores[:3].tolist(), strict=True):
        assert [float(row[f"score:{name}"]) for name in scores.classes] == wanted
        assert (row["build"], row["version"], row["verdict"]) == ("b1", "1", "passed")
        assert row["record"] == model.provenance.record
        assert row["mark"] == ""
    before = out.read_bytes()
    done = run_in(signed, *command)
    assert (done.returncode, out.read_bytes()) == (10, before)
    assert "exists already" in done.stderr


def test_a_demonstration_is_marked_in_every_row(model) -> None:
    result = model.predict(np.full((2, len(model.features)), 1.0), ["a", "b"])
    about = replace(result.provenance, demonstration=True, verdict="inconclusive")
    lines = list(csv.DictReader(to_csv(replace(result, provenance=about)).splitlines()))
    assert len(lines) == 2
    for line in lines:
        assert "SIMULATED" in line["mark"] and "never for patients" in line["mark"]
        assert line["verdict"].startswith("WARNED")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"a": ["", *[1.0] * 12]}, ["row 1", "'a'", "has no value"]),
        ({"a": [1.0] * 13, "b": [1.0, "x", *[1.0] * 11]}, ["line 3", "'x' is not a number"]),
        ({"a": [1.0, "inf", *[1.0] * 11]}, ["'a'", "inf"]),
        ({"": [1.0] * 13}, ["row 1", "no id"]),
        ({" a": [1.0] * 13, "a": [1.0] * 13}, ["row 1", "twice"]),
    ],
)
def test_bad_cells_are_named(
    model, tmp_path: Path, change: dict[str, list[object]], said: list[str]
) -> None:
    table = _table(tmp_path / "bad.csv", model, change)
    with pytest.raises(UnusableInputError) as error:
        model.predict_file(table)
    assert "bad.csv" in str(error.value)
    for part in said:
        assert part in str(error.value)


def test_a_missing_feature_is_named(model, tmp_path: Path) -> None:
    table = _table(tmp_path / "bad.csv", model, {"a": [1.0] * 13}, drop=model.features[4])
    with pytest.raises(UnusableInputError, match=f"no column '{model.features[4]}'"):
        model.predict_file(table)
    with pytest.raises(UnusableInputError, match="no column 'sample'"):
        model.predict_file(_table(tmp_path / "b.csv", model, {"a": [1.0] * 13}), key="sample")


def test_a_missing_value_can_be_filled_and_is_counted(model) -> None:
    values = np.array([[1.0] * 13, [1.0] * 13])
    values[1, 2] = np.nan
    result = model.predict(values, ["a", "b"], fill_missing=True)
    assert result.filled == (0, 1)
    mean = values.copy()
    mean[1, 2] = model._fitted.mean[2]
    assert result.scores.tobytes() == model.predict(mean, ["a", "b"]).scores.tobytes()
    with pytest.raises(UnusableInputError, match="row 2, case 'b' has no value at all"):
        model.predict(np.array([[1.0] * 13, [np.nan] * 13]), ["a", "b"], fill_missing=True)
    with pytest.raises(UnusableInputError, match="do not fit"):
        model.predict(values[:, 1:], ["a", "b"])


def test_what_is_not_released_or_withdrawn_is_refused(built: Path, signed: Path, tmp_path: Path):
    with pytest.raises(SignOffRefusedError, match="wine: released is nothing"):
        load_released("wine", built)
    folder = tmp_path / "here" / "project"
    shutil.copytree(signed, folder, symlinks=True)
    shutil.copytree(signed.parent / "keys", tmp_path / "here" / "keys")
    link = withdraw(folder, "a wrong probe list")
    with pytest.raises(SignOffRefusedError, match=r"b1 was withdrawn \(a wrong probe list\)"):
        load_released("wine", folder)
    # with the withdrawal cut off the chain is whole again: only the known head tells
    link.path.unlink()
    with pytest.raises(IntegrityError, match="cut off"):
        load_released("wine", folder, head=link.digest)


@pytest.mark.parametrize(
    "name",
    ["preprocess.json", "features.txt", "frozen.parquet", "record.json", "weights", "record"],
)
def test_one_changed_bit_is_found(copy: Path, name: str) -> None:
    place = {
        "weights": next(copy.glob("weights/wine/*.safetensors")),
        "record": next(copy.glob("dossier/wine/releases/00002*")),
    }.get(name, copy / "dossier/wine/builds/b1" / name)
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=place.name):
        load_released("wine", copy)


def test_a_build_that_did_not_keep_its_preprocessing_is_refused(signed: Path) -> None:
    build = read_build(Layout(signed, "wine"), 1)
    files = {k: v for k, v in build.files.items() if k != "preprocess.json"}
    with pytest.raises(UnusableInputError, match="does not keep its preprocessing"):
        _preprocessing(replace(build, files=files))
    other = {**build.content, "inputs": {**build.content["inputs"], "features": "0" * 64}}
    with pytest.raises(IntegrityError, match="not the preprocessing"):
        _preprocessing(replace(build, content=other))
    terms = {**build.content["terms"], "model": {"kind": "ecg-baseline"}}
    with pytest.raises(UnusableInputError, match="ECG"):
        _preprocessing(replace(build, content={**build.content, "terms": terms}))


def _audit(*releases: tuple[int, bool, bool]) -> Audit:
    """An audit with releases (record number, demonstration, withdrawn)."""
    made = tuple(
        Release(
            Subject(number, "c" * 64, "pass", demonstration), (), "2026", number,
            withdrawn=_withdrawal() if withdrawn else None,
        )
        for number, demonstration, withdrawn in releases
    )  # fmt: skip
    return Audit("wine", "h", 2, 1, 1, True, (Standing("1", made),), "f")


def _withdrawal():
    class Record:
        reason = "wrong"

    class Link:
        record = Record()

    return Link()


def test_the_newest_release_that_stands_is_taken() -> None:
    audit = _audit((2, False, False), (4, False, False), (6, False, True))
    assert release_in_force(audit, demonstration=False)[1].number == 4
    audit = _audit((2, False, False), (4, True, False))
    assert release_in_force(audit, demonstration=False)[1].number == 2
    assert release_in_force(audit, demonstration=True)[1].number == 4
    with pytest.raises(SignOffRefusedError, match=r"SIMULATED.*--demonstration"):
        release_in_force(_audit((4, True, False)), demonstration=False)


def test_another_environment_is_said_where_it_can_change_digits(
    signed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build = read_build(Layout(signed, "wine"), 1)
    recipe = recipe_of({**build.content["recipe"], "stop": "fixed"})
    native = replace(recipe, numerics=replace(recipe.numerics, mode="native"))
    monkeypatch.setenv("NUMBA_CPU_NAME", "some-other-cpu")
    _require_arithmetic(build, native)
    assert "last digits" in capsys.readouterr().err
    framework = {**build.content["framework"], "arithmetic": "lifecycle/arithmetic/0"}
    with pytest.raises(IntegrityError, match="arithmetic/0"):
        _require_arithmetic(
            replace(build, content={**build.content, "framework": framework}), recipe
        )


def test_importing_the_public_face_is_cheap() -> None:
    code = (
        "import sys, lifecycle.released as r; print(sorted({'torch','numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
