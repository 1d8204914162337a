"""What a cohort must hold before anything is trained on it, judged by Great Expectations.

The tables of `summaries` are validated by the suites of `suites`; the code here turns the results
into sentences that name the case, feature or class and the value. The Data Docs are the ones that
Great Expectations renders, made self-contained: a machine in a hospital shows them without a
network, and opening them calls nobody.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from lifecycle.cohorts.ecg.suites import checks_of_signals
from lifecycle.cohorts.ecg.summaries import summarise_signals
from lifecycle.cohorts.suites import (
    Check,
    Outcome,
    Severity,
    Suite,
    Thresholds,
    checks_of,
    run,
    suites_of,
)
from lifecycle.cohorts.summaries import summarise
from lifecycle.domain.classifier import Part, Task
from lifecycle.domain.cohort import Cohort
from lifecycle.dossier.files import folder_whole, read_record, write_json
from lifecycle.errors import ExpectationError, IntegrityError

DATA_DOCS = "data_docs"
_NAMED_IN_SENTENCE = 3
_NAMED_IN_RESULT = 10
_LINES_OF_MESSAGE = 10
_DEFAULT = Thresholds()


@dataclass(frozen=True, slots=True)
class Failure:
    """An expectation that is not met.

    Attributes:
        expectation: suite and short name, for example `cases.beta-at-most-one`.
        severity: `critical` fails the validation, `warning` is only said.
        count: rows of the table that do not meet it; 0 where it is about the whole table.
        offenders: the first of them, each with its value.
        said: one sentence for a person.
    """

    expectation: str
    severity: Severity
    count: int
    offenders: tuple[str, ...]
    said: str


@dataclass(frozen=True, slots=True)
class Validation:
    """What the expectations found.

    Attributes:
        passed: no critical expectation failed.
        failures: critical expectations that are not met, in the order of the suites.
        warnings: the others that are not met.
        checked: how many expectations were evaluated.
    """

    passed: bool
    failures: tuple[Failure, ...]
    warnings: tuple[Failure, ...]
    checked: int


def validate(
    cohort: Cohort,
    frozen: Cohort | None,
    parts: Mapping[str, Part],
    classes: tuple[str, ...],
    task: Task,
    measures: Literal["beta", "table", "ecg"],
    folder: Path,
    thresholds: Thresholds = _DEFAULT,
) -> Validation:
    """Hold a cohort and its split against the expectations and write the Data Docs.

    Args:
        cohort: the cases that were split; values may be memory-mapped.
        frozen: the frozen set where it has a source of its own, or None where it is a part of
            `cohort`. Its cases may be unlabelled.
        parts: case id -> part.
        classes: class names, in order.
        task: `multi` labels join several classes with `|`.
        measures: `beta` values must lie within [0, 1]; a `table` holds any finite values; `ecg`
            are signals, which have suites of their own.
        folder: `data_docs/index.html` is written here, whole, in place of an older one.
        thresholds: limits.

    Returns:
        What was found; the same input gives the same value (no time, no run id).

    Raises:
        UnusableInputError: attributes and values of a cohort do not have the same length.
        OSError: the folder cannot be written.
    """
    grave = _frozen_severity(cohort, frozen, parts)
    tables: object
    if measures == "ecg":
        tables = summarise_signals(cohort, frozen, parts, classes, task)
        checks = checks_of_signals(classes, task, thresholds.signals, grave)
    else:
        tables = summarise(cohort, frozen, parts, classes, task)
        checks = checks_of(classes, task, measures, thresholds, grave)
    about = _about(cohort, frozen)
    with folder_whole(folder / DATA_DOCS) as site:
        found = run(tables, checks, site, about)
        result = _validation(checks, found)
        _finish(site, suites_of(checks), result, about)
    return result


def _frozen_severity(
    cohort: Cohort, frozen: Cohort | None, parts: Mapping[str, Part]
) -> Severity | None:
    """How grave a class without frozen cases is.

    A labelled part of the same cohort was drawn by us and must hold every class; a set of its own
    holds what the clinic sent, and one without labels cannot be asked.
    """
    if frozen is not None:
        return "warning" if any(frozen.labels) else None
    inside = [
        label
        for case, label in zip(cohort.ids, cohort.labels, strict=True)
        if parts.get(case) == "frozen"
    ]
    return "critical" if any(inside) or not inside else None


def require(validation: Validation, data_docs: Path) -> None:
    """End here where a critical expectation is not met.

    Args:
        validation: what was found.
        data_docs: where the Data Docs stand; named in the message.

    Raises:
        ExpectationError: says what failed in at most ten lines.
    """
    if validation.passed:
        return
    failed = validation.failures
    room = _LINES_OF_MESSAGE - 2
    shown = failed if len(failed) <= room else failed[: room - 1]
    lines = [f"the data do not meet {len(failed)} of {validation.checked} expectations:"]
    lines += [f"- {failure.said}" for failure in shown]
    if len(shown) < len(failed):
        lines.append(f"- and {len(failed) - len(shown)} more")
    lines.append(f"correct the data or params.yaml; see {data_docs}")
    raise ExpectationError("\n".join(lines))


# --- the result as a file


def write_result(path: Path, validation: Validation) -> None:
    """The result as canonical JSON, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    write_json(path, asdict(validation))


