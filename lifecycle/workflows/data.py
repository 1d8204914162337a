"""From source files to network input: import, split, validate, prepare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts import preprocess, read, store
from lifecycle.cohorts import split as splitting
from lifecycle.cohorts.pin import check_pin, make_pin
from lifecycle.consistency.units import require_groups
from lifecycle.domain.classifier import Part
from lifecycle.domain.cohort import SIGNAL, Cohort, Pin, Preprocessing
from lifecycle.dossier.arrays import read_array
from lifecycle.dossier.builds import FEATURES, PARTS, Build, file_of, first_of, read_builds
from lifecycle.dossier.files import folder_whole
from lifecycle.dossier.pins import append_pin, pin_of
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.workflows.boundary import say
from lifecycle.workflows.project import Project
from lifecycle.workflows.terms import require_same_terms


def import_data(project: Project) -> None:
    """Read the classifier's sources into `work/<c>/cohort/`."""
    builds = read_builds(project.layout)
    require_same_terms(project.name, project.classifier, builds)
    classifier = project.classifier

    def told(sentence: str) -> None:
        say(f"{project.name}: {sentence}")

    cohort = read.import_cohort(
        classifier.cohort, classifier.classes, classifier.task, project.root, told
    )
    store.write(project.cohort, cohort)
    said = _told(project, cohort)
    if classifier.frozen.source is not None:
        frozen = read.import_cohort(
            classifier.frozen.source, classifier.classes, classifier.task, project.root, told
        )
        store.write(project.frozen, frozen)
        said += f"; separate frozen set: {len(frozen.ids)} cases"
    say(said)


def _told(project: Project, cohort: Cohort) -> str:
    mark = " SIMULATED" if cohort.origin == "simulated" else ""
    n, *_, p = cohort.values.shape
    what = "features"
    if cohort.values.ndim == SIGNAL:
        what = f"leads of {cohort.values.shape[1] / cohort.about['rate']:g} s"
    return f"{project.name}: {n}{mark} cases of {len(set(cohort.patients))} patients, {p} {what}"


def cohorts_of(project: Project) -> tuple[Cohort, Cohort | None]:
    """The imported cohort and the separate frozen one, where there is one."""
    separate = project.classifier.frozen.source is not None
    return store.read(project.cohort), store.read(project.frozen) if separate else None


def split_data(project: Project) -> None:
    """Assign every case to training, holdout or frozen; a rebuild keeps the first build's split."""
    cohort, frozen = cohorts_of(project)
    classifier = project.classifier
    kept = kept_parts(project)
    known = _known_labels(cohort, classifier.classes)
    parts = splitting.assign(known, frozen, classifier.split, classifier.frozen, kept)
    ids = [*cohort.ids, *(frozen.ids if frozen is not None else ())]
    _require_units(project, cohort if frozen is None else frozen, parts)
    splitting.write_parts(project.parts, parts, ids)
    aside = _aside(known, parts, kept)
    if aside:
        reasons = "; ".join(f"{count} {reason}" for reason, count in aside.items())
        say(f"{project.name}: {aside.total()} cases are set aside: {reasons}")


def _require_units(project: Project, cohort: Cohort, parts: Mapping[str, Part]) -> None:
    """What the policy counts by is known of every frozen case, before anything is trained."""
    rows = [i for i, case in enumerate(cohort.ids) if parts.get(case) == "frozen"]
    ids, groups = ([column[i] for i in rows] for column in (cohort.ids, cohort.groups))
    where = f"{project.name}, frozen set (`policy.unit: component`)"
    require_groups(project.classifier.policy.unit, ids, groups, where)


def _aside(
    cohort: Cohort, parts: Mapping[str, Part], kept: Mapping[str, Part] | None
) -> Counter[str]:
    """How many cases belong to no part, by the reason (those of `splitting.assign`)."""
    labels = dict(zip(cohort.ids, cohort.labels, strict=True))
    return Counter(
        _why_aside(case, label, kept) for case, label in labels.items() if parts[case] == "aside"
    )


def _why_aside(case: str, label: str, kept: Mapping[str, Part] | None) -> str:
    if not label:
        return "without a known label"
    if kept is None:
        return "without a fold"
    if case in kept:
        return "as in the first build"
    return "new, of patients or groups that are frozen or in two parts"


def _known_labels(cohort: Cohort, classes: tuple[str, ...]) -> Cohort:
    """Unknown labels count as none, so that the expectations name them, and not the split."""
    known = tuple(label if set(label.split("|")) <= set(classes) else "" for label in cohort.labels)
    return replace(cohort, labels=known) if any(known) else cohort


def first_build(project: Project) -> Build | None:
    """The first build of the classifier's version, which fixes what a rebuild keeps."""
    return first_of(read_builds(project.layout), project.classifier.version)


