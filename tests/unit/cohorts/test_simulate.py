"""The simulated methylation cohort: same bits everywhere, nested, honest about what it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lifecycle.cohorts import simulate_plan, simulate_probes
from lifecycle.cohorts.simulate import SimulatorSettings, load_settings, simulate
from lifecycle.cohorts.simulate_plan import CLASSES, NAMES, TRIO
from lifecycle.cohorts.simulate_streams import NORMAL_LIMIT, Streams, as_normal
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.digests import canonical_array, canonical_json, sha256
from lifecycle.errors import UnusableInputError

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "pipelines" / "cohorts" / "gbm-methylation.yaml"
GOLDEN = ROOT / "tests" / "golden" / "simulated-methylation.json"
UPDATE = "LIFECYCLE_UPDATE_GOLDEN"  # set it to 1 to write the golden file anew

SMALL = SimulatorSettings(
    seed=7,
    probes=700,
    training={"GBM, MES": 15, "GBM, RTK I": 20, "GBM, RTK II": 25, "GBM, G34": 10},
    frozen={"GBM, MES": 10, "GBM, RTK I": 10, "GBM, RTK II": 12, "GBM, RTK III": 3},
)


def digest(cohort: Cohort) -> str:
    columns = [cohort.ids, cohort.patients, cohort.groups, cohort.labels, cohort.features]
    named = canonical_json([*columns, dict(cohort.subgroups), cohort.origin])
    return sha256(named + canonical_array(cohort.values))


def digests(settings: SimulatorSettings) -> dict[str, str]:
    return {
        "training": digest(simulate(settings, "training")),
        "frozen": digest(simulate(settings, "frozen")),
    }


@pytest.fixture(scope="module")
def shipped() -> SimulatorSettings:
    return load_settings(SHIPPED)


@pytest.fixture(scope="module")
def training(shipped: SimulatorSettings) -> Cohort:
    return simulate(replace(shipped, probes=2000), "training")


@pytest.fixture(scope="module")
def frozen(shipped: SimulatorSettings) -> Cohort:
    return simulate(replace(shipped, probes=2000), "frozen")


# Bits


def test_golden_digests(shipped: SimulatorSettings) -> None:
    seen = {"small": digests(SMALL), "shipped, 1000 probes": digests(replace(shipped, probes=1000))}
    if os.environ.get(UPDATE) == "1":
        GOLDEN.write_text(json.dumps(seen, indent=2, sort_keys=True) + "\n")
    assert seen == json.loads(GOLDEN.read_text())


CHILD = """
import json, sys
import numpy as np
from numpy._core._multiarray_umath import __cpu_features__ as features
from tests_child import SMALL, digests, m_digest
print(json.dumps({"on": [f for f in sys.argv[1:] if features[f]],
                  "digests": digests(SMALL), "m": m_digest()}))
