"""A simulated 12-lead cohort for the rhythm task, the default where no ECG data are at hand.

The recipe was calibrated once on quantiles of 500 PTB-XL records, before any training. The cases
are nobody: every output says `simulated`. The same settings give the same bits on every machine,
because integer streams are followed by element-wise + - * / and sqrt and by sums in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from lifecycle.cohorts.ecg import simulate_plan
from lifecycle.cohorts.ecg.simulate_beats import strip
from lifecycle.cohorts.ecg.simulate_draws import (
    TAG_NOISE,
    TAG_PATIENT,
    TAG_RECORD,
    Draws,
)
from lifecycle.cohorts.ecg.simulate_heart import Heart, dipole, patient
from lifecycle.cohorts.ecg.simulate_noise import derived, electrodes, leads
from lifecycle.cohorts.ecg.simulate_plan import Record
from lifecycle.cohorts.simulate_settings import read_settings
from lifecycle.domain.classifier import LEADS
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.limits import STRICT

SIMULATOR = "ecg-rhythm 1"  # the number changes with any bit of any cohort
NOTE = "SIMULATED records, not patients: no figure from them says anything about people"
_TELL_EVERY = 100

Seed = Annotated[int, Ge(0), Le(2**32 - 1)]
Records = Annotated[int, Ge(1), Le(99_999)]
Seconds = Annotated[int, Ge(5), Le(60)]
Rate = Annotated[int, Ge(50), Le(1000)]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class EcgSettings:
    """Size and seed of a simulated 12-lead cohort.

    Attributes:
        seed: seed of every stream.
        records: how many; the twelve classes have fixed shares of them.
        seconds, rate: length of a record and samples a second.
    """

    __pydantic_config__ = STRICT
    seed: Seed
    records: Records = 2400
    seconds: Seconds = 10
    rate: Rate = 100


def load_settings(path: Path) -> EcgSettings:
    """The simulator's settings file (YAML).

    Raises:
        UnusableInputError: missing, malformed, an unknown key or a value of the wrong type; the
            message names file and key.
    """
    return read_settings(path, EcgSettings)


def simulate(settings: EcgSettings, progress: Progress | None = None) -> Cohort:
    """The simulated cohort.

    Args:
        settings: size and seed.
        progress: told (records done, records in all), every 100 records and at the end.

    Returns:
        A cohort of origin `simulated`: values int16 (records, seconds x rate, 12) in microvolt,
        Einthoven's and Goldberger's relations exact; labels join classes with `|`, "" for none of
        the twelve; folds "1" to "10", a patient in one; subgroup `conduction` of the ventricles.
    """
    plan = simulate_plan.draw(settings.seed, settings.records)
    values = np.empty((len(plan), settings.seconds * settings.rate, len(LEADS)), dtype=np.int16)
    conduction = []
    for number, record in enumerate(plan):
        heart = patient(Draws(settings.seed, TAG_PATIENT, record.patient))
        values[number] = _signal(settings, number, record, heart)
        conduction.append(heart.conduction)
        done = number + 1
        if progress is not None and (done % _TELL_EVERY == 0 or done == len(plan)):
            progress(done, len(plan))
    return Cohort(
        ids=tuple(f"sim-p{record.patient + 1:04d}-r{record.nth}" for record in plan),
        patients=tuple(f"sim-p{record.patient + 1:04d}" for record in plan),
        groups=("",) * len(plan),
        labels=tuple(record.label for record in plan),
        features=LEADS,
        values=values,
        origin="simulated",
        subgroups={"conduction": tuple(conduction)},
        about=_about(settings),
        folds=tuple(record.fold for record in plan),
    )


def clean_labels(settings: EcgSettings) -> tuple[str, ...]:
    """What the labels would be without the label noise, in the order of the cohort's cases."""
    return tuple(record.clean for record in simulate_plan.draw(settings.seed, settings.records))


def _signal(settings: EcgSettings, number: int, record: Record, heart: Heart) -> NDArray[np.int16]:
    samples, step = settings.seconds * settings.rate, 1000.0 / settings.rate
    draws = Draws(settings.seed, TAG_RECORD, number)
    beats = strip(draws, record.rhythm, record.second, settings.seconds * 1000.0)
    x, y, z = dipole(draws, heart, beats, samples, step)
    seen = heart.leads[:, :1] * x + heart.leads[:, 1:2] * y + heart.leads[:, 2:] * z
    noise = electrodes(Draws(settings.seed, TAG_NOISE, number), samples, step)
    return leads(seen + derived(noise))


def _about(settings: EcgSettings) -> dict[str, Any]:
    return {
        "source": "simulated_ecg",
        "measures": "ecg",
        "unit": "microvolt",
        "simulator": SIMULATOR,
        "seed": settings.seed,
        "records": settings.records,
        "rate": settings.rate,
        "seconds": float(settings.seconds),
        "annotated": settings.records,
        "not_annotated": [],
        "left_out": {},
        "label_noise": {"swapped": simulate_plan.SWAPPED, "dropped": simulate_plan.DROPPED},
        "note": NOTE,
    }
