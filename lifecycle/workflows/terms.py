"""What a rebuild keeps: the terms of a version, fixed by its first build."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from lifecycle.domain.classifier import (
    Classifier,
    FrozenPlan,
    PreprocessPlan,
    Recipe,
    SearchPlan,
    SplitPlan,
    TauPlan,
)
from lifecycle.domain.networks import network_of
from lifecycle.dossier.builds import Build, first_of
from lifecycle.errors import UnusableInputError
from lifecycle.params.reader import PARAMS
from lifecycle.records.format import default_of, plain, published
from lifecycle.records.settings import (
    FrozenRecord,
    PreprocessRecord,
    RecipeRecord,
    SearchRecord,
    SplitRecord,
    TauRecord,
)

KEPT = ("task", "classes", "split", "preprocess", "model", "recipe", "search", "tau", "frozen")
# Sections with the type of their value and the model of their record.
_SECTIONS: dict[str, tuple[Any, type[BaseModel]]] = {
    "split": (SplitPlan, SplitRecord),
    "preprocess": (PreprocessPlan, PreprocessRecord),
    "recipe": (Recipe, RecipeRecord),
    "search": (SearchPlan, SearchRecord),
    "tau": (TauPlan, TauRecord),
    "frozen": (FrozenPlan, FrozenRecord),
}
# Keys of theirs that a rebuild may change.
_NOT_KEPT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_SECTIONS, ()),
    "search": ("jobs",),
    "frozen": ("source", "sampling"),
}


def terms_of(classifier: Classifier) -> dict[str, Any]:
    """The sections whose change makes a new version, as build records keep them."""
    terms = {key: plain(getattr(classifier, key)) for key in KEPT if key not in _SECTIONS}
    for key, (_, model) in _SECTIONS.items():
        section = published(getattr(classifier, key), model)
        terms[key] = {name: section[name] for name in section if name not in _NOT_KEPT[key]}
    return terms


def require_same_terms(name: str, classifier: Classifier, builds: tuple[Build, ...]) -> None:
    """Refuse a changed term under an unchanged version, before anything runs.

    Raises:
        UnusableInputError: names the key, both values, and the cure.
    """
    first = first_of(builds, classifier.version)
    if first is None:
        return
    changes = changed_terms(completed(first.content["terms"]), completed(terms_of(classifier)))
    if changes:
        raise UnusableInputError(
            f"{PARAMS}: classifiers.{name}: changed since {first.name} of version "
            f"{classifier.version}: {'; '.join(changes)}. A rebuild keeps these: set them back, "
            "or give the classifier a new `version`"
        )


def completed(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Terms of a build that was made before a key existed: it was made with the key's default."""
    known: dict[str, Any] = {key: kind for key, (kind, _) in _SECTIONS.items()}
    known["model"] = network_of(terms["model"].get("kind")).settings
    return {
        key: _with_defaults(known[key], value, _NOT_KEPT.get(key, ())) if key in known else value
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
