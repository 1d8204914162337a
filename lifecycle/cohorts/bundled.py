"""Data sets that scikit-learn carries: real, small, at hand without any download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lifecycle.domain.classifier import CohortSource
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.digests import canonical_array, sha256
from lifecycle.errors import UnusableInputError


@dataclass(frozen=True, slots=True)
class _Bundled:
    """How a data set is loaded, what its cases are called and who published it."""

    loader: str
    prefix: str
    citation: str


_SETS = {
    "breast_cancer": _Bundled(
        "load_breast_cancer",
        "wdbc",
        "Wolberg, Street and Mangasarian, Breast Cancer Wisconsin (Diagnostic), UCI Machine "
        "Learning Repository, 1995, doi 10.24432/C5DW2B, CC BY 4.0; as carried by scikit-learn",
    ),
    "wine": _Bundled(
        "load_wine",
        "wine",
        "Aeberhard and Forina, Wine, UCI Machine Learning Repository, 1992, doi 10.24432/C5PC7J, "
        "CC BY 4.0; as carried by scikit-learn",
    ),
    "iris": _Bundled(
        "load_iris",
        "iris",
        "Fisher, Iris, UCI Machine Learning Repository, 1936, doi 10.24432/C56C76, CC BY 4.0; as "
        "carried by scikit-learn",
    ),
    "digits": _Bundled(
        "load_digits",
        "digits",
        "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits (test part), UCI Machine "
        "Learning Repository, 1998, doi 10.24432/C50P49, CC BY 4.0; as carried by scikit-learn",
    ),
}


def import_bundled(source: CohortSource) -> Cohort:
    """A bundled data set: float64 features, target names as labels, ids counted in file order.

    No patients are known: every case is its own patient, and `about` says so.

    Raises:
        UnusableInputError: `dataset` is not given, or scikit-learn is not installed.
    """
    if source.dataset is None:
        raise UnusableInputError(f"give `dataset`, one of: {', '.join(_SETS)}")
    bundled = _SETS[source.dataset]
    data = _load(bundled.loader)
    values = np.asarray(data.data, dtype=np.float64)
    ids = _numbered(bundled.prefix, len(values))
    return Cohort(
        ids=ids,
        patients=ids,
        groups=("",) * len(ids),
        labels=tuple(str(data.target_names[i]) for i in data.target),
        features=tuple(str(name) for name in data.feature_names),
        values=values,
        origin="real",
        about=_about(source.dataset, bundled.citation, data),
    )


def _load(loader: str) -> Any:
    try:
        from sklearn import datasets  # noqa: PLC0415  # a second of import for these four sets only
    except ImportError:
        raise UnusableInputError(
            "bundled data sets come with scikit-learn; install lifecycle[build]"
        ) from None
    return getattr(datasets, loader)()


def _numbered(prefix: str, count: int) -> tuple[str, ...]:
    width = max(3, len(str(count)))
    return tuple(f"{prefix}-{i:0{width}d}" for i in range(1, count + 1))


def _about(dataset: str, citation: str, data: Any) -> dict[str, Any]:
    values = canonical_array(np.asarray(data.data, dtype=np.float64))
    target = canonical_array(np.asarray(data.target, dtype=np.int64))
    return {
        "source": "bundled",
        "dataset": dataset,
        "citation": citation,
        "sha256": {"data": sha256(values), "target": sha256(target)},
        "measures": "table",
        "patients": "not known: every case is its own patient",
    }
