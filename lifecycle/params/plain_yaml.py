"""YAML files of people as plain values: bounded in size and depth, nothing standing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

LARGEST = 16 << 20  # bytes; params.yaml of a hundred classifiers has a hundredth of it


class NoYamlError(ValueError):
    """The file is no YAML that we take; the message says why, the caller names the file."""


def read_yaml(path: Path) -> Any:
    """The values of a YAML file.

    Raises:
        FileNotFoundError: there is no such file.
        NoYamlError: it cannot be read, is malformed, too large or too deep, or has aliases (which
            can also grow without bound).
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise NoYamlError(f"it is larger than {LARGEST} bytes")
        document = YAML(typ="safe", pure=True).load(data.decode("utf-8"))
    except FileNotFoundError:
        raise
    except RecursionError:
        raise NoYamlError("it is nested too deeply") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, YAMLError) as error:
        raise NoYamlError(" ".join(str(error).split())) from None
    if _has_aliases(document):
        raise NoYamlError("aliases (*name) are not supported; write it out")
    return document


def _has_aliases(document: object) -> bool:
    """Whether one mapping or list stands in two places."""
    seen: set[int] = set()
    waiting = [document]
    while waiting:
        item = waiting.pop()
        if isinstance(item, (dict, list)):
            if id(item) in seen:
                return True
            seen.add(id(item))
            waiting += item.values() if isinstance(item, dict) else item
    return False
