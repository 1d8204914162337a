"""Import of a cohort: one function for tables of the laboratory, bundled sets and simulated cases.

What cannot be read is an error here. What can be read but should not be trusted (unknown classes,
duplicate cases, beta values outside [0, 1], many missing cells) is left for the expectations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lifecycle.cohorts.bundled import import_bundled
from lifecycle.cohorts.matrix import import_matrix
from lifecycle.cohorts.tables import MISSING
from lifecycle.domain.classifier import ECG_SOURCES, CohortSource, Task
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.names import fault_of_name, fault_of_twins
from lifecycle.domain.sheets import fault_in_sheets
from lifecycle.errors import UnusableInputError

Progress = Callable[[str], None]

_EVERY = 1000  # simulated records between two sentences of progress


def import_cohort(
    source: CohortSource,
    classes: tuple[str, ...],
    task: Task,
    root: Path,
    progress: Progress | None = None,
) -> Cohort:
    """Cases, attributes and measurements of a source; labels mapped to classes.

    Args:
        source: what params.yaml says of the cohort.
        classes: classes of the classifier; they order the parts of a multi-label case.
        task: `single`, or `multi` where labels join classes with `|`.
        root: the project's root, to which paths are relative.
        progress: told in a sentence what begins and what was found.

    Returns:
        The cohort: float64 values with NaN for missing cells (simulated ones uint16 in units of
        1/65536). Labels that are not classes are kept as they are.

    Raises:
        UnusableInputError: the source cannot be used; the message names file, line and column.
    """
    say = progress or (lambda sentence: None)
    _require_label_column(source)
    say(f"reading {source.dataset or source.path}")
    if source.source in ECG_SOURCES:
        return _read_ecg(source, classes, root, say)
    cohort = _read(source, root)
    labels = tuple(_label(text, source.labels or {}, classes, task) for text in cohort.labels)
    cohort = replace(cohort, labels=labels)
    if not source.keep_unlabelled:
        _require_labels(source, cohort)
    _require_plain_names(source, cohort)
    say(f"{len(cohort.ids)} cases x {len(cohort.features)} features ({cohort.origin})")
    return cohort


def _require_plain_names(source: CohortSource, cohort: Cohort) -> None:
    """One patient or slide written in two ways would be two, and could straddle the split."""
    kinds = {"case": cohort.ids, "patient": cohort.patients, "group": cohort.groups}
    for kind, names in kinds.items():
        for row, (case, name) in enumerate(zip(cohort.ids, names, strict=True), 1):
            fault = fault_of_name(name) or fault_in_sheets(name)
            if fault is not None:
                raise UnusableInputError(
                    f"{source.path}, case {row} ({case!r}){_column(source, kind)}: {kind} "
                    f"{name!r}: {fault}; correct it"
                )
        fault = None if kind == "case" else fault_of_twins(kind, names)
        if fault is not None:
            raise UnusableInputError(f"{source.path}{_column(source, kind)}: {fault}")
    if source.group is not None and not any(cohort.groups):
        raise UnusableInputError(
            f"{source.path}{_column(source, 'group')}: no case has a group; fill the column in, or "
            "leave `group` out"
        )


def _column(source: CohortSource, kind: str) -> str:
    """Where the names of a kind stand, as far as params.yaml names it."""
    rule = {"patient": source.patient, "group": source.group}.get(kind)
    column = source.id if kind == "case" else rule and rule.column
    where = f" (or {source.annotation.path})" if source.annotation else ""
    return f", column {column!r}{where}" if column else ""


def _read(source: CohortSource, root: Path) -> Cohort:
    if source.source == "simulated":
        # Its plan and tables are not needed for the other sources.
        from lifecycle.cohorts.simulate import load_settings, simulate  # noqa: PLC0415

        return simulate(load_settings(root / source.path), source.part)
    if source.source == "bundled":
        return import_bundled(source)
    return import_matrix(source, root)


def _read_ecg(source: CohortSource, classes: tuple[str, ...], root: Path, say: Progress) -> Cohort:
    """Signals; a record without any of the classes is a case all the same."""
    # Their libraries are not needed for the other sources.
    if source.source == "simulated_ecg":
        from lifecycle.cohorts.ecg.simulate import load_settings, simulate  # noqa: PLC0415

        def advance(done: int, total: int) -> None:
            if done % _EVERY == 0:
                say(f"{done} of {total} records made")

        cohort = simulate(load_settings(root / source.path), advance)
        say(f"{len(cohort.ids)} cases x {len(cohort.features)} leads ({cohort.origin})")
    else:
        from lifecycle.cohorts.ecg.read import import_ecg  # noqa: PLC0415

        cohort = import_ecg(source, classes, root, say)
    _require_plain_names(source, cohort)
    return cohort


def _label(text: str, mapped: Mapping[str, str], classes: tuple[str, ...], task: Task) -> str:
    """The class of a case, "" where it has none; parts of a multi-label case in class order."""
    if task == "single":
        return _class(text, mapped, classes)
    parts = {_class(part.strip(), mapped, classes) for part in text.split("|")} - {""}
    known = [name for name in classes if name in parts]
    return "|".join([*known, *sorted(parts - set(known))])


def _class(text: str, mapped: Mapping[str, str], classes: tuple[str, ...]) -> str:
    if text in mapped:
        return mapped[text]
    return "" if text in MISSING and text not in classes else text


def _require_label_column(source: CohortSource) -> None:
    if source.source == "beta_matrix" and source.label is None and not source.keep_unlabelled:
        raise UnusableInputError(
            f"{source.path}: `label` is not given; name the column, or set `keep_unlabelled: true` "
            "for a frozen set without labels"
        )


def _require_labels(source: CohortSource, cohort: Cohort) -> None:
    without = [case for case, label in zip(cohort.ids, cohort.labels, strict=True) if not label]
    if not without:
        return
    more = f" (and {len(without) - 1} more)" if len(without) > 1 else ""
    raise UnusableInputError(
        f"{source.path}: case {without[0]!r}{more} has no label; add it, or set "
        "`keep_unlabelled: true` for a frozen set"
    )
