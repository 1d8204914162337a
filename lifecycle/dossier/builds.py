"""Builds b1, b2, …: numbered by content, verified whenever they are read, never removed."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.domain.digests import canonical_json, digest_of, sha256
from lifecycle.domain.predictions import Predictions
from lifecycle.dossier.files import (
    folder_whole,
    read_evidence,
    read_record,
    record_in,
    write_json,
)
from lifecycle.dossier.layout import Layout
from lifecycle.dossier.predictions import parquet_in
from lifecycle.errors import IntegrityError, UnusableInputError
from lifecycle.records.builds import BUILD
from lifecycle.records.builds import RUN as RUN_FORMAT

RECORD, RUN, FROZEN, HOLDOUT = "record.json", "run.json", "frozen.parquet", "holdout.parquet"
FEATURES, PARTS, PREPROCESS = "features.txt", "parts.csv", "preprocess.json"
_FOLDER = re.compile(r"b([1-9][0-9]*)\Z")


@dataclass(frozen=True, slots=True)
class Build:
    """One training of a version, as its record states it.

    Attributes:
        number: N of bN.
        content: everything that makes the build what it is (see docs/reference/records.md).
        files: file name -> SHA-256 of the files beside the record.
        digest: SHA-256 of `content`.
        folder: where the record stands.
    """

    number: int
    content: Mapping[str, Any]
    files: Mapping[str, str]
    digest: str
    folder: Path

    @property
    def name(self) -> str:
        """The build's name, bN."""
        return f"b{self.number}"

    @property
    def version(self) -> str:
        """Version of the classifier that was built."""
        return str(self.content["version"])

    @property
    def weights(self) -> str:
        """SHA-256 over parameters and buffers."""
        return str(self.content["weights"]["sha256"])


def read_builds(layout: Layout) -> tuple[Build, ...]:
    """Every build, in order, each verified to the last bit of its folder.

    Raises:
        IntegrityError: a record or a file beside it was changed, or a build is missing.
    """
    folder = layout.builds
    if not folder.exists():
        return ()
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    strangers = sorted(name for name in names if not _FOLDER.match(name))
    if strangers:
        raise IntegrityError(f"{folder / strangers[0]} does not belong here")
    numbers = sorted(int(name[1:]) for name in names)
    if numbers != list(range(1, len(numbers) + 1)):
        gap = next(i for i, n in enumerate(numbers, start=1) if i != n)
        raise IntegrityError(f"{layout.build(gap)} is missing; restore it from git")
    return tuple(read_build(layout, number) for number in numbers)


def builds_here(layout: Layout) -> tuple[Build, ...]:
    """The builds that are at hand, in order; an exported bundle has those that its records name.

    Raises:
        IntegrityError: one of them was changed.
    """
    names = [path.name for path in layout.builds.iterdir()] if layout.builds.exists() else []
    numbers = sorted(int(name[1:]) for name in names if _FOLDER.match(name))
    return tuple(read_build(layout, number) for number in numbers)


def read_build(layout: Layout, number: int) -> Build:
    """One build, verified.

    Raises:
        UnusableInputError: there is no such build.
        IntegrityError: its record or a file beside it was changed.
    """
    folder = layout.build(number)
    if not folder.is_dir():
        raise UnusableInputError(f"{layout.name} has no build b{number}")
    record = read_record(folder / RECORD)
    build = _from_record(folder, record)
    if build.number != number or build.content.get("classifier") != layout.name:
        raise IntegrityError(f"{folder / RECORD} belongs to another place")
    _verify_files(build)
    return build


def _from_record(folder: Path, record: Any) -> Build:
    entry = BUILD.read(record, str(folder / RECORD))
    content = entry["content"]
    return Build(entry["number"], content, entry["files"], digest_of(content), folder)


def run_facts(build: Build) -> dict[str, Any]:
    """Volatile facts of a build: MLflow run, commit, time, policy, who built.

    Raises:
        IntegrityError: they are not what the pipeline writes.
    """
    path = build.folder / RUN
    return RUN_FORMAT.read(record_in(file_of(build, RUN), path), str(path))


def file_of(build: Build, name: str) -> bytes:
    """A file beside a build's record: the very bytes that the record names.

    Read anew, and so held to their digest anew: it may have been exchanged since the build was.

    Raises:
        IntegrityError: they are others, or the record names no such file.
    """
    path = build.folder / name
    data = read_evidence(path)
    if sha256(data) != build.files.get(name):
        raise IntegrityError(f"{path} was changed; restore it from git")
    return data


def _verify_files(build: Build) -> None:
    here = {path.name for path in build.folder.iterdir() if not path.name.startswith(".")}
    expected = set(build.files) | {RECORD}
    for name in sorted(here ^ expected):
        state = "is missing" if name in expected else "does not belong here"
        raise IntegrityError(f"{build.folder / name} {state}")
    for name in sorted(build.files):
        file_of(build, name)


def frozen_predictions(build: Build) -> Predictions:
    """The build's scores on the frozen clinical test set, digest checked."""
    return _predictions(build, FROZEN, "frozen")


def holdout_predictions(build: Build) -> Predictions:
    """The build's scores on the holdout, digest checked."""
    return _predictions(build, HOLDOUT, "holdout")


def _predictions(build: Build, file: str, key: str) -> Predictions:
    predictions = parquet_in(file_of(build, file), str(build.folder / file))
    if predictions.digest() != build.content["predictions"][key]:
        raise IntegrityError(f"{build.folder / file} holds other scores than the record says")
    return predictions


def first_of(builds: tuple[Build, ...], version: str) -> Build | None:
    """The first build of a version: it fixes what every rebuild keeps."""
    return next((build for build in builds if build.version == version), None)


def number_for(builds: tuple[Build, ...], content: Mapping[str, Any]) -> int:
    """The number that some content has, or will get: known content keeps its number."""
    digest = digest_of(content)
    known = [build.number for build in builds if build.digest == digest]
    return known[0] if known else len(builds) + 1


def enrol(
    layout: Layout, content: Mapping[str, Any], files: Mapping[str, bytes], run: Mapping[str, Any]
) -> int:
    """Keep a build under its number; nothing is written for content that is known.

    Args:
        layout: the classifier's folders.
        content: what makes the build what it is.
        files: files to keep beside the record.
        run: volatile facts (MLflow run, commit, time), kept beside and outside `content`.

    Returns:
        The build's number.
    """
    with locked(layout):
        builds = read_builds(layout)
        number = number_for(builds, content)
        if number > len(builds):
            facts = canonical_json(RUN_FORMAT.write(run, str(layout.build(number) / RUN)))
            _write(layout, number, content, {**files, RUN: facts})
    return number


def _write(
    layout: Layout, number: int, content: Mapping[str, Any], files: Mapping[str, bytes]
) -> None:
    fields = {
        "number": number,
        "content": dict(content),
        "files": {name: sha256(data) for name, data in files.items()},
    }
    record = BUILD.write(fields, str(layout.build(number) / RECORD))
    with folder_whole(layout.build(number)) as folder:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        write_json(folder / RECORD, record)


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """One writer per classifier at a time (an advisory lock that dies with its process)."""
    path = layout.work / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
