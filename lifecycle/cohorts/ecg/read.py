"""Import of ECG records as published: one function for all formats.

Every record is read, verified and cut to the window, or counted by the reason why it cannot be
used (`signal.bad_records: skip`); with `stop` the first such record is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts.ecg.cinc2021 import list_cinc2021
from lifecycle.cohorts.ecg.cpsc2018 import list_cpsc2018
from lifecycle.cohorts.ecg.faults import BadRecordError
from lifecycle.cohorts.ecg.labels import Labeller, require_classes, require_statements
from lifecycle.cohorts.ecg.ptbxl import list_ptbxl
from lifecycle.cohorts.ecg.records import Case, Listing, Row, samples_of, twice
from lifecycle.cohorts.ecg.resample import described
from lifecycle.cohorts.ecg.rhythm_atr import list_rhythm_atr
from lifecycle.cohorts.ecg.table import list_table
from lifecycle.domain.classifier import CohortSource, SignalPlan
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.digests import canonical_array, sha256
from lifecycle.domain.names import fault_of_name
from lifecycle.errors import UnusableInputError

Progress = Callable[[str], None]

_EVERY = 1000  # records between two sentences of progress
_FORMATS: dict[str, Callable[[CohortSource, SignalPlan, Path], Listing]] = {
    "ptbxl": list_ptbxl,
    "cinc2021": list_cinc2021,
    "cpsc2018": list_cpsc2018,
    "rhythm_atr": list_rhythm_atr,
    "ecg_table": list_table,
}


def import_ecg(
    source: CohortSource, classes: tuple[str, ...], root: Path, progress: Progress
) -> Cohort:
    """Records of a data set as a cohort of signals.

    Args:
        source: what params.yaml says of the cohort; `signal` says what is read (its defaults
            where absent).
        classes: classes of the classifier; they order the parts of a label.
        root: the project's root, to which `path` is relative.
        progress: told in a sentence what begins and what was found.

    Returns:
        The cohort: (n, samples, leads) int16 in microvolt, features the leads of the plan, labels
        the record's classes joined with `|` ("" where it has none of them), `about` what was found
        and what was left out, by reason.

    Raises:
        UnusableInputError: the data set cannot be used, or (with `bad_records: stop`) a record.
    """
    plan = source.signal or SignalPlan()
    samples_of(plan)
    require_statements(source, plan)
    require_classes(source, plan, classes)
    listing = _FORMATS[source.source](source, plan, root)
    progress(f"{source.path}: {len(listing.rows)} records to read")
    reading = _Reading(source, plan, _values(len(listing.rows), plan))
    _read_all(reading, listing.rows, progress)
    if not reading.cases:
        raise UnusableInputError(
            f"{source.path}: none of {len(listing.rows)} records can be used "
            f"({_reasons(reading.left_out)}); correct `cohort` or the data set"
        )
    labeller = Labeller(classes, source.labels or {}, listing.names, Counter())
    cohort = _cohort(reading, listing, labeller)
    progress(_found(cohort, reading))
    return cohort


@dataclass(slots=True)
class _Reading:
    """What was read so far; `values` holds the cases' windows and grows where they are more."""

    source: CohortSource
    plan: SignalPlan
    values: NDArray[np.int16]
    cases: list[Case] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    signals: dict[str, int] = field(default_factory=dict)

    def take(self, outcome: Case | BadRecordError) -> None:
        """Keep a case; count a bad record, or stop at it."""
        if isinstance(outcome, Case):
            outcome = _checked(outcome, self.source) or self._linked(outcome)
        if isinstance(outcome, BadRecordError):
            self.leave_out(outcome)
            return
        if len(self.cases) == len(self.values):
            more = _values(max(64, len(self.values)), self.plan)
            self.values = np.concatenate([self.values, more])
        self.values[len(self.cases)] = outcome.values
        self.cases.append(_without_values(outcome))

    def _linked(self, case: Case) -> Case | BadRecordError:
        """Records of one signal, bit for bit, become one group, which stands in one part.

        Published sets hold such records (PTB-XL: 456 and 457): left apart, one could be learnt
        and the other tested. Folds that separate them are refused when the split is made.
        """
        digest = sha256(canonical_array(case.values))
        first = self.signals.setdefault(digest, len(self.cases))
        if first == len(self.cases):
            return case
        other = self.cases[first]
        group = other.group or f"signal of {other.id}"
        if case.group not in ("", group):
            return BadRecordError(
                case.id, "repeated signal", f"its signal is that of record {other.id}, bit for bit",
                "keep one of the two",
            )  # fmt: skip
        self.cases[first] = replace(other, group=group)
        return replace(case, group=group)

    def leave_out(self, fault: BadRecordError) -> None:
        """Count a bad record by its reason, or stop at it."""
        if self.plan.bad_records == "stop":
            raise fault
        self.left_out.setdefault(fault.reason, []).append(fault.record)


