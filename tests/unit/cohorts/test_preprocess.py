"""M-values against mpmath; filters, choice, standardisation, imputation, round trip, tampering."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lifecycle.cohorts import preprocess
from lifecycle.cohorts.m_values import m_values, m_values_of
from lifecycle.domain.classifier import PreprocessPlan
from lifecycle.domain.cohort import Cohort, Preprocessing
from lifecycle.domain.digests import canonical_json
from lifecycle.errors import IntegrityError, UnusableInputError

NONE = PreprocessPlan(convention="none")
STANDARDISED = PreprocessPlan(convention="standardised")
M_VALUE = PreprocessPlan()


def cohort(values: Any, features: tuple[str, ...] | None = None) -> Cohort:
    array = np.asarray(values) if isinstance(values, np.ndarray) else np.array(values, dtype=float)
    n, p = array.shape
    names = tuple(f"case{i}" for i in range(n))
    features = features or tuple(f"f{j}" for j in range(p))
    return Cohort(names, names, ("",) * n, ("a",) * n, features, array, "simulated")


def random_beta(n: int, p: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((n, p))


# M-values


def ulps(beta: NDArray[np.float64], epsilon: float) -> float:
    """Largest error of `m_values` in units of the last place, against 60 digits."""
    worst = 0.0
    with mpmath.workdps(60):
        for given_, got in zip(beta.tolist(), m_values(beta, epsilon).tolist(), strict=True):
            b = mpmath.mpf(min(max(given_, epsilon), 1.0 - epsilon))
            exact = mpmath.log(b / (1 - b), 2)
            if exact == 0:
                assert got == 0.0
                continue
            worst = max(worst, float(abs(got - exact) / np.spacing(abs(float(exact)))))
    return worst


@pytest.mark.parametrize(
    "beta",
    [
        random_beta(1, 8000)[0],
        0.5 + (random_beta(1, 3000, 1)[0] - 0.5) * 1e-9,
        0.4 + (random_beta(1, 5000, 2)[0] - 0.5) * 0.05,  # both sides of the series' change
        0.6 + (random_beta(1, 3000, 3)[0] - 0.5) * 0.05,
        random_beta(1, 3000, 4)[0] ** 12,
        1.0 - random_beta(1, 3000, 5)[0] ** 12,
        np.arange(0, 65536, 13) / 65536.0,
        np.nextafter(0.5, [0.0, 1.0]),
    ],
)
def test_m_values_are_within_2_ulp(beta: NDArray[np.float64]) -> None:
    assert ulps(beta, 1e-3) < 2.0
    assert ulps(beta, 1e-12) < 2.0


def test_m_values_at_known_points() -> None:
    # exact where beta and 1 - beta are exact; 0.8 and 1.0 - 0.2 carry their own rounding
    assert m_values(np.array([0.5]), 1e-3).tolist() == [0.0]
    assert m_values(np.array([0.8, 0.2]), 1e-3) == pytest.approx([2.0, -2.0], rel=1e-15)
    assert np.isnan(m_values(np.array([np.nan]), 1e-3)[0])


def test_clip_bounds_m_at_9_96() -> None:
    low, high = m_values(np.array([0.0, 1.0]), 1e-3)
    assert high == pytest.approx(9.9643, abs=1e-4)
    assert low == pytest.approx(-high, rel=1e-13)


def test_m_values_keep_shape_and_do_not_depend_on_the_chunk() -> None:
    beta = random_beta(3, 9000)
    assert m_values(beta, 1e-3).shape == (3, 9000)
    assert m_values(np.asfortranarray(beta), 1e-3).tolist() == m_values(beta, 1e-3).tolist()
    one_by_one = [m_values(np.array([b]), 1e-3)[0] for b in beta[1, ::100]]
    assert m_values(beta, 1e-3)[1, ::100].tolist() == one_by_one
    assert m_values(np.zeros((0, 4)), 1e-3).shape == (0, 4)


def test_stored_integers_give_the_bits_of_their_floats() -> None:
    stored = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(m_values_of(stored, 1e-3), m_values(stored / 65536.0, 1e-3))


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_m_values_are_monotone_within_rounding(a: float, b: float) -> None:
    low, high = m_values(np.array(sorted([a, b])), 1e-3)
    assert low <= high + 4 * np.spacing(abs(high))


# Choice of features


def test_largest_variance_of_converted_values_on_training_in_file_order() -> None:
    # f0 has the larger variance in beta, f2 in M (it lies at the edge, where the logit is steep)
    values = np.array([[0.30, 0.5, 0.002], [0.70, 0.5, 0.12], [0.40, 0.51, 0.004]])
    plan = PreprocessPlan(features=1)
    assert preprocess.fit(cohort(values), plan, Path()).features == ("f2",)
    plain = PreprocessPlan(convention="none", features=1)
    assert preprocess.fit(cohort(values), plain, Path()).features == ("f0",)
    both = PreprocessPlan(features=2)
    assert preprocess.fit(cohort(values), both, Path()).features == ("f0", "f2")


def test_ties_go_to_the_smaller_name() -> None:
    values = [[0.1, 0.1, 0.1], [0.9, 0.9, 0.9]]
    plan = PreprocessPlan(convention="none", features=2)
    fitted = preprocess.fit(cohort(values, ("c", "b", "a")), plan, Path())
    assert fitted.features == ("b", "a")


def test_choice_agrees_with_numpy() -> None:
    beta = random_beta(40, 300) * np.linspace(0.2, 1.0, 300)
    fitted = preprocess.fit(cohort(beta), PreprocessPlan(features=50), Path())
    variance = np.log2(np.clip(beta, 1e-3, 0.999) / (1 - np.clip(beta, 1e-3, 0.999))).var(axis=0)
    expected = {f"f{j}" for j in np.argsort(variance)[-50:]}
    assert set(fitted.features) == expected


def test_filters_leave_out_and_comments_are_no_names(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("# reasons\nf1 # cross-reactive\n\nunheard-of\n")
    (tmp_path / "b.txt").write_text("f3\n")
    plan = PreprocessPlan(convention="none", filters=("a.txt", "b.txt"))
    fitted = preprocess.fit(cohort(random_beta(3, 5)), plan, tmp_path)
    assert fitted.features == ("f0", "f2", "f4")


def test_missing_filter_file_is_named(tmp_path: Path) -> None:
    plan = PreprocessPlan(filters=("absent.txt",))
    with pytest.raises(UnusableInputError, match=r"absent\.txt is missing"):
        preprocess.fit(cohort(random_beta(3, 5)), plan, tmp_path)


def test_fewer_features_than_asked_names_both_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("f1\n")
    plan = PreprocessPlan(features=5, filters=("a.txt",))
    with pytest.raises(UnusableInputError, match=r"4 features are left .* 5 are asked for; lower"):
        preprocess.fit(cohort(random_beta(3, 5)), plan, tmp_path)


def test_no_feature_left_is_refused_without_a_number_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("f0\nf1\n")
    with pytest.raises(UnusableInputError, match="0 features are left"):
        preprocess.fit(cohort(random_beta(3, 2)), PreprocessPlan(filters=("a.txt",)), tmp_path)


def test_kept_list_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("f1\n")
    plan = PreprocessPlan(features=3, filters=("a.txt",))
    fitted = preprocess.fit(cohort(random_beta(3, 5)), plan, tmp_path, kept=("f4", "f1"))
    assert fitted.features == ("f4", "f1")


def test_kept_feature_that_is_missing_is_named() -> None:
    with pytest.raises(UnusableInputError, match="lacks feature 'gone'"):
        preprocess.fit(cohort(random_beta(3, 5)), M_VALUE, Path(), kept=("f1", "gone"))


def test_feature_named_twice_is_refused() -> None:
    with pytest.raises(UnusableInputError, match="'x' twice"):
        preprocess.fit(cohort(random_beta(3, 2), ("x", "x")), M_VALUE, Path())


def test_line_break_in_a_name_is_refused() -> None:
    with pytest.raises(UnusableInputError, match="line break"):
        preprocess.fit(cohort(random_beta(3, 2), ("x", "y\nz")), M_VALUE, Path())


def test_empty_training_part_is_refused() -> None:
    with pytest.raises(UnusableInputError, match="no case"):
        preprocess.fit(cohort(np.zeros((0, 3))), M_VALUE, Path())


# Conversion


def test_m_value_input_is_the_m_values() -> None:
    beta = random_beta(6, 4)
    fitted = preprocess.fit(cohort(beta), M_VALUE, Path())
    assert np.array_equal(preprocess.apply(fitted, cohort(beta)), m_values(beta, 1e-3))


def test_none_keeps_values_bit_by_bit() -> None:
    values = random_beta(5, 3) * 1e6
    fitted = preprocess.fit(cohort(values), NONE, Path())
    assert np.array_equal(preprocess.apply(fitted, cohort(values)), values)


def test_stored_and_float_cohorts_give_the_same_preprocessing_and_input() -> None:
    stored = np.random.default_rng(1).integers(200, 65000, (9, 30)).astype(np.uint16)
    plan = PreprocessPlan(features=11)
    a = preprocess.fit(cohort(stored), plan, Path())
    b = preprocess.fit(cohort(stored / 65536.0), plan, Path())
    assert a.digest == b.digest
    assert np.array_equal(
        preprocess.apply(a, cohort(stored)), preprocess.apply(b, cohort(stored / 65536.0))
    )


def test_standardised_agrees_with_scikit_learn() -> None:
    scaler = pytest.importorskip("sklearn.preprocessing").StandardScaler()
    train, test = random_beta(30, 6) * 50 + 7, random_beta(8, 6, 1) * 50 + 7
    fitted = preprocess.fit(cohort(train), STANDARDISED, Path())
    expected = scaler.fit(train).transform(test)
    assert np.allclose(preprocess.apply(fitted, cohort(test)), expected, rtol=0, atol=1e-12)


def test_constant_feature_has_sd_1_even_where_its_mean_rounds() -> None:
    values = np.full((7, 2), 0.1)
    values[:, 1] = np.arange(7)
    assert sum([0.1] * 7) / 7 != 0.1
    fitted = preprocess.fit(cohort(values), STANDARDISED, Path())
    assert (fitted.sd[0], fitted.mean[0]) == (1.0, 0.1)
    assert np.array_equal(preprocess.apply(fitted, cohort(values))[:, 0], np.zeros(7))


def test_features_are_selected_by_name() -> None:
    values = random_beta(4, 3)
    fitted = preprocess.fit(cohort(values), NONE, Path())
    turned = cohort(np.ascontiguousarray(values[:, ::-1]), ("f2", "f1", "f0"))
    assert np.array_equal(preprocess.apply(fitted, turned), values)
    with pytest.raises(UnusableInputError, match=r"lacks feature 'f1' \(2 of 3 are missing\)"):
        preprocess.apply(fitted, cohort(values[:, :1]))


# Missing and impossible values


def test_missing_values_become_the_training_mean() -> None:
    train = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 6.0]])
    fitted = preprocess.fit(cohort(train), NONE, Path())
    assert fitted.mean.tolist() == [3.0, 4.0]
    assert preprocess.apply(fitted, cohort([[np.nan, np.nan]])).tolist() == [[3.0, 4.0]]
    standard = preprocess.fit(cohort(train), STANDARDISED, Path())
    assert standard.sd.tolist() == [np.sqrt(8.0 / 3.0), 2.0]
    assert preprocess.apply(standard, cohort([[np.nan, 6.0]])).tolist() == [[0.0, 1.0]]


def test_missing_beta_becomes_the_mean_m_not_the_m_of_the_mean() -> None:
    train = np.array([[0.01], [0.5], [np.nan]])
    fitted = preprocess.fit(cohort(train), M_VALUE, Path())
    expected = m_values(np.array([0.01]), 1e-3)[0] / 2
    assert preprocess.apply(fitted, cohort([[np.nan]])).tolist() == [[expected]]


def test_feature_without_any_training_value_is_named() -> None:
    values = np.array([[0.1, np.nan], [0.2, np.nan]])
    with pytest.raises(UnusableInputError, match="'f1' has no value in any training case"):
        preprocess.fit(cohort(values), M_VALUE, Path())


@pytest.mark.parametrize(
    ("plan", "value"),
    [(NONE, np.inf), (STANDARDISED, -np.inf), (M_VALUE, np.inf), (M_VALUE, 1.2), (M_VALUE, -0.1)],
)
def test_impossible_values_name_case_and_feature(plan: PreprocessPlan, value: float) -> None:
    good = random_beta(5, 4)
    bad = good.copy()
    bad[3, 2] = value
    with pytest.raises(UnusableInputError, match="case 'case3', feature 'f2'"):
        preprocess.fit(cohort(bad), plan, Path())
    fitted = preprocess.fit(cohort(good), plan, Path(), kept=("f3", "f2"))
    with pytest.raises(UnusableInputError, match="case 'case3', feature 'f2'"):
        preprocess.apply(fitted, cohort(bad))


def test_impossible_values_of_left_out_features_do_no_harm(tmp_path: Path) -> None:
    values = random_beta(5, 4)
    values[3, 2] = np.inf
    (tmp_path / "out.txt").write_text("f2\n")
    fitted = preprocess.fit(cohort(values), PreprocessPlan(filters=("out.txt",)), tmp_path)
    assert preprocess.apply(fitted, cohort(values)).shape == (5, 3)


# Blocks and memory maps


def test_bits_do_not_depend_on_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = random_beta(23, 40)
    values[4, 5] = np.nan
    plan = PreprocessPlan(features=17)
    whole = preprocess.fit(cohort(values), plan, Path())
    input_ = preprocess.apply(whole, cohort(values))
    monkeypatch.setattr(preprocess, "_BLOCK_VALUES", 120)  # 3 rows at a time
    blocked = preprocess.fit(cohort(values), plan, Path())
    assert blocked.digest == whole.digest
    assert np.array_equal(preprocess.apply(blocked, cohort(values)), input_)


class Watched(np.memmap):  # type: ignore[type-arg]
    """A memory map that refuses to be read whole."""

    largest = 0

    def __getitem__(self, key: Any) -> Any:
        got = super().__getitem__(key)
        Watched.largest = max(Watched.largest, np.size(got))
        return np.array(got)

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        raise AssertionError("the memory map was read whole")


def test_memory_mapped_cohorts_are_read_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = random_beta(50, 60)
    values.tofile(tmp_path / "values.bin")
    mapped = Watched(tmp_path / "values.bin", dtype=np.float64, mode="r", shape=(50, 60))
    names = tuple(f"f{j}" for j in range(60))
    ids = tuple(f"case{i}" for i in range(50))
    lazy = Cohort(ids, ids, ("",) * 50, ("a",) * 50, names, mapped, "real")
    monkeypatch.setattr(preprocess, "_BLOCK_VALUES", 300)
    fitted = preprocess.fit(lazy, PreprocessPlan(features=9), Path())
    assert preprocess.apply(fitted, lazy).shape == (50, 9)
    assert Watched.largest == 300


# Round trip


@pytest.fixture
def fitted() -> Preprocessing:
    values = random_beta(9, 6)
    names = ("cg1", "rs2", "ch.3", "µ-Sonde", "a b", "cg6")
    return preprocess.fit(cohort(values, names), PreprocessPlan(features=5), Path())


def test_read_gives_what_was_written(tmp_path: Path, fitted: Preprocessing) -> None:
    preprocess.write(tmp_path, fitted)
    back = preprocess.read(tmp_path)
    assert (back.convention, back.epsilon, back.features) == (
        fitted.convention,
        fitted.epsilon,
        fitted.features,
    )
    assert np.array_equal(back.mean, fitted.mean)
    assert np.array_equal(back.sd, fitted.sd)
    assert back.digest == fitted.digest
    record = (tmp_path / "preprocess.json").read_bytes()
    assert record == canonical_json(json.loads(record))


def test_digest_covers_every_part() -> None:
    values = random_beta(9, 6)
    digests = {
        preprocess.fit(cohort(data), plan, Path(), kept).digest
        for data, plan, kept in [
            (values, M_VALUE, None),
            (values, PreprocessPlan(epsilon=2e-3), None),
            (values, NONE, None),
            (values, STANDARDISED, None),
            (values, M_VALUE, ("f0", "f1")),
            (values, M_VALUE, ("f1", "f0")),
            (values * 0.99, M_VALUE, None),
        ]
    }
    assert len(digests) == 7


def rewrite(key: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        record = json.loads((folder / "preprocess.json").read_bytes())
        record[key] = change(record[key])
        (folder / "preprocess.json").write_bytes(canonical_json(record))

    return tamper


def swap_features(folder: Path) -> None:
    lines = (folder / "features.txt").read_text().split("\n")
    lines[0], lines[1] = lines[1], lines[0]
    (folder / "features.txt").write_text("\n".join(lines))


def drop_feature(folder: Path) -> None:
    lines = (folder / "features.txt").read_text().split("\n")
    (folder / "features.txt").write_text("\n".join(lines[1:]))


@pytest.mark.parametrize(
    "tamper",
    [
        rewrite("mean", lambda mean: [(1.5).hex(), *mean[1:]]),
        rewrite("sd", lambda sd: sd[:-1]),
        rewrite("sd", lambda _: "wide"),
        rewrite("sd", lambda _: None),
        rewrite("epsilon", lambda _: (0.002).hex()),
        rewrite("epsilon", lambda _: 0.001),
        rewrite("convention", lambda _: "none"),
        rewrite("digest", lambda digest: digest[::-1]),
        swap_features,
        drop_feature,
        lambda folder: (folder / "features.txt").write_bytes(b"\xff\xfe\n"),
        lambda folder: (folder / "preprocess.json").write_text("[]\n"),
        lambda folder: (folder / "preprocess.json").write_text("{} \n"),
    ],
)
def test_changed_files_are_found(
    tmp_path: Path, fitted: Preprocessing, tamper: Callable[[Path], None]
) -> None:
    preprocess.write(tmp_path, fitted)
    tamper(tmp_path)
    with pytest.raises(IntegrityError):
        preprocess.read(tmp_path)


@pytest.mark.parametrize("name", ["preprocess.json", "features.txt"])
def test_missing_files_are_named(tmp_path: Path, fitted: Preprocessing, name: str) -> None:
    preprocess.write(tmp_path, fitted)
    (tmp_path / name).unlink()
    with pytest.raises(UnusableInputError, match=name):
        preprocess.read(tmp_path)


# signals


def signals(values: NDArray[np.int16]) -> Cohort:
    names = tuple(f"case{i}" for i in range(len(values)))
    leads = ("I", "II", "V1", "V2")[: values.shape[2]]
    return Cohort(names, names, ("",) * len(names), ("a",) * len(names), leads, values, "real")


def microvolts(n: int = 6, samples: int = 50, leads: int = 3) -> NDArray[np.int16]:
    drawn = np.random.default_rng(3).integers(-32768, 32768, (n, samples, leads))
    return drawn.astype(np.int16)


def test_leads_are_standardised_over_all_cases_and_samples_by_whole_sums() -> None:
    values = microvolts()
    fitted = preprocess.fit(signals(values), STANDARDISED, Path())
    for lead in range(3):
        column = [int(v) for v in values[:, :, lead].ravel()]
        n, total = len(column), sum(column)
        mean = Fraction(total, n)
        variance = sum((v - mean) ** 2 for v in column) / n / 1_000_000
        assert fitted.mean[lead] == float(mean / 1000)  # rounded once
        assert fitted.sd[lead] == math.sqrt(float(variance))
    x = preprocess.apply(fitted, signals(values))
    assert (x.shape, x.dtype) == ((6, 50, 3), np.float64)
    np.testing.assert_array_equal(x, (values / 1000.0 - fitted.mean) / fitted.sd)
    np.testing.assert_allclose(x.mean(axis=(0, 1)), 0.0, atol=1e-12)
    np.testing.assert_allclose(x.std(axis=(0, 1)), 1.0, rtol=1e-12)


def test_the_order_of_records_does_not_change_a_bit() -> None:
    values = microvolts()
    one, two = (
        preprocess.fit(signals(v), STANDARDISED, Path()) for v in (values, values[::-1, ::-1])
    )
    assert (one.digest, one.mean.tolist()) == (two.digest, two.mean.tolist())


def test_a_flat_lead_has_sd_1_and_input_0() -> None:
    values = microvolts()
    values[:, :, 1] = 777
    fitted = preprocess.fit(signals(values), STANDARDISED, Path())
    assert (fitted.mean[1], fitted.sd[1]) == (0.777, 1.0)
    assert not preprocess.apply(fitted, signals(values))[:, :, 1].any()


def test_none_is_millivolt_and_leads_go_by_name(tmp_path: Path) -> None:
    values = microvolts()
    cohort = signals(values)
    fitted = preprocess.fit(cohort, NONE, Path())
    np.testing.assert_array_equal(preprocess.apply(fitted, cohort), values / 1000.0)
    chosen = preprocess.fit(cohort, STANDARDISED, Path(), ("V1", "I"))
    assert chosen.features == ("V1", "I")
    x = preprocess.apply(chosen, cohort)
    expected = (values[:, :, [2, 0]] / 1000.0 - chosen.mean) / chosen.sd
    np.testing.assert_array_equal(x, expected)
    preprocess.write(tmp_path, chosen)
    assert preprocess.read(tmp_path).digest == chosen.digest
    with pytest.raises(UnusableInputError, match="lacks feature 'V1'"):
        preprocess.apply(chosen, signals(values[:, :, :2]))


@pytest.mark.parametrize(
    "plan",
    [
        M_VALUE,
        PreprocessPlan(convention="standardised", features=2),
        PreprocessPlan(convention="none", filters=("x.txt",)),
    ],
)
def test_what_signals_do_not_know_is_refused(plan: PreprocessPlan) -> None:
    with pytest.raises(UnusableInputError, match="signals know the conventions"):
        preprocess.fit(signals(microvolts()), plan, Path())
