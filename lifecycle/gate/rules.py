"""Which criteria a verdict is made by: one numbered set of rules for each published statistic.

A case names its rules, and is replayed by these for ever. What may change under one number is what
decides nothing: sentences, figures that are only shown, a criterion that did not exist before. A
statistic, limit or bound that would come out otherwise gets the next number: its criterion is
written beside the old one, which stays, and the new set names the new one (docs/decisions/0010).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.gate.criteria import CRITERIA, CRITERIA_2, Criterion
from lifecycle.gate.following import exposure, predecessor
from lifecycle.records.evidence import CRITERIA_V1, RULES_V1
from lifecycle.version import PROGRAM


@dataclass(frozen=True, slots=True)
class Rules:
    """A numbered set of criteria.

    Attributes:
        name: `gate/<n>`, as cases name it.
        criteria: name -> criterion, in the order of judging.
        demanded: criteria that every case of these rules must have been judged by. One that was
            added later is not among them: older cases do not know it.
        looks_at_all: a build faces every other release of its version, later ones too; the earliest
            build of its weights says how old the policy may be; the frozen set is no part of what a
            network is trained from. `gate/1` looked at the builds before it, and at its own.
    """

    name: str
    criteria: Mapping[str, Criterion]
    demanded: Sequence[str]
    looks_at_all: bool = True


NOW = "gate/2"
RULES = {
    RULES_V1: Rules(RULES_V1, CRITERIA, CRITERIA_V1, looks_at_all=False),
    NOW: Rules(
        NOW,
        {**CRITERIA_2, "predecessor": predecessor, "exposure": exposure},
        (*CRITERIA_V1, "consistency.cases", "frozen.amended", "predecessor", "exposure"),
    ),
}


def rules_of(name: str, where: str) -> Rules:
    """Rules by their name.

    Raises:
        UnusableInputError: this program does not have them: a newer one's.
    """
    if name not in RULES:
        raise UnusableInputError(
            f"{where} was judged by the rules {name!r}, and this is {PROGRAM}, which has "
            f"{', '.join(RULES)}: use the newer program"
        )
    return RULES[name]


def criteria_of(rules: str, names: Sequence[str], where: str) -> dict[str, Criterion]:
    """The criteria that a case was judged by.

    Args:
        rules: as the case names them.
        names: of its criteria.
        where: the case, for messages.

    Raises:
        UnusableInputError: rules or a criterion that this program does not have: a newer one's.
        IntegrityError: a criterion that these rules demand is missing, or one stands twice.
    """
    known = rules_of(rules, where)
    strange = [name for name in names if name not in known.criteria]
    if strange:
        raise UnusableInputError(
            f"{where} was judged by the criterion {strange[0]!r}, which {PROGRAM} does not have: "
            "use the newer program"
        )
    missing = [name for name in known.demanded if name not in names]
    if missing or len(set(names)) != len(names):
        fault = f"criterion {missing[0]!r} is missing" if missing else "a criterion stands twice"
        raise IntegrityError(f"{where} was changed: {fault}, and {rules} demands each once")
    return {name: known.criteria[name] for name in names}
