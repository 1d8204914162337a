"""The suites of Great Expectations (1.24) that a cohort must meet, and their run.

Three suites look at the three tables of `summaries`: `cases`, `features` and `split`; those of
signals have their own (`ecg.suites`) over `cases`, `leads`, `recordings` and `split`. What is
expected is stated here and judged by Great Expectations; its results come back unchanged.
"""

from __future__ import annotations

import operator
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from lifecycle.cohorts.ecg.limits import SignalThresholds
from lifecycle.cohorts.summaries import BETWEEN_CLASSES
from lifecycle.domain.classifier import Task
from lifecycle.domain.limits import Count, Share

Severity = Literal["critical", "warning"]
Suite = Literal["cases", "features", "leads", "recordings", "split"]
Condition = tuple[str, Literal["==", "!="], str]
Limit = tuple[int, Severity | None]  # least cases, and how grave fewer are

# Columns that Great Expectations shows beside an unexpected value; it cannot show one that the
# expectation itself is about, so `case` and `named` repeat `case_id` and `feature`. Of the names
# listed, those that the table has are shown.
_LOCATED_BY: Mapping[Suite, tuple[str, ...]] = {
    "cases": (
        *("case", "source", "row", "part", "minimum_at", "maximum_at", "infinite_at"),
        *("missing_at", "amplitude_at", "flat_at", "still_at", "clipped_at", "railed_at"),
    ),
    "features": ("named",),
    "leads": ("named",),
    "recordings": ("named",),
    "split": ("named", "where"),
}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits of the expectations.

    Attributes:
        missing_per_case: largest share of a case's values that may be missing; 0.1 is where ChAMP
            (Morris et al. 2014, `champ.filter`, SampleCutoff) discards a methylation sample.
        missing_per_feature: largest share of cases in which a feature may be missing.
        training_per_class, holdout_per_class, frozen_per_class: least cases of each class; two in
            training, because one case shows no variation within its class.
        signals: limits of ECG, the least cases of each class among them.
    """

    missing_per_case: Share = 0.10
    missing_per_feature: Share = 0.20
    training_per_class: Count = 2
    holdout_per_class: Count = 1
    frozen_per_class: Count = 1
    signals: SignalThresholds = field(default_factory=SignalThresholds)


@dataclass(frozen=True, slots=True)
class Check:
    """An expectation with the words for its breach.

    Attributes:
        suite, name: what it is called.
        expectation: an expectation of Great Expectations, by the name of its class.
        arguments: its arguments.
        problem: what is wrong where it is not met.
        offender: template of one offending row, over the judged column and those that locate it.
        severity: `critical` or `warning`.
        only: conditions on the rows that it looks at; all rows where empty.
    """

    suite: Suite
    name: str
    expectation: str
    arguments: Mapping[str, Any]
    problem: str
    offender: str = ""
    severity: Severity = "critical"
    only: tuple[Condition, ...] = ()

    @property
    def title(self) -> str:
        """Suite and name: `cases.beta-at-most-one`."""
        return f"{self.suite}.{self.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Great Expectations says of one expectation.

    Attributes:
        success: it is met.
        result: counts, unexpected values and where they stand; empty where it was not evaluated.
        exception: what it caught while evaluating, "" for nothing.
    """

    success: bool
    result: Mapping[str, Any]
    exception: str


_SOMETHING = r"\S"  # a name has at least one character that is not white space


def between(
    suite: Suite,
    name: str,
    column: str,
    problem: str,
    offender: str,
    severity: Severity = "critical",
    only: tuple[Condition, ...] = (),
    **limits: Any,
) -> Check:
    """The values of a column lie between limits; null values are not judged."""
    arguments = {"column": column, **limits}
    judged = "ExpectColumnValuesToBeBetween"
    return Check(suite, name, judged, arguments, problem, offender, severity, only)


def given(suite: Suite, name: str, column: str, problem: str, offender: str) -> Check:
    """The names in a column are more than white space."""
    arguments = {"column": column, "regex": _SOMETHING}
    return Check(suite, name, "ExpectColumnValuesToMatchRegex", arguments, problem, offender)


def present(suite: Suite, problem: str) -> Check:
    """The table has rows."""
    return Check(suite, "present", "ExpectTableRowCountToBeBetween", {"min_value": 1}, problem)


def checks_of(
    classes: tuple[str, ...],
    task: Task,
    measures: Literal["beta", "table"],
    limits: Thresholds,
    frozen: Severity | None,
) -> list[Check]:
    """Everything that is expected, in the order of the suites.

    Args:
        classes: class names.
        task: `multi` labels join several classes with `|`.
        measures: `beta` values must lie within [0, 1].
        limits: thresholds.
        frozen: how grave it is that a class has too few frozen cases; None: not looked at.
    """
    return [
        *_case_checks(classes, task, measures, limits),
        *_feature_checks(limits),
        *split_checks(_sides(limits, frozen)),
    ]


