"""Where MLflow keeps its records: an embedded database by default, a server where one is named."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lifecycle.errors import UnusableInputError
from lifecycle.tracking.notes import markdown

VIEW = "builds"
VIEW_TAGS = ("verdict", "build", "version", "signed", "tau", "data.origin", "digest.weights")
VIEW_METRICS = ("frozen_discordant", "frozen_conversions")
_VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
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
    state = {
        "selectedColumns": [
            *(f"tags.`{name}`" for name in VIEW_TAGS),
            *(f"metrics.`{name}`" for name in VIEW_METRICS),
        ],
        "orderByKey": "metrics.`build_number`",
        "orderByAsc": False,
    }
    at = {"createdAt": 0, "updatedAt": 0}
    return json.dumps({"name": "Builds", **at, "state": json.dumps(state)})


def banner(classifier: str, origin: str) -> str:
    """The experiment's description, which stands above the table of its runs."""
    marked = "**SIMULATED DATA.** " if origin == "simulated" else ""
    return (
        # MLflow shows about one line of it until somebody unfolds it
        f"{marked}**The column *verdict* decides; a green tick says only that training ended.** "
        f"Builds of {markdown(classifier)}. Anyone who reaches this page can change it: the signed "
        "files in `dossier/` are the truth (`lifecycle gate`, `lifecycle release verify`)."
    )


def view_address(server: str, experiment: str) -> str:
    """The table of builds of an experiment, as the saved view shows it, below a server."""
    query = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{server.rstrip('/')}/#/experiments/{experiment}/runs?{query}"


def list_address(server: str) -> str:
    """The list of all experiments below a server."""
    return f"{server.rstrip('/')}/#/experiments?workflowType=machine_learning"


def addresses(root: Path, server: str) -> dict[str, str]:
    """The table of builds of every experiment of ours: name -> address below a server."""
    with mlflow_at(root) as mlflow:
        found = mlflow.search_experiments()
        return {
            one.name: view_address(server, one.experiment_id)
            for one in sorted(found, key=lambda one: str(one.name))
            if _VIEW_TAG in one.tags
        }


def strayed(root: Path) -> dict[str, str]:
    """Experiments of the embedded store whose artifacts do not lie in this project: name -> place.

    MLflow keeps absolute places, so that happens to a project that was moved or copied.
    """
    with mlflow_at(root) as mlflow:
        found = [one for one in mlflow.search_experiments() if _VIEW_TAG in one.tags]
    places = {str(one.name): unquote(urlsplit(one.artifact_location).path) for one in found}
    here = root.resolve()
    return {name: place for name, place in places.items() if not Path(place).is_relative_to(here)}


def experiment_id(mlflow: Any, root: Path, classifier: str, origin: str) -> str:
    """The classifier's experiment, made on first use; artifacts stay below the project's root.

    Its description and its saved view are brought up to date, where another release of this
    program made them.
    """
    found = mlflow.get_experiment_by_name(classifier) or _made(mlflow, root, classifier, origin)
    for key, value in _experiment_tags(classifier, origin).items():
        if found.tags.get(key) != value:
            mlflow.MlflowClient().set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


def _made(mlflow: Any, root: Path, classifier: str, origin: str) -> Any:
    from mlflow.exceptions import MlflowException

    embedded = tracking_uri(root).startswith("sqlite:")
    place = (root / "mlartifacts" / classifier).resolve().as_uri() if embedded else None
    try:
        tags = _experiment_tags(classifier, origin)
        made = mlflow.create_experiment(classifier, artifact_location=place, tags=tags)
        return mlflow.get_experiment(made)
    except MlflowException:  # another process made it in between
        found = mlflow.get_experiment_by_name(classifier)
        if found is None:
            raise
        return found


def _experiment_tags(classifier: str, origin: str) -> dict[str, str]:
    return {
        _VIEW_TAG: saved_view(),
        "mlflow.note.content": banner(classifier, origin),
        "mlflow.experimentKind": "custom_model_development",  # or the page asks which kind it is
    }
