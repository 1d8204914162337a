"""The simulated 12-lead cohort: same bits everywhere, people and beats as stated, leads exact."""

from __future__ import annotations

import ast
import csv
import json
import math
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lifecycle.cohorts.ecg import simulate_heart, simulate_plan
from lifecycle.cohorts.ecg.simulate import EcgSettings, clean_labels, load_settings, simulate
from lifecycle.cohorts.ecg.simulate_beats import REFRACTORY, Beat, Strip, strip
from lifecycle.cohorts.ecg.simulate_draws import Draws, bump, sine, sine_of
from lifecycle.cohorts.ecg.simulate_noise import leads
from lifecycle.cohorts.ecg.simulate_plan import CLASSES, RHYTHMS
from lifecycle.domain.classifier import LEADS
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.digests import canonical_array, canonical_json, sha256
from lifecycle.errors import UnusableInputError

ROOT = Path(__file__).parents[4]
SHIPPED = ROOT / "pipelines" / "cohorts" / "ecg-rhythm.yaml"
GOLDEN = ROOT / "tests" / "golden" / "simulated-ecg.json"
UPDATE = "LIFECYCLE_UPDATE_GOLDEN"  # set it to 1 to write the golden file anew
SMALL = EcgSettings(seed=7, records=150)
LEAD_I, II, III, AVR, AVL, AVF, V1, V2 = range(8)


def digest(cohort: Cohort) -> str:
    columns = [cohort.ids, cohort.patients, cohort.labels, cohort.features, cohort.folds]
    named = canonical_json([*columns, dict(cohort.subgroups), cohort.origin])
    return sha256(named + canonical_array(cohort.values))


@pytest.fixture(scope="module")
def shipped() -> EcgSettings:
    return load_settings(SHIPPED)


@pytest.fixture(scope="module")
def small() -> Cohort:
    return simulate(SMALL)


@pytest.fixture(scope="module")
def cohort(shipped: EcgSettings) -> Cohort:
    return simulate(shipped)


# Bits


def test_golden_digests(small: Cohort, cohort: Cohort) -> None:
    seen = {"small": digest(small), "shipped": digest(cohort)}
    if os.environ.get(UPDATE) == "1":
        GOLDEN.write_text(json.dumps(seen, indent=2, sort_keys=True) + "\n")
    assert seen == json.loads(GOLDEN.read_text())


CHILD = """
import json, sys
from numpy._core._multiarray_umath import __cpu_features__ as features
from tests_child import SMALL, digest, simulate
on = [name for name in sys.argv[1:] if features[name]]
print(json.dumps({"on": on, "digest": digest(simulate(SMALL))}))
"""


def dispatched() -> list[str]:
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]


def test_bits_depend_on_no_extension_of_the_processor(tmp_path: Path, small: Cohort) -> None:
    features = dispatched()
    if not features:
        pytest.skip("numpy dispatches to no extension on this machine")
    (tmp_path / "tests_child.py").write_text(Path(__file__).read_text())
    environment = {
        **os.environ,
        "NPY_DISABLE_CPU_FEATURES": " ".join(features),
        "OPENBLAS_CORETYPE": "Prescott",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
    }
    command = [sys.executable, "-c", CHILD, *features]
    child = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout) == {"on": [], "digest": digest(small)}


