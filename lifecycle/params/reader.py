"""The only reader of params.yaml: one typed value per section, unknown keys are errors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lifecycle.domain.classifier import Classifier
from lifecycle.domain.networks import DEFAULT, NETWORKS, network_of
from lifecycle.errors import UnusableInputError, UsageError
from lifecycle.params.plain_yaml import NoYamlError, read_yaml

PARAMS = "params.yaml"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")  # DVC stage names: dots fail, hyphens work


def load(root: Path) -> dict[str, Classifier]:
    """All classifiers of `root`/params.yaml, in file order.

    Raises:
        UnusableInputError: the file is missing or malformed; the message names section and key.
    """
    sections = raw_sections(root)
    return {name: _typed(name, section) for name, section in sections.items()}


def load_one(root: Path, name: str) -> Classifier:
    """One classifier; other sections are not looked at, so their faults do not stop it.

    Raises:
        UsageError: there is no such classifier.
        UnusableInputError: its section is malformed.
    """
    sections = raw_sections(root)
    if name not in sections:
        raise UsageError(f"no classifier {name!r} in {PARAMS}; there are: {', '.join(sections)}")
    return _typed(name, sections[name])


def raw_sections(root: Path) -> dict[str, Any]:
    """The section `classifiers` as plain values, names checked.

    Raises:
        UnusableInputError: the file cannot be read, or holds something else.
    """
    document = _read_yaml(root / PARAMS)
    unknown = sorted(set(document) - {"classifiers"})
    if unknown:
        raise UnusableInputError(f"{PARAMS}: unknown section {unknown[0]!r}; known: classifiers")
    sections = document.get("classifiers")
    if not isinstance(sections, dict) or not sections:
        raise UnusableInputError(f"{PARAMS}: section `classifiers` is missing or empty")
    for name in sections:
        if not isinstance(name, str) or not _NAME.match(name):
            raise UnusableInputError(
                f"{PARAMS}: classifier name {name!r}: use small letters, digits, - and _ only"
            )
    return sections


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = read_yaml(path)
    except FileNotFoundError:
        raise UnusableInputError(
            f"there is no {path.name} here; run the command in the project's root"
        ) from None
    except NoYamlError as error:
        raise UnusableInputError(f"{path.name} cannot be read as YAML: {error}") from None
    if not isinstance(document, dict):
        raise UnusableInputError(f"{path.name} holds no sections")
    return document


def _typed(name: str, section: object) -> Classifier:
    try:
        text = json.dumps(section)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnusableInputError(f"{PARAMS}: classifiers.{name}: {error}") from None
    try:
        return TypeAdapter(Classifier).validate_json(text, strict=True)
    except ValidationError as error:
        raise UnusableInputError(_explain(name, section, error)) from None


def _explain(name: str, section: Any, error: ValidationError) -> str:
    """Every fault of a section, one line each, named by its full key.

    pydantic tries every kind of network; the faults of the one that was meant are told, or that
    there is no such kind.
    """
    try:
        meant = network_of(_kind_of(section)).settings.__name__
    except UnusableInputError as unknown:
        meant, no_kind = "", [f"{PARAMS}: classifiers.{name}.model.kind: {unknown}"]
    else:
        no_kind = []
    every = {network.settings.__name__ for network in NETWORKS.values()}
    lines = []
    for fault in error.errors(include_url=False):
        place = [str(part) for part in fault["loc"]]
        if place[:1] == ["model"] and len(place) > 1 and place[1] in every:
            if place[1] != meant:
                continue
            del place[1]
        key = ".".join(["classifiers", name, *place])
        lines.append(f"{PARAMS}: {key}: {_said(fault)}")
    return "\n".join([*lines, *no_kind])


def _kind_of(section: Any) -> object:
    """What a section says that its network is; the default where it says nothing."""
    model = section.get("model") if isinstance(section, dict) else None
    return model.get("kind", DEFAULT) if isinstance(model, dict) else DEFAULT


def _said(fault: Any) -> str:
    if fault["type"] == "unexpected_keyword_argument":
        return "unknown key"
    if fault["type"] in ("missing", "missing_argument"):
        return "missing"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    text = str(fault["msg"])
    return f"{text[0].lower()}{text[1:]} (it is {fault['input']!r})"