def kept_parts(project: Project) -> Mapping[str, Part] | None:
    """The split of the version's first build."""
    first = first_build(project)
    if first is None:
        return None
    return splitting.parts_in(file_of(first, PARTS), first.folder / PARTS)


def validate_data(project: Project) -> None:
    """Hold the data against their expectations; Data Docs are written either way.

    Raises:
        ExpectationError: a critical expectation failed.
    """
    from lifecycle.cohorts import expectations  # pandas: half a second that no other stage needs

    cohort, frozen = cohorts_of(project)
    classifier = project.classifier
    with folder_whole(project.validation) as folder:
        validation = expectations.validate(
            cohort,
            frozen,
            splitting.read_parts(project.parts),
            classifier.classes,
            classifier.task,
            classifier.cohort.measures,
            folder,
        )
        expectations.write_result(folder / "result.json", validation)
    expectations.require(validation, project.validation / "data_docs" / "index.html")


def part_of(cohort: Cohort, parts: Mapping[str, Part], part: Part) -> Cohort:
    """The cases of one part, in order of their ids, so that file order never matters."""
    rows = [i for i, case in enumerate(cohort.ids) if parts.get(case) == part]
    return cohort.take(sorted(rows, key=lambda i: cohort.ids[i]))


def frozen_cohort(project: Project) -> Cohort:
    """The frozen clinical test set, as imported and not yet checked."""
    cohort, separate = cohorts_of(project)
    parts = splitting.read_parts(project.parts)
    return part_of(cohort if separate is None else separate, parts, "frozen")


def pinned_cohort(project: Project) -> tuple[Cohort, Pin]:
    """The frozen clinical test set, checked against its pin case by case.

    Raises:
        IntegrityError: a case was changed, removed or added, or there is no pin.
    """
    pin = pin_of(project.layout.pins, project.classifier.version)
    if pin is None:
        raise IntegrityError(
            f"{project.name}: the frozen set of version {project.classifier.version} has no pin; "
            f"`lifecycle frozen lock {project.name}` makes it"
        )
    cohort = frozen_cohort(project)
    check_pin(pin, cohort)
    return cohort, pin


def prepare_data(project: Project) -> None:
    """Check the pin (or lock the first one), fit preprocessing on training, write network input."""
    require_pin(project)
    cohort, _ = cohorts_of(project)
    parts = splitting.read_parts(project.parts)
    training, holdout = (part_of(cohort, parts, part) for part in ("training", "holdout"))
    fitted = preprocess.fit(
        training, project.classifier.preprocess, project.root, kept_features(project)
    )
    with folder_whole(project.prepared) as folder:
        preprocess.write(folder, fitted)
        for name, part in (("training", training), ("holdout", holdout)):
            _write_input(folder, name, part, fitted)


def kept_features(project: Project) -> tuple[str, ...] | None:
    """The feature list of the version's first build."""
    first = first_build(project)
    if first is None:
        return None
    return tuple(file_of(first, FEATURES).decode("utf-8").split("\n")[:-1])


def _write_input(folder: Path, name: str, cohort: Cohort, fitted: Preprocessing) -> None:
    np.save(folder / f"{name}.npy", preprocess.apply(fitted, cohort), allow_pickle=False)


def read_input(project: Project, part: Part) -> tuple[NDArray[np.float64], Cohort]:
    """Network input (n, p) of a part, and its cases without measurements.

    Raises:
        UnusableInputError: the prepared files are missing or do not fit together.
        IntegrityError: the input was changed or is torn.
    """
    path = project.prepared / f"{part}.npy"
    x = read_array(path)
    cases = part_of(_cases_only(cohorts_of(project)[0]), read_parts(project), part)
    if len(cases.ids) != len(x):
        raise UnusableInputError(f"{path} and {project.parts} differ in cases; run `dvc repro`")
    return x, cases


def _cases_only(cohort: Cohort) -> Cohort:
    return replace(cohort, values=np.empty((len(cohort.ids), 0)), features=())


def read_parts(project: Project) -> Mapping[str, Part]:
    """Which case is in which part."""
    return splitting.read_parts(project.parts)


def require_pin(project: Project) -> Pin:
    """Check the frozen set against its pin; the first time of a version, lock it."""
    if pin_of(project.layout.pins, project.classifier.version) is None:
        return lock_frozen(project)
    return pinned_cohort(project)[1]


def lock_frozen(project: Project) -> Pin:
    """Pin the frozen clinical test set of the classifier's version."""
    version = project.classifier.version
    pin = make_pin(frozen_cohort(project), version, 1, "")
    append_pin(project.layout.pins, pin)
    say(
        f"{project.name} {version}: frozen set locked, pin 1, {len(pin.cases)} cases, "
        f"{pin.total[:12]}. Commit {project.layout.pins.relative_to(project.root)}"
    )
    return pin