"""


def dispatched() -> list[str]:
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]


def m_digest() -> str:
    from lifecycle.cohorts.m_values import m_values

    beta = Streams(3, 900).uniform(0, 50_000)
    return sha256(canonical_array(m_values(beta, 1e-3)))


def test_bits_do_not_depend_on_the_processors_extensions(tmp_path: Path) -> None:
    features = dispatched()
    if not features:
        pytest.skip("numpy dispatches to no extension on this machine")
    (tmp_path / "tests_child.py").write_text(Path(__file__).read_text())
    environment = {
        **os.environ,
        "NPY_DISABLE_CPU_FEATURES": " ".join(features),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", CHILD, *features]
    child = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert child.returncode == 0, child.stderr
    said = json.loads(child.stdout)
    assert said == {"on": [], "digests": digests(SMALL), "m": m_digest()}


def test_first_probes_of_a_larger_set_are_the_smaller_set() -> None:
    large, small = simulate(SMALL, "training"), simulate(replace(SMALL, probes=530), "training")
    assert np.array_equal(large.values[:, :530], small.values)
    assert large.features[:530] == small.features
    assert small.features[0] == "sim000001"


def test_another_seed_is_another_cohort() -> None:
    other = simulate(replace(SMALL, seed=8), "training")
    assert np.mean(other.values == simulate(SMALL, "training").values[: len(other.ids)]) < 0.01


def test_normals_are_centred_scaled_and_bounded() -> None:
    x = Streams(1, 2).normal(3, 400, 500)
    assert abs(x.mean()) < 0.01
    assert abs(x.std() - 1.0) < 0.01
    assert np.abs(x).max() <= NORMAL_LIMIT
    extremes = as_normal(np.array([0, 2**64 - 1, 2**15], dtype=np.uint64))
    assert extremes.tolist() == [-131070 / 37837.22673, 131070 / 37837.22673, -98302 / 37837.22673]


def test_normal_sums_the_four_parts_of_a_draw() -> None:
    parts = [11, 222, 3333, 44444]
    draw = sum(part << (16 * i) for i, part in enumerate(parts))
    expected = (sum(parts) - 131070) / 37837.22673
    assert as_normal(np.array([draw], dtype=np.uint64))[0] == expected


# People


def test_counts_of_labels_are_exact(
    shipped: SimulatorSettings, training: Cohort, frozen: Cohort
) -> None:
    assert Counter(training.labels) == shipped.training
    assert Counter(frozen.labels) == shipped.frozen
    assert (len(training.ids), len(frozen.ids)) == (347, 339)


def test_ids_are_unique_and_never_shared(training: Cohort, frozen: Cohort) -> None:
    for cohort in (training, frozen):
        assert len(set(cohort.ids)) == len(cohort.ids)
    for attribute in ("ids", "patients", "groups"):
        assert not set(getattr(training, attribute)) & set(getattr(frozen, attribute))


@pytest.mark.parametrize("part", ["training", "frozen"])
def test_patients_keep_one_label_slide_and_material(
    part: str, request: pytest.FixtureRequest
) -> None:
    cohort: Cohort = request.getfixturevalue(part)
    material = cohort.subgroups["material"]
    of_patient, of_slide = defaultdict(set), defaultdict(set)
    columns = zip(cohort.patients, cohort.groups, cohort.labels, material, strict=True)
    for patient, slide, label, kind in columns:
        of_patient[patient].add((slide, label, kind))
        of_slide[slide].add(kind)
    assert all(len(seen) == 1 for seen in of_patient.values())
    assert all(len(seen) == 1 for seen in of_slide.values())


def test_sizes_of_patients_and_slides(training: Cohort) -> None:
    patients = Counter(Counter(training.patients).values())
    assert set(patients) == {1, 2, 3}
    assert patients[1] > 4 * (patients[2] + patients[3])
    slides = Counter(Counter(training.groups).values())
    assert max(slides) <= 7
    assert 150 <= sum(slides.values()) <= 220  # GSE90496 has 187


def test_materials_and_mixtures_follow_their_odds(training: Cohort, frozen: Cohort) -> None:
    def share(cohort: Cohort, name: str, value: str) -> float:
        return Counter(cohort.subgroups[name])[value] / len(cohort.ids)

    assert 0.45 < share(training, "material", "FFPE") < 0.65  # 193 of 347 in GSE90496
    assert share(frozen, "material", "FFPE") > 0.55
    assert 0.22 < share(training, "mixed", "yes") < 0.36
    assert share(frozen, "mixed", "yes") > share(training, "mixed", "yes")


def test_label_noise_is_rare_among_the_trio_and_absent_from_the_frozen_set() -> None:
    counts = dict.fromkeys(NAMES, 4000)
    noisy = simulate_plan.draw(5, "training", counts)
    wrong = noisy.label != noisy.biology
    assert set(noisy.label[wrong]) == set(TRIO) == set(noisy.biology[wrong])
    assert 0.008 < wrong[np.isin(noisy.label, TRIO)].mean() < 0.024  # 4 of 256 is 0.0156
    clean = simulate_plan.draw(5, "frozen", counts)
    assert np.array_equal(clean.label, clean.biology)


def test_mixtures_have_another_class_and_a_minor_weight() -> None:
    plan = simulate_plan.draw(5, "training", dict.fromkeys(NAMES, 2000))
    mixed = plan.weight > 0
    assert np.all(plan.partner[mixed] != plan.biology[mixed])
    assert set(plan.partner[mixed]) == set(TRIO)
    trio = np.isin(plan.biology, TRIO)
    assert plan.weight[mixed & trio].min() >= 0.1
    assert plan.weight[mixed & trio].max() <= 0.5
    assert plan.weight[mixed & ~trio].max() <= 0.35
    assert abs(mixed[trio].mean() - 90 / 256) < 0.03
    outside_ii = mixed & (plan.biology != NAMES.index("GBM, RTK II"))
    assert abs((plan.partner == NAMES.index("GBM, RTK II"))[outside_ii].mean() - 0.7) < 0.05


def test_purities_stay_within_their_classes_bounds() -> None:
    plan = simulate_plan.draw(5, "training", dict.fromkeys(NAMES, 500))
    tumour = plan.biology[plan.patient_of]
    for index, expected in enumerate(CLASSES.values()):
        purity = plan.purity[tumour == index]
        assert expected.purity[0] <= purity.min() < purity.max() <= expected.purity[1]
    frozen = simulate_plan.draw(5, "frozen", {"GBM, MES": 3000})
    assert 0.35 <= frozen.purity.min() < 0.40


# Values


def test_values_stay_within_the_clip(training: Cohort) -> None:
    assert training.values.dtype == np.uint16
    assert training.values.min() >= np.floor(65536 * 0.003 + 0.5)
    assert training.values.max() <= np.floor(65536 * 0.997 + 0.5)


def test_probe_sds_resemble_the_published_quantiles(training: Cohort) -> None:
    sd = training.rows(range(len(training.ids))).std(axis=0)
    low, middle, high = np.quantile(sd, [0.05, 0.5, 0.95])
    # TCGA, 430 x 843: 0.123, 0.193, 0.268
    assert 0.07 < low < 0.13
    assert 0.17 < middle < 0.22
    assert 0.23 < high < 0.29


def test_both_parts_share_the_probes(training: Cohort, frozen: Cohort) -> None:
    means = [cohort.rows(range(len(cohort.ids))).mean(axis=0) for cohort in (training, frozen)]
    assert np.corrcoef(*means)[0, 1] > 0.98
    rtk = [
        cohort.rows([i for i, label in enumerate(cohort.labels) if label == "GBM, RTK I"]).mean(0)
        - mean
        for cohort, mean in zip((training, frozen), means, strict=True)
    ]
    assert np.corrcoef(*rtk)[0, 1] > 0.4  # class effects are the same ones


def test_samples_of_a_patient_are_closer_than_strangers(training: Cohort) -> None:
    x = training.rows(range(len(training.ids)))
    label, patient = np.array(training.labels), np.array(training.patients)
    pairs = [(i, i + 1) for i in range(len(x) - 1)]
    own = [np.abs(x[i] - x[j]).mean() for i, j in pairs if patient[i] == patient[j]]
    others = [
        np.abs(x[i] - x[j]).mean()
        for i, j in pairs
        if patient[i] != patient[j] and label[i] == label[j]
    ]
    assert len(own) > 20
    assert np.mean(own) < 0.75 * np.mean(others)


def test_link_is_symmetric_and_monotone() -> None:
    z = np.linspace(-50, 50, 1001)
    level = simulate_probes.link(z)
    assert np.all(np.diff(level) > 0)
    assert np.allclose(level + level[::-1], 1.0, atol=1e-15)
    assert simulate_probes.link(np.array([0.0, 1.0]))[1] == pytest.approx(0.5 + 0.5 / 2**0.5)


def test_origin_and_note_say_simulated(training: Cohort) -> None:
    assert training.origin == "simulated"
    assert training.about["source"] == "simulated"
    assert "SIMULATED" in training.about["note"]
    assert training.about["seed"] == load_settings(SHIPPED).seed
    everything = [*training.ids, *training.patients, *training.groups, *training.features]
    assert all(name.startswith("sim") for name in everything)


def test_progress_is_told_block_by_block() -> None:
    told: list[tuple[int, int]] = []
    simulate(SMALL, "frozen", lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


# Settings


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "cohort.yaml"
    path.write_text(text)
    return path


def test_settings_default_to_20000_probes(tmp_path: Path) -> None:
    path = write(tmp_path, 'seed: 1\ntraining: {"GBM, MES": 3}\nfrozen: {"GBM, MID": 2}\n')
    settings = load_settings(path)
    assert settings == SimulatorSettings(1, {"GBM, MES": 3}, {"GBM, MID": 2})
    assert settings.probes == 20_000


GOOD = {"seed": 1, "probes": 10, "training": {"GBM, MES": 3}, "frozen": {"GBM, MES": 2}}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"colour": "red"}, "`colour`: unknown key"),
        ({"seed": "one"}, "`seed`"),
        ({"seed": 1.5}, "`seed`"),
        ({"seed": -1}, "`seed`"),
        ({"probes": 0}, "`probes`"),
        ({"probes": True}, "`probes`"),
        ({"probes": 1_000_000}, "`probes`"),
        ({"training": {}}, "`training`"),
        ({"training": {"GBM, MES": 0}}, "`training.GBM, MES`"),
        ({"frozen": {"Ependymoma": 5}}, "Ependymoma"),
        ({"frozen": None}, "`frozen`"),
    ],
)
def test_wrong_settings_are_refused_with_file_and_key(
    tmp_path: Path, change: dict[str, object], named: str
) -> None:
    path = write(tmp_path, json.dumps({**GOOD, **change}))
    with pytest.raises(UnusableInputError) as refused:
        load_settings(path)
    assert named in str(refused.value)
    assert "cohort.yaml" in str(refused.value)


def test_good_settings_are_not_refused(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, json.dumps(GOOD))).probes == 10


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "seed: [", "seed: 1\nseed: 2\n", "seed: 2020-01-01\n", "seed: .nan\n"]
)
def test_files_that_are_no_settings_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnusableInputError, match=r"cohort\.yaml"):
        load_settings(write(tmp_path, text))


def test_missing_key_and_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableInputError, match="`frozen`: missing"):
        load_settings(write(tmp_path, 'seed: 1\ntraining: {"GBM, MES": 3}\n'))
    with pytest.raises(UnusableInputError, match="no such simulator settings file"):
        load_settings(tmp_path / "absent.yaml")


def test_one_case_and_one_probe_are_enough() -> None:
    tiny = SimulatorSettings(0, {"GBM, MID": 1}, {"GBM, MID": 1}, probes=1)
    assert simulate(tiny, "training").values.shape == (1, 1)