def _case_checks(
    classes: tuple[str, ...], task: Task, measures: str, limits: Thresholds
) -> list[Check]:
    most = limits.missing_per_case
    return [
        present("cases", "there are no cases"),
        *identity_checks(),
        *label_checks(classes, task),
        between(
            "cases",
            "missing",
            "missing",
            f"a case with more than {most:g} of its values missing",
            "case {case} share {missing}",
            max_value=most,
        ),
        between(
            "cases",
            "finite",
            "infinite",
            "infinite values",
            "case {case} feature {infinite_at} ({infinite} in the case)",
            max_value=0,
        ),
        *(_beta_checks() if measures == "beta" else ()),
    ]


def identity_checks() -> list[Check]:
    """Ids are given and unique within their source; patients are given."""
    in_row = "case {case} (row {row} of the {source})"
    # Within each source: a case that is set aside in the cohort may stand in the frozen set.
    together = {"column_list": ["source", "case_id"]}
    unique = "ExpectCompoundColumnsToBeUnique"
    return [
        given("cases", "id-given", "case_id", "a case without an id", in_row),
        Check("cases", "id-unique", unique, together, "a case id that is not unique", in_row),
        given("cases", "patient-given", "patient", "a case without a patient", in_row),
    ]


def label_checks(classes: tuple[str, ...], task: Task) -> list[Check]:
    """Labels are classes, and cases that are used have one."""
    return [
        label_known(classes, task),
        # The split sets unlabelled cases aside: nothing uses them, but somebody should know.
        _labelled("label-given", "critical", (("part", "!=", "frozen"), ("part", "!=", "aside"))),
        _labelled("label-given-aside", "warning", (("part", "==", "aside"),)),
    ]


def label_known(classes: tuple[str, ...], task: Task) -> Check:
    """Every part of a label is a class; a null label is not judged."""
    known: dict[str, Any] = {"column": "label", "value_set": list(classes)}
    judged = "ExpectColumnValuesToBeInSet"
    if task == "multi":
        one = "(?:" + "|".join(re.escape(name) for name in classes) + ")"
        several = f"^{one}(?:{re.escape(BETWEEN_CLASSES)}{one})*$"
        judged, known = "ExpectColumnValuesToMatchRegex", {"column": "label", "regex": several}
    unknown = "a label that is not among the classes"
    return Check("cases", "label-known", judged, known, unknown, "case {case} label {label!r}")


def _labelled(name: str, severity: Severity, only: tuple[Condition, ...]) -> Check:
    judged, arguments = "ExpectColumnValuesToNotBeNull", {"column": "label"}
    problem, offender = "a case without a label outside the frozen set", "case {case} ({part})"
    return Check("cases", name, judged, arguments, problem, offender, severity, only)


def _beta_checks() -> list[Check]:
    problem = "beta outside [0, 1]"
    low = "case {case} feature {minimum_at} value {minimum}"
    high = "case {case} feature {maximum_at} value {maximum}"
    return [
        between("cases", "beta-at-least-zero", "minimum", problem, low, min_value=0),
        between("cases", "beta-at-most-one", "maximum", problem, high, max_value=1),
    ]


def _feature_checks(limits: Thresholds) -> list[Check]:
    most = limits.missing_per_feature
    many = f"a feature missing in more than {most:g} of the cases"
    unique = "ExpectColumnValuesToBeUnique"
    twice = "a feature name that is not unique"
    share, name = "feature {named} share {missing}", "feature {named}"
    return [
        present("features", "there are no features"),
        given("features", "name-given", "feature", "a feature without a name", name),
        Check("features", "name-unique", unique, {"column": "feature"}, twice, name),
        between("features", "missing", "missing", many, share, max_value=most),
        *_measured_checks(),
        between(
            "features",
            "varies",
            "training_spread",
            "a feature that is constant in training",
            name,
            "warning",
            min_value=0,
            strict_min=True,
        ),
    ]


def _measured_checks() -> list[Check]:
    name = "feature {named}"
    sides = (
        ("training", "training_missing", "a feature with no value in any training case"),
        ("frozen", "frozen_missing", "a feature with no value in any frozen case"),
    )
    never = [
        between("features", f"measured-in-{side}", column, said, name, max_value=1, strict_max=True)
        for side, column, said in sides
    ]
    absent = "a feature that the frozen set does not have"
    twice = "a feature name that is not unique in the frozen set"
    return [
        *never,
        between("features", "in-frozen", "in_frozen", absent, name, "warning", min_value=1),
        between("features", "once-in-frozen", "in_frozen", twice, name, max_value=1),
    ]


def _sides(limits: Thresholds, frozen: Severity | None) -> dict[str, Limit]:
    return {
        "training": (limits.training_per_class, "critical"),
        "holdout": (limits.holdout_per_class, "critical"),
        "frozen": (limits.frozen_per_class, frozen),
    }


