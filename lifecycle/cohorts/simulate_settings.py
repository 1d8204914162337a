"""Settings files of the simulators: YAML, read strictly, refused with file and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from lifecycle.errors import UnusableInputError
from lifecycle.params.plain_yaml import read_yaml

Settings = TypeVar("Settings")


def read_settings(path: Path, kind: type[Settings]) -> Settings:
    """A settings file as a value of a dataclass with constraints.

    Args:
        path: the YAML file.
        kind: the dataclass; an unknown key, a missing one or a wrong type is an error.

    Raises:
        UnusableInputError: missing, malformed or refused by `kind`; names file and key.
    """
    try:
        document = read_yaml(path)
        text = json.dumps(document, allow_nan=False)
        return TypeAdapter(kind).validate_json(text, strict=True)
    except FileNotFoundError:
        raise UnusableInputError(
            f"{path}: there is no such simulator settings file; check `path` of the cohort"
        ) from None
    except ValidationError as error:
        said = "\n".join(f"{path}: {_said(fault)}" for fault in error.errors(include_url=False))
        raise UnusableInputError(said) from None
    except (ValueError, TypeError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise UnusableInputError(f"{path} cannot be read as simulator settings: {said}") from None


def _said(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "unexpected_keyword_argument":
        return f"`{key}`: unknown key; remove it"
    if fault["type"] in ("missing", "missing_argument"):
        return f"`{key}`: missing"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    return f"`{key or 'settings'}`: {fault['msg']} (it is {fault['input']!r})"
