"""What is counted as one: patients, or components of patients that share groups."""

from __future__ import annotations

from collections.abc import Sequence

from lifecycle.errors import UnusableInputError


def require_groups(unit: str, ids: Sequence[str], groups: Sequence[str], where: str) -> None:
    """Counting by components needs the group of every case.

    A case without one may come from the slide of any other; taken for a component of its own it
    would make the bounds better than they are.

    Args:
        unit: `patient`, for which nothing is needed, or `component`.
        ids: of the cases.
        groups: of each case, "" where there is none.
        where: the file or set, for messages.

    Raises:
        UnusableInputError: a case has no group; names the first one.
    """
    without = [case for case, group in zip(ids, groups, strict=True) if not group]
    if unit != "component" or not without:
        return
    if len(without) == len(ids):
        found = "no case has a group"
    else:
        found = f"{len(without)} of {len(ids)} cases have no group, {without[0]!r} first"
    raise UnusableInputError(
        f"{where}: {found}, and unit `component` counts patients that share one (a slide, a batch) "
        "as one: name the group of every case (one of its own where it shares with nobody), or "
        "count by unit `patient`"
    )
