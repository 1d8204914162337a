"""A cohort as a folder: measurements, cases, features and one JSON of facts. Whole or not at all.

`measurements.npy` keeps values as they are (float64, or uint16 in units of 1/65536) and is mapped
into memory on reading. The same cohort gives the same bytes with the same Arrow library; `digest`
is over the content and does not depend on it.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lifecycle.domain.cohort import SIGNAL, Cohort
from lifecycle.domain.digests import canonical_array, canonical_json, sha256
from lifecycle.dossier.arrays import read_array
from lifecycle.dossier.files import folder_whole
from lifecycle.dossier.parquet import NoParquetError, table_in
from lifecycle.errors import IntegrityError, UnusableInputError

SCHEMA = "lifecycle/cohort/1"
MEASUREMENTS, CASES, FEATURES, FACTS = (
    "measurements.npy",
    "cases.parquet",
    "features.txt",
    "cohort.json",
)
_FOLD = "fold"
_ATTRIBUTES = ("id", "patient", "group", "label", _FOLD)
_SUBGROUP = "subgroup:"  # keeps a subgroup called `label` apart from the label
_BLOCK_BYTES = 1 << 24


def content_digest(cohort: Cohort) -> str:
    """SHA-256 over ids, patients, groups, labels, subgroups, folds, features, origin and values.

    Values count as they are kept: a uint16 cohort and its float64 copy have different digests.
    """
    digest = hashlib.sha256(
        canonical_json(
            {
                **({"folds": cohort.folds} if cohort.folds else {}),
                "ids": cohort.ids,
                "patients": cohort.patients,
                "groups": cohort.groups,
                "labels": cohort.labels,
                "subgroups": dict(cohort.subgroups),
                "features": cohort.features,
                "origin": cohort.origin,
                "dtype": cohort.values.dtype.name,
                "shape": list(cohort.values.shape),
            }
        )
    )
    rows = max(
        1, _BLOCK_BYTES // max(1, math.prod(cohort.values.shape[1:]) * cohort.values.itemsize)
    )
    for start in range(0, len(cohort.values), rows):
        digest.update(canonical_array(cohort.values[start : start + rows]))
    return digest.hexdigest()


def write(folder: Path, cohort: Cohort) -> None:
    """Write a cohort; `folder` changes whole or not at all.

    Raises:
        UnusableInputError: attributes and values are of different lengths, or a name has a line
            break.
        OSError: the disk is full or the place cannot be written; `folder` is as it was.
    """
    _require_consistent(cohort)
    features = "".join(f"{name}\n" for name in cohort.features).encode("utf-8")
    cases = _cases_bytes(cohort)
    facts = {
        "schema": SCHEMA,
        "origin": cohort.origin,
        "about": dict(cohort.about),
        "cases": len(cohort.ids),
        "features": len(cohort.features),
        **({"samples": cohort.values.shape[1]} if cohort.values.ndim == SIGNAL else {}),
        "dtype": cohort.values.dtype.name,
        "digest": content_digest(cohort),
        "sha256": {CASES: sha256(cases), FEATURES: sha256(features)},
    }
    with folder_whole(folder) as aside:
        np.save(aside / MEASUREMENTS, _little_endian(cohort.values), allow_pickle=False)
        (aside / CASES).write_bytes(cases)
        (aside / FEATURES).write_bytes(features)
        (aside / FACTS).write_bytes(canonical_json(facts))


def read(folder: Path, check: bool = False) -> Cohort:
    """A cohort that `write` wrote; values are mapped into memory, read-only.

    Args:
        folder: the cohort's folder.
        check: also read all values and compare the content's digest (every case is touched).

    Raises:
        UnusableInputError: a file is missing; the message names it.
        IntegrityError: a file is torn, was changed or does not fit the others.
    """
    facts = _facts(folder)
    names = _known_bytes(folder, FEATURES, facts).decode("utf-8").split("\n")[:-1]
    columns = _case_columns(folder, facts)
    samples = (int(facts["samples"]),) if "samples" in facts else ()
    values = _values(folder, (len(columns["id"]), *samples, len(names)), facts)
    cohort = Cohort(
        ids=columns["id"],
        patients=columns["patient"],
        groups=columns["group"],
        labels=columns["label"],
        features=tuple(names),
        values=values,
        origin=facts["origin"],
        subgroups=_subgroups(columns),
        about=facts["about"],
        folds=columns.get(_FOLD, ()),
    )
    if check and content_digest(cohort) != facts["digest"]:
        raise _changed(folder / MEASUREMENTS, "does not match the digest in cohort.json")
    return cohort


def recorded_digest(folder: Path) -> str:
    """The content's digest as `write` recorded it.

    Raises:
        UnusableInputError: the record is missing.
        IntegrityError: it is torn or was changed.
    """
    return str(_facts(folder)["digest"])


def _require_consistent(cohort: Cohort) -> None:
    n, p = len(cohort.ids), len(cohort.features)
    columns = [cohort.patients, cohort.groups, cohort.labels, *cohort.subgroups.values()]
    columns += [cohort.folds] if cohort.folds else []
    shape = cohort.values.shape
    if (
        len(shape) not in (2, SIGNAL)
        or (shape[0], shape[-1]) != (n, p)
        or any(len(column) != n for column in columns)
    ):
        raise UnusableInputError(
            f"the cohort's columns do not fit: {n} cases, {p} features, values of shape "
            f"{cohort.values.shape}, attributes of lengths {[len(column) for column in columns]}"
        )
    broken = [name for name in cohort.features if "\n" in name]
    if broken:
        raise UnusableInputError(f"feature name {broken[0]!r} has a line break")


def _little_endian(values: NDArray[Any]) -> NDArray[Any]:
    array = np.ascontiguousarray(values)
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _cases_bytes(cohort: Cohort) -> bytes:
    columns = {
        "id": cohort.ids,
        "patient": cohort.patients,
        "group": cohort.groups,
        "label": cohort.labels,
        **({_FOLD: cohort.folds} if cohort.folds else {}),
        **{f"{_SUBGROUP}{name}": column for name, column in cohort.subgroups.items()},
    }
    arrays = [pa.array(list(column), pa.string()) for column in columns.values()]
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays, names=list(columns)), buffer)
    return buffer.getvalue()


_CURE = "run the import stage again"


def _unusable(path: Path, fault: str) -> UnusableInputError:
    return UnusableInputError(f"{path} {fault}; {_CURE}")


def _changed(path: Path, fault: str) -> IntegrityError:
    return IntegrityError(f"{path} {fault}; {_CURE}")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _unusable(path, "is missing") from None
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror})") from None


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS
    data = _bytes(path)
    try:
        facts = json.loads(data)
        known = facts["schema"] == SCHEMA
        facts["sha256"][CASES], facts["sha256"][FEATURES]
        facts["origin"], facts["about"], facts["digest"], facts["dtype"]
        int(facts.get("samples", 0))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _changed(path, "is torn or not the record of a cohort") from None
    if not known:
        raise _unusable(path, f"has schema {facts['schema']!r}, not {SCHEMA!r}")
    if canonical_json(facts) != data:
        raise _changed(path, "was changed or is torn")
    return dict(facts)


def _known_bytes(folder: Path, name: str, facts: dict[str, Any]) -> bytes:
    data = _bytes(folder / name)
    if sha256(data) != facts["sha256"][name]:
        raise _changed(folder / name, "was changed or is torn")
    return data


def _case_columns(folder: Path, facts: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    data = _known_bytes(folder, CASES, facts)
    try:
        table = table_in(data, str(folder / CASES))
    except NoParquetError as error:
        raise _changed(folder / CASES, f"is no Parquet file ({error})") from None
    return {name: tuple(table.column(name).to_pylist()) for name in table.column_names}


def _subgroups(columns: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    named = {name: column for name, column in columns.items() if name not in _ATTRIBUTES}
    return {name.removeprefix(_SUBGROUP): column for name, column in named.items()}


def _values(folder: Path, shape: tuple[int, ...], facts: dict[str, Any]) -> NDArray[Any]:
    path = folder / MEASUREMENTS
    values = read_array(path, _CURE, mapped=True)
    if values.shape != shape or values.dtype.name != facts["dtype"]:
        raise _changed(
            path,
            f"holds {values.shape} {values.dtype.name} and not {shape} {facts['dtype']}, which "
            f"{CASES}, {FEATURES} and {FACTS} call for",
        )
    return values
