"""From measurements to network input: filters, conversion, choice of features, standardisation.

Everything is fitted on the training part alone. Sums run over the cases one by one, element by
element, so that neither the machine nor the size of a block changes a bit; memory-mapped cohorts
are read a few rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.cohorts.m_values import m_values_of
from lifecycle.domain.classifier import PreprocessPlan
from lifecycle.domain.cohort import SIGNAL, Cohort, Preprocessing, as_float64
from lifecycle.domain.digests import digest_of
from lifecycle.dossier.files import read_evidence, read_record, write_json, write_whole
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.records.builds import PREPROCESSING

RECORD, FEATURES = "preprocess.json", "features.txt"
_DIGESTED_AS = "lifecycle-preprocessing/1"  # part of the digest: it must stay what it was
_BLOCK_VALUES = 1 << 20  # values converted at a time: 8 MiB of float64


def fit(
    training: Cohort, plan: PreprocessPlan, root: Path, kept: tuple[str, ...] | None = None
) -> Preprocessing:
    """Preprocessing fitted on the training part.

    Features of the filter files are left out, then the `plan.features` of largest variance of the
    converted values are kept, in the cohort's order (ties go to the smaller name). Mean and sd are
    those of the observed converted values (divisor: their number) and are kept for every
    convention, because `apply` puts the mean in the place of a missing value. A constant feature
    has sd 1.

    Args:
        training: cases of the training part.
        plan: convention, clip, filters, number of features.
        root: folder that the filter files are named from.
        kept: the version's fixed list; used as it is, order included, no filter and no choice.

    Raises:
        UnusableInputError: no case; a filter file is missing; a kept feature is missing; fewer
            features are left than asked for; a feature has no value in any case; a value is
            infinite or, for M-values, outside [0, 1].
    """
    if not training.ids:
        raise UnusableInputError("the training part has no case; check the split")
    if training.values.ndim == SIGNAL:
        return _fit_signals(training, plan, kept)
    columns = _columns(training, kept) if kept is not None else _filtered(training, plan, root)
    moments = _moments(training, plan, columns)
    if kept is None and plan.features is not None:
        chosen = _largest(training, columns, moments, plan.features)
        columns, moments = columns[chosen], moments.take(chosen)
    sd = np.sqrt(moments.variance)
    return _fitted(
        plan.convention,
        plan.epsilon,
        tuple(training.features[i] for i in columns),
        moments.mean,
        np.where(sd > 0.0, sd, 1.0),
    )


def apply(fitted: Preprocessing, cohort: Cohort) -> NDArray[np.float64]:
    """Network input of a cohort: features by name, missing values by the training mean.

    Returns:
        (n, p) float64; of signals (n, samples, leads), in millivolt where nothing is standardised.

    Raises:
        UnusableInputError: the cohort lacks a feature (the first is named) or holds an infinite
            value or, for M-values, one outside [0, 1].
    """
    columns = _columns(cohort, fitted.features)
    if cohort.values.ndim == SIGNAL:
        return _apply_signals(fitted, cohort, columns)
    out = np.empty((len(cohort.ids), len(columns)), dtype=np.float64)
    for rows, values in _blocks(cohort, columns, fitted.convention, fitted.epsilon):
        whole = np.where(np.isnan(values), fitted.mean, values)
        if fitted.convention == "standardised":
            whole = (whole - fitted.mean) / fitted.sd
        out[rows] = whole
    return out


def write(folder: Path, fitted: Preprocessing) -> None:
    """Put `preprocess.json` (canonical JSON, floats in hex) and `features.txt` into a folder."""
    text = "".join(f"{name}\n" for name in fitted.features)
    write_whole(folder / FEATURES, text.encode("utf-8"))
    content = _content(fitted.convention, fitted.epsilon, fitted.mean, fitted.sd)
    fields = {key: value for key, value in content.items() if key != "format"}
    record = PREPROCESSING.write({**fields, "digest": fitted.digest}, str(folder / RECORD))
    write_json(folder / RECORD, record)


def read(folder: Path) -> Preprocessing:
    """What `write` wrote, its digest checked.

    Raises:
        IntegrityError: record or feature list are not what was written.
        UnusableInputError: one of the two files is missing.
    """
    record = PREPROCESSING.read(read_record(folder / RECORD), str(folder / RECORD))
    try:
        names = read_evidence(folder / FEATURES).decode("utf-8").split("\n")[:-1]
        fitted = _fitted(
            record["convention"],
            float.fromhex(record["epsilon"]),
            tuple(names),
            _from_hex(record["mean"]),
            _from_hex(record["sd"]),
        )
        expected = record["digest"]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise IntegrityError(f"{folder}: not a preprocessing record ({error!r})") from None
    if fitted.digest != expected:
        raise IntegrityError(
            f"{folder}: {RECORD} or {FEATURES} was changed: the digest is {fitted.digest}, "
            f"the record says {expected}; restore both files or run `dvc repro`"
        )
    return fitted


def _fit_signals(
    training: Cohort, plan: PreprocessPlan, kept: tuple[str, ...] | None
) -> Preprocessing:
    """Mean and sd of each lead, in millivolt, over all training cases and samples.

    Sums of whole microvolts and of their squares are exact in Python's integers.
    """
    _require_signal_plan(plan)
    columns = _columns(training, kept if kept is not None else training.features)
    total, squares = [0] * len(columns), [0] * len(columns)
    for record in training.values:
        counts = np.asarray(record, dtype=np.int64)[:, columns]
        for at, (one, two) in enumerate(zip(counts.sum(0), (counts**2).sum(0), strict=True)):
            total[at] += int(one)
            squares[at] += int(two)
    n = len(training.ids) * training.values.shape[1]
    mean = np.array([float(Fraction(t, n * 1000)) for t in total])
    variance = [Fraction(q, n) - Fraction(t, n) ** 2 for t, q in zip(total, squares, strict=True)]
    sd = np.sqrt(np.array([float(v / 1_000_000) for v in variance]))
    names = tuple(training.features[i] for i in columns)
    return _fitted(plan.convention, plan.epsilon, names, mean, np.where(sd > 0.0, sd, 1.0))


def _require_signal_plan(plan: PreprocessPlan) -> None:
    if plan.convention == "m-value" or plan.features is not None or plan.filters:
        raise UnusableInputError(
            "preprocess: signals know the conventions `standardised` and `none`, and neither "
            "`features` nor `filters`"
        )


def _apply_signals(
    fitted: Preprocessing, cohort: Cohort, columns: NDArray[np.intp]
) -> NDArray[np.float64]:
    out = np.empty((*cohort.values.shape[:2], len(columns)))
    for row, record in enumerate(cohort.values):
        out[row] = as_float64(np.asarray(record)[:, columns])
        if fitted.convention == "standardised":
            out[row] -= fitted.mean
            out[row] /= fitted.sd
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]

    def take(self, chosen: NDArray[np.intp]) -> _Moments:
        return _Moments(self.mean[chosen], self.variance[chosen])


def _moments(cohort: Cohort, plan: PreprocessPlan, columns: NDArray[np.intp]) -> _Moments:
    """Mean and variance of the observed converted values, in two passes over the cases."""
    p = len(columns)
    total, squares, count = np.zeros(p), np.zeros(p), np.zeros(p)
    least, most = np.full(p, np.inf), np.full(p, -np.inf)
    for _, values in _blocks(cohort, columns, plan.convention, plan.epsilon):
        for row in values:
            seen = ~np.isnan(row)
            total += np.where(seen, row, 0.0)
            count += seen
            least, most = np.fmin(least, row), np.fmax(most, row)
    _refuse_empty(cohort, columns, count)
    mean = total / count
    for _, values in _blocks(cohort, columns, plan.convention, plan.epsilon):
        for row in values:
            off = np.where(np.isnan(row), 0.0, row - mean)
            squares += off * off
    # A constant feature's mean may round away from its value: its variance is 0 all the same.
    constant = least == most
    return _Moments(
        np.where(constant, least, mean),
        np.where(constant, 0.0, squares / count),
    )


def _refuse_empty(cohort: Cohort, columns: NDArray[np.intp], count: NDArray[np.float64]) -> None:
    empty = np.flatnonzero(count == 0)
    if empty.size:
        name = cohort.features[columns[empty[0]]]
        raise UnusableInputError(
            f"feature {name!r} has no value in any training case ({empty.size} such features); "
            "list them in a filter file"
        )


def _blocks(
    cohort: Cohort, columns: NDArray[np.intp], convention: str, epsilon: float
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Converted values, a few cases at a time; NaN where a value is missing."""
    everything = len(columns) == len(cohort.features) and bool(np.all(np.diff(columns) == 1))
    height = max(1, _BLOCK_VALUES // max(1, len(cohort.features)))
    for start in range(0, len(cohort.ids), height):
        rows = slice(start, start + height)
        block = np.asarray(cohort.values[rows])
        block = block if everything else block[:, columns]
        _refuse_invalid(cohort, columns, start, block, convention)
        yield rows, m_values_of(block, epsilon) if convention == "m-value" else as_float64(block)


def _refuse_invalid(
    cohort: Cohort, columns: NDArray[np.intp], start: int, block: NDArray[Any], convention: str
) -> None:
    if not np.issubdtype(block.dtype, np.floating):
        return
    bad = np.isinf(block)
    if convention == "m-value":
        bad |= (block < 0.0) | (block > 1.0)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        case, feature = cohort.ids[start + row], cohort.features[columns[column]]
        must = "within [0, 1]" if convention == "m-value" else "finite"
        raise UnusableInputError(
            f"case {case!r}, feature {feature!r}: the value {float(block[row, column])} is not "
            f"{must}; correct the input or leave the value empty"
        )


def _columns(cohort: Cohort, names: tuple[str, ...]) -> NDArray[np.intp]:
    """Where the named features stand in a cohort."""
    where = {name: i for i, name in enumerate(cohort.features)}
    if len(where) != len(cohort.features):
        _refuse_twice(cohort.features)
    missing = [name for name in names if name not in where]
    if missing:
        raise UnusableInputError(
            f"the cohort lacks feature {missing[0]!r} ({len(missing)} of {len(names)} are "
            "missing); the classifier's version needs all of them: check the source of the cohort"
        )
    return np.array([where[name] for name in names], dtype=np.intp)


def _refuse_twice(names: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UnusableInputError(f"the cohort has feature {name!r} twice; keep one of them")
        seen.add(name)


def _filtered(cohort: Cohort, plan: PreprocessPlan, root: Path) -> NDArray[np.intp]:
    """Columns that no filter file lists."""
    out: set[str] = set()
    for name in plan.filters:
        out |= _filter_names(root / name, name)
    left = tuple(name for name in cohort.features if name not in out)
    wanted = plan.features or 1
    if len(left) < wanted:
        raise UnusableInputError(
            f"{len(left)} features are left after the filters, {wanted} are asked for; lower "
            "`preprocess.features`, drop a filter or import more features"
        )
    split = next((name for name in left if "\n" in name), None)
    if split is not None:
        raise UnusableInputError(f"feature name {split!r} holds a line break; rename the feature")
    return _columns(cohort, left)


def _filter_names(path: Path, name: str) -> set[str]:
    """Names of a filter file, one a line; `#` starts a comment."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UnusableInputError(
            f"filter file {name} is missing; `preprocess.filters` names it"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableInputError(f"filter file {name} cannot be read: {error}") from None
    names = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return {entry for entry in names if entry}


def _largest(
    cohort: Cohort, columns: NDArray[np.intp], moments: _Moments, features: int
) -> NDArray[np.intp]:
    """Positions of the features of largest variance, in the cohort's order."""
    names = [cohort.features[i] for i in columns]
    variance = moments.variance.tolist()
    order = sorted(range(len(names)), key=lambda i: (-variance[i], names[i]))
    return np.array(sorted(order[:features]), dtype=np.intp)


def _fitted(
    convention: Any,
    epsilon: float,
    features: tuple[str, ...],
    mean: NDArray[np.float64],
    sd: NDArray[np.float64],
) -> Preprocessing:
    content = {**_content(convention, epsilon, mean, sd), "features": list(features)}
    return Preprocessing(convention, epsilon, features, mean, sd, digest_of(content))


def _content(
    convention: str, epsilon: float, mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> dict[str, Any]:
    return {
        "format": _DIGESTED_AS,
        "convention": convention,
        "epsilon": float(epsilon).hex(),
        "mean": [value.hex() for value in mean.tolist()],
        "sd": [value.hex() for value in sd.tolist()],
    }


def _from_hex(texts: list[str]) -> NDArray[np.float64]:
    return np.array([float.fromhex(text) for text in texts], dtype=np.float64)