def _read_all(reading: _Reading, rows: Sequence[Row], progress: Progress) -> None:
    doubled = twice([row.id for row in rows])
    for number, row in enumerate(rows, start=1):
        try:
            _require_single(row.id, doubled)
            for outcome in row.read():
                reading.take(outcome)
        except BadRecordError as fault:
            reading.leave_out(fault)
        if number % _EVERY == 0:
            progress(f"{number} of {len(rows)} records read")


def _require_single(record: str, doubled: frozenset[str]) -> None:
    """Two records of one name: which of them is meant cannot be known, so neither is used."""
    if record in doubled:
        raise BadRecordError(
            record, "duplicate id", "more than one record has this name", "rename or remove one"
        )


def _checked(case: Case, source: CohortSource) -> BadRecordError | None:
    """What only the whole product asks of a case: plain names, and an annotation."""
    for what, name in (("record", case.id), ("patient", case.patient), ("group", case.group)):
        fault = fault_of_name(name)
        if fault is not None or (not name and what != "group"):
            told = f"{what} {name[:40]!r}: {fault or 'it is empty'}"
            return BadRecordError(case.id, "name", told, "correct it")
    if case.statements is None and not source.keep_unlabelled:
        cure = "annotate it, or set `keep_unlabelled: true` for a frozen set"
        return BadRecordError(case.id, "not annotated", "it has no statements", cure)
    return None


def _values(cases: int, plan: SignalPlan) -> NDArray[np.int16]:
    return np.zeros((cases, samples_of(plan), len(plan.leads)), dtype=np.int16)


def _without_values(case: Case) -> Case:
    """A case whose window is kept in the array of all windows only."""
    return Case(
        id=case.id,
        patient=case.patient,
        statements=case.statements,
        values=_NO_VALUES,
        rate=case.rate,
        fold=case.fold,
        group=case.group,
        subgroups=case.subgroups,
    )


_NO_VALUES = np.zeros((0, 0), dtype=np.int16)


def _cohort(reading: _Reading, listing: Listing, labeller: Labeller) -> Cohort:
    cases = reading.cases
    labels = tuple(labeller.label(case.statements or ()) for case in cases)
    return Cohort(
        ids=tuple(case.id for case in cases),
        patients=tuple(case.patient for case in cases),
        groups=tuple(case.group for case in cases),
        labels=labels,
        features=tuple(reading.plan.leads),
        values=reading.values[: len(cases)],
        origin="real",
        subgroups={
            name: tuple(case.subgroups[name] for case in cases) for name in reading.source.subgroups
        },
        about={**_about(reading, listing, labels), "other_statements": _ranked(labeller.others)},
        folds=tuple(case.fold for case in cases) if listing.folds else (),
    )


def _about(reading: _Reading, listing: Listing, labels: tuple[str, ...]) -> dict[str, Any]:
    plan, cases = reading.plan, reading.cases
    silent = [case.id for case in cases if case.statements is None]
    rates: Counter[Fraction] = Counter(case.rate for case in cases)
    return {
        "source": reading.source.source,
        "measures": "ecg",
        "unit": "microvolt",
        **listing.about,
        "rate": plan.rate,
        "seconds": float(plan.seconds),
        "statements": plan.statements,
        "resampling": [
            {"cases": rates[rate], **described(rate, plan.rate)} for rate in sorted(rates)
        ],
        "records": len(listing.rows),
        "cases": len(cases),
        "annotated": len(cases) - len(silent),
        "not_annotated": silent,
        "without_class": sum(not label for label in labels) - len(silent),
        "bad_records": plan.bad_records,
        "left_out": dict(sorted(reading.left_out.items())),
    }


def _ranked(counts: Counter[str]) -> dict[str, int]:
    """Most frequent first, ties by name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _reasons(left_out: dict[str, list[str]]) -> str:
    return ", ".join(f"{reason} {len(names)}" for reason, names in sorted(left_out.items()))


def _found(cohort: Cohort, reading: _Reading) -> str:
    samples, leads = cohort.values.shape[1:]
    left = f"; left out: {_reasons(reading.left_out)}" if reading.left_out else ""
    without = cohort.about["without_class"]
    return (
        f"{len(cohort.ids)} cases x {samples} samples x {leads} leads, {without} of them annotated "
        f"with none of the classes{left}"
    )
