"""Figures and tables over the series: scores in regions, reportable fractions, pairs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lifecycle.domain.predictions import Cutoffs
from lifecycle.report import scores as scoring
from lifecycle.report.faced import face
from lifecycle.report.margins import limits
from lifecycle.report.scores import cloud, scores_figure
from lifecycle.report.series import (
    BUILDS,
    TOGETHER,
    pairs_figure,
    reportable_figure,
    reportable_table,
    reportables,
)
from lifecycle.report.text import percent

WIDE = {"single": Cutoffs((0.6,) * 3, None, "given", {}),
        "multi": Cutoffs((0.5,) * 3, (0.3,) * 3, "given", {})}  # fmt: skip


def noisy(make: SimpleNamespace, task: Any = "single", **more: Any) -> Any:
    return make.rebuild(**{"n": 300, "builds": 2, "cutoffs": WIDE[task], "task": task, **more},
                        noise=1.5)  # fmt: skip


def test_regions_count_what_the_agreement_counts(make: SimpleNamespace) -> None:
    data = noisy(make)
    one = cloud(face(data), 0, limits(data.frozen.classes, "single", data.cutoffs))
    (pair,) = data.agreement.pairs
    assert one.counts.sum() == 300
    assert one.counts[1, 1] == pair.figures.R
    assert (one.counts[1, 0], one.counts[0, 1]) == (pair.lost.cases, pair.gained.cases)
    assert one.kinds["discordant"] == pair.figures.D > 0


def test_regions_of_a_multi_label_classifier_are_nine(make: SimpleNamespace) -> None:
    data = noisy(make, "multi")
    faced = face(data)
    one = cloud(faced, 0, limits(data.frozen.classes, "multi", data.cutoffs))
    old, new = (calls.state for calls in faced.calls)
    for i, was in enumerate((-1, 0, 1)):
        for j, now in enumerate((-1, 0, 1)):
            assert one.counts[i, j] == np.count_nonzero((old == was) & (new == now))
    assert one.counts[0, 2] + one.counts[2, 0] == one.kinds["discordant"] > 0


@pytest.mark.parametrize("task", ["single", "multi"])
def test_points_stand_in_the_region_of_their_call(make: SimpleNamespace, task: Any) -> None:
    """Even where a class was refused: its cutoff stands at 1, and no score is above it."""
    data = noisy(make, task)
    cutoffs = replace(data.cutoffs, evidence={"refused_yes": ["RTK I"], "refused_no": ["RTK II"]})
    data = replace(data, cutoffs=cutoffs)
    one = cloud(face(data), 0, limits(data.frozen.classes, task, cutoffs))
    regions = len(one.counts)
    middle = 0 if task == "single" else 1
    for points, of in ((one.drawn["lost"], 1), (one.drawn["gained"], 0)):
        assert len(points)
        inside = points[:, of] * regions
        assert np.all((inside >= middle) & (inside <= middle + 1))
    assert np.all((one.drawn["rest"] >= 0) & (one.drawn["rest"] <= 1))


@given(arrays(np.bool_, st.integers(0, 300)), st.integers(1, 40))
def test_thinning_takes_marked_points_evenly(mask: Any, most: int) -> None:
    at = scoring._thin(mask, most)
    assert len(at) == min(most, int(mask.sum()))
    assert mask[at].all()
    assert len(set(at.tolist())) == len(at)
    if len(at) > 1:
        marked = np.flatnonzero(mask)
        assert (at[0], at[-1]) == (marked[0], marked[-1])


def test_thinning_by_blocks_is_thinning(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(3).random(1000) < 0.4
    whole = scoring._thin(mask, 37)
    monkeypatch.setattr(scoring, "_BLOCK", 64)
    assert scoring._thin(mask, 37).tolist() == whole.tolist()


def test_a_thinned_figure_says_so(make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    data = noisy(make)
    assert "drawn)" not in scores_figure(data, face(data))
    monkeypatch.setattr(scoring, "MARKED", 20)
    assert "of 300 drawn)" in scores_figure(data, face(data))


def test_regions_are_named_with_their_counts(make: SimpleNamespace) -> None:
    data = noisy(make)
    svg = scores_figure(data, face(data))
    (pair,) = data.agreement.pairs
    for said in (f"✕ discordant: {pair.figures.D:,}", f"▼ lost: {pair.lost.cases:,}",
                 f"▲ gained: {pair.gained.cases:,}", "neither reports: ",
                 f"○ agree: {pair.figures.R - pair.figures.D:,}"):  # fmt: skip
        assert said in svg


def test_only_the_latest_builds_get_a_panel(make: SimpleNamespace) -> None:
    data = noisy(make, builds=7, n=60)
    svg = scores_figure(data, face(data))
    assert [f"b7 against b{i}" in svg for i in range(1, 7)] == [False, False, *[True] * 4]


def test_reportable_fractions_are_those_of_the_agreement(make: SimpleNamespace) -> None:
    data = noisy(make, builds=3)
    found = {one.name: one for one in reportables(data, face(data))}
    assert {name: one.reported for name, one in found.items() if name != TOGETHER} == dict(
        data.agreement.reported
    )
    series = data.agreement.series
    assert found[TOGETHER].share == pytest.approx(series.reportable)
    assert all(one.low <= one.share <= one.high for one in found.values())
    texts = [[cell.text for cell in row] for row in reportable_table(data, face(data)).rows]
    assert texts[-1][:4] == [TOGETHER, f"{series.R:,}", f"{series.S:,}", percent(series.reportable)]


def test_reportable_results_of_multi_label_builds_are_cells(make: SimpleNamespace) -> None:
    data = noisy(make, "multi")
    faced = face(data)
    *builds, together = reportables(data, faced)
    for one, calls in zip(builds, faced.calls, strict=True):
        shares = (calls.state != 0).mean(axis=1)
        half = 1.959964 * shares.std() / np.sqrt(len(shares))
        assert one.share == pytest.approx(shares.mean())
        assert (one.low, one.high) == pytest.approx(
            (shares.mean() - half, shares.mean() + half), abs=1e-6
        )
    assert together.share == pytest.approx(data.agreement.series.reportable)


def test_the_floor_is_drawn_and_said(make: SimpleNamespace) -> None:
    data = noisy(make)
    policy = replace(data.classifier.policy, reportable_floor=0.625)
    data = replace(data, classifier=replace(data.classifier, policy=policy))
    assert "floor 62.5%" in reportable_figure(data, face(data))
    assert "at least 62.5%" in reportable_table(data, face(data)).note


def test_every_pair_stands_in_the_matrix(make: SimpleNamespace) -> None:
    agreement = noisy(make, builds=4).agreement
    svg = pairs_figure(agreement, 0.05)
    assert svg is not None
    for pair in agreement.pairs:
        assert percent(pair.figures.consistency) in svg
        assert f"✕ {pair.figures.D:,} of {pair.figures.R:,}" in svg
    assert pairs_figure(noisy(make).agreement, 0.05) is None


def test_a_long_series_is_shown_by_its_latest_builds(make: SimpleNamespace) -> None:
    agreement = noisy(make, builds=BUILDS + 2, n=40).agreement
    svg = pairs_figure(agreement, 0.05)
    assert f"latest {BUILDS}" in svg
    assert ">b3<" in svg.replace(" ", "")
    assert ">b2<" not in svg.replace(" ", "")


def test_pairs_that_report_nothing_in_common_say_so(make: SimpleNamespace) -> None:
    never = Cutoffs((1.0,) * 3, None, "refused", {"said": "too few"})
    svg = pairs_figure(make.rebuild(builds=3, cutoffs=never).agreement, 0.05)
    assert "reported" in svg
    assert "100%" not in svg
