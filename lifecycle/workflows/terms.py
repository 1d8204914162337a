"""What a rebuild keeps: the terms of a version, fixed by its first build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from lifecycle.domain.classifier import Classifier, Recipe
from lifecycle.dossier.builds import Build, first_of
from lifecycle.errors import UnusableInputError
from lifecycle.params.reader import PARAMS

KEPT = ("task", "classes", "split", "preprocess", "model", "recipe", "search", "tau")


def terms_of(classifier: Classifier) -> dict[str, Any]:
    """The sections whose change makes a new version, as plain values."""
    everything = asdict(classifier)
    terms = {key: everything[key] for key in KEPT}
    terms["search"] = {key: terms["search"][key] for key in ("run", "points", "epochs")}
    terms["frozen"] = {key: everything["frozen"][key] for key in ("fraction", "folds")}
    return {key: _plain(value) for key, value in terms.items()}


def _plain(value: Any) -> Any:
    """Tuples as lists, so that terms compare equal with what JSON gives back."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def require_same_terms(name: str, classifier: Classifier, builds: tuple[Build, ...]) -> None:
    """Refuse a changed term under an unchanged version, before anything runs.

    Raises:
        UnusableInputError: names the key, both values, and the cure.
    """
    first = first_of(builds, classifier.version)
    if first is None:
        return
    changes = changed_terms(_completed(first.content["terms"]), terms_of(classifier))
    if changes:
        raise UnusableInputError(
            f"{PARAMS}: classifiers.{name}: changed since {first.name} of version "
            f"{classifier.version}: {'; '.join(changes)}. A rebuild keeps these: set them back, "
            "or give the classifier a new `version`"
        )


def _completed(terms: Mapping[str, Any]) -> dict[str, Any]:
    """Terms of a build that was made before a key existed: it was made with the key's default."""
    known = {one.name: one.default for one in fields(Recipe) if one.default is not MISSING}
    added = {key: known[key] for key in ("order", "positive_weights")}
    return {**terms, "recipe": {**added, **terms["recipe"]}}


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
