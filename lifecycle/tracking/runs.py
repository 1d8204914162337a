"""One MLflow run per build: opened by the build stage, completed by the stages after it.

A run that crashed or was killed is marked FAILED, never left looking done. What MLflow shows is a
view: finished runs can be overwritten by anyone, so no decision is read back from here.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.tracking.store import experiment_id, mlflow_at

TABLE_ROWS = 1000  # the UI shows no more, and hangs at a hundred thousand
_LONGEST_VALUE = 500
VERDICT_COLOURS = {
    "pass": "#2e7d32",
    "fail": "#c62828",
    "inconclusive": "#ef6c00",
    "": "#757575",
}


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A part of the cohort as MLflow names it: its size and digest, not its values."""

    name: str
    context: str
    digest: str
    cases: int
    features: int
    origin: str


@dataclass(slots=True)
class Run:
    """An open run."""

    mlflow: Any
    run_id: str

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        """One point of every curve."""
        self.mlflow.log_metrics(dict(values), step=number)

    def model(self, model: Any, example: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        """The network with its signature; at least two example rows, or it fixes the batch size."""
        import mlflow.pytorch
        from mlflow.models import infer_signature

        mlflow.pytorch.log_model(
            model,
            name="model",
            signature=infer_signature(example, scores),
            input_example=example,
            pip_requirements=["torch==2.13.0", f"numpy=={np.__version__}"],
        )

    def dataset(self, dataset: Dataset) -> None:
        """A dataset input: name, digest and context."""
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.data.sources import LocalArtifactDatasetSource

        source = LocalArtifactDatasetSource(f"work/{dataset.name}")
        entry = MetaDataset(source, name=dataset.name, digest=dataset.digest[:36])
        tags = {
            "origin": dataset.origin,
            "cases": str(dataset.cases),
            "features": str(dataset.features),
            "sha256": dataset.digest,
        }
        self.mlflow.log_input(entry, context=dataset.context, tags=tags)


@contextmanager
def build_run(
    root: Path,
    classifier: str,
    title: str,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    lock: Path,
) -> Iterator[Run]:
    """Open a run for the length of a build; any end but a good one marks it FAILED.

    Args:
        root: the project's root.
        classifier: the experiment's name.
        title: the run's name.
        params: recipe and environment, flat.
        tags: build facts.
        lock: file that holds the run id while the build runs, so that a later command can mark the
            run of a killed process FAILED.
    """
    with mlflow_at(root) as mlflow, _terminate_as_exception():
        experiment = experiment_id(mlflow, root, classifier)
        tags = {"mlflow.runColor": VERDICT_COLOURS[""], **tags}
        try:
            with mlflow.start_run(experiment_id=experiment, run_name=title, tags=tags) as active:
                run_id = str(active.info.run_id)
                lock.parent.mkdir(parents=True, exist_ok=True)
                lock.write_text(json.dumps({"pid": os.getpid(), "run": run_id}), encoding="utf-8")
                mlflow.log_params({key: _short(value) for key, value in params.items()})
                yield Run(mlflow, run_id)
        finally:
            lock.unlink(missing_ok=True)  # only when the run is closed, FINISHED or FAILED


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


@contextmanager
def _terminate_as_exception() -> Iterator[None]:
    """SIGTERM ends the block like an interrupt, so that the run is closed as FAILED."""

    def stop(number: int, frame: FrameType | None) -> None:
        # once is enough: a second signal would interrupt the closing of the run
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def mark_orphan(root: Path, lock: Path) -> str | None:
    """Mark the run of a killed build FAILED.

    Returns:
        The run id, or None where no build was killed (or it is still running).
    """
    try:
        entry = json.loads(lock.read_text(encoding="utf-8"))
        pid, run_id = int(entry["pid"]), str(entry["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if _alive(pid):
        return None
    with mlflow_at(root) as mlflow:
        if _exists(mlflow, run_id):
            mlflow.MlflowClient().set_terminated(run_id, status="FAILED")
    lock.unlink(missing_ok=True)
    return run_id


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True, slots=True)
class Addition:
    """What a later stage adds to a build's run.

    Attributes:
        tags, metrics: added or replaced.
        files: (file, folder in the run's artifacts).
        tables: artifact path -> rows (at most `TABLE_ROWS` are logged).
        name: a new name for the run.
        note: the description shown on the run's page.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    files: Sequence[tuple[Path, str | None]] = ()
    tables: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)
    name: str | None = None
    note: str | None = None


def add_to_run(root: Path, run_id: str, addition: Addition) -> bool:
    """Add to a run that has ended.

    Returns:
        False where the store does not know the run (a moved database): the dossier is the truth.
    """
    with mlflow_at(root) as mlflow:
        if not _exists(mlflow, run_id):
            return False
        client = mlflow.MlflowClient()
        for key, value in _tags(addition).items():
            client.set_tag(run_id, key, value)
        for key, number in addition.metrics.items():
            client.log_metric(run_id, key, float(number))
        for path, folder in addition.files:
            client.log_artifact(run_id, str(path), folder)
        for place, rows in addition.tables.items():
            client.log_dict(run_id, _table(rows), place)
    return True


def _tags(addition: Addition) -> dict[str, str]:
    tags = dict(addition.tags)
    if addition.name is not None:
        tags["mlflow.runName"] = addition.name
    if addition.note is not None:
        tags["mlflow.note.content"] = addition.note
    return tags


def _table(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Rows in the layout of `mlflow.log_table` (which appends when it is called twice)."""
    shown = list(rows)[:TABLE_ROWS]
    columns = list(shown[0]) if shown else []
    return {"columns": columns, "data": [[row[column] for column in columns] for row in shown]}


def _exists(mlflow: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        mlflow.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True
