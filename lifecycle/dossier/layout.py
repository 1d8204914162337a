"""Where everything of a classifier stands (design: three kinds of files)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one classifier below the project's root."""

    root: Path
    name: str

    @property
    def dossier(self) -> Path:
        """What must outlast every machine; kept by git."""
        return self.root / "dossier" / self.name

    @property
    def work(self) -> Path:
        """What can be made again."""
        return self.root / "work" / self.name

    @property
    def weights(self) -> Path:
        """Weights by content; kept by DVC."""
        return self.root / "weights" / self.name

    @property
    def builds(self) -> Path:
        """One folder a build."""
        return self.dossier / "builds"

    def build(self, number: int) -> Path:
        """The folder of build bN."""
        return self.builds / f"b{number}"

    @property
    def pins(self) -> Path:
        """The frozen clinical test set's pins."""
        return self.dossier / "frozen.json"

    @property
    def attempts(self) -> Path:
        """One file per weight digest that was judged on the frozen set."""
        return self.dossier / "attempts"

    @property
    def verdicts(self) -> Path:
        """One verdict a build."""
        return self.dossier / "verdicts"

    @property
    def releases(self) -> Path:
        """The chain of signed records."""
        return self.dossier / "releases"

    @property
    def cases(self) -> Path:
        """What each signed verdict was made from, by content."""
        return self.releases / "cases"

    @property
    def signers(self) -> Path:
        """Rosters of those who may sign, for all classifiers."""
        return self.root / "dossier" / "_signers"

    @property
    def current(self) -> Path:
        """Which build the pipeline stands at."""
        return self.dossier / "current.json"

    @property
    def threshold(self) -> Path:
        """The critical value and how it was chosen."""
        return self.dossier / "threshold.json"

    @property
    def environment(self) -> Path:
        """The fingerprint of machine and libraries."""
        return self.root / "work" / "environment.json"

    @property
    def sources(self) -> Path:
        """Digests of the source files of this classifier."""
        return self.root / "work" / "sources" / f"{self.name}.json"
