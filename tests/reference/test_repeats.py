"""Published figures on repeated ECG trainings (arXiv 2603.28040), recomputed from its own runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lifecycle.errors import UnusableInputError
from lifecycle.stats.repeats import brown_forsythe, friedman, spread, welch

RUNS = pd.read_csv(Path(__file__).with_name("repnet_ecg_auc.csv"), comment="#")
BASES = ("dct", "hadamard", "hartley", "sinusoidal")


def runs(arm: str, name: str) -> np.ndarray:
    chosen = RUNS[(RUNS["arm"] == f"conformer_{arm}") & (RUNS["class"] == name)]
    return chosen.sort_values("seed")["auc"].to_numpy()


def test_structured_against_kaiming() -> None:
    assert len(runs("structured", "macro")) == 20
    assert round(welch(runs("structured", "macro"), runs("kaiming", "macro")).p, 4) == 0.0155


def test_no_basis_is_better_than_another() -> None:
    found = friedman(np.stack([runs(arm, "macro") for arm in BASES], axis=1))
    assert (round(found.statistic, 2), round(found.p, 3)) == (2.46, 0.483)


def test_ranges_of_the_rarest_rhythm() -> None:
    structured, kaiming = runs("structured", "TRIGU"), runs("kaiming", "TRIGU")
    assert round(100 * spread(structured), 1) == 4.1
    assert round(100 * spread(kaiming), 1) == 30.9
    # two positive test records: the contrast is no proof
    assert round(brown_forsythe(structured, kaiming).p, 3) == 0.093
    singly = [round(100 * spread(runs(arm, "TRIGU")), 1) for arm in BASES]
    assert singly == [20.2, 37.3, 7.1, 14.3]


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_too_little_is_refused(values: list) -> None:
    for test in (welch, brown_forsythe):
        with pytest.raises(UnusableInputError, match="two or more finite"):
            test(values, [1.0, 2.0])
    with pytest.raises(UnusableInputError):
        friedman([[1.0, 2.0], [1.0, 2.0]])
