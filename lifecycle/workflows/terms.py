"""What a rebuild keeps: the terms of a version, fixed by its first build."""

from __future__ import annotations

from typing import Any

from lifecycle.domain.classifier import Classifier
from lifecycle.dossier.builds import Build, first_of
from lifecycle.dossier.terms import NOT_KEPT, SECTIONS, changed_terms, completed
from lifecycle.errors import UnusableInputError
from lifecycle.params.reader import PARAMS
from lifecycle.records.format import plain, published

KEPT = ("task", "classes", "split", "preprocess", "model", "recipe", "search", "tau", "frozen")


def terms_of(classifier: Classifier) -> dict[str, Any]:
    """The sections whose change makes a new version, as build records keep them."""
    terms = {key: plain(getattr(classifier, key)) for key in KEPT if key not in SECTIONS}
    for key, (_, model) in SECTIONS.items():
        section = published(getattr(classifier, key), model)
        terms[key] = {name: section[name] for name in section if name not in NOT_KEPT[key]}
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
