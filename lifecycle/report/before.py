"""Tables of what came before a version: the one that it follows, and the networks judged so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lifecycle.report.source import ReportInput
from lifecycle.report.tables import Table, table
from lifecycle.report.text import listed, many, number, percent


def before_tables(data: ReportInput) -> list[Table]:
    """What the gate saw of earlier versions, and how often the frozen cases were used.

    Empty where the verdict was made without these criteria.
    """
    shown = data.verdict.shown
    found = []
    if "predecessor" in shown:
        found += _predecessor(shown["predecessor"])
    if "exposure" in shown:
        found.append(_exposure(shown["exposure"], data))
    return found


def _predecessor(found: Mapping[str, Any]) -> list[Table]:
    builds = listed(f"b{one}" for one in found["builds"]) if found["builds"] else "none"
    rows = [
        ("last version released before", str(found["earlier"] or "none")),
        ("version that the policy names", str(found["version"] or "none")),
        ("its releases that were compared", builds),
        ("networks judged since, over all versions", str(found["attempt"])),
        ("frozen cases that are the same", f"{found['common']:,}"),
        *((words, _named(found[key])) for key, words in _CASES),
        ("calls of it that could be compared", f"{found['compared']:,} of {found['called']:,}"),
        *((("classes of one name that the map takes apart", listed(found["astray"])),)
          if found["astray"] else ()),
        *((("why nothing was compared", found["why"]),) if found["why"] else ()),
    ]  # fmt: skip
    tables = [table("The version before", ("what", "value"), rows, (0, 1))]
    if "series" in found:
        tables.append(_figures(found))
        tables += [_cases(found)] if found["discordant"] else []
    unmatched = [
        (build, name, f"{count:,}")
        for build, classes in found["unmatched"].items()
        for name, count in classes.items()
    ]
    if unmatched:
        note = "They are listed and not compared: the class map names no class for them."
        head = ("build", "class", "cases called so")
        tables.append(table("Classes without a counterpart", head, unmatched, (0, 1), note))
    return tables


_CASES = (
    ("only_now", "frozen cases that only this version has"),
    ("only_then", "frozen cases that only the version before has"),
    ("changed", "frozen cases with the same name and another content"),
)


def _named(found: Mapping[str, Any]) -> str:
    return f"{found['cases']:,}" + (f" ({listed(found['first'])})" if found["cases"] else "")


def _figures(found: Mapping[str, Any]) -> Table:
    rows = [("all of them and this build", found["series"]), ("ever: any two", found["ever"])]
    rows += [(f"{pair['reference']} and this build", pair["figures"]) for pair in found["pairs"]]
    body = [
        (name, *(f"{f[key]:,}" for key in ("S", "R", "D", "conversions", "m")), number(f["Z"]),
         percent(f["rate"]), percent(f["upper"]))
        for name, f in rows
    ]  # fmt: skip
    head = ("compared", "|S| cases", "|R| all report", "|D| discordant", "conversions", "m", "Z",
            "Z/m", "upper bound U")  # fmt: skip
    note = "Each side is called at the tau of its own version, in classes that both have."
    return table("Consistency with the version before", head, body, note=note)


def _cases(found: Mapping[str, Any]) -> Table:
    names = list(found["names"])
    rows = [(one["case"], *(one["calls"][name] for name in names)) for one in found["first"]]
    rest = found["discordant"] - len(rows)
    note = f"And {many(rest, 'more case')}." if rest > 0 else ""
    left = range(len(names) + 1)
    return table("Discordant cases, by what each build calls", ("case", *names), rows, left, note)


def _exposure(found: Mapping[str, Any], data: ReportInput) -> Table:
    rows = [(name, version, f"{count:,}") for name, version, count in found["of"]]
    limit = data.classifier.policy.exposure
    allowed = "The policy sets no limit." if limit is None else f"The policy allows {limit:,}."
    note = (
        f"{many(found['networks'], 'different network')} altogether. {allowed} The more networks "
        "were judged on the same cases, the less these tell of the one that was kept. Networks "
        "that were never recorded cannot be seen."
    )
    caption = "Networks that were judged on these frozen cases"
    return table(caption, ("classifier", "version", "networks"), rows, (0, 1), note)