def read_result(path: Path) -> Validation:
    """The result that `write_result` wrote.

    Raises:
        UnusableInputError: the file is missing.
        IntegrityError: it is not what was written: other bytes, other fields, or a `passed` that
            its own failures contradict.
    """
    record = read_record(path)
    try:
        failures = tuple(_failure(item, "critical") for item in record["failures"])
        lesser = tuple(_failure(item, "warning") for item in record["warnings"])
        result = Validation(record["passed"], failures, lesser, record["checked"])
        _consistent(result, record)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"{path} was changed: it is not a validation result ({error}); run `dvc repro` again"
        ) from None
    return result


def _consistent(result: Validation, record: Any) -> None:
    if set(record) != {"passed", "failures", "warnings", "checked"}:
        raise ValueError("unknown fields")
    if type(result.checked) is not int or type(result.passed) is not bool:
        raise ValueError("`passed` or `checked` has the wrong type")
    if result.passed != (not result.failures):
        raise ValueError("`passed` contradicts `failures`")
    if result.checked < max(1, len(result.failures) + len(result.warnings)):
        raise ValueError("`checked` is less than what failed")


def _failure(item: Any, severity: Severity) -> Failure:
    if set(item) != {"expectation", "severity", "count", "offenders", "said"}:
        raise ValueError("a failure with unknown fields")
    texts = (item["expectation"], item["said"], *item["offenders"])
    if item["severity"] != severity or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"a {severity} failure with other content")
    if type(item["count"]) is not int or type(item["offenders"]) is not list:
        raise ValueError("a failure whose `count` or `offenders` has the wrong type")
    return Failure(
        item["expectation"], severity, item["count"], tuple(item["offenders"]), item["said"]
    )


# --- from results to sentences


def _validation(checks: Sequence[Check], found: Mapping[str, Outcome]) -> Validation:
    failed = [
        _failed(check, found[check.title]) for check in checks if not found[check.title].success
    ]
    critical = tuple(failure for failure in failed if failure.severity == "critical")
    lesser = tuple(failure for failure in failed if failure.severity == "warning")
    return Validation(not critical, critical, lesser, len(checks))


def _failed(check: Check, outcome: Outcome) -> Failure:
    if outcome.exception or not outcome.result:
        # An expectation that could not be evaluated shows nothing: it counts as not met, gravely.
        said = f"{check.title} could not be evaluated: {outcome.exception or 'no result'}"
        return Failure(check.title, "critical", 0, (), said)
    rows = outcome.result.get("unexpected_index_list", [])
    count = int(outcome.result.get("unexpected_count", 0))
    named = tuple(_offender(check, row) for row in rows[:_NAMED_IN_RESULT])
    said = check.problem
    if named:
        said += ": " + "; ".join(named[:_NAMED_IN_SENTENCE])
    if count > _NAMED_IN_SENTENCE:
        said += f"; and {count - _NAMED_IN_SENTENCE} more"
    return Failure(check.title, check.severity, count, named, said)


