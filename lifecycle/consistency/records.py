"""Frozen values to JSON and strictly back: unknown, missing or mistyped keys are refused."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lifecycle.errors import UnusableInputError


def plain(value: Any) -> Any:
    """A value as JSON: dataclasses and mappings as objects, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value


def rebuild(kind: Any, value: Any, where: str) -> Any:
    """The value of type `kind` that `plain` turned into JSON.

    Args:
        kind: a dataclass, tuple[X, ...], Mapping[str, X], union, Literal, float, int, str, bool
            or Any.
        value: parsed JSON.
        where: name of the place, for the message.

    Raises:
        UnusableInputError: names the place and what was expected there.
    """
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    if origin in (Union, types.UnionType):
        return _union(kind, value, where)
    if origin is Literal:
        return _literal(kind, value, where)
    if origin is tuple:
        return _tuple(kind, value, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(kind, value, where)
    return _scalar(kind, value, where)


def _wrong(where: str, expected: str, value: Any) -> UnusableInputError:
    return UnusableInputError(f"{where}: expected {expected}, found {str(value)[:60]!r}")


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    hints = _fields(kind)
    for name in sorted(set(hints) ^ set(value)):
        fault = "is not known here" if name in value else "is missing"
        raise UnusableInputError(f"{where}: key {name!r} {fault}")
    return kind(**{name: rebuild(hints[name], value[name], f"{where}.{name}") for name in value})


@cache
def _fields(kind: Any) -> dict[str, Any]:
    """Resolved types of a dataclass's fields; resolving them anew for each case is slow."""
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind)}


def _union(kind: Any, value: Any, where: str) -> Any:
    """Only `X | None` is used."""
    (inner,) = (option for option in get_args(kind) if option is not type(None))
    return None if value is None else rebuild(inner, value, where)


def _literal(kind: Any, value: Any, where: str) -> Any:
    if isinstance(value, str) and value in get_args(kind):
        return value
    raise _wrong(where, f"one of {', '.join(map(repr, get_args(kind)))}", value)


def _tuple(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, list):
        raise _wrong(where, "a list", value)
    inner = get_args(kind)
    if inner[-1] is Ellipsis:
        return tuple(rebuild(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(inner) != len(value):
        raise _wrong(where, f"{len(inner)} values", value)
    pairs = zip(inner, value, strict=True)
    return tuple(rebuild(k, item, f"{where}[{i}]") for i, (k, item) in enumerate(pairs))


def _mapping(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    inner = get_args(kind)[1]
    return {str(key): rebuild(inner, item, f"{where}.{key}") for key, item in value.items()}


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if kind is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:  # a bool is no int here
        return value
    raise _wrong(where, f"a finite {kind.__name__}" if kind is float else kind.__name__, value)
