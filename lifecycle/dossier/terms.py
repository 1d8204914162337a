"""The terms of a version as build records keep them: what a rebuild may not change."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from lifecycle.domain.classifier import (
    FrozenPlan,
    PreprocessPlan,
    Recipe,
    SearchPlan,
    SplitPlan,
    TauPlan,
)
from lifecycle.domain.networks import network_of
from lifecycle.records.format import default_of, plain
from lifecycle.records.settings import (
    FrozenRecord,
    PreprocessRecord,
    RecipeRecord,
    SearchRecord,
    SplitRecord,
    TauRecord,
)

# Sections with the type of their value and the model of their record.
SECTIONS: dict[str, tuple[Any, type[BaseModel]]] = {
    "split": (SplitPlan, SplitRecord),
    "preprocess": (PreprocessPlan, PreprocessRecord),
    "recipe": (Recipe, RecipeRecord),
    "search": (SearchPlan, SearchRecord),
    "tau": (TauPlan, TauRecord),
    "frozen": (FrozenPlan, FrozenRecord),
}
# Keys of theirs that a rebuild may change.
NOT_KEPT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(SECTIONS, ()),
    "search": ("jobs",),
    "frozen": ("source", "sampling"),
}


def completed(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Terms of a build that was made before a key existed: it was made with the key's default."""
    known: dict[str, Any] = {key: kind for key, (kind, _) in SECTIONS.items()}
    known["model"] = network_of(terms["model"].get("kind")).settings
    return {
        key: _with_defaults(known[key], value, NOT_KEPT.get(key, ())) if key in known else value
        for key, value in terms.items()
    }


def _with_defaults(kind: Any, value: Mapping[str, Any], but: Collection[str]) -> dict[str, Any]:
    found = dict(value)
    for field in fields(kind):
        default = default_of(field)
        if field.name not in found and field.name not in but and default is not MISSING:
            found[field.name] = plain(default)
        elif is_dataclass(default) and isinstance(found.get(field.name), dict):
            found[field.name] = _with_defaults(type(default), found[field.name], ())
    return found


def changed_terms(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """Keys whose values differ, as `a.b: old -> new`."""
    found = []
    for key in sorted(set(old) | set(new)):
        one, two = old.get(key), new.get(key)
        place = f"{path}{key}"
        if isinstance(one, dict) and isinstance(two, dict):
            found += changed_terms(one, two, f"{place}.")
        elif one != two:
            found.append(f"{place}: {one!r} -> {two!r}")
    return found
