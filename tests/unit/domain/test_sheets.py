"""No cell of a table for people is run by a spreadsheet, whoever writes the table."""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.consistency.agree import Series, agree
from lifecycle.consistency.calls import call
from lifecycle.domain.classifier import CohortSource
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.predictions import Cutoffs, Predictions
from lifecycle.domain.sheets import cell, fault_in_sheets, is_formula, sheet
from lifecycle.dossier.predictions import read_csv, write_csv
from lifecycle.errors import UnusableInputError
from lifecycle.tracking.notes import as_csv
from lifecycle.tracking.runs import _table
from lifecycle.workflows import exporting
from lifecycle.workflows.deciding import cases_csv
from lifecycle.workflows.released import Provenance, Result, to_csv

ROOT = Path(__file__).resolve().parents[3]
HOSTILE = (
    "=1+1", " =1+1", "\t=1+1", "\r=1+1", "\n=1+1", "\u00a0=1+1", "\u200b=1+1", "\ufeff=1+1",
    "\u3000 =1", "\x00=1", "\x1b=1", "+cmd|' /C calc'!A0", "+1", "-1+1", "-x", "- 1", "--1",
    "@SUM(1)", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201", "\ufe661", "\tplain", "\rplain",
    "\nplain", " \tplain", "-1.5e", "-\u0661", "-1.5 ",
)  # fmt: skip
HARMLESS = ("", "plain", "-1.5", "-2", "1e-9", "-1e+5", "-.5", "0", "a=1", "a\t=1", "1-2", "x@y",
            "'=1", " plain", "|", "class 1 (-)", "β", "none")  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_what_would_be_run_is_shown(text: str) -> None:
    assert is_formula(text) and fault_in_sheets(text)
    assert cell(text) == f"'{text}"
    assert cell(cell(text)) == cell(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_does_nothing_stays_as_it_is(text: str) -> None:
    assert not is_formula(text) and fault_in_sheets(text) is None
    assert cell(text) == text


@given(st.text())
def test_no_text_is_run_after_the_guard(text: str) -> None:
    assert not is_formula(cell(text))
    assert cell(text).removeprefix("'") == text.removeprefix("'")


@given(
    st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2))
)
def test_a_sheet_reads_back_as_its_guarded_cells(rows: list[list[str]]) -> None:
    found = list(csv.reader(io.StringIO(sheet(rows), newline="")))
    assert found == [[cell(text) for text in row] for row in rows]


def test_numbers_of_a_sheet_are_exact_and_nothing_is_empty() -> None:
    numbers = [-1.5, 0.1 + 0.2, np.float64(-0.1), 3, None]
    assert sheet([numbers]) == "-1.5,0.30000000000000004,-0.1,3,\n"


# ---- every writer


def _hostile(task: str = "single") -> Predictions:
    n = len(HOSTILE)
    scores = np.tile([0.9, 0.1], (n, 1))
    return Predictions(HOSTILE, HOSTILE, ("",) * n, ("=A",) * n, ("=A", "+B"), scores, task)  # type: ignore[arg-type]


def _agreement() -> Any:
    one = _hostile()
    two = replace(one, scores=one.scores[:, ::-1].copy())
    calls = tuple(call(p, Cutoffs((0.5, 0.5), None, "given", {})) for p in (one, two))
    return agree(Series(("=b1", "b2"), calls), 0.05)


def _predicted() -> str:
    about = Provenance("=c", "+1", 1, "-r", "@h", "w", "pass", False)
    n = len(HOSTILE)
    result = Result(
        HOSTILE, ("=A",) * n, (True,) * n, (0.9,) * n, ("=A", "+B"), _hostile().scores,
        np.zeros((n, 2), np.int8), (0,) * n, about,
    )  # fmt: skip
    return to_csv(result)


def _exported() -> str:
    cutoffs = Cutoffs((0.5, 0.5), None, "given", {})
    with mock.patch.object(exporting.kept, "frozen_predictions", lambda build: _hostile()):
        return exporting._predictions(SimpleNamespace(build=None, cutoffs=cutoffs))  # type: ignore[arg-type]


def _rows() -> list[dict[str, object]]:
    return [{"=case": text, "n": -1.5} for text in HOSTILE]


