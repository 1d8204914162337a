"""The project a command works in, and one classifier of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lifecycle.domain.classifier import Classifier
from lifecycle.dossier.layout import Layout
from lifecycle.errors import UnusableInputError
from lifecycle.params.reader import PARAMS, load_one


@dataclass(frozen=True, slots=True)
class Project:
    """One classifier of the project in `root`."""

    root: Path
    name: str
    classifier: Classifier
    layout: Layout

    @property
    def cohort(self) -> Path:
        """The imported cohort."""
        return self.layout.work / "cohort" / "main"

    @property
    def frozen(self) -> Path:
        """The separate frozen source, where the classifier has one."""
        return self.layout.work / "cohort" / "frozen"

    @property
    def parts(self) -> Path:
        """Which case is in which part."""
        return self.layout.work / "parts.csv"

    @property
    def validation(self) -> Path:
        """Result and Data Docs of the expectations."""
        return self.layout.work / "validation"

    @property
    def prepared(self) -> Path:
        """Fitted preprocessing and network input of training and holdout."""
        return self.layout.work / "prepared"

    @property
    def rates(self) -> Path:
        """Learning rate and L2 that the build uses, and where they come from."""
        return self.layout.work / "search.json"

    @property
    def build(self) -> Path:
        """The running build."""
        return self.layout.work / "build"

    @property
    def predictions(self) -> Path:
        """The running build's scores."""
        return self.layout.work / "predictions"

    @property
    def comparison(self) -> Path:
        """The agreement with earlier builds."""
        return self.layout.work / "comparison"

    @property
    def report(self) -> Path:
        """The report for people."""
        return self.layout.work / "report"

    @property
    def running(self) -> Path:
        """Held while a build runs; holds its MLflow run id."""
        return self.layout.work / "running.json"


def open_project(name: str, root: Path | None = None) -> Project:
    """The classifier `name` of the project in the current folder.

    Raises:
        UnusableInputError: this is no project, or the classifier's section is malformed.
        UsageError: there is no such classifier.
    """
    place = require_root(root)
    return Project(place, name, load_one(place, name), Layout(place, name))


def require_root(root: Path | None = None) -> Path:
    """The current folder, if it is a project.

    Raises:
        UnusableInputError: there is no params.yaml here.
    """
    place = Path.cwd() if root is None else root
    if not (place / PARAMS).is_file():
        raise UnusableInputError(f"there is no {PARAMS} in {place}; change to the project's root")
    return place
