"""Leads by name: twelve names, their spellings, and the columns of a record that carry them."""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.cohorts.ecg.faults import BadRecordError
from lifecycle.domain.classifier import LEADS, Lead

# Modified limb leads of ambulatory recorders stand for the limb leads (MIT-BIH directory, leads).
_MODIFIED: dict[str, Lead] = {"mli": "I", "mlii": "II", "mliii": "III"}
_BY_SPELLING: dict[str, Lead] = {lead.lower(): lead for lead in LEADS} | _MODIFIED


def lead_of(name: str) -> Lead | None:
    """The lead that a channel's name means, whatever its case (`AVR`, `avr`, `MLII`), or None."""
    return _BY_SPELLING.get(name.strip().lower())


def columns_of(names: Sequence[str], wanted: Sequence[str], record: str) -> list[int]:
    """Positions of the wanted leads among a record's channels, by name, in the order wanted.

    Raises:
        BadRecordError: a lead is missing, or two channels carry it.
    """
    found: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        found.setdefault(lead_of(name) or "", []).append(position)
    return [_one(found.get(lead, []), lead, names, record) for lead in wanted]


def _one(positions: list[int], lead: str, names: Sequence[str], record: str) -> int:
    if len(positions) == 1:
        return positions[0]
    have = ", ".join(name[:20] for name in names[:16])
    many = "no channel is" if not positions else f"{len(positions)} channels are"
    raise BadRecordError(
        record,
        "missing lead",
        f"{many} lead {lead} (channels: {have})",
        "name leads that every record has in `signal.leads`",
    )
