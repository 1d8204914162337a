"""The verdict and its cases as rows and notes."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lifecycle.consistency.agree import Series, agree
from lifecycle.consistency.calls import call
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.domain.verdict import Finding, Verdict
from lifecycle.tracking.notes import LONGEST_NOTE, as_csv, within
from lifecycle.workflows.tracking_report import measured, tau_said
from lifecycle.workflows.tracking_tables import (
    case_columns,
    case_rows,
    criteria_rows,
    first_line,
    headline,
    note,
)

HOSTILE = (
    "=cmd|' /C calc'!A0",
    "<img src=http://example.org/x>",
    "a\u202eb",
    "a,b\nc",
    "![x](http://example.org)",
)
FINDINGS = (
    Finding("pin", "pass", None, None, None, "It is the pinned one."),
    Finding("consistency.series", "fail", 0.5, 0.05, 0.9, "5 of 10 <b>cases</b>: too many."),
    Finding("lost:b1", "inconclusive", 0.1, 0.1, 0.4, "Too few patients."),
)


def _scores(n: int, chosen: int, height: float = 0.9) -> np.ndarray[Any, Any]:
    scores = np.full((n, 3), (1 - height) / 2)
    scores[:, chosen] = height
    return scores


def _data(ids: tuple[str, ...], task: Any = "single", findings: Any = FINDINGS) -> SimpleNamespace:
    """Every case is discordant: class A in b1, B in b2."""
    n = len(ids)
    members = [
        Predictions(ids, ids, ("",) * n, ("A",) * n, ("A", "B", "C"), _scores(n, chosen), task)
        for chosen in (0, 1)
    ]
    if task == "single":
        cutoffs = Cutoffs((0.6, 0.7, 0.8), None, "proposed", {})
    else:
        cutoffs = Cutoffs((0.6, 0.7, 0.8), (0.1, 0.1, 0.1), "proposed", {})
    calls = tuple(call(one, cutoffs) for one in members)
    agreement = agree(Series(("b1", "b2"), calls), 0.05, scores=[one.scores for one in members])
    assert len(agreement.discordant) == n
    return SimpleNamespace(
        verdict=Verdict("fail", "statistical", 2, findings, "a" * 64, "gate/1", ()),
        agreement=agreement,
        frozen=members[1],
        cutoffs=cutoffs,
        simulated=False,
    )


@pytest.fixture
def hostile() -> SimpleNamespace:
    return _data(HOSTILE)


def test_rows_say_calls_scores_and_margins(hostile: SimpleNamespace) -> None:
    rows = case_rows(hostile, "discordant")
    assert [row["case"] for row in rows] == list(HOSTILE)
    row = rows[0]
    assert (row["b1"], row["b2"], row["reference class"]) == ("A", "B", "A")
    assert row["b1 score"] == 0.9 and row["b1 margin"] == pytest.approx(0.9 - 0.6)
    assert row["b2 margin"] == pytest.approx(0.9 - 0.7)
    assert row["scores"] == "b1: A 0.9000, B 0.0500; b2: A 0.0500, B 0.9000"
    assert list(row) == case_columns(hostile)


def test_a_conversion_has_a_negative_margin() -> None:
    data = _data(("one",))
    low = replace(data.frozen, scores=_scores(1, 1, 0.65))
    calls = (call(replace(data.frozen, scores=_scores(1, 0)), data.cutoffs),
             call(low, data.cutoffs))  # fmt: skip
    data.agreement = agree(Series(("b1", "b2"), calls), 0.05, scores=[_scores(1, 0), low.scores])
    (row,) = case_rows(data, "conversions")
    assert row["b2"] == "inconclusive" and row["b2 margin"] == pytest.approx(0.65 - 0.7)


def test_several_classes_have_scores_but_no_single_margin() -> None:
    data = _data(("one",), task="multi")
    (row,) = case_rows(data, "discordant")
    assert not [column for column in row if "margin" in column]
    assert "A 0.9000" in str(row["scores"])


def test_unlabelled_cases_have_no_reference_column() -> None:
    data = _data(("one",))
    data.frozen = replace(data.frozen, labels=None)
    assert "reference class" not in case_columns(data)
    assert list(case_rows(data, "discordant")[0]) == case_columns(data)


def test_criteria_are_the_verdict_s_own_figures_the_worst_first(hostile: SimpleNamespace) -> None:
    rows = criteria_rows(hostile)
    assert [row["criterion"] for row in rows] == ["consistency.series", "lost:b1", "pin"]
    assert [rows[0][key] for key in ("figure", "limit", "bound")] == [0.5, 0.05, 0.9]
    assert rows[0]["result"] == "FAIL ✖" and rows[1]["result"] == "INCONCLUSIVE ?"


def test_the_note_begins_with_the_verdict_and_names_the_cases(hostile: SimpleNamespace) -> None:
    lines = note(hostile)
    assert lines[0] == first_line(hostile)
    assert lines[0].startswith("FAIL ✖ 5 of 5 cases reported by all builds discordant (100%)")
    text = "\n".join(lines)
    assert text.index("consistency.series") < text.index(
        "5 discordant cases, the most certain first"
    )
    for wrong in ("<img", "<b>", "![", "\u202e", "http://"):
        assert wrong not in text
    assert "&#60;img src=http" in text and "a&#92;u202eb" in text


def test_a_first_build_and_simulated_data_are_said() -> None:
    data = _data(("one",))
    data.agreement, data.simulated = None, True
    assert headline(data)[0] == "FAIL ✖ first build: nothing to compare with"
    assert "SIMULATED" in headline(data)[-1]
    assert "discordant case" not in "\n".join(note(data))


def test_many_cases_are_counted_in_the_note_and_whole_in_the_csv() -> None:
    data = _data(tuple(f"{'long' * 20}-{i}" for i in range(5000)))
    text = within(note(data), "and {} more")
    assert len(text) <= LONGEST_NOTE and "And 4,990 more" in text and "Criteria" in text
    full = as_csv(case_rows(data, "discordant"), case_columns(data))
    assert len(list(csv.reader(io.StringIO(full)))) == 5001


def test_many_criteria_are_cut_and_said() -> None:
    findings = tuple(
        Finding(f"lost:b{i}", "fail", 0.5, 0.05, 0.9, "Too many of them. " * 5) for i in range(200)
    )
    text = within(note(_data(("one",), findings=findings)), "…and {} lines more")
    assert len(text) <= LONGEST_NOTE
    assert text.startswith("FAIL ✖ 1 of 1 case reported") and "lines more" in text


def test_csv_of_hostile_cases_computes_nothing(hostile: SimpleNamespace) -> None:
    rows = case_rows(hostile, "discordant")
    read = list(csv.reader(io.StringIO(as_csv(rows, case_columns(hostile)))))
    assert [line[0] for line in read[1:]] == [
        "'" + HOSTILE[0], HOSTILE[1], "a\\u202eb", "a,b\\u000ac", HOSTILE[4],
    ]  # fmt: skip


def test_metrics_are_named_by_their_dataset_and_taken_from_the_verdict() -> None:
    kept = {"build": 2, "tau": 0.9, "holdout_accuracy": 0.8, "frozen_accuracy": None,
            "frozen_cases": 71, "discordant": 9, "simulated": False}  # fmt: skip
    series = {"D": 9, "R": 53, "conversions": 14, "consistency": 44 / 53, "upper": 0.298}
    shown = {"holdout": {"precision": 1.0, "recall": None}, "series": series, "ever": {"D": 10}}
    data = SimpleNamespace(verdict=SimpleNamespace(shown=shown))
    found = measured(data, kept)  # type: ignore[arg-type]  # all that it looks at
    assert found["holdout"] == {"holdout_accuracy": 0.8, "holdout_precision": 1.0}
    assert found["frozen"] == {
        "frozen_cases": 71.0,
        "frozen_discordant": 9.0,
        "frozen_reported_by_all": 53.0,
        "frozen_conversions": 14.0,
        "frozen_consistency": 44 / 53,
        "frozen_discordant_bound": 0.298,
        "frozen_ever_discordant": 10.0,
    }
    assert not set(found["holdout"]) & set(found["frozen"])


def test_tau_is_said_as_it_is_in_force() -> None:
    data = _data(("one",), task="multi")
    assert tau_said(data) == "0.6 to 0.8 by class"  # type: ignore[arg-type]
    closed = {"refused_yes": ["C"], "refused_no": []}
    data.cutoffs = replace(data.cutoffs, yes=(0.6, 0.7, 1.0), evidence=closed)
    assert tau_said(data) == "0.6 to 0.7 by class"  # type: ignore[arg-type]
    data.cutoffs = replace(data.cutoffs, yes=(2 / 3,) * 3)
    assert tau_said(data) == "0.666667"  # type: ignore[arg-type]
    data.cutoffs = replace(data.cutoffs, status="refused")
    assert tau_said(data) == "refused"  # type: ignore[arg-type]
