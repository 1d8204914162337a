"""The real records at hand: wfdb's own reading equals ours, counts are those of the data sets."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat

from lifecycle.cohorts.ecg.headers import read_header
from lifecycle.cohorts.ecg.leads import lead_of
from lifecycle.cohorts.ecg.read import import_ecg
from lifecycle.cohorts.ecg.records import read_signal
from lifecycle.domain.classifier import LEADS, CohortSource, SignalPlan
from lifecycle.domain.cohort import Cohort

with warnings.catch_warnings():  # of wfdb's own deprecated calls
    warnings.simplefilter("ignore")
    import wfdb

RHYTHMS = (
    "SR", "AFIB", "STACH", "SARRH", "SBRAD", "PACE", "SVARR", "BIGU", "AFLT", "SVTAC", "PSVT",
    "TRIGU",
)  # fmt: skip


def load(
    real: Path, kind: Any, folder: str, classes: tuple[str, ...] = RHYTHMS, **plan: Any
) -> Cohort:
    source = CohortSource(source=kind, path=folder, measures="ecg", signal=SignalPlan(**plan))
    return import_ecg(source, classes, real / "ecg", lambda sentence: None)


def counts(cohort: Cohort) -> Counter[str]:
    return Counter(part for label in cohort.labels for part in label.split("|") if part)


@pytest.mark.parametrize(
    "folder",
    ["ptbxl-500/records100/00000", "ptbxl-500/records500/00000", "cinc2021-50", "mitdb-100"],
)
def test_every_record_as_wfdb_reads_it_to_the_last_digit(real: Path, folder: str) -> None:
    paths = sorted((real / "ecg" / folder).glob("*.hea"))
    assert paths
    for path in paths:
        theirs = wfdb.rdrecord(str(path.with_suffix("")))
        header = read_header(path, path.stem)
        leads = [lead_of(name) or "" for name in theirs.sig_name]
        ours = read_signal(header, leads)
        assert float(ours.rate) == theirs.fs
        # the published values are whole microvolt, so that in millivolt all bits are the same
        assert np.array_equal(ours.values / 1000, theirs.p_signal), path.name


def test_ptbxl_rhythms(real: Path) -> None:
    cohort = load(real, "ptbxl", "ptbxl-500")
    assert cohort.values.shape == (500, 1000, 12)
    assert len(set(cohort.patients)) == 466
    assert counts(cohort) == {
        "SR": 407, "SARRH": 26, "AFIB": 13, "SBRAD": 9, "AFLT": 8, "PACE": 6, "STACH": 5,
        "SVTAC": 1,
    }  # fmt: skip
    assert cohort.about["without_class"] == 29
    assert Counter(cohort.folds)["9"] == 81
    assert Counter(cohort.folds)["10"] == 66
    for number in (0, 250, 499):
        record = real / "ecg" / "ptbxl-500" / "records100" / "00000" / f"{number + 1:05d}_lr"
        # in millivolt the same bits; times 1000 theirs is off by a last digit here and there
        assert np.array_equal(cohort.rows([number])[0], wfdb.rdrecord(str(record)).p_signal)


def test_ptbxl_superclasses(real: Path) -> None:
    classes = ("NORM", "MI", "STTC", "CD", "HYP")
    cohort = load(real, "ptbxl", "ptbxl-500", classes, statements="superclass")
    assert counts(cohort) == {"NORM": 297, "STTC": 96, "CD": 78, "MI": 73, "HYP": 40}


def test_500_hz_records_look_like_their_100_hz_ones(real: Path) -> None:
    """PTB-XL's own decimation is another filter; the signals are the same to some microvolt."""
    high = load(real, "ptbxl", "ptbxl-500", read_rate=500, bad_records="skip")
    low = load(real, "ptbxl", "ptbxl-500")
    assert high.ids == low.ids[:20]
    inner = slice(20, 980)
    gap = high.values[:, inner].astype(float) - low.values[:20, inner]
    assert np.median(np.abs(gap)) < 10
    shares = [
        np.corrcoef(one[inner].ravel(), other[inner].ravel())[0, 1]
        for one, other in zip(high.values, low.values[:20], strict=True)
    ]
    assert min(shares) > 0.98


def test_cinc_and_cpsc(real: Path) -> None:
    cinc = load(real, "cinc2021", "cinc2021-50")
    assert len(cinc.ids) == 50
    assert counts(cinc) == {"STACH": 23, "SR": 15, "SBRAD": 7, "SARRH": 1}
    cpsc = load(real, "cpsc2018", "cpsc2018-10", rate=500, bad_records="skip")
    assert len(cpsc.ids) == 10
    assert len(cpsc.about["left_out"]["missing file"]) == 6867
    for name, values in zip(cpsc.ids, cpsc.values, strict=True):
        data = loadmat(real / "ecg" / "cpsc2018-10" / f"{name}.mat")["ECG"]["data"][0, 0]
        assert np.array_equal(values, np.rint(data.T[:5000] * 1000))


def test_mitdb_windows(real: Path) -> None:
    cohort = load(real, "rhythm_atr", "mitdb-100", leads=("V5", "II"))
    assert cohort.values.shape == (180, 1000, 2)
    assert counts(cohort) == {"SR": 180}
    assert LEADS.index("II") == 1
    beats = cohort.values[:, :, 1].max(axis=1)
    assert 500 < np.median(beats) < 1500  # R waves of II, in microvolt
