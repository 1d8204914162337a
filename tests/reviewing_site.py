"""A small project to be reviewed: wine b1 released, b2 trained otherwise and contradicting it.

Everything is made by the product's own stages; only the weights of b2 are disturbed, as another
machine's arithmetic would, but more.
"""

from __future__ import annotations

import io
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import chdir, closing, contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from release_site import Site, new_site, quiet_dvc

from lifecycle.training import trainer
from lifecycle.workflows.building import train_build
from lifecycle.workflows.deciding import choose_threshold, compare_builds
from lifecycle.workflows.enrolling import enrol_build, predict_frozen
from lifecycle.workflows.judging import judge_build
from lifecycle.workflows.project import Project, open_project
from lifecycle.workflows.reporting import write_report

_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
_NOISE = 0.6  # standard deviation, in those of each tensor: enough for some discordant cases


def own_store(root: Path, before: Path) -> None:
    """MLflow keeps absolute paths: a copied project would write into the one it was copied from."""
    with closing(sqlite3.connect(root / "mlflow.db")) as store, store:
        for table, column in _PLACES:
            statement = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            store.execute(statement, (str(before), str(root)))
    forget_places()


def forget_places() -> None:
    """MLflow remembers by run where artifacts lie, and copies of a project have the same runs."""
    if service := sys.modules.get("mlflow.tracking._tracking_service.utils"):
        service._artifact_repos_cache.clear()


def reviewed_site(built: Path, folder: Path) -> Site:
    """Wine b1 signed by two people and mirrored, b2 compared with it and judged."""
    site = new_site(built, folder, ("ada", "rev", "app"))
    own_store(site.root, built)
    site = replace(site, mirrored=True)
    with quiet_dvc():
        for user, meaning in (("rev", "review"), ("app", "approval")):
            done = site.sign(user, meaning)
            assert done.code == 0, done.said
    disturbed_build(site.root)
    forget_places()
    return site


def disturbed_build(root: Path) -> Project:
    """The stages from build to report, with weights that another arithmetic could have given."""
    with chdir(root), redirect_stderr(io.StringIO()), _disturbed():
        project = open_project("wine")
        train_build(project)
        for stage in (predict_frozen, enrol_build, choose_threshold, compare_builds, judge_build):
            stage(project)
        write_report(project)
    return project


@contextmanager
def _disturbed() -> Iterator[None]:
    honest, rng = trainer.train, np.random.default_rng(5)

    def disturbed(*arguments: Any) -> Any:
        trained = honest(*arguments)
        tensors = {
            name: (value + rng.normal(0, _NOISE * value.std(), value.shape)).astype(value.dtype)
            for name, value in sorted(trained.tensors.items())
        }
        return replace(trained, tensors=tensors)

    with mock.patch.object(trainer, "train", disturbed):
        yield
