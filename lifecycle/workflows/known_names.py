"""Every name of a case, patient or slide that a dossier knows, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lifecycle.cohorts.split import read_parts
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.predictions import Predictions
from lifecycle.dossier import builds as kept
from lifecycle.dossier.pins import read_pins
from lifecycle.workflows.data import cohorts_of
from lifecycle.workflows.project import Project


@dataclass(frozen=True, slots=True)
class Known:
    """Names, each once, in the order in which they were met.

    Attributes:
        cases, patients, groups: names -> a case that they stand with.
    """

    cases: dict[str, str]
    patients: dict[str, str]
    groups: dict[str, str]

    @classmethod
    def of(cls, parts: Iterable[Predictions | Cohort], cases: Iterable[str] = ()) -> Known:
        """Names of predictions and cohorts, and of further cases of which nothing else is known."""
        known = cls({}, {}, {})
        for part in parts:
            for case, patient, group in zip(part.ids, part.patients, part.groups, strict=True):
                known.cases.setdefault(case, case)
                known.patients.setdefault(patient, case)
                known.groups.setdefault(group, case)
        known.cases.update((case, case) for case in cases if case not in known.cases)
        known.groups.pop("", None)
        return known


def known_names(project: Project) -> Known:
    """Names of the current cohort, training cases too, of every build and of every pin.

    Of training cases a version's first build keeps the case names, and no build anything else: a
    training case that came later and has left again is in no file, and so are the patients and
    slides of all that have left.
    """
    parts: list[Predictions | Cohort] = []
    cases: dict[str, None] = {}
    for build in reversed(kept.read_builds(project.layout)):
        parts += [kept.frozen_predictions(build), kept.holdout_predictions(build)]
        if kept.PARTS in build.files:
            cases.update(dict.fromkeys(read_parts(build.folder / kept.PARTS)))
    cohort, separate = cohorts_of(project)
    parts += [cohort, *([] if separate is None else [separate])]
    for pin in read_pins(project.layout.pins):
        cases.update(dict.fromkeys(pin.cases))
    return Known.of(parts, cases)
