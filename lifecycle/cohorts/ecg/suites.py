"""What an ECG cohort must hold before anything is trained on it, as Great Expectations suites.

Four suites look at the tables of `ecg.summaries`: `cases`, `leads`, `recordings` and `split`.
Critical is what would make a network learn or a clinician see something that was not measured; a
single poor record, which every archive has, is a warning that names it.
"""

from __future__ import annotations

from lifecycle.cohorts.ecg.limits import SignalThresholds
from lifecycle.cohorts.ecg.summaries import FOLD_OWNER, LEFT_OUT, SOURCE
from lifecycle.cohorts.suites import (
    Check,
    Condition,
    Severity,
    between,
    given,
    identity_checks,
    label_checks,
    label_known,
    present,
    split_checks,
)
from lifecycle.domain.classifier import Task

_OF_SOURCE: tuple[Condition, ...] = (("kind", "==", SOURCE),)


def checks_of_signals(
    classes: tuple[str, ...], task: Task, limits: SignalThresholds, frozen: Severity | None
) -> list[Check]:
    """Everything that is expected of an ECG cohort, in the order of the suites.

    Args:
        classes: class names.
        task: in `multi` a record without any of the classes is a case all the same.
        limits: thresholds.
        frozen: None where the frozen set has no labels, so that its classes are not counted.
    """
    return [
        *_case_checks(classes, task),
        *_signal_checks(limits),
        *_lead_checks(limits),
        *_recording_checks(limits),
        *_split_checks(limits, frozen),
    ]


def _case_checks(classes: tuple[str, ...], task: Task) -> list[Check]:
    return [
        present("cases", "there are no cases"),
        *identity_checks(),
        *(_multi_checks(classes) if task == "multi" else label_checks(classes, task)),
    ]


def _multi_checks(classes: tuple[str, ...]) -> list[Check]:
    """A record of none of the classes is known to have none; one nobody annotated is not."""
    unknown, aside = "a record without any annotation", "a record that is set aside"
    used: tuple[Condition, ...] = (("part", "!=", "frozen"), ("part", "!=", "aside"))
    judged, part = "ExpectColumnValuesToNotBeInSet", {"column": "part", "value_set": ["aside"]}
    return [
        label_known(classes, "multi"),
        between(
            "cases",
            "annotated",
            "annotated",
            unknown,
            "case {case} ({part})",
            only=used,
            min_value=1,
        ),
        Check("cases", "used", judged, part, aside, "case {case}", "warning"),
    ]


def _signal_checks(limits: SignalThresholds) -> list[Check]:
    """What one record can have wrong."""
    return [*_fatal_checks(), *_poor_checks(limits)]


def _fatal_checks() -> list[Check]:
    """A gap would be taken for -32.768 mV; at the rail, the file holds less than was measured."""
    return [
        between(
            "cases",
            "complete",
            "missing",
            "missing samples (-32768)",
            "case {case} lead {missing_at} share {missing}",
            max_value=0,
        ),
        between(
            "cases",
            "within-int16",
            "railed",
            "saturated: samples at the end of int16 (32.767 mV)",
            "case {case} lead {railed_at} ({railed} samples)",
            max_value=0,
        ),
    ]


def _poor_checks(limits: SignalThresholds) -> list[Check]:
    saturated = f"saturated: more than {limits.clipped:g} of a lead at its own extreme"
    kirchhoff = f"leads off Einthoven's or Goldberger's relation by over {limits.residual:g} uV"
    return [
        between(
            "cases",
            "no-flat-lead",
            "flat",
            "a flat lead",
            "case {case} lead {flat_at}",
            "warning",
            max_value=0,
        ),
        between(
            "cases",
            "moves",
            "still",
            f"a lead that stands still for more than {limits.still:g} s",
            "case {case} lead {still_at} ({still} s)",
            "warning",
            max_value=limits.still,
        ),
        between(
            "cases",
            "not-clipped",
            "clipped",
            saturated,
            "case {case} lead {clipped_at} share {clipped}",
            "warning",
            max_value=limits.clipped,
        ),
        between(
            "cases",
            "amplitude",
            "amplitude",
            f"more than {limits.amplitude:g} mV from peak to peak",
            "case {case} lead {amplitude_at} ({amplitude} mV)",
            "warning",
            max_value=limits.amplitude,
        ),
        between(
            "cases",
            "einthoven",
            "residual",
            kirchhoff,
            "case {case} ({residual} uV)",
            "warning",
            max_value=limits.residual,
        ),
    ]


