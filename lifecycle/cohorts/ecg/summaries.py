"""Tables of an ECG cohort, small enough to hold expectations against.

One row a record says how its signals are: amplitude, flat stretches, saturation, missing samples,
Einthoven's relation. One row a lead and one a source say what only many records show: a wrong gain,
swapped leads, a wrong sampling rate. The signals are read once, in blocks of records.

Nothing is judged here: the tables state counts, shares and extremes, and where the extremes stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lifecycle.cohorts.summaries import (
    COHORT,
    FROZEN_SET,
    UNASSIGNED,
    Member,
    case_attributes,
    check_attributes,
    members_of,
    split_table,
    text_column,
    visible,
)
from lifecycle.domain.classifier import LEADS, Part, Task
from lifecycle.domain.cohort import MICROVOLTS, Cohort
from lifecycle.errors import UnusableInputError

MISSING = -32768  # microvolt; int16 has no NaN
RAIL = 32767  # where int16 ends
SOURCE, LEFT_OUT, FOLD_OWNER = "source", "left out", "patient in folds"
_BLOCK_VALUES = 1 << 22  # int16 values in memory at a time: 8 MiB, several times that in work space
_PLATEAU_FROM = 500  # microvolt; smaller leads repeat their extremes by rounding alone
_SLOPE_MS = 10  # over which steepness is measured: one sample of PTB-XL at 100 Hz
# Sums that vanish (Einthoven, Goldberger): weights of leads, and microvolts a unit.
_RELATIONS: tuple[tuple[Mapping[str, int], float], ...] = (
    ({"II": 1, "I": -1, "III": -1}, 1.0),
    ({"I": 1, "II": 1, "aVR": 2}, 0.5),
    ({"I": 1, "III": -1, "aVL": -2}, 0.5),
    ({"II": 1, "III": 1, "aVF": -2}, 0.5),
)

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SignalSummaries:
    """What the expectations of signals look at.

    Attributes:
        cases: one row a record of the cohort, then of a frozen set of its own, located as in
            `Summaries.cases`. `annotated` is 0 where the data set says nothing of the record;
            `missing` (largest share of a lead that is -32768), `amplitude` (largest peak to peak,
            mV), `still` (longest stretch of one value in a lead that is not flat, s), `clipped`
            (largest share of a lead that stays at its own extreme), `railed` (samples at the end of
            int16), each with the lead in `..._at`; `flat` (leads of one value) and `flat_at`, which
            names them; `residual` (largest breach of Einthoven's and Goldberger's relations,
            microvolt) and `steepness` (share of its range that the middle lead crosses within
            10 ms), null where it cannot be told.
        leads: one row a lead of the cohort: `named`, `lead`, `known` (1: one of the twelve),
            `shift` (0: it stands in the same place in the frozen set), `amplitude` (median peak to
            peak, mV) and `flat` (share of the records in which it is flat).
        recordings: `kind` `source`: one row a source with `rate`, `samples`, `rate_off` and
            `samples_off` (against the cohort's), `seconds_off` (against the length that it
            states), medians of `steepness` and `residual`. `kind` `left out`: one row a reason
            with the number of `records`.
        split: as in `Summaries.split`, and one row a patient with the number of its published folds
            in `sides` (`kind` `patient in folds`).
    """

    cases: pd.DataFrame
    leads: pd.DataFrame
    recordings: pd.DataFrame
    split: pd.DataFrame


def summarise_signals(
    cohort: Cohort,
    frozen: Cohort | None,
    parts: Mapping[str, Part],
    classes: Sequence[str],
    task: Task,
) -> SignalSummaries:
    """Tables of an ECG cohort, its split and the frozen set.

    Args:
        cohort: the records that were split.
        frozen: the frozen set, where it has a source of its own.
        parts: case id -> part; ids of `frozen` may be left out.
        classes: class names, in order.
        task: `multi` counts a case for each of its classes.

    Raises:
        UnusableInputError: values are no int16 signals of the cases and leads that are named.
    """
    where = [parts.get(case, UNASSIGNED) for case in cohort.ids]
    sources = [(cohort, where, COHORT)]
    if frozen is not None:
        sources.append((frozen, ["frozen"] * len(frozen.ids), FROZEN_SET))
    facts = [_facts(one, source) for one, _, source in sources]
    tables = [_cases(*source, fact) for source, fact in zip(sources, facts, strict=True)]
    members = members_of(cohort, where, frozen)
    split = split_table(members, parts, classes, task)
    return SignalSummaries(
        cases=pd.concat(tables, ignore_index=True),
        leads=_leads(cohort, frozen, facts[0]),
        recordings=_recordings([(one, name) for one, _, name in sources], facts),
        split=pd.concat([split, _fold_owners(members, _folds(cohort, frozen))], ignore_index=True),
    )


def _check_shape(cohort: Cohort, source: str) -> None:
    named = (len(cohort.ids), len(cohort.features))
    shape = cohort.values.shape
    fits = len(shape) == 3 and (shape[0], shape[2]) == named
    if not fits or cohort.values.dtype != np.int16:
        raise UnusableInputError(
            f"the {source} names {named[0]} records of {named[1]} leads, but its values are "
            f"{cohort.values.dtype} of the shape {shape}; ECG is int16 (records, samples, leads) "
            "in microvolt: import it again"
        )
    check_attributes(cohort, source)


# --- the records, in one pass over the signals


@dataclass(frozen=True, slots=True, eq=False)
class _Facts:
    """Per record (n,) or per record and lead (n, leads); see `SignalSummaries.cases`."""

    peak: Integers  # microvolt, peak to peak
    missing: Floats
    still: Integers  # samples
    clipped: Floats
    railed: Integers
    residual: Floats
    steepness: Floats


def _facts(cohort: Cohort, source: str) -> _Facts:
    _check_shape(cohort, source)
    rate = _stated(cohort, "rate")
    blocks = [_block_facts(block, cohort.features, rate) for block in _blocks(cohort.values)]
    names = _Facts.__slots__
    return _Facts(**{n: np.concatenate([getattr(b, n) for b in blocks]) for n in names})


def _blocks(values: NDArray[Any]) -> Iterator[NDArray[np.int16]]:
    """At least one block, of no records where there are none."""
    step = max(1, _BLOCK_VALUES // max(1, values.shape[1] * values.shape[2]))
    for start in range(0, max(1, len(values)), step):
        yield np.asarray(values[start : start + step])


def _block_facts(block: NDArray[np.int16], names: Sequence[str], rate: float) -> _Facts:
    missing = block == MISSING
    samples = max(1, block.shape[1])
    # Initial values stand in where there is nothing: the peak is then 0.
    low = np.where(missing, RAIL, block).min(axis=1, initial=RAIL).astype(np.int64)
    high = block.max(axis=1, initial=MISSING).astype(np.int64)
    peak = np.maximum(0, high - low)
    same = block[:, 1:] == block[:, :-1]
    at_end = (block[:, 1:] == low[:, None]) | (block[:, 1:] == high[:, None])
    clipped = (same & at_end).sum(axis=1, dtype=np.int64) / samples
    railed = (block == RAIL) | (block == -RAIL)
    return _Facts(
        peak=peak,
        missing=missing.sum(axis=1, dtype=np.int64) / samples,
        still=_longest(same),
        clipped=np.where(peak >= _PLATEAU_FROM, clipped, 0.0),
        railed=railed.sum(axis=1, dtype=np.int64),
        residual=_residual(block, names),
        steepness=_steepness(block, peak, rate),
    )


def _longest(same: NDArray[np.bool_]) -> Integers:
    """Samples of the longest stretch of one value: (n, leads)."""
    run = np.zeros((same.shape[0], same.shape[2]), dtype=np.int64)
    longest = run.copy()
    for step in range(same.shape[1]):
        run = (run + 1) * same[:, step]
        np.maximum(longest, run, out=longest)
    return longest + 1


def _residual(block: NDArray[np.int16], names: Sequence[str]) -> Floats:
    """Largest breach of the relations whose leads are there, microvolt; NaN where none is."""
    worst = np.full(len(block), np.nan)
    at = {name: block[:, :, i] for i, name in enumerate(names)}
    for weights, unit in _RELATIONS:
        if not weights.keys() <= at.keys():
            continue
        total = np.zeros(block.shape[:2], dtype=np.int64)
        for name, weight in weights.items():
            total += weight * at[name].astype(np.int64)
        worst = np.fmax(worst, unit * np.abs(total).max(axis=1, initial=0))
    return worst


def _steepness(block: NDArray[np.int16], peak: Integers, rate: float) -> Floats:
    """Largest change within 10 ms over the range, median of the leads that are not flat."""
    lag = round(rate * _SLOPE_MS / 1000.0) if rate > 0 else 0
    if lag < 1 or block.shape[1] <= lag:
        return np.full(len(block), np.nan)
    wide = block.astype(np.int32)
    jump = np.abs(wide[:, lag:] - wide[:, :-lag]).max(axis=1)
    alive = peak > 0
    share = np.where(alive, jump / np.maximum(peak, 1), np.nan)
    some = alive.any(axis=1)
    found = np.full(len(block), np.nan)
    found[some] = np.nanmedian(share[some], axis=1)
    return found


def _cases(cohort: Cohort, where: list[str], source: str, facts: _Facts) -> pd.DataFrame:
    table = case_attributes(cohort, where, source)
    silent = set(cohort.about.get("not_annotated", ()))
    rate = _stated(cohort, "rate")
    moving = np.where(facts.peak > 0, facts.still, 0)
    measured: dict[str, Any] = {"annotated": [int(case not in silent) for case in cohort.ids]}
    measured |= _worst(cohort, "missing", facts.missing)
    measured |= _worst(cohort, "amplitude", facts.peak / MICROVOLTS)
    measured |= _worst(cohort, "still", moving / rate)
    measured |= _worst(cohort, "clipped", facts.clipped)
    measured |= _worst(cohort, "railed", facts.railed)
    flat = facts.peak == 0
    measured["flat"] = flat.sum(axis=1, dtype=np.int64)
    measured["flat_at"] = text_column(_names(cohort, row) for row in flat)
    return table.assign(**measured, residual=facts.residual, steepness=facts.steepness)


def _worst(cohort: Cohort, name: str, values: NDArray[Any]) -> dict[str, Any]:
    """The largest value of each record over its leads, and the first lead that has it."""
    if values.shape[1] == 0:
        return {name: np.full(len(values), np.nan), f"{name}_at": text_column([""] * len(values))}
    at = values.argmax(axis=1)
    names = text_column(visible(cohort.features[i]) for i in at)
    return {name: values[np.arange(len(values)), at], f"{name}_at": names}


def _names(cohort: Cohort, chosen: NDArray[np.bool_]) -> str:
    return ", ".join(visible(cohort.features[i]) for i in np.flatnonzero(chosen))


# --- leads and sources


def _leads(cohort: Cohort, frozen: Cohort | None, facts: _Facts) -> pd.DataFrame:
    """One row a lead of the cohort."""
    place = {} if frozen is None else {name: i for i, name in enumerate(frozen.features)}
    here = enumerate(cohort.features)
    shift = [0.0 if frozen is None else place.get(name, np.nan) - i for i, name in here]
    empty = len(cohort.ids) == 0
    blank = np.full(len(cohort.features), np.nan)
    return pd.DataFrame(
        {
            "named": text_column(visible(name) for name in cohort.features),
            "lead": text_column(cohort.features),
            "known": [int(name in LEADS) for name in cohort.features],
            "shift": shift,
            "amplitude": blank if empty else np.median(facts.peak, axis=0) / MICROVOLTS,
            "flat": blank if empty else np.mean(facts.peak == 0, axis=0),
        }
    )


def _recordings(sources: list[tuple[Cohort, str]], facts: list[_Facts]) -> pd.DataFrame:
    """One row a source, and one a reason for which records were left out of it."""
    rows: list[dict[str, Any]] = []
    first, _ = sources[0]
    for (one, name), fact in zip(sources, facts, strict=True):
        rate, seconds, samples = _stated(one, "rate"), _stated(one, "seconds"), one.values.shape[1]
        rows.append(
            {
                "kind": SOURCE,
                "named": name,
                "rate": rate,
                "samples": samples,
                "rate_off": rate - _stated(first, "rate"),
                "samples_off": samples - first.values.shape[1],
                "seconds_off": samples / rate - seconds,
                "steepness": _middle(fact.steepness),
                "residual": _middle(fact.residual),
            }
        )
        left = Counter({r: len(ids) for r, ids in dict(one.about.get("left_out", {})).items()})
        for reason, records in sorted(left.items()):
            rows.append({"kind": LEFT_OUT, "named": f"{name}: {reason}", "records": records})
    numbers = ["rate", "samples", "rate_off", "samples_off", "seconds_off"]
    numbers += ["steepness", "residual", "records"]
    table = pd.DataFrame(rows, columns=["kind", "named", *numbers])
    return table.astype({"kind": "str", "named": "str"} | dict.fromkeys(numbers, "float64"))


def _stated(cohort: Cohort, name: str) -> float:
    """A number that the source states of itself, NaN where it does not or it is no length."""
    value = cohort.about.get(name)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return float(value) if usable and value is not None else float("nan")


def _middle(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


# --- folds


def _folds(cohort: Cohort, frozen: Cohort | None) -> list[str]:
    """The published fold of every member, "" where there is none; each source has its own."""
    own = list(cohort.folds) if cohort.folds else [""] * len(cohort.ids)
    return own + ([""] * len(frozen.ids) if frozen is not None else [])


def _fold_owners(members: list[Member], folds: Sequence[str]) -> pd.DataFrame:
    """One row a patient with published folds, and the first record in each of them."""
    found: dict[str, dict[str, str]] = {}
    for member, fold in zip(members, folds, strict=True):
        if fold and member.patient:
            found.setdefault(member.patient, {}).setdefault(fold, visible(member.id))
    rows = [
        {
            "kind": FOLD_OWNER,
            "named": visible(patient),
            "where": ", ".join(f"fold {fold} (case {case})" for fold, case in first.items()),
            "sides": float(len(first)),
        }
        for patient, first in found.items()
    ]
    table = pd.DataFrame(rows, columns=["kind", "named", "where", "sides"])
    texts = dict.fromkeys(("kind", "named", "where"), "str")
    return table.astype(texts | {"sides": "float64"})
