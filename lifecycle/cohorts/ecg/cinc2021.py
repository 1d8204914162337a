"""PhysioNet/CinC Challenge 2021: .hea and .mat (WFDB format 16 behind 24 bytes), SNOMED CT codes.

The set's own lines vary: `#Dx:` or `# Dx:`, stray and doubled commas, units `mV` or `mv`. A .mat
without its .hea has neither rate, gain, leads nor labels and cannot be used.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from lifecycle.cohorts.ecg.attributes import age_group, sex_of
from lifecycle.cohorts.ecg.faults import BadRecordError
from lifecycle.cohorts.ecg.headers import Header, read_header
from lifecycle.cohorts.ecg.labels import names_by
from lifecycle.cohorts.ecg.records import (
    Case,
    Listing,
    Row,
    digest_of_files,
    folder_of,
    read_signal,
    window,
)
from lifecycle.domain.classifier import CohortSource, SignalPlan
from lifecycle.errors import UnusableInputError

_SUBGROUPS = ("age", "sex", "folder")
_CITATION = (
    "Reyna et al., Will two do? Varying dimensions in electrocardiography: the PhysioNet/Computing "
    "in Cardiology Challenge 2021, PhysioNet 2022, doi 10.13026/34va-7q14"
)


def list_cinc2021(source: CohortSource, plan: SignalPlan, root: Path) -> Listing:
    """Records of a folder and its subfolders, by path.

    Raises:
        UnusableInputError: no such folder, no records, or an unknown subgroup.
    """
    folder = folder_of(root / source.path, source.path)
    require_subgroups(source, _SUBGROUPS)
    stems = sorted(
        {path.with_suffix("") for kind in ("hea", "mat") for path in _found(folder, kind)}
    )
    if not stems:
        raise UnusableInputError(f"{source.path} holds no .hea and .mat files")
    headers = [stem.with_name(stem.name + ".hea") for stem in stems]
    return Listing(
        rows=[
            Row(stem.name, partial(_read, folder, stem, plan, source.subgroups)) for stem in stems
        ],
        about={
            "dataset": "PhysioNet/CinC Challenge 2021 format",
            "labels": "every SNOMED CT code of the Dx line, named by the label table",
            "sha256": {"headers": digest_of_files(folder, headers)},
            "citation": _CITATION,
            "licence": "CC BY 4.0",
        },
        names=names_by("snomed"),
    )


def require_subgroups(source: CohortSource, known: tuple[str, ...]) -> None:
    """Subgroups that a format has.

    Raises:
        UnusableInputError: another one is asked for.
    """
    for name in source.subgroups:
        if name not in known:
            have = f"it has {', '.join(known)}" if known else "it has none"
            raise UnusableInputError(f"`subgroups` {name!r} of {source.source}: {have}")


def diagnoses(header: Header) -> tuple[str, ...] | None:
    """Codes of the Dx line without empty ones, None where the record is not annotated."""
    line = header.comment("dx")
    if line is None or line.lower() in ("", "unknown", "nan"):
        return None
    codes = tuple(dict.fromkeys(code for code in re.split(r"[,\s]+", line) if code))
    return codes or None


def _found(folder: Path, kind: str) -> list[Path]:
    return [path for path in folder.rglob(f"*.{kind}") if path.is_file()]


def _read(
    folder: Path, stem: Path, plan: SignalPlan, wanted: tuple[str, ...]
) -> list[Case | BadRecordError]:
    record = stem.name
    header = read_header(stem.with_name(record + ".hea"), record)
    signal = read_signal(header, plan.leads, plan.leads_as)
    known = {
        "age": age_group(header.comment("age") or ""),
        "sex": sex_of(header.comment("sex") or ""),
        "folder": stem.parent.relative_to(folder).as_posix().removeprefix("."),
    }
    case = Case(
        id=record,
        patient=record,
        statements=diagnoses(header),
        values=window(signal, plan, record),
        rate=signal.rate,
        subgroups={name: known[name] for name in wanted},
    )
    return [case]
