"""The pin of the frozen clinical test set: a digest for each case, so that none changes unseen.

Canonical bytes of a case (design 09.11): canonical JSON of id, patient, group, label where it is
known, and its values as little-endian float64 in hex, zeros and NaN canonicalised. The total is
over all cases, the feature names in order, and the origin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lifecycle.domain.cohort import Cohort, Pin
from lifecycle.domain.digests import (
    canonical_array,
    canonical_json,
    digest_of,
    lines_digest,
    sha256,
)
from lifecycle.errors import ExpectationError, IntegrityError, UsageError


def case_digests(cohort: Cohort) -> dict[str, str]:
    """SHA-256 of each case's canonical bytes, by case id.

    Raises:
        ExpectationError: two cases have one id, so that one digest would hide the other.
    """
    twice = [case for case, count in Counter(cohort.ids).items() if count > 1]
    if twice:
        raise ExpectationError(f"case {twice[0]!r} occurs twice{_more(twice)}; ids must be unique")
    return {case: sha256(canonical_case(cohort, i)) for i, case in enumerate(cohort.ids)}


def value_digests(cohort: Cohort) -> dict[str, str]:
    """SHA-256 of each case's measured values as little-endian float64, by case id."""
    rows = (_one_nan(cohort.rows([i])[0]) for i in range(len(cohort.ids)))
    return {case: sha256(canonical_array(row)) for case, row in zip(cohort.ids, rows, strict=True)}


def make_pin(cohort: Cohort, version: str, number: int, reason: str) -> Pin:
    """Pin the frozen cases of a version.

    Args:
        cohort: the frozen cases, and no others.
        version: version of the classifier.
        number: 1 for the first lock; an amendment adds one.
        reason: why it was amended; "" for the first lock.

    Raises:
        ExpectationError: there are no frozen cases, or two of one id.
        UsageError: an amendment without a reason.
    """
    if not cohort.ids:
        raise ExpectationError(f"version {version}: no frozen cases to pin")
    if number > 1 and not reason.strip():
        raise UsageError(f"pin {number} of version {version} amends an earlier one: give a reason")
    cases = case_digests(cohort)
    total = _total(cases, cohort)
    return Pin(version, number, cases, total, reason, cohort.origin, value_digests(cohort))


def check_pin(pin: Pin, cohort: Cohort) -> None:
    """Return where the frozen cases are the pinned ones, bit for bit.

    Args:
        pin: the pin in force.
        cohort: the frozen cases as they are now, in any order.

    Raises:
        IntegrityError: a case is missing, extra or changed (the first of each kind, in order of
            ids, and how many), features were renamed, or the origin is another.
    """
    found = case_digests(cohort)
    faults = _differences(pin.cases, found)
    if cohort.origin != pin.origin:
        faults.insert(0, f"the cases are {cohort.origin}, and {pin.origin} ones were pinned")
    if not faults and pin.values and pin.values != value_digests(cohort):
        faults = ["the pin's digests of the values are not those of the cases"]
    if not faults and _total(found, cohort) != pin.total:
        faults = ["the feature list was changed (every case kept its values)"]
    if faults:
        raise IntegrityError(
            f"frozen test set, pin {pin.number} of version {pin.version}: {'; '.join(faults)}. "
            "Restore the pinned data, amend the pin with a reason, or begin a new version"
        )


def _total(cases: Mapping[str, str], cohort: Cohort) -> str:
    features = lines_digest(cohort.features)
    return digest_of({"cases": dict(cases), "features": features, "origin": cohort.origin})


def canonical_case(cohort: Cohort, row: int) -> bytes:
    """Canonical bytes of one case.

    `values` is the last key in sorted order and its hex needs no escaping, so it is put in by hand:
    less time than the JSON encoder takes, the same bytes.
    """
    facts = {
        "id": cohort.ids[row],
        "patient": cohort.patients[row],
        "group": cohort.groups[row],
    }
    if cohort.labels[row]:
        facts["label"] = cohort.labels[row]
    values = canonical_array(_one_nan(cohort.rows([row])[0])).hex().encode("ascii")
    return b"".join((canonical_json(facts)[:-2], b',"values":"', values, b'"}\n'))


def _one_nan(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same values with every NaN of one bit pattern: readers differ in its sign and payload."""
    return np.where(np.isnan(values), np.nan, values)


def _differences(pinned: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    missing = sorted(set(pinned) - set(found))
    extra = sorted(set(found) - set(pinned))
    changed = sorted(case for case in set(pinned) & set(found) if pinned[case] != found[case])
    said = []
    if missing:
        said.append(f"case {missing[0]!r} is missing{_more(missing)}")
    if extra:
        said.append(f"case {extra[0]!r} was not pinned{_more(extra)}")
    if changed and len(changed) == len(pinned) > 1:
        said.append(
            f"all {len(changed)} cases were changed, first {changed[0]!r}: most likely the "
            "features, their order or their unit"
        )
    elif changed:
        said.append(f"case {changed[0]!r} was changed{_more(changed)}")
    return said


def _more(found: Sequence[str]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""