def _as_sheet(table: dict[str, Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([table["columns"], *table["data"]])
    return text.getvalue()


WRITERS: dict[str, Callable[[], str]] = {
    "discordant.csv, cases.csv": lambda: cases_csv(_agreement()),
    "release predict": _predicted,
    "predictions of an export": _exported,
    "tables of MLflow as CSV": lambda: as_csv(_rows(), ["=case", "n"]),
    "tables of MLflow": lambda: _as_sheet(_table(_rows())),
}


@pytest.mark.parametrize("name", WRITERS)
def test_no_writer_for_people_writes_a_formula(name: str) -> None:
    rows = list(csv.reader(io.StringIO(WRITERS[name](), newline="")))
    assert len(rows) == 1 + len(HOSTILE)
    assert len({len(row) for row in rows}) == 1
    for row in rows:
        assert not [text for text in row if is_formula(text)], row
    assert sum("SUM(1)" in text for row in rows for text in row) > 0


# Who may write a table by other means, and why.
OWN_MEANS = {
    "lifecycle/domain/sheets.py": "the one place",
    "lifecycle/numerics/exact/compiled.py": "the compiler's list of processor features",
    "lifecycle/workflows/simulation.py": "a cohort that is to be imported; its names are ours",
    "lifecycle/workflows/building.py": "curves.csv, numbers alone",
    "lifecycle/workflows/deciding.py": "holdout_curve.csv, numbers alone",
}
# Who writes cells as they are, because they are read back; such names are refused at the import.
UNGUARDED = {"lifecycle/cohorts/split.py", "lifecycle/dossier/predictions.py"}
MEANS = {"writer", "DictWriter", "to_csv", "to_excel", "to_html", "to_clipboard", "log_table",
         "savetxt", "Workbook"}  # fmt: skip
MODULES = [*(ROOT / "lifecycle").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]


def _means(path: Path) -> set[str]:
    """How a module writes tables: calls of libraries, and texts put together with separators."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    formats = {id(one.format_spec) for one in nodes if isinstance(one, ast.FormattedValue)}
    found = {one.attr for one in nodes if isinstance(one, ast.Attribute)} & MEANS
    for one in nodes:
        if isinstance(one, ast.Attribute) and one.attr == "join":
            separator = one.value.value if isinstance(one.value, ast.Constant) else ""
            found |= {"join"} if separator in (",", "\t", ";") else set()
        if isinstance(one, ast.JoinedStr) and id(one) not in formats:
            texts = [part.value for part in one.values if isinstance(part, ast.Constant)]
            found |= {"f-string"} if {",", "\t"} & set(texts) else set()
    return found


def test_every_other_table_is_written_by_the_one_module() -> None:
    found = {path.relative_to(ROOT).as_posix(): _means(path) for path in MODULES}
    others = {name: means for name, means in found.items() if means and name not in OWN_MEANS}
    assert not others, (
        f"{others}: write tables for people by lifecycle.domain.sheets.sheet, which guards every "
        "cell; a file that is read back is named in OWN_MEANS with its reason"
    )
    assert not [name for name in OWN_MEANS if not found[name]], "it writes no table any more"
    unguarded = {
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        if "csv_text" in path.read_text("utf-8") and path.name != "sheets.py"
    }
    assert unguarded == UNGUARDED, "only what is read back is written without the guard"


def test_there_is_one_list_of_what_a_spreadsheet_runs() -> None:
    for path in (ROOT / "lifecycle").rglob("*.py"):
        if path.name != "sheets.py":
            assert "_FORMULA =" not in path.read_text("utf-8"), path


# ---- what is read back keeps every character, so such a name is refused where it comes in


def test_predictions_for_exchange_are_read_back_and_foreign_ones_are_held_to_the_rule(
    tmp_path: Path,
) -> None:
    plain = _hostile()
    plain = replace(plain, ids=tuple(f"c{i}" for i in range(len(plain.ids))),
                    patients=("p",) * len(plain.ids), classes=("A", "+8"))  # fmt: skip
    plain = replace(plain, subgroups={"er": HOSTILE})  # as the laboratory wrote it, `+` or `-`
    write_csv(tmp_path / "p.csv", plain)
    assert read_csv(tmp_path / "p.csv").digest() == plain.digest()
    for column in ("ids", "patients", "groups"):
        hostile = tuple("=1+1" if i == 3 else f"c{i}" for i in range(len(plain.ids)))
        write_csv(tmp_path / "p.csv", replace(plain, **{column: hostile}))
        with pytest.raises(UnusableInputError, match=r"row 4: .* '=1\+1': a spreadsheet would"):
            read_csv(tmp_path / "p.csv")


@pytest.mark.parametrize("column", ["ids", "patients", "groups"])
def test_an_imported_cohort_is_held_to_the_rule(column: str) -> None:
    from lifecycle.cohorts.read import _require_plain_names

    cohort = Cohort(("a",), ("p",), ("g",), ("",), ("f",), np.zeros((1, 1)), "real")
    source = CohortSource(source="beta_matrix", path="data/beta.csv", id="id")
    _require_plain_names(source, cohort)
    with pytest.raises(
        UnusableInputError, match=r"data/beta\.csv, case 1 .*a spreadsheet would run it"
    ):
        _require_plain_names(source, replace(cohort, **{column: ("@x",)}))
