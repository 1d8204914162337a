"""Resampling: against scipy's own, exact in any order, pinned taps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import firwin, resample_poly

from lifecycle.cohorts.ecg.faults import BadRecordError
from lifecycle.cohorts.ecg.headers import read_header
from lifecycle.cohorts.ecg.records import read_signal
from lifecycle.cohorts.ecg.resample import TAP, described, resampled, taps
from lifecycle.domain.classifier import LEADS

RATIOS = [(1, 5), (5, 18), (25, 32), (5, 1), (1, 10), (100, 257)]


def noise(samples: int, leads: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(-3000, 3001, (samples, leads)).astype(np.float64)


def by_integers(values: np.ndarray, up: int, down: int) -> np.ndarray:
    """The definition, in int64: continued ends, zeros between, filter, every down-th."""
    whole = taps(up, down).astype(np.int64)
    half = len(whole) // 2
    reach = half // up + 1
    padded = np.pad(values.astype(np.int64), ((reach, reach), (0, 0)), mode="edge")
    count = -(-len(values) * up // down)
    sums = np.empty((count, values.shape[1]), dtype=np.int64)
    for m in range(count):
        centre = m * down
        first = -(-(centre - half) // up)
        places = np.arange(first, (centre + half) // up + 1)
        weights = whole[centre + half - places * up]
        sums[m] = weights[::-1] @ padded[places + reach][::-1] * up
    quotient, rest = np.divmod(sums, TAP)
    up_one = (rest > TAP // 2) | ((rest == TAP // 2) & (quotient % 2 == 1))
    return quotient + up_one


@pytest.mark.parametrize(("up", "down"), RATIOS[:4])
def test_equals_integer_arithmetic_to_the_last_bit(up: int, down: int) -> None:
    values = noise(400)
    ours = resampled(values, Fraction(100 * down, up), 100)
    assert np.array_equal(ours, by_integers(values, up, down))


@pytest.mark.parametrize(("up", "down"), RATIOS)
def test_close_to_scipys_own_filter(up: int, down: int) -> None:
    values = noise(900)
    ours = resampled(values, Fraction(100 * down, up), 100)
    theirs = resample_poly(values, up, down, axis=0, padtype="edge")
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 2.0
    assert np.array_equal(ours, np.rint(ours))


@pytest.mark.parametrize("folder", ["cinc2021-50", "mitdb-100", "ptbxl-500/records500/00000"])
def test_close_to_scipys_own_filter_on_real_records(real: Path, folder: str) -> None:
    paths = sorted((real / "ecg" / folder).glob("*.hea"))
    assert paths
    worst = 0.0
    for path in paths:
        header = read_header(path, path.stem)
        leads = LEADS if len(header.channels) == 12 else ("II", "V5")
        signal = read_signal(header, leads)
        ratio = Fraction(100) / signal.rate
        theirs = resample_poly(
            signal.values, ratio.numerator, ratio.denominator, axis=0, padtype="edge"
        )
        ours = resampled(signal.values, signal.rate, 100)
        worst = max(worst, float(np.abs(ours - theirs).max()))
    assert worst <= 2.0


def test_taps_are_whole_symmetric_and_far_from_a_rounding_edge() -> None:
    """A platform whose sine differs in the last bits rounds every tap to the same number."""
    for up, down in RATIOS:
        slower = max(up, down)
        exact = firwin(20 * slower + 1, 1.0 / slower, window=("kaiser", 5.0)) * TAP
        whole = taps(up, down)
        assert np.array_equal(whole, np.rint(whole))
        assert np.array_equal(whole, whole[::-1])
        assert np.abs(np.abs(exact - np.floor(exact)) - 0.5).min() > 1e-7


def test_taps_are_pinned() -> None:
    digests = {str(rate): described(Fraction(rate), 100)["taps_sha256"] for rate in (500, 360)}
    assert digests == {
        "500": "7e933571191c495680bf0a9869a51dbf89ba046596eaf765a399d5f5210dccd3",
        "360": "d84278d4cb5a169a87896f8f99eaaf869dec8e5f4480ee6800161795bf025eaf",
    }


def test_what_lies_above_the_new_nyquist_frequency_is_taken_out() -> None:
    time = np.arange(5000) / 500
    for hertz, low, high in (
        (10, 990, 1010),
        (40, 900, 1010),
        (60, 0, 100),
        (90, 0, 5),
        (220, 0, 5),
    ):
        tone = np.rint(1000 * np.cos(2 * np.pi * hertz * time))[:, None]
        height = np.abs(resampled(tone, Fraction(500), 100)[100:900]).max()
        assert low <= height <= high, hertz


def test_the_same_rate_changes_nothing() -> None:
    values = noise(50)
    assert resampled(values, Fraction(100), 100) is values
    assert described(Fraction(100), 100)["filter"] == "none"


def test_length_and_constant_signals() -> None:
    assert resampled(np.full((650, 1), 700.0), Fraction(360), 100).shape == (181, 1)
    assert (np.abs(resampled(np.full((650, 1), 700.0), Fraction(500), 100) - 700) <= 1).all()


def test_a_missing_sample_spreads_as_far_as_the_filter_and_no_farther() -> None:
    values = noise(1000, 1)
    holed = values.copy()
    holed[500] = np.nan
    whole, with_hole = (resampled(one, Fraction(500), 100) for one in (values, holed))
    lost = np.flatnonzero(np.isnan(with_hole))
    assert lost.tolist() == list(range(89, 111))
    kept = np.setdiff1d(np.arange(200), lost)
    assert np.array_equal(whole[kept], with_hole[kept])


def test_ratio_without_small_factors_is_refused() -> None:
    with pytest.raises(BadRecordError, match="ratio"):
        resampled(noise(10), Fraction("360.0001"), 100, "r")
