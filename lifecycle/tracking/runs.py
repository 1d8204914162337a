"""One MLflow run per build: opened by the build stage, completed by the stages after it.

A run that crashed or was killed is marked FAILED, never left looking done. What MLflow shows is a
view: finished runs can be overwritten by anyone, so no decision is read back from here.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.system.stopping import stopped_like_interrupt
from lifecycle.tracking.notes import cell, plain
from lifecycle.tracking.store import experiment_id, mlflow_at
from lifecycle.tracking.system import system_metrics

TABLE_ROWS = 1000  # the UI shows no more, and hangs at a hundred thousand
_LONGEST_VALUE = 500
_OF_MODEL = ("build", "verdict")
UNJUDGED = "not judged"
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
        self.mlflow.log_input(_meta(dataset), context=dataset.context, tags=_dataset_tags(dataset))


def _meta(dataset: Dataset) -> Any:
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource

    source = LocalArtifactDatasetSource(f"work/{dataset.name}")
    return MetaDataset(source, name=dataset.name, digest=dataset.digest[:36])


def _dataset_tags(dataset: Dataset) -> dict[str, str]:
    return {
        "origin": dataset.origin,
        "cases": str(dataset.cases),
        "features": str(dataset.features),
        "sha256": dataset.digest,
    }


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
    with mlflow_at(root) as mlflow, stopped_like_interrupt(signal.SIGTERM):
        experiment = experiment_id(mlflow, root, classifier, str(tags.get("data.origin", "")))
        # the table shows tags in the order in which a run got them: the verdict must be seen first
        tags = {"verdict": UNJUDGED, "mlflow.runColor": VERDICT_COLOURS[""], **tags}
        try:
            with mlflow.start_run(experiment_id=experiment, run_name=title, tags=tags) as active:
                run_id = str(active.info.run_id)
                lock.parent.mkdir(parents=True, exist_ok=True)
                lock.write_text(json.dumps({"pid": os.getpid(), "run": run_id}), encoding="utf-8")
                mlflow.log_params({key: _short(value) for key, value in params.items()})
                with system_metrics(run_id):
                    yield Run(mlflow, run_id)
        finally:
            lock.unlink(missing_ok=True)  # only when the run is closed, FINISHED or FAILED


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


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


@dataclass(frozen=True, slots=True, eq=False)
class Addition:
    """What a later stage adds to a build's run.

    Attributes:
        tags, metrics: added or replaced.
        measured: context of a dataset of the run -> metrics, which also go to the logged model.
        datasets: inputs that the run did not have yet.
        files: (file, folder in the run's artifacts).
        texts: artifact path -> content.
        tables: artifact path -> rows (at most `TABLE_ROWS` are logged).
        name: a new name for the run.
        note: the description shown on the run's page.
        model_note: the description shown on the logged model's page.
    """

    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    datasets: Sequence[Dataset] = ()
    files: Sequence[tuple[Path, str | None]] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)
    name: str | None = None
    note: str | None = None
    model_note: str | None = None


def add_to_run(root: Path, run_id: str, addition: Addition) -> bool:
    """Add to a run that has ended.

    Returns:
        False where the store does not know the run (a moved database): the dossier is the truth.
    """
    with mlflow_at(root) as mlflow:
        if not _exists(mlflow, run_id):
            return False
        client = mlflow.MlflowClient()
        _add_datasets(client, run_id, addition.datasets)
        run = client.get_run(run_id)
        _add_values(client, run, addition)
        _describe_model(client, _model_of(run), addition)
        for path, folder in addition.files:
            client.log_artifact(run_id, str(path), folder)
        for place, text in addition.texts.items():
            client.log_text(run_id, text, place)
        for place, rows in addition.tables.items():
            client.log_dict(run_id, _table(rows), place)
    return True


def _add_datasets(client: Any, run_id: str, datasets: Sequence[Dataset]) -> None:
    from mlflow.entities import DatasetInput, InputTag

    inputs = [
        DatasetInput(
            _meta(dataset)._to_mlflow_entity(),
            [
                InputTag(key, value)
                for key, value in {
                    "mlflow.data.context": dataset.context,
                    **_dataset_tags(dataset),
                }.items()
            ],
        )
        for dataset in datasets
    ]
    if inputs:
        client.log_inputs(run_id, inputs)


def _add_values(client: Any, run: Any, addition: Addition) -> None:
    """Tags and metrics in one call: a server far away is asked once."""
    from mlflow.entities import RunTag

    tags = [RunTag(key, value) for key, value in _tags(addition).items()]
    client.log_batch(run.info.run_id, metrics=_metrics(run, addition), tags=tags)


def _metrics(run: Any, addition: Addition) -> list[Any]:
    from mlflow.entities import Metric

    now = time.time_ns() // 1_000_000
    found = [Metric(key, float(value), now, 0) for key, value in addition.metrics.items()]
    model = _model_of(run)
    for context, values in addition.measured.items():
        name, digest = _dataset_of(run, context)
        found += [
            Metric(key, float(value), now, 0, model_id=model, run_id=run.info.run_id,
                   dataset_name=name, dataset_digest=digest)
            for key, value in values.items()
        ]  # fmt: skip
    return found


def _model_of(run: Any) -> str | None:
    models = run.outputs.model_outputs if run.outputs else []
    return str(models[-1].model_id) if models else None


def _describe_model(client: Any, model: str | None, addition: Addition) -> None:
    """The verdict on the model's own page, which shows nothing of its run's."""
    said = {key: value for key, value in _tags(addition).items() if key in _OF_MODEL}
    said |= {"mlflow.note.content": addition.model_note} if addition.model_note else {}
    if model is not None and said:
        client.set_logged_model_tags(model, said)


def _dataset_of(run: Any, context: str) -> tuple[str | None, str | None]:
    """Name and digest of the run's input that was logged for a context."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    for one in inputs:
        if any(tag.key == "mlflow.data.context" and tag.value == context for tag in one.tags):
            return one.dataset.name, one.dataset.digest
    return None, None


def _tags(addition: Addition) -> dict[str, str]:
    tags = {key: plain(value) for key, value in addition.tags.items()}
    if addition.name is not None:
        tags["mlflow.runName"] = plain(addition.name)
    if addition.note is not None:
        tags["mlflow.note.content"] = addition.note
    if addition.tables:
        # as `mlflow.log_table` marks them, so that the experiment's own table view finds them
        marks = [{"path": place, "type": "table"} for place in addition.tables]
        tags["mlflow.loggedArtifacts"] = json.dumps(marks)
    return tags


def _table(rows: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """Rows in the layout of `mlflow.log_table` (which appends when it is called twice)."""
    shown = list(rows)[:TABLE_ROWS]
    columns = list(shown[0]) if shown else []
    data = [[_shown(row[column]) for column in columns] for row in shown]
    return {"columns": [cell(column) for column in columns], "data": data}


def _shown(value: object) -> object:
    return cell(value) if isinstance(value, str) else value


def _exists(mlflow: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        mlflow.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True
