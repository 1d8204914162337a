"""What the run of the current build shows in MLflow once its report is written.

Every figure is taken from the verdict or from the figures that stand beside it in the dossier;
none is computed here.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.cohorts import preprocess
from lifecycle.dossier.files import read_json
from lifecycle.gate.judge import to_json
from lifecycle.report.margins import limits
from lifecycle.report.source import ReportInput
from lifecycle.tracking.notes import as_csv, within
from lifecycle.workflows.boundary import say
from lifecycle.workflows.printing import print_page
from lifecycle.workflows.project import Project
from lifecycle.workflows.tracking_tables import (
    SIGNS,
    Row,
    case_columns,
    case_rows,
    criteria_rows,
    headline,
    note,
)

if TYPE_CHECKING:
    from lifecycle.tracking.runs import Addition, Dataset

_LONG_LIST = 1000  # discordant cases that VERDICT.md names
_REST = "…and {} lines more: see `verdict/VERDICT.md` among the artifacts."


def tell_tracking(project: Project, material: ReportInput, page: Path) -> None:
    """Complete the run of the current build: verdict, metrics, tables, figures and report.

    A store that does not know the run is told so and is no error: the dossier has the record.

    Args:
        project: the classifier.
        material: what its report was made from.
        page: the written report; its figures lie in `figures/` beside it.

    Raises:
        UnusableInputError: the store does not answer.
    """
    from lifecycle.tracking.runs import add_to_run

    run = str(material.run["run"])
    with tempfile.TemporaryDirectory(prefix="lifecycle-report-") as folder:
        printed = Path(folder) / "report.pdf"
        refused = print_page(page, printed, str(material.run["built"]))
        addition = _addition(project, material, page, None if refused else printed)
        if not add_to_run(project.root, run, addition):
            say(f"{project.name}: MLflow does not know the run {run}; the report stands on its own")


def _addition(
    project: Project, material: ReportInput, page: Path, printed: Path | None
) -> Addition:
    from lifecycle.tracking.runs import Addition

    kept = read_json(project.layout.dossier / "metrics.json")
    tables = _tables(material)
    return Addition(
        tags=_tags(material),
        measured=measured(material, kept),
        datasets=[_frozen(project, material)],
        files=_files(page, printed),
        texts=_texts(project, material, tables),
        tables={f"tables/{name}.json": rows for name, (_, rows) in tables.items()},
        note=within(note(material), _REST),
        model_note="\n".join(headline(material)),
    )


def _tags(material: ReportInput) -> dict[str, str]:
    from lifecycle.tracking.runs import VERDICT_COLOURS

    verdict = material.verdict
    return {
        "verdict": SIGNS[verdict.status],
        "verdict.code": verdict.status,
        "verdict.basis": verdict.basis,
        "tau": tau_said(material),
        "mlflow.runColor": VERDICT_COLOURS[verdict.status],
    }


def tau_said(material: ReportInput) -> str:
    """The critical values in force, short: one, or their range over the classes."""
    frozen = material.frozen
    values = sorted(set(limits(frozen.classes, frozen.task, material.cutoffs).yes.values()))
    if not values:
        return "refused"
    if len(values) == 1:
        return f"{values[0]:.6g}"
    return f"{values[0]:.4g} to {values[-1]:.4g} by class"


def measured(material: ReportInput, kept: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Metrics by dataset, each under a name that says its dataset.

    MLflow's tables keep one figure for a name, so no two datasets may share one.

    Args:
        material: the report's values.
        kept: the build's `metrics.json`.

    Returns:
        `holdout` and `frozen` -> name -> figure; what could not be taken is left out.
    """
    shown = material.verdict.shown
    holdout = {"holdout_accuracy": kept["holdout_accuracy"]}
    holdout |= {f"holdout_{key}": shown.get("holdout", {}).get(key) for key in _OF_HOLDOUT}
    frozen = {key: value for key, value in kept.items() if key.startswith("frozen_")}
    series, ever = shown.get("series") or {}, shown.get("ever") or {}
    frozen |= {f"frozen_{name}": series.get(key) for name, key in _OF_SERIES.items()}
    frozen["frozen_ever_discordant"] = ever.get("D")
    return {"holdout": _numbers(holdout), "frozen": _numbers(frozen)}


_OF_HOLDOUT = ("precision", "recall", "reportable")
_OF_SERIES = {"discordant": "D", "reported_by_all": "R", "conversions": "conversions",
              "consistency": "consistency", "discordant_bound": "upper"}  # fmt: skip


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items() if _is_number(value)}


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _frozen(project: Project, material: ReportInput) -> Dataset:
    from lifecycle.tracking.runs import Dataset

    return Dataset(
        name=f"{project.name}/frozen",
        context="frozen",
        digest=material.pin.total,
        cases=len(material.pin.cases),
        features=len(preprocess.read(project.prepared).features),
        origin=material.pin.origin,
    )


def _files(page: Path, printed: Path | None) -> list[tuple[Path, str | None]]:
    found: list[tuple[Path, str | None]] = [(page, None)]  # the compare page lists the root only
    found += [(printed, "report")] if printed is not None else []
    return found + [(path, "figures") for path in sorted((page.parent / "figures").iterdir())]


def _tables(material: ReportInput) -> dict[str, tuple[list[str], list[Row]]]:
    """Name -> columns and rows."""
    criteria, columns = criteria_rows(material), case_columns(material)
    return {
        "criteria": (list(criteria[0]) if criteria else [], criteria),
        "discordant_cases": (columns, case_rows(material, "discordant")),
        "conversions": (columns, case_rows(material, "conversions")),
    }


def _texts(
    project: Project, material: ReportInput, tables: Mapping[str, tuple[list[str], list[Row]]]
) -> dict[str, str]:
    # for reading: with the sentences and the figures that the kept record leaves out
    verdict = to_json(material.verdict)
    texts = {f"tables/{name}.csv": as_csv(rows, head) for name, (head, rows) in tables.items()}
    texts["verdict/VERDICT.md"] = "\n".join(note(material, _LONG_LIST)) + "\n"
    texts["verdict/verdict.json"] = json.dumps(verdict, indent=2, ensure_ascii=False) + "\n"
    return texts
