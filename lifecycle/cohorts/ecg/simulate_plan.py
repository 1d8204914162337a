"""Who is in a simulated 12-lead cohort: patients, records, rhythms, labels, folds.

Rhythms are far more even than in PTB-XL (Wagner et al. 2020), where 12 of 21,799 records are
trigeminy: a small cohort needs cases of every class. Shares are assumptions, fixed beforehand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lifecycle.cohorts.ecg.simulate_draws import TAG_LABEL, TAG_PLAN, Draws

CLASSES = (
    "SR", "AFIB", "STACH", "SARRH", "SBRAD", "PACE",
    "SVARR", "BIGU", "AFLT", "SVTAC", "PSVT", "TRIGU",
)  # fmt: skip
NONE = ""  # a rhythm that is none of the classes (junctional)

RHYTHMS: Mapping[str, int] = {
    "SR": 500, "AFIB": 90, "STACH": 60, "SARRH": 60, "SBRAD": 60, "PACE": 45, "SVARR": 35,
    "BIGU": 30, "AFLT": 30, "SVTAC": 30, "PSVT": 25, "TRIGU": 25, NONE: 10,
}  # fmt: skip
# Second rhythm of a record, per mille of the records of the first.
SECOND: Mapping[str, Mapping[str, int]] = {
    "AFIB": {"AFLT": 60, NONE: 940},
    "AFLT": {"SVTAC": 150, NONE: 850},
    "SARRH": {"SBRAD": 250, NONE: 750},
    "PACE": {"AFIB": 150, "SR": 150, NONE: 700},
    "SVARR": {"SR": 350, NONE: 650},
    "BIGU": {"SR": 350, NONE: 650},
    "TRIGU": {"SR": 350, NONE: 650},
}
RECORDS_OF: Mapping[str, int] = {"1": 880, "2": 90, "3": 30}  # records of a patient, per mille
FOLDS = 10
KEEPS_RHYTHM = 0.75  # a patient's later record; otherwise it shows sinus rhythm
SWAPPED, DROPPED = 0.03, 0.01


@dataclass(frozen=True, slots=True)
class Record:
    """One record before any signal.

    Attributes:
        patient: number of the patient, from 0.
        nth: the patient's first, second ... record, from 1.
        rhythm, second: what the strip shows; "" for none.
        label: what is written down, classes joined with `|` in class order.
        clean: what would be without label noise.
        fold: "1" to "10".
    """

    patient: int
    nth: int
    rhythm: str
    second: str
    label: str
    clean: str
    fold: str


def draw(seed: int, records: int) -> tuple[Record, ...]:
    """The records of a cohort, a patient's one after the other."""
    draws = Draws(seed, TAG_PLAN, 0)
    sizes = _sizes(draws, records)
    mains = _mains(draws, len(sizes))
    folds = _folds(mains)
    noise = Draws(seed, TAG_LABEL, 0)
    plan = []
    for patient, (size, main) in enumerate(zip(sizes, mains, strict=True)):
        for nth in range(1, size + 1):
            rhythm = main if nth == 1 or draws.chance(KEEPS_RHYTHM) else "SR"
            second = draws.pick(SECOND[rhythm]) if rhythm in SECOND else NONE
            clean = _joined({rhythm, second})
            label = _written(noise, clean, rhythm)
            plan.append(Record(patient, nth, rhythm, second, label, clean, folds[patient]))
    return tuple(plan)


def _sizes(draws: Draws, records: int) -> list[int]:
    """Records of each patient; the last one has what is left."""
    sizes: list[int] = []
    while records > 0:
        sizes.append(min(records, int(draws.pick(RECORDS_OF))))
        records -= sizes[-1]
    return sizes


def _mains(draws: Draws, patients: int) -> list[str]:
    """Main rhythm of every patient: shares by largest remainder, in random order."""
    names = list(RHYTHMS)
    counts = {name: patients * share // 1000 for name, share in RHYTHMS.items()}
    by_rest = sorted(names, key=lambda name: -(patients * RHYTHMS[name] % 1000))
    for name in by_rest[: patients - sum(counts.values())]:
        counts[name] += 1
    listed = [name for name in names for _ in range(counts[name])]
    return [listed[i] for i in draws.order(patients)]


def _folds(mains: list[str]) -> list[str]:
    """Folds cycle within a class, from 10 downwards: the frozen fold never has the fewest."""
    seen: Counter[str] = Counter()
    folds = []
    for main in mains:
        folds.append(str(FOLDS - seen[main] % FOLDS))
        seen[main] += 1
    return folds


def _joined(rhythms: set[str]) -> str:
    return "|".join(name for name in CLASSES if name in rhythms)


def _written(noise: Draws, clean: str, rhythm: str) -> str:
    """The label with noise: 3% have the first rhythm swapped for another class, 1% lose all."""
    drawn, other = noise.u(), noise.u()
    if drawn >= SWAPPED + DROPPED:
        return clean
    if drawn >= SWAPPED:
        return NONE
    present = set(clean.split("|"))
    others = [name for name in CLASSES if name not in present]
    return _joined(present - {rhythm} | {others[int(other * len(others))]})
