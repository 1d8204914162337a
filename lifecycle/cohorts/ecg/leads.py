"""Leads by name: twelve names, their spellings, and the columns of a record that carry them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lifecycle.cohorts.ecg.faults import BadRecordError
from lifecycle.domain.classifier import LEADS, Lead

# Modified limb leads of ambulatory recorders stand for the limb leads (MIT-BIH directory, leads).
_MODIFIED: dict[str, Lead] = {"mli": "I", "mlii": "II", "mliii": "III"}
_BY_SPELLING: dict[str, Lead] = {lead.lower(): lead for lead in LEADS} | _MODIFIED


def lead_of(name: str, stated: Mapping[str, Lead] | None = None) -> Lead | None:
    """The lead that a channel's name means, whatever its case (`AVR`, `avr`, `MLII`), or None.

    Args:
        name: of the channel.
        stated: leads of channels with names of their own, as a person stated them.
    """
    known = (stated or {}).get(name.strip())
    return known or _BY_SPELLING.get(name.strip().lower())


def columns_of(
    names: Sequence[str],
    wanted: Sequence[str],
    record: str,
    stated: Mapping[str, Lead] | None = None,
) -> list[int]:
    """Positions of the wanted leads among a record's channels, by name, in the order wanted.

    Args:
        names: of the channels.
        wanted: leads.
        record: for messages.
        stated: leads of channels with names of their own.

    Raises:
        BadRecordError: a lead is missing, or two channels carry it.
    """
    found: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        found.setdefault(lead_of(name, stated) or "", []).append(position)
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
        "name leads that every record has in `signal.leads`, or say in `signal.leads_as` what "
        "a channel is",
    )