def _lead_checks(limits: SignalThresholds) -> list[Check]:
    low, high = limits.lead_amplitude
    name, unique = "lead {named}", "ExpectColumnValuesToBeUnique"
    judged, shift = "ExpectColumnValuesToBeInSet", {"column": "shift", "value_set": [0.0]}
    lost, placed = "ExpectColumnValuesToNotBeNull", {"column": "shift"}
    absent = "a lead that the frozen set does not have"
    elsewhere = "a lead that stands in another place in the frozen set"
    return [
        present("leads", "there are no leads"),
        given("leads", "name-given", "lead", "a lead without a name", name),
        Check("leads", "unique", unique, {"column": "lead"}, "a lead that is there twice", name),
        between("leads", "known", "known", "a lead that is none of the twelve", name, min_value=1),
        Check("leads", "in-frozen", lost, placed, absent, name),
        Check("leads", "same-place-in-frozen", judged, shift, elsewhere, name),
        between(
            "leads",
            "gain",
            "amplitude",
            f"median amplitude outside {low:g} to {high:g} mV, so the gain or unit is wrong",
            "lead {named} ({amplitude} mV)",
            min_value=low,
            max_value=high,
        ),
        between(
            "leads",
            "alive",
            "flat",
            f"a lead that is flat in more than {limits.flat:g} of the records",
            "lead {named} share {flat}",
            max_value=limits.flat,
        ),
    ]


def _recording_checks(limits: SignalThresholds) -> list[Check]:
    low, high = limits.steepness
    name, slow = "{named}", f"signals outside {low:g} to {high:g}"
    stated, rate = "ExpectColumnValuesToNotBeNull", {"column": "rate"}
    fits = f"the rate does not fit the signals: steepness {slow.removeprefix('signals ')}"
    apart = "Einthoven's and Goldberger's relations do not hold, so leads are swapped"
    return [
        Check("recordings", "rate-given", stated, rate, "no sampling rate", name, only=_OF_SOURCE),
        _same("rate-same", "rate_off", "a frozen set of another rate", "{rate_off} Hz more"),
        _same("length-same", "samples_off", "a frozen set of another length", "{samples_off} more"),
        _same(
            "rate-fits-length",
            "seconds_off",
            "rate and samples do not give the stated length",
            "{seconds_off} s more",
        ),
        between(
            "recordings",
            "rate-fits-signals",
            "steepness",
            fits,
            "{named} has {steepness}",
            only=_OF_SOURCE,
            min_value=low,
            max_value=high,
        ),
        between(
            "recordings",
            "leads-in-order",
            "residual",
            apart,
            "{named}: the middle record is off by {residual} uV",
            only=_OF_SOURCE,
            max_value=limits.residual,
        ),
        between(
            "recordings",
            "none-left-out",
            "records",
            "records that could not be used were left out",
            "{named} ({records})",
            "warning",
            (("kind", "==", LEFT_OUT),),
            max_value=0,
        ),
    ]


def _same(name: str, column: str, problem: str, by: str) -> Check:
    """A difference of zero."""
    offender = f"{{named}} has {by}"
    return between(
        "recordings",
        name,
        column,
        problem,
        offender,
        only=_OF_SOURCE,
        min_value=0,
        max_value=0,
    )


def _split_checks(limits: SignalThresholds, frozen: Severity | None) -> list[Check]:
    """A class with few positives is told, not refused: the gate leaves it out by rule."""
    sides: dict[str, tuple[int, Severity | None]] = {
        "training": (limits.training_per_class, "warning"),
        "holdout": (limits.holdout_per_class, "warning"),
        "frozen": (limits.frozen_per_class, "warning" if frozen else None),
    }
    in_fold = between(
        "split",
        "patient-in-one-fold",
        "sides",
        "a patient in more than one published fold",
        "patient {named} in {where}",
        only=(("kind", "==", FOLD_OWNER),),
        max_value=1,
    )
    return [*split_checks(sides), in_fold]