def test_no_inexact_library_function_is_used() -> None:
    """What may differ between machines, by name: elementary functions, products, float sums."""
    forbidden = {
        *("sin", "cos", "tan", "exp", "log", "log2", "power", "pow", "dot", "matmul", "einsum"),
        *("sum", "mean", "std", "var", "linalg", "fft", "tensordot", "inner", "convolve", "random"),
    }
    seen = set()
    for path in (ROOT / "lifecycle" / "cohorts" / "ecg").glob("simulate*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.BinOp):
                assert not isinstance(node.op, ast.MatMult), path
                if isinstance(node.op, ast.Pow):  # powers of two, written out
                    assert abs(ast.literal_eval(node.left)) == 2, path
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np", "math"):
                seen.add(node.attr)
    assert "floor" in seen
    # PCG64 and SeedSequence stand in np.random and deliver integers.
    assert not (forbidden - {"random"}) & seen


def test_another_seed_is_another_cohort(small: Cohort) -> None:
    other = simulate(replace(SMALL, seed=8))
    assert np.mean(other.values == small.values) < 0.05


def test_curves_are_close_to_what_they_stand_for() -> None:
    turns = np.linspace(-3, 3, 4001)
    assert np.abs(sine(turns) - np.sin(2 * np.pi * turns)).max() < 0.0017
    assert [sine_of(float(t)) for t in turns[::50]] == sine(turns[::50]).tolist()
    u = np.linspace(-6, 6, 501)
    assert np.abs(bump(u) - np.exp(-u * u / 2)).max() < 0.033


def test_draws_have_the_stated_distributions() -> None:
    draws = Draws(3, 99, 0)
    z = [draws.z() for _ in range(20_000)]
    assert abs(np.mean(z)) < 0.03
    assert abs(np.std(z) - 1.0) < 0.02
    logs = [math.log(draws.ln(2.0, 0.3)) for _ in range(5000)]
    assert abs(np.median(logs) - math.log(2.0)) < 0.02
    assert abs(np.std(logs) - 0.3) < 0.02
    one, whole = Draws(3, 98, 0), Draws(3, 98, 0).normal(2, 3)
    assert [one.z() for _ in range(6)] == whole.ravel().tolist()
    picked = Counter(draws.pick({"a": 3, "b": 1}) for _ in range(4000))
    assert abs(picked["a"] / 4000 - 0.75) < 0.03


# People


def test_shapes_names_and_marks(cohort: Cohort) -> None:
    assert cohort.values.shape == (2400, 1000, 12)
    assert cohort.values.dtype == np.int16
    assert cohort.features == LEADS
    assert cohort.ids[0] == "sim-p0001-r1"
    assert len(set(cohort.ids)) == 2400
    assert cohort.origin == "simulated"
    assert cohort.about["rate"] == 100
    assert "SIMULATED" in cohort.about["note"]
    assert all(name.startswith("sim-") for name in (*cohort.ids, *cohort.patients))
    json.dumps(cohort.about)


def test_a_patient_is_in_one_fold_with_one_heart(cohort: Cohort) -> None:
    seen = defaultdict(set)
    for patient, fold, conduction in zip(
        cohort.patients, cohort.folds, cohort.subgroups["conduction"], strict=True
    ):
        seen[patient].add((fold, conduction))
    assert all(len(values) == 1 for values in seen.values())
    sizes = Counter(Counter(cohort.patients).values())
    assert set(sizes) == {1, 2, 3}
    assert 0.09 < (sizes[2] + sizes[3]) / len(seen) < 0.15
    assert set(cohort.subgroups["conduction"]) == set(simulate_heart.CONDUCTION)


def test_every_fold_has_every_class(cohort: Cohort) -> None:
    assert set(cohort.folds) == {str(i) for i in range(1, 11)}
    counts: Counter[tuple[str, str]] = Counter()
    for fold, label in zip(cohort.folds, cohort.labels, strict=True):
        counts.update((fold, name) for name in label.split("|"))
    assert min(counts[fold, name] for fold in ("9", "10") for name in CLASSES) >= 5
    assert min(sum(counts[str(f), name] for f in range(1, 9)) for name in CLASSES) >= 40


def test_labels_are_classes_in_their_order(cohort: Cohort) -> None:
    for label in cohort.labels:
        names = label.split("|") if label else []
        assert names == sorted(names, key=CLASSES.index)
    assert 0.01 < cohort.labels.count("") / 2400 < 0.035  # 1% without a rhythm, 1% dropped


def test_label_noise_is_as_rare_as_stated(shipped: EcgSettings, cohort: Cohort) -> None:
    clean = clean_labels(shipped)
    changed = [(a, b) for a, b in zip(clean, cohort.labels, strict=True) if a != b]
    assert 0.025 < len(changed) / 2400 < 0.055
    assert 0.004 < sum(not written for _, written in changed) / 2400 < 0.018
    assert "clean" not in " ".join(cohort.subgroups)


def test_rhythms_of_patients_have_their_shares() -> None:
    plan = simulate_plan.draw(5, 4000)
    first = Counter(one.rhythm for one in plan if one.nth == 1)
    patients = sum(first.values())
    for rhythm, share in RHYTHMS.items():
        assert abs(first[rhythm] - patients * share / 1000) <= 1, rhythm
    later = [one for one in plan if one.nth > 1 and one.rhythm == "SR"]
    assert len(later) > 150
    assert plan[-1].patient + 1 == patients


# Beats


def strips(rhythm: str, second: str = "", many: int = 60) -> list[Strip]:
    return [strip(Draws(11, 400, i), rhythm, second, 10_000.0) for i in range(many)]


def inside(one: Strip) -> list[Beat]:
    return [beat for beat in one.beats if 0 <= beat.at < 10_000]


def intervals(one: Strip) -> NDArray[np.float64]:
    return np.diff([beat.at for beat in inside(one)])


@pytest.mark.parametrize("rhythm", list(RHYTHMS))
def test_beats_are_in_order_and_cover_the_strip(rhythm: str) -> None:
    for one in strips(rhythm):
        times = np.array([beat.at for beat in one.beats])
        assert np.diff(times).min() > 250
        assert times[0] < 700
        assert times[-1] > 9000
        assert all(beat.interval > 0 for beat in one.beats)


BOUNDS: dict[str, tuple[float, float]] = {
    "SR": (500.0, 1300.0),
    "STACH": (420.0, 640.0),
    "SBRAD": (960.0, 1500.0),
    "SVTAC": (280.0, 440.0),
}


@pytest.mark.parametrize("rhythm", list(BOUNDS))
def test_rates_are_those_of_the_rhythm(rhythm: str) -> None:
    low, high = BOUNDS[rhythm]
    medians = [float(np.median(intervals(one))) for one in strips(rhythm)]
    assert low < min(medians) < max(medians) < high


def test_fibrillation_is_irregular_and_tachycardia_is_not() -> None:
    def spread(one: Strip) -> float:
        gaps = intervals(one)
        return float(gaps.std() / gaps.mean())

    assert np.median([spread(one) for one in strips("AFIB")]) > 0.12
    assert np.median([spread(one) for one in strips("SVTAC")]) < 0.02
    assert np.median([spread(one) for one in strips("SARRH")]) > 0.06
    assert all(one.fibrillates and not one.flutter for one in strips("AFIB"))
    assert all(beat.atrium == "none" for one in strips("AFIB") for beat in one.beats)


@pytest.mark.parametrize(("rhythm", "normal"), [("BIGU", 1), ("TRIGU", 2)])
def test_premature_beats_come_in_their_pattern(rhythm: str, normal: int) -> None:
    for one in strips(rhythm):
        early = [beat.shape == "ventricular" or beat.atrium == "early" for beat in inside(one)]
        at = np.flatnonzero(early)
        assert set(np.diff(at)) <= {normal + 1}
        gaps = [
            beat.interval for beat, is_early in zip(inside(one), early, strict=True) if is_early
        ]
        rest = [b.interval for b, is_early in zip(inside(one), early, strict=True) if not is_early]
        assert max(gaps) < min(rest)


def test_flutter_conducts_in_whole_ratios() -> None:
    for one in strips("AFLT"):
        assert one.flutter
        ratio = intervals(one) / one.flutter
        assert np.abs(ratio - np.rint(ratio)).max() < 0.12
        assert set(np.rint(ratio)) <= {2, 3, 4}


def test_pacing_shows_spikes_and_a_second_rhythm_takes_over() -> None:
    assert all(
        any(beat.shape == "paced" or beat.spike for beat in one.beats) for one in strips("PACE")
    )
    for one in strips("PACE", "SR"):
        sinus = [b.at for b in one.beats if b.shape == "native" and not b.spike]
        paced = [b.at for b in one.beats if b.shape == "paced" or b.spike]
        assert max(paced) < min(sinus)
        assert min(sinus) - max(paced) >= REFRACTORY
    assert all(one.fibrillates for one in strips("PACE", "AFIB"))
    for one in strips("AFIB", "AFLT"):
        assert 0 < one.change < 10_000
        assert one.flutter


# Signals


def test_einthoven_and_goldberger_hold_exactly(cohort: Cohort) -> None:
    x = cohort.values.astype(np.int32)
    assert np.array_equal(x[..., II], x[..., LEAD_I] + x[..., III])
    assert np.array_equal(2 * x[..., AVR], -(x[..., LEAD_I] + x[..., II]))
    assert np.array_equal(2 * x[..., AVL], x[..., LEAD_I] - x[..., III])
    assert np.array_equal(2 * x[..., AVF], x[..., II] + x[..., III])
    assert x.min() > -32768


def test_leads_round_and_stay_within_int16() -> None:
    huge = np.array([[40.0], [-40.0], *[[99.0]] * 6])
    x = leads(huge)[0].astype(int)
    assert x.tolist() == [10000, -10000, -20000, 0, 15000, -15000, *[10000] * 6]
    assert leads(np.full((8, 1), 0.0013))[0].tolist()[:7] == [2, 2, 0, -2, 1, 1, 1]


def test_a_bump_stands_where_its_wave_is() -> None:
    """The peak of a lone wave: place, height and width, against the Gaussian it stands for."""
    placed: Callable[..., Any] = simulate_heart._placed
    total = placed([(5003.0, 40.0, 1.0, -2.0, 0.0)], simulate_heart.BROAD_REACH, 1000, 10.0)
    at = np.arange(1000) * 10.0
    gauss = np.exp(-(((at - 5003.0) / 40.0) ** 2) / 2)
    assert np.abs(total[0] - gauss).max() < 0.033
    assert np.array_equal(total[1], -2.0 * total[0])
    outside = placed([(-900.0, 20.0, 1.0, 1.0, 1.0)], simulate_heart.BROAD_REACH, 50, 10.0)
    assert not outside.any()


def test_length_and_rate_can_be_chosen() -> None:
    tiny = simulate(EcgSettings(seed=1, records=3, seconds=5, rate=250))
    assert tiny.values.shape == (3, 1250, 12)
    assert tiny.about["rate"] == 250
    assert simulate(EcgSettings(seed=1, records=1)).values.any()


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    simulate(SMALL, lambda done, total: told.append((done, total)))
    assert told == [(100, 150), (150, 150)]


# Against 500 real records: calibration, so limits are those of resemblance, not of identity


def real_signals(folder: Path, wanted: str) -> NDArray[np.int16]:
    rows = csv.DictReader((folder / "ptbxl_database.csv").read_text("utf-8").splitlines())
    chosen = [row for row in rows if wanted in ast.literal_eval(row["scp_codes"])]
    files = [folder / f"{row['filename_lr']}.dat" for row in chosen]
    return np.stack([np.fromfile(file, "<i2").reshape(1000, 12) for file in files])


def beats_of(record: NDArray[Any]) -> NDArray[np.intp]:
    """R waves: local maxima of the summed slope, above 0.35 of its top, 300 ms apart."""
    slope = np.abs(record[2:].astype(float) - record[:-2]).sum(axis=1)
    smooth = np.convolve(slope, np.ones(7) / 7, "same")
    top = 0.35 * np.quantile(smooth, 0.99)
    order = [i for i in np.argsort(-smooth) if smooth[i] > top]
    found: list[int] = []
    for i in order:
        if all(abs(i - j) > 30 for j in found):
            found.append(int(i))
    kept = sorted(i + 1 for i in found if 10 < i < 980)
    return np.array(kept, dtype=np.intp)


def features_of(records: NDArray[Any]) -> tuple[float, NDArray[Any], NDArray[Any]]:
    """Median interval (ms), median QRS height of each lead (mV), median lead correlations."""
    rr, height, correlation = [], [], []
    for record in records:
        at = beats_of(record)
        if len(at) < 4:
            continue
        rr.append(10.0 * float(np.median(np.diff(at))))
        windows = np.stack([record[i - 6 : i + 7] for i in at]).astype(float)
        height.append(np.median(np.ptp(windows, axis=1), axis=0) / 1000)
        correlation.append(np.corrcoef(record.T.astype(float))[np.triu_indices(12, 1)])
    return float(np.median(rr)), np.median(height, axis=0), np.median(correlation, axis=0)


def test_sinus_rhythm_resembles_ptbxl(real: Path, cohort: Cohort, shipped: EcgSettings) -> None:
    folder = real / "ecg" / "ptbxl-500"
    if not folder.is_dir():
        pytest.skip(f"no ptbxl-500 at {folder}; set LIFECYCLE_REAL_DATA")
    plan = simulate_plan.draw(shipped.seed, shipped.records)
    sinus = [i for i, one in enumerate(plan) if one.rhythm == "SR"][:400]
    theirs, ours = features_of(real_signals(folder, "SR")), features_of(cohort.values[sinus])
    assert abs(ours[0] / theirs[0] - 1.0) < 0.05
    ratio = ours[1] / theirs[1]
    assert np.all((ratio > 0.55) & (ratio < 1.45)), dict(zip(LEADS, ratio, strict=True))
    assert 0.85 < ratio[II] < 1.15
    assert 0.80 < ratio[V2] < 1.15
    assert np.abs(ours[2] - theirs[2]).mean() < 0.10


# Settings


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"colour": "red"}, "`colour`: unknown key"),
        ({"seed": "one"}, "`seed`"),
        ({"seed": -1}, "`seed`"),
        ({"records": 0}, "`records`"),
        ({"records": True}, "`records`"),
        ({"records": 100_000}, "`records`"),
        ({"seconds": 4}, "`seconds`"),
        ({"rate": 100.5}, "`rate`"),
        ({"rate": None}, "`rate`"),
    ],
)
def test_wrong_settings_are_refused_with_file_and_key(
    tmp_path: Path, change: dict[str, object], named: str
) -> None:
    path = tmp_path / "cohort.yaml"
    path.write_text(json.dumps({"seed": 1, "records": 10, **change}))
    with pytest.raises(UnusableInputError) as refused:
        load_settings(path)
    assert named in str(refused.value)
    assert "cohort.yaml" in str(refused.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "seed: [", "seed: 1\nseed: 2\n", "seed: .nan\n"])
def test_files_that_are_no_settings_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cohort.yaml"
    path.write_text(text)
    with pytest.raises(UnusableInputError, match=r"cohort\.yaml"):
        load_settings(path)


def test_defaults_and_a_missing_seed(tmp_path: Path) -> None:
    path = tmp_path / "cohort.yaml"
    path.write_text("seed: 3\n")
    assert load_settings(path) == EcgSettings(3, 2400, 10, 100)
    path.write_text("records: 3\n")
    with pytest.raises(UnusableInputError, match="`seed`: missing"):
        load_settings(path)
    with pytest.raises(UnusableInputError, match="no such simulator settings file"):
        load_settings(tmp_path / "absent.yaml")
