"""All builds on the same cases, in the same order, called once."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.consistency.align import take
from lifecycle.consistency.calls import call
from lifecycle.errors import UnusableInputError
from lifecycle.report import faced as facing
from lifecycle.report.faced import LATEST, coded, face
from lifecycle.report.page import render


def test_builds_in_one_order_are_taken_as_they_are(make: SimpleNamespace) -> None:
    data = make.rebuild()
    faced = face(data)
    assert faced.names == ("b1", "b2") == faced.latest
    assert faced.frozen is data.frozen
    assert faced.predictions[0] is data.frozen_before["b1"]


def test_builds_in_another_order_are_sorted_by_case(make: SimpleNamespace) -> None:
    data = make.rebuild()
    n = len(data.frozen.ids)
    turned = {"b1": take(data.frozen_before["b1"], list(range(n))[::-1])}
    faced = face(replace(data, frozen_before=turned))
    assert faced.predictions[0].ids == faced.frozen.ids == tuple(sorted(data.frozen.ids))
    assert faced.reported == face(data).reported
    assert render(replace(data, frozen_before=turned), {}) == render(data, {})


def test_other_cases_are_refused(make: SimpleNamespace) -> None:
    data = make.rebuild()
    fewer = take(data.frozen_before["b1"], list(range(5)))
    with pytest.raises(UnusableInputError, match="lacks case"):
        face(replace(data, frozen_before={"b1": fewer}))


def test_what_each_build_reports_is_the_agreement_s(make: SimpleNamespace) -> None:
    data = make.rebuild(builds=7, n=80)
    faced = face(data)
    assert {name: told.cases for name, told in faced.reported.items()} == dict(
        data.agreement.reported
    )
    assert len(faced.calls) == LATEST + 1
    assert faced.latest == ("b3", "b4", "b5", "b6", "b7")


@pytest.mark.parametrize("task", ["single", "multi"])
def test_calls_block_by_block_are_the_calls(
    make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, task: Any
) -> None:
    data = make.rebuild(task=task)
    monkeypatch.setattr(facing, "BLOCK", 50)
    found, whole = face(data).now, call(data.frozen, data.cutoffs)
    assert np.array_equal(found.state, whole.state)
    assert np.array_equal(found.argmax, whole.argmax)
    assert (found.state.dtype, found.ties, found.ids) == (np.int8, whole.ties, whole.ids)
    bad = data.frozen.scores.copy()
    bad[70, 1] = np.nan
    with pytest.raises(UnusableInputError, match="case-070"):
        face(replace(data, frozen=replace(data.frozen, scores=bad)))


def test_labels_of_several_classes_and_of_none(make: SimpleNamespace) -> None:
    data = make.rebuild(task="multi", n=4, builds=1)
    labels = ("RTK I|mesenchymal", "", "RTK II", "not a class")
    faced = face(replace(data, frozen=replace(data.frozen, labels=labels), agreement=None))
    assert faced.known.tolist() == [True, False, True, True]
    assert faced.truth.tolist() == [
        [True, False, True], [False] * 3, [False, True, False], [False] * 3,
    ]  # fmt: skip


def test_a_label_of_a_single_label_case_is_one_class(make: SimpleNamespace) -> None:
    data = make.rebuild(n=2, builds=1)
    labels = ("RTK I|mesenchymal", "RTK I")
    faced = face(replace(data, frozen=replace(data.frozen, labels=labels), agreement=None))
    assert faced.truth.tolist() == [[False] * 3, [True, False, False]]


@given(st.lists(st.sampled_from(["", "a", "b", "\u202e", "<script>"])))
def test_coded_values_are_the_values(column: list[str]) -> None:
    names, codes = coded(column)
    assert [names[k] for k in codes] == column
    assert len(set(names)) == len(names)
    assert codes.dtype == np.intp
