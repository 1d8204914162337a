"""Parts of an export that need no release."""

from __future__ import annotations

import numpy as np

from lifecycle.domain.predictions import Predictions
from lifecycle.workflows.exporting import _labels
from lifecycle.workflows.printing import _timeless


def _predictions(scores: list[list[float]], task: str, labels: tuple[str, ...]) -> Predictions:
    names = tuple(f"case-{at}" for at in range(len(scores)))
    groups = ("",) * len(scores)
    return Predictions(names, names, groups, labels, ("AF", "SR"), np.array(scores), task)  # type: ignore[arg-type]


def test_labels_of_a_multi_label_build_are_counted() -> None:
    predictions = _predictions([[0.9, 0.95], [0.1, 0.9], [0.1, 0.1]], "multi", ("AF|SR", "SR", ""))
    assert _labels(predictions) == {"AF": 1, "SR": 2, "": 1}


def test_a_pdf_names_the_release_and_not_the_printing() -> None:
    printed = b"%PDF /CreationDate (D:20261121160309+00'00')\n/ModDate (D:20261121160309-05'00')>>"
    made = _timeless(printed, "2026-11-30T14:05:09+01:00")
    assert len(made) == len(printed)
    assert made.count(b"(D:20261130140509+01'00')") == 2
