"""Where the pipeline stands: its current build, and tau in force."""

from __future__ import annotations

from lifecycle.domain.predictions import Cutoffs
from lifecycle.dossier.files import read_record, write_json
from lifecycle.dossier.layout import Layout
from lifecycle.records.builds import CURRENT, CurrentV2
from lifecycle.records.evidence import THRESHOLD, ThresholdV2


def write_current(layout: Layout, build: int, version: str) -> None:
    """The pipeline stands at a build."""
    fields = {"build": build, "version": version}
    write_json(layout.current, CURRENT.write(fields, str(layout.current)))


def read_current(layout: Layout) -> CurrentV2:
    """Which build the pipeline stands at.

    Raises:
        UnusableInputError: nothing was built, or a newer program wrote it.
        IntegrityError: the file was changed.
    """
    return CURRENT.model(read_record(layout.current), str(layout.current))


def write_threshold(layout: Layout, version: str, build: str, cutoffs: Cutoffs) -> None:
    """Keep tau of a version, and the build whose holdout it was chosen on."""
    fields = {"version": version, "build": build, **_values(cutoffs)}
    write_json(layout.threshold, THRESHOLD.write(fields, str(layout.threshold)))


def read_threshold(layout: Layout) -> ThresholdV2:
    """Tau as it was kept.

    Raises:
        UnusableInputError: it was not chosen yet, or a newer program wrote it.
        IntegrityError: the file was changed.
    """
    return THRESHOLD.model(read_record(layout.threshold), str(layout.threshold))


def follows(threshold: ThresholdV2, version: str, build: str, cutoffs: Cutoffs) -> bool:
    """Whether the kept tau is the one that was just chosen again, of this version and build."""
    kept = {"yes": threshold.yes, "no": threshold.no, "status": threshold.status}
    return (threshold.version, threshold.build) == (version, build) and kept == _values(cutoffs)


def _values(cutoffs: Cutoffs) -> dict[str, object]:
    no = None if cutoffs.no is None else list(cutoffs.no)
    return {"yes": list(cutoffs.yes), "no": no, "status": cutoffs.status}