def _offender(check: Check, row: Mapping[str, Any]) -> str:
    return check.offender.format_map({name: _shown(value) for name, value in row.items()})


def _shown(value: Any) -> str:
    """A value for a person: numbers in their shortest exact form, whole ones without a fraction."""
    if isinstance(value, str):
        return value
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)


# --- the Data Docs


def _about(cohort: Cohort, frozen: Cohort | None) -> str:
    """What the data are, simulated ones marked."""
    mark = {"simulated": "simulated ", "real": ""}
    text = f"{mark[cohort.origin]}cohort"
    return text if frozen is None else f"{text} with {mark[frozen.origin]}frozen set"


# What a page would load: scripts, style sheets, pictures, the icon (its path is wrong in 1.24).
_LOADED = re.compile(
    r"<script\b.*?</script>|<footer\b.*?</footer>|<link\b[^>]*>|<img\b[^>]*>"
    r"|url\('https?://[^)]*\)",
    flags=re.DOTALL,
)

# The layout comes from a style sheet on the network; this much of it is enough to read the pages.
_STYLE = """<style>
body { font-family: sans-serif; margin: 1.5em; }
table { border-collapse: collapse; margin: .5em 0; }
td, th { border: 1px solid #999; padding: .3em .6em; text-align: left; vertical-align: top; }
.popover, .cooltip .top, .btn, .nav-tabs, .tab-content { display: none; }
.ge-breadcrumbs li { display: inline; margin-right: 1em; }
.about { border: 2px solid #333; padding: .5em 1em; margin-bottom: 1em; }
.about.marked { border-color: #b00; }
</style>
"""


def _finish(site: Path, suites: Sequence[Suite], validation: Validation, about: str) -> None:
    """Make the rendered site self-contained and say on every page what the data are.

    The pages load scripts, style sheets and a picture from nine hosts, and the index is an empty
    table without them. What is loaded is taken out, and the index gets the links as plain HTML.
    """
    for page in sorted(site.rglob("*.html")):
        text = _LOADED.sub("", page.read_text(encoding="utf-8"))
        inside = _index(site, suites, validation) if page == site / "index.html" else ""
        kind = "about marked" if "simulated" in about else "about"
        banner = f'<div class="{kind}"><h2>Data checks: {html.escape(about)}</h2>{inside}</div>'
        head, body, rest = re.split(r"(</head>\s*<body\b[^>]*>)", text, maxsplit=1)
        page.write_text(f"{head}{_STYLE}{body}{banner}{rest}", encoding="utf-8")
    shutil.rmtree(site / "static")  # 4 MB of fonts and pictures that no page refers to any more


def _index(site: Path, suites: Sequence[Suite], validation: Validation) -> str:
    """What was found and where to read it, in HTML."""
    rows = "".join(_index_row(site, suite, validation) for suite in suites)
    said = "".join(
        f"<li>{html.escape(failure.severity)}: {html.escape(failure.said)}</li>"
        for failure in (*validation.failures, *validation.warnings)
    )
    word = "met" if validation.passed else "NOT met"
    return (
        f"<p>Expectations {word}: {validation.checked} evaluated, {len(validation.failures)} "
        f"critical and {len(validation.warnings)} warnings not met.</p><ul>{said}</ul>"
        f"<table><tr><th>suite</th><th>not met</th><th>pages</th></tr>{rows}</table>"
    )


def _index_row(site: Path, suite: Suite, validation: Validation) -> str:
    failed = [
        failure
        for failure in (*validation.failures, *validation.warnings)
        if failure.expectation.startswith(f"{suite}.")
    ]
    pages = [("expectations", site / "expectations" / f"{suite}.html")]
    pages += [("results", page) for page in (site / "validations" / suite).rglob("*.html")]
    links = ", ".join(
        f'<a href="{quote(page.relative_to(site).as_posix())}">{word}</a>' for word, page in pages
    )
    return f"<tr><td>{suite}</td><td>{len(failed)}</td><td>{links}</td></tr>"