def split_checks(sides: Mapping[str, Limit]) -> list[Check]:
    """Expectations of the split.

    Args:
        sides: least cases of a class on each side, and how grave it is to have fewer; None: not
            looked at.
    """
    case, of_cases = "case {named}", _of("case")
    astray = "the split names a case that the cohort does not have"
    nowhere = "a case that the split puts nowhere"
    judged, part = "ExpectColumnValuesToNotBeNull", {"column": "part"}
    return [
        between("split", "case-known", "rows", astray, case, only=of_cases, min_value=1),
        Check("split", "case-placed", judged, part, nowhere, case, only=of_cases),
        *(_one_side(kind) for kind in ("case", "patient", "group")),
        *(_enough(side, least, grave) for side, (least, grave) in sides.items() if grave),
    ]


def _of(kind: str) -> tuple[Condition, ...]:
    return (("kind", "==", kind),)


def _one_side(kind: str) -> Check:
    return between(
        "split",
        f"{kind}-on-one-side",
        "sides",
        f"a {kind} on more than one side of the split",
        f"{kind} {{named}} in {{where}}",
        only=_of(kind),
        max_value=1,
    )


def _enough(side: str, least: int, severity: Severity) -> Check:
    return between(
        "split",
        f"class-in-{side}",
        side,
        f"a class with fewer than {least} in {side}",
        f"class {{named}} has {{{side}}}",
        severity,
        _of("class"),
        min_value=least,
    )


# --- the run


@contextmanager
def _great_expectations() -> Iterator[None]:
    """Great Expectations without its telemetry and its own deprecation warnings.

    Version 1.24 imports `sre_constants`, which Python 3.11 deprecates; that is theirs to mend, and
    where warnings are errors it must not end our validation.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "module 'sre_", DeprecationWarning)
        yield


def run(tables: object, checks: Sequence[Check], site: Path, about: str) -> dict[str, Outcome]:
    """Validate each table with its suite and render the Data Docs into `site`.

    Args:
        tables: what is looked at: one data frame a suite, by its name.
        checks: what is expected.
        site: an empty folder.
        about: what the data are; the run and the data source carry it as their name.

    Returns:
        The outcome of each check, by its title.
    """
    with _great_expectations():
        context = _context(site)
        source = context.data_sources.add_pandas(re.sub(r"\W+", "-", about))  # names its pages
        found: dict[str, Outcome] = {}
        for suite in suites_of(checks):
            chosen = [check for check in checks if check.suite == suite]
            table: pd.DataFrame = getattr(tables, suite)
            found |= _run_suite(context, source, suite, chosen, table)
        context.build_data_docs()
    return found


def suites_of(checks: Sequence[Check]) -> tuple[Suite, ...]:
    """The suites that the checks belong to, in their order."""
    return tuple(dict.fromkeys(check.suite for check in checks))


def _context(site: Path) -> Any:
    """A context that keeps everything in memory except the Data Docs."""
    import great_expectations as gx  # noqa: PLC0415 - takes 5 s; only a validation pays for it
    from great_expectations.data_context.types.base import (  # noqa: PLC0415
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    docs = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(site.resolve()),
        },
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={"expectations": docs},
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _run_suite(
    context: Any, source: Any, suite: Suite, checks: Sequence[Check], table: pd.DataFrame
) -> dict[str, Outcome]:
    import great_expectations as gx  # noqa: PLC0415 - as above
    from great_expectations.core.run_identifier import RunIdentifier  # noqa: PLC0415

    data = source.add_dataframe_asset(suite).add_batch_definition_whole_dataframe(suite)
    stated = gx.ExpectationSuite(name=suite, expectations=[_stated(check) for check in checks])
    definition = gx.ValidationDefinition(name=suite, data=data, suite=context.suites.add(stated))
    found = context.validation_definitions.add(definition).run(
        batch_parameters={"dataframe": table},
        run_id=RunIdentifier(run_name=source.name),
        result_format={
            "result_format": "COMPLETE",
            "return_unexpected_index_query": False,
            "unexpected_index_column_names": [
                name for name in _LOCATED_BY[suite] if name in table.columns
            ],
        },
    )
    return {one.expectation_config.meta["name"]: _outcome(one) for one in found.results}


def _outcome(found: Any) -> Outcome:
    nested = [found.exception_info, *found.exception_info.values()]
    caught = [
        one["exception_message"]
        for one in nested
        if isinstance(one, Mapping) and one.get("exception_message")
    ]
    return Outcome(bool(found.success), dict(found.result or {}), str(caught[0]) if caught else "")


def _stated(check: Check) -> Any:
    """The check as an expectation of Great Expectations."""
    import great_expectations.expectations as gxe  # noqa: PLC0415 - as above
    from great_expectations.expectations.row_conditions import Column  # noqa: PLC0415

    conditions = [
        Column(name) == value if sign == "==" else Column(name) != value
        for name, sign, value in check.only
    ]
    return getattr(gxe, check.expectation)(
        **check.arguments,
        severity=check.severity,
        row_condition=reduce(operator.and_, conditions) if conditions else None,
        notes=f"Not met: {check.problem}.",
        meta={"name": check.title},
    )
