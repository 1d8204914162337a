"""The public face of released models: the one import of a laboratory's service.

    from lifecycle.released import load_released

    model = load_released("gbm-methylation", Path("classifiers"))
    result = model.predict(betas, ids, probes)

Importing this costs nothing; the first call loads the network's library.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lifecycle.workflows.released import Released


def load_released(
    name: str,
    root: Path | str | None = None,
    *,
    demonstration: bool = False,
    trust: str | None = None,
    head: str | None = None,
) -> Released:
    """The newest release of a classifier, after its whole chain was verified.

    Args:
        name: of the classifier.
        root: the project or an exported bundle; the current folder by default.
        demonstration: accept a release of a SIMULATED cohort, which is never for patients.
        trust: fingerprint of the first roster, known from elsewhere.
        head: digest of the newest record, known from elsewhere: without it, records cut off at the
            end (a withdrawal, say) cannot be noticed.

    Returns:
        The model: `predict(values, ids, features)` and `predict_file(path)` give the calls at the
        released tau, and `provenance` says which release they come from.

    Raises:
        lifecycle.errors.IntegrityError: anything that the release binds differs by a bit.
        lifecycle.errors.SignOffRefusedError: nothing is released, it was withdrawn, or it is a
            demonstration only.
        lifecycle.errors.UnusableInputError: the release is one that cannot be applied.
    """
    from lifecycle.workflows import released  # noqa: PLC0415  # the service may never call it

    place = Path(root) if root is not None else None
    return released.load_released(name, place, demonstration=demonstration, trust=trust, head=head)
