"""One case is called by the same words in every list, table, report and file."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from lifecycle.consistency.agree import Series, agree
from lifecycle.consistency.calls import STATES, call, said
from lifecycle.domain.names import INCONCLUSIVE, NONE, fault_of_class
from lifecycle.domain.predictions import Calls, Cutoffs, Predictions
from lifecycle.dossier.predictions import check, read_csv, read_parquet, write_csv, write_parquet
from lifecycle.errors import UnusableInputError
from lifecycle.report.cases import case_table
from lifecycle.report.first_page import alert
from lifecycle.tracking.notes import as_csv
from lifecycle.workflows import exporting, masking
from lifecycle.workflows.anywhere import Question, _cases, compare_files
from lifecycle.workflows.deciding import cases_csv
from lifecycle.workflows.released import Released, to_csv
from lifecycle.workflows.tracking_tables import case_columns, case_rows, note

ROOT = Path(__file__).resolve().parents[3]
CLASSES = ("AF", "SR", "PVC")
CUTOFFS = Cutoffs((0.8,) * 3, (0.2,) * 3, "proposed", {})
BEFORE = (0.9, 0.1, 0.1)  # AF
NOW = {  # scores of a case, and what it is said to be
    "AF|SR": (0.9, 0.9, 0.1),
    "SR": (0.5, 0.9, 0.1),
    NONE: (0.1, 0.1, 0.1),
    INCONCLUSIVE: (0.1, 0.5, 0.1),
    "AF|SR|PVC": (0.9, 0.8, 0.9),
}


def _inputs() -> ModuleType:
    """The report's hand-made inputs; the tests are no package."""
    path = ROOT / "tests/unit/report/inputs.py"
    spec = importlib.util.spec_from_file_location("report_inputs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _predictions(scores: tuple[float, ...], task: str = "multi") -> Predictions:
    classes = CLASSES[: len(scores)]
    return Predictions(("case-1",), ("patient-1",), ("",), (classes[0],), classes,
                       np.array([scores]), task)  # type: ignore[arg-type]  # fmt: skip


def _data(scores: tuple[float, ...]) -> Any:
    """A report whose one case was AF before; the two calls contradict each other, or convert."""
    old, new = _predictions(BEFORE), _predictions(scores)
    calls = [call(one, CUTOFFS) for one in (old, new)]
    found = agree(Series(("b1", "b2"), tuple(calls)), 0.05, scores=[old.scores, new.scores])
    whole = _inputs().rebuild(n=4, classes=CLASSES, task="multi", cutoffs=CUTOFFS)
    pin = replace(whole.pin, cases={"case-1": "e" * 64})
    return replace(whole, agreement=found, frozen=new, frozen_before={"b1": old}, pin=pin)


def _kind(data: Any) -> str:
    return "discordant" if data.agreement.discordant else "conversions"


def _discordant(data: Any) -> str:
    return next(csv.DictReader(io.StringIO(cases_csv(data.agreement))))["b2"]


def _report(data: Any) -> str:
    table, _ = case_table(data, data.agreement, _kind(data))
    return table.rows[0][[str(head) for head in table.head].index("b2")].text


def _mlflow(data: Any) -> str:
    rows = case_rows(data, _kind(data))
    read = next(csv.DictReader(io.StringIO(as_csv(rows, case_columns(data)))))
    assert read["b2"] == rows[0]["b2"]
    return read["b2"]


def _predicted(data: Any) -> str:
    cohort: Any = SimpleNamespace(ids=("case-1",), patients=("",), groups=("",))
    about = SimpleNamespace(classifier="c", version="1", build=1, record="r", verdict="pass",
                            demonstration=False)  # fmt: skip
    model = Released(about, CLASSES, ("f",), CUTOFFS, "multi", None, None, None)  # type: ignore[arg-type]
    with (
        mock.patch("lifecycle.cohorts.preprocess.apply", lambda fitted, cases: None),
        mock.patch("lifecycle.training.trainer.scores", lambda *_: data.frozen.scores),
    ):
        result = model._result(cohort, (0,))
    read = next(csv.DictReader(io.StringIO(to_csv(result))))
    assert result.calls == (read["call"],)
    return read["call"]


def _exported(data: Any) -> str:
    facts: Any = SimpleNamespace(build=None, cutoffs=CUTOFFS)
    with mock.patch.object(exporting.kept, "frozen_predictions", lambda build: data.frozen):
        return next(csv.DictReader(io.StringIO(exporting._predictions(facts))))["call"]


WRITERS: dict[str, Callable[[Any], str]] = {
    "discordant.csv": _discordant,
    "the report": _report,
    "the report without identifiers": lambda data: _report(masking.masked(data)),
    "the tables of MLflow": _mlflow,
    "release predict": _predicted,
    "the export": _exported,
}


@pytest.mark.parametrize("words", NOW)
@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_has_the_same_words(name: str, words: str) -> None:
    assert WRITERS[name](_data(NOW[words])) == words


@pytest.mark.parametrize("words", [NONE, INCONCLUSIVE])
def test_sentences_have_the_same_words(words: str) -> None:
    data = _data(NOW[words])
    assert data.agreement.discordant
    assert f"b2: {words}" in "\n".join(_cases(data.agreement))
    assert any(f"b2: {words}" in line for line in alert(data).cases)
    shown = next(line for line in note(data) if "case-1" in line)
    assert f"| {words}" in shown


@pytest.mark.parametrize(
    ("states", "words"),
    [([1, -1, 1], "AF|PVC"), ([-1, -1, -1], NONE), ([0, -1, -1], INCONCLUSIVE),
     ([0, 0, 0], INCONCLUSIVE), ([0, 1, 0], "SR")],
)  # fmt: skip
def test_states_in_words(states: list[int], words: str) -> None:
    calls = Calls(("x",), ("x",), ("",), CLASSES, np.array([states], dtype=np.int8),
                  np.zeros(1, dtype=np.intp), 0, "multi")  # fmt: skip
    assert said(calls, 0) == words
    assert STATES == {1: "yes", 0: INCONCLUSIVE, -1: "no"}


def test_a_single_label_case_has_its_class_or_is_inconclusive() -> None:
    cutoffs = Cutoffs((0.8, 0.8), None, "given", {})
    for scores, words in (((0.9, 0.1), "AF"), ((0.4, 0.6), INCONCLUSIVE)):
        assert said(call(_predictions(scores, "single"), cutoffs), 0) == words


# ---- no class has such a name


@pytest.mark.parametrize("name", ["none", "None", "inconclusive", "INCONCLUSIVE", "a|b", "label"])
def test_a_class_with_such_a_name_is_refused_wherever_it_comes_in(
    name: str, tmp_path: Path
) -> None:
    assert fault_of_class(name) is not None
    renamed = replace(_predictions((0.5, 0.5), "single"), classes=("A", name))
    if name == "label":  # every file is held to this one
        with pytest.raises(UnusableInputError, match="cannot be the name of a class"):
            check(renamed, "f", 1e-6)
        return
    write_csv(tmp_path / "one.csv", renamed)
    with pytest.raises(UnusableInputError, match=r"one\.csv: class column .*rename it"):
        read_csv(tmp_path / "one.csv")
    for end in ("one", "two"):
        write_parquet(tmp_path / f"{end}.parquet", renamed)
    assert read_parquet(tmp_path / "one.parquet").classes == ("A", name)  # of our own, long ago
    files = (tmp_path / "one.parquet", tmp_path / "two.parquet")
    question: Any = mock.MagicMock(spec=Question)
    question.configure_mock(files=files, tolerance=0.0, discordant=None, tau=0.5, p=0.9, alpha=0.05)
    with pytest.raises(UnusableInputError, match=r"one\.parquet: class column .*rename it"):
        compare_files(question, as_json=True)


def test_no_module_has_words_of_its_own() -> None:
    for path in (ROOT / "lifecycle").rglob("*.py"):
        text = path.read_text("utf-8")
        assert '"none of them"' not in text, path
        if path.name != "names.py":
            assert f"INCONCLUSIVE = {json.dumps(INCONCLUSIVE)}" not in text, path
