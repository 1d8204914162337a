"""Where MLflow keeps its records: an embedded database by default, a server where one is named."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lifecycle.errors import UnusableInputError

VIEW = "builds"
VARIABLE = "MLFLOW_TRACKING_URI"
# A dead server otherwise holds a command for 247 s, a silent one beyond 900 s (measured).
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "ALEMBIC_LOGGING": "false",
}


def tracking_uri(root: Path) -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else `sqlite:///<root>/mlflow.db`."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    place = (root / "mlflow.db").resolve()
    if set("?#%") & set(str(place)):
        raise UnusableInputError(f"{place}: a path with ?, # or % cannot hold MLflow's database")
    return f"sqlite:///{place}"


@contextmanager
def mlflow_at(root: Path) -> Iterator[Any]:
    """MLflow, pointed at the project's store, its own chatter off.

    Raises:
        UnusableInputError: the store cannot be reached; the address and the cure are named.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # MLflow and its parts warn about their own internals; nothing a user could act on.
        warnings.simplefilter("ignore")
        import mlflow

        _quiet()
        named = os.environ.get(VARIABLE)
        mlflow.set_tracking_uri(tracking_uri(root))
        try:
            yield mlflow
        except _store_errors() as error:
            said = " ".join(str(error).split())[:300]
            raise UnusableInputError(
                f"the tracking store {tracking_uri(root)} does not answer as it should: {said}. "
                f"Start the server, or unset {VARIABLE} to use the embedded store"
            ) from error
        finally:
            _restore(named)


def _restore(named: str | None) -> None:
    """MLflow writes the address into the environment, where the next project would find it."""
    if named is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = named


def _quiet() -> None:
    import logging

    for name in ("mlflow", "alembic", "alembic.runtime.migration"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _store_errors() -> tuple[type[BaseException], ...]:
    from mlflow.exceptions import MlflowException
    from requests.exceptions import ConnectionError as NoConnection
    from sqlalchemy.exc import SQLAlchemyError

    return (MlflowException, NoConnection, SQLAlchemyError)


def saved_view() -> str:
    """The table of builds as a reviewer wants it: verdict, build, tau and digest, newest first.

    Without it MLflow's table shows no column of ours.
    """
    columns = ["verdict", "build", "version", "tau", "data.origin", "digest.weights"]
    state = {
        "selectedColumns": [
            *(f"tags.`{name}`" for name in columns),
            "metrics.`frozen_accuracy`",
            "metrics.`discordant`",
            "metrics.`conversions`",
        ],
        "orderByKey": "metrics.`build_number`",
        "orderByAsc": False,
    }
    at = {"createdAt": 0, "updatedAt": 0}
    return json.dumps({"name": "Builds", **at, "state": json.dumps(state)})


def addresses(root: Path, server: str) -> dict[str, str]:
    """The table of builds of every experiment: name -> address below a server."""
    with mlflow_at(root) as mlflow:
        found = mlflow.search_experiments()
        query = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
        return {
            one.name: f"{server}/#/experiments/{one.experiment_id}/runs?{query}"
            for one in sorted(found, key=lambda one: str(one.name))
            if f"mlflow.sharedViewState.{VIEW}" in one.tags
        }


def experiment_id(mlflow: Any, root: Path, classifier: str) -> str:
    """The classifier's experiment, made on first use; artifacts stay below the project's root."""
    from mlflow.exceptions import MlflowException

    found = mlflow.get_experiment_by_name(classifier)
    if found is not None:
        return str(found.experiment_id)
    embedded = tracking_uri(root).startswith("sqlite:")
    place = (root / "mlartifacts" / classifier).resolve().as_uri() if embedded else None
    try:
        tags = {f"mlflow.sharedViewState.{VIEW}": saved_view()}
        return str(mlflow.create_experiment(classifier, artifact_location=place, tags=tags))
    except MlflowException:  # another process made it in between
        found = mlflow.get_experiment_by_name(classifier)
        if found is None:
            raise
        return str(found.experiment_id)
