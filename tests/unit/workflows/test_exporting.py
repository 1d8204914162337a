"""What a spreadsheet of an export says of a case."""

from __future__ import annotations

import numpy as np
import pytest

from lifecycle.consistency.calls import call
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.workflows.exporting import _cell, _labels, said_of
from lifecycle.workflows.printing import _timeless


def _predictions(scores: list[list[float]], task: str, labels: tuple[str, ...]) -> Predictions:
    names = tuple(f"case-{at}" for at in range(len(scores)))
    groups = ("",) * len(scores)
    return Predictions(names, names, groups, labels, ("AF", "SR"), np.array(scores), task)  # type: ignore[arg-type]


def test_calls_of_a_multi_label_build() -> None:
    scores = [[0.9, 0.95], [0.1, 0.9], [0.1, 0.1], [0.5, 0.1]]
    predictions = _predictions(scores, "multi", ("AF|SR", "SR", "", "AF"))
    calls = call(predictions, Cutoffs((0.8, 0.8), (0.2, 0.2), "proposed", {}))
    assert [said_of(calls, at) for at in range(4)] == ["AF|SR", "SR", "none", "inconclusive"]
    assert _labels(predictions) == {"AF": 2, "SR": 2, "": 1}


def test_calls_of_a_single_label_build() -> None:
    predictions = _predictions([[0.9, 0.1], [0.4, 0.6]], "single", ("AF", "SR"))
    calls = call(predictions, Cutoffs((0.8, 0.8), None, "proposed", {}))
    assert [said_of(calls, at) for at in range(2)] == ["AF", "inconclusive"]


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@x", " =1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert _cell(text) == f"'{text}"
    assert _cell(f"a{text}") == f"a{text}"


def test_a_pdf_names_the_release_and_not_the_printing() -> None:
    printed = b"%PDF /CreationDate (D:20261121160309+00'00')\n/ModDate (D:20261121160309-05'00')>>"
    made = _timeless(printed, "2026-11-30T14:05:09+01:00")
    assert len(made) == len(printed)
    assert made.count(b"(D:20261130140509+01'00')") == 2
