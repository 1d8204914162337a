"""What `lifecycle divergence` found, kept for the report of the later build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lifecycle.domain.digests import digest_of
from lifecycle.dossier import builds as kept
from lifecycle.dossier.builds import Build
from lifecycle.dossier.files import read_record, write_json
from lifecycle.errors import IntegrityError
from lifecycle.workflows.project import Project

FOLDER = "divergence"  # below work/<c>: it can be made again


def keep_divergence(project: Project, report: Mapping[str, Any]) -> None:
    """Keep what was found of two builds, bound to their weights; the former one is replaced."""
    builds = [kept.read_build(project.layout, int(name[1:])) for name in report["builds"]]
    entry = {"weights": [build.weights for build in builds], "report": dict(report)}
    later = max(builds, key=lambda build: build.number)
    path = project.layout.work / FOLDER / f"{later.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**entry, "digest": digest_of(entry)})


def kept_divergence(project: Project, build: Build) -> Mapping[str, Any] | None:
    """What was last found of a build and an earlier one; None where nobody has looked.

    Raises:
        IntegrityError: the file was changed.
    """
    path = project.layout.work / FOLDER / f"{build.name}.json"
    if not path.is_file():
        return None
    entry = read_record(path)
    body = {k: v for k, v in entry.items() if k != "digest"} if isinstance(entry, dict) else {}
    if not body or digest_of(body) != entry.get("digest"):
        raise IntegrityError(f"{path} was changed; delete it, or run `lifecycle divergence` again")
    report: Mapping[str, Any] = body["report"]
    return report if build.weights in body["weights"] else None
