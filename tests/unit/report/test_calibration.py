"""Calibration against values worked out by hand and by plain formulas."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.report.calibration import (
    BINS,
    TOP,
    calibration_figure,
    calibration_table,
    reliabilities,
    reliability,
)
from lifecycle.report.faced import face
from lifecycle.report.text import number


def test_by_hand() -> None:
    scores = np.array([0.95, 0.95, 1.0, 0.15])
    found = reliability("A", scores, np.array([True, True, False, False]))
    assert found.counts.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0, 3]
    assert found.score[9] == pytest.approx(2.9 / 3)
    assert found.share[9] == pytest.approx(2 / 3)
    assert found.ece == pytest.approx((3 * (2.9 / 3 - 2 / 3) + 0.15) / 4)
    assert found.brier == pytest.approx((2 * 0.05**2 + 1 + 0.15**2) / 4)
    assert found.positives == 2


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_holds_for_any_scores(pairs: list[tuple[float, bool]]) -> None:
    """One kind of outcome only, scores of 0 and of 1 included."""
    scores, observed = (np.array(column) for column in zip(*pairs, strict=True))
    found = reliability("A", scores, observed)
    assert found.counts.sum() == len(pairs)
    assert found.brier == pytest.approx(float(((scores - observed) ** 2).mean()))
    assert 0 <= found.ece <= 1
    assert np.isnan(found.share[found.counts == 0]).all()
    sums = np.nansum(found.share * found.counts)
    assert sums == pytest.approx(observed.sum())


def test_scores_drawn_as_chances_are_calibrated() -> None:
    rng = np.random.default_rng(5)
    scores = rng.random(200_000)
    assert reliability("A", scores, rng.random(200_000) < scores).ece < 0.01
    assert reliability("A", scores, rng.random(200_000) < scores**4).ece > 0.2


def test_of_one_class_of_many_the_called_one_counts(make: SimpleNamespace) -> None:
    faced = face(make.rebuild())
    (found,) = reliabilities(faced)
    assert found.name == TOP
    labels = np.array([faced.frozen.classes.index(one) for one in faced.frozen.labels])
    right = faced.frozen.scores.argmax(axis=1) == labels
    assert found.positives == right.sum()
    assert found.brier == pytest.approx(((faced.frozen.scores.max(axis=1) - right) ** 2).mean())


def test_of_several_classes_each_counts(make: SimpleNamespace) -> None:
    data = make.rebuild(task="multi")
    faced = face(data)
    found = reliabilities(faced)
    assert [one.name for one in found] == list(data.frozen.classes)
    assert [one.positives for one in found] == faced.truth.sum(axis=0).tolist()
    svg, table = calibration_figure(data, faced), calibration_table(faced)
    for one, row in zip(found, table.rows, strict=True):
        assert row[4].text == number(one.ece)
        assert f"{one.name}: ECE {number(one.ece)}" in svg


def test_counts_stand_in_the_diagram(make: SimpleNamespace) -> None:
    data = make.rebuild(n=977)
    faced = face(data)
    (found,) = reliabilities(faced)
    svg = calibration_figure(data, faced)
    assert all(f">{n:,}<" in svg.replace(" ", "") for n in found.counts.tolist() if n)
    assert len(found.counts) == BINS


def test_without_labels_there_is_none(make: SimpleNamespace) -> None:
    data = make.rebuild(labelled=False)
    assert calibration_figure(data, face(data)) is None
    assert calibration_table(face(data)) is None
