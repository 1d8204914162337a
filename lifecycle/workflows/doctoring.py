"""Doctor: what this machine computes with, and whether exact arithmetic is right on it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lifecycle.workflows.boundary import say

if TYPE_CHECKING:
    from lifecycle.numerics.exact.selftest import SelfTest

_SHOWN = 12  # wrong checks that are shown; the first is the nearest to the cause


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found.

    Attributes:
        facts: group -> entry -> text (see `numerics.machine.machine_facts`).
        dangers: what could spoil arithmetic here.
        tested: the self-test.
    """

    facts: Mapping[str, Mapping[str, str]]
    dangers: tuple[str, ...]
    tested: SelfTest


def examine() -> Examination:
    """Look at the machine, and run the self-test with 1 thread and with all cores."""
    from lifecycle.numerics.exact.selftest import self_test
    from lifecycle.numerics.machine import dangers, machine_facts

    return Examination(machine_facts(), dangers(), self_test())


def require_exact_arithmetic(threads: int) -> dict[str, str]:
    """Run the self-test, as every exact build does first; what its record keeps of it.

    Raises:
        IntegrityError: a bit is wrong on this machine.
    """
    from lifecycle.numerics.exact.selftest import self_test

    tested = self_test(threads).require()
    say(f"{tested.arithmetic}: {tested.checks} checks are right ({tested.seconds:.1f} s)")
    return tested.facts()


def show(found: Examination, as_json: bool) -> str:
    """An examination for a person, or as JSON."""
    if as_json:
        return json.dumps(to_json(found), indent=2)
    return "\n".join([_table(found.facts), "", *_dangers(found.dangers), *_verdict(found.tested)])


def to_json(found: Examination) -> dict[str, Any]:
    """The same, with a cure for everything that is wrong."""
    tested = asdict(found.tested)
    wrong = [{**asdict(one), "cure": one.cure()} for one in found.tested.wrong]
    return {
        "machine": found.facts,
        "dangers": list(found.dangers),
        "self_test": {**tested, "threads": list(found.tested.threads), "wrong": wrong},
    }


def _table(facts: Mapping[str, Mapping[str, str]]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False, show_header=False)
    for justify in ("left", "left", "left"):
        table.add_column(justify=justify, overflow="fold")
    for group, entries in facts.items():
        for i, (name, text) in enumerate((entries or {"none set": ""}).items()):
            table.add_row(group if i == 0 else "", name, text)
    out = io.StringIO()
    width = max(80, shutil.get_terminal_size((120, 24)).columns)
    Console(file=out, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines() if line.strip())


def _dangers(dangers: tuple[str, ...]) -> list[str]:
    return [*(f"danger: {one}" for one in dangers), ""] if dangers else []


def _verdict(tested: SelfTest) -> list[str]:
    counts = " and ".join(str(count) for count in tested.threads)
    head = (
        f"{tested.arithmetic}: {tested.checks} checks in {tested.ways} computations, threads: "
        f"{counts}; {tested.seconds:.1f} s"
    )
    if not tested.wrong:
        return [f"{head}: every bit is right", f"digest over all checks: {tested.digest}"]
    shown = [f"  ✖ {one.said()}" for one in tested.wrong[:_SHOWN]]
    more = len(tested.wrong) - len(shown)
    return [f"{head}: WRONG", *shown, *([f"  and {more} more"] if more else [])]
