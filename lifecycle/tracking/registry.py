"""MLflow's model registry as a mirror of the signed chain: compared with it, and repaired.

Anyone may move an alias, change a tag or delete a version, and MLflow keeps no history of it; so
nothing is decided by what is read here.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.domain.digests import sha256
from lifecycle.tracking.store import mlflow_at

ALIAS = "released"
FOLDER = "release"  # of a run's artifacts
RECORD = "record"  # the tag by which a version is known
STRANGER, NO_RELEASE = "not.a.release", "no signed record speaks of this version"


@dataclass(frozen=True, slots=True)
class Version:
    """One release, as the registry should show it.

    Attributes:
        title: for messages, `1 b2`.
        record: digest of the record that completed the release.
        runs: MLflow runs that made the build, the best first.
        tags: of the model version; `record` among them.
        run_tags: of the run.
        note: the description, Markdown.
        files: name -> content, artifacts of the run below `release/`.
    """

    title: str
    record: str
    runs: tuple[str, ...]
    tags: Mapping[str, str]
    run_tags: Mapping[str, str]
    note: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Refused:
    """A build that was refused and is no release, as its run should show it.

    Attributes:
        runs: MLflow runs that made the build, the best first.
        tags: of the run.
        files: name -> content, artifacts of the run below `release/`.
    """

    runs: tuple[str, ...]
    tags: Mapping[str, str]
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Mirror:
    """A classifier, as the registry should show it.

    Attributes:
        name: of the classifier, and of the registered model.
        tags: of the registered model.
        note: its description, Markdown.
        versions: releases, in order.
        released: record of the release that the alias points to; None where none is in force.
        refused: builds that were refused.
    """

    name: str
    tags: Mapping[str, str]
    note: str
    versions: tuple[Version, ...]
    released: str | None
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """What the registry says otherwise.

    Attributes:
        said: one sentence.
        mend: makes it right; None where that is not in our power.
    """

    said: str
    mend: Callable[[], object] | None


def compare(root: Path, wanted: Mirror, repair: bool) -> tuple[list[str], list[str]]:
    """Compare the registry with what it should show.

    Args:
        root: the project's root.
        wanted: what the chain says.
        repair: make it so.

    Returns:
        What differed, and that part of it which stays so.

    Raises:
        UnusableInputError: the store does not answer.
    """
    found: list[str] = []
    left: list[str] = []
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with mlflow_at(root) as mlflow, redirect_stderr(io.StringIO()):  # it chats while it works
        # each looks at what the ones before have mended
        for look in (_of_model, _of_versions, _of_alias, _of_strangers, _of_runs):
            for difference in look(mlflow, wanted):
                found.append(difference.said)
                if not repair or difference.mend is None:
                    left.append(difference.said)
                else:
                    difference.mend()
    return found, left


def _of_model(mlflow: Any, wanted: Mirror) -> Iterator[Difference]:
    client = mlflow.MlflowClient()
    model = _registered(client, wanted.name)
    if model is None:
        if wanted.versions:
            yield Difference(
                f"the registered model {wanted.name} is missing",
                lambda: client.create_registered_model(wanted.name, dict(wanted.tags), wanted.note),
            )
        return
    for key, value in wanted.tags.items():
        if model.tags.get(key) != value:
            yield Difference(
                f"registered model: tag {key} is {model.tags.get(key)!r}, not {value!r}",
                _later(client.set_registered_model_tag, wanted.name, key, value),
            )
    if (model.description or "") != wanted.note:
        yield Difference(
            "registered model: the description was changed",
            _later(client.update_registered_model, wanted.name, wanted.note),
        )


def _later(work: Callable[..., object], *arguments: object) -> Callable[[], object]:
    """Bound now, so that a loop's variables cannot move on."""
    return lambda: work(*arguments)


def _registered(client: Any, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _of_versions(mlflow: Any, wanted: Mirror) -> Iterator[Difference]:
    client = mlflow.MlflowClient()
    places = _places(client, wanted)
    for version in wanted.versions:
        place = places.get(version.record)
        if place is None:
            yield _missing(mlflow, wanted.name, version)
        else:
            yield from _of_version(client, wanted.name, version, place)


def _places(client: Any, wanted: Mirror) -> dict[str, Any]:
    """Record -> its version in the registry.

    By the tag first. A changed tag hides a version, so what is left is told by the run that it was
    made from, which nobody can change.
    """
    rest = _all_versions(client, wanted.name)
    found: dict[str, Any] = {}
    for version in wanted.versions:
        same = [one for one in rest if _is_of(one, version) and _record(one) == version.record]
        _take(found, version, same, rest)
    for version in wanted.versions:
        if version.record not in found:
            known = {one.record for one in wanted.versions} - {version.record}
            same = [one for one in rest if _is_of(one, version) and _record(one) not in known]
            _take(found, version, same, rest)
    return found


def _take(found: dict[str, Any], version: Version, same: list[Any], rest: list[Any]) -> None:
    if same:
        found[version.record] = same[0]
        rest.remove(same[0])


def _is_of(one: Any, version: Version) -> bool:
    return one.run_id in version.runs


def _record(one: Any) -> str | None:
    value = one.tags.get(RECORD)
    return None if value is None else str(value)


def _all_versions(client: Any, name: str) -> list[Any]:
    """Every version that was not deleted, the oldest first, with its tags."""
    if _registered(client, name) is None:
        return []
    found, token = [], None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        found += page
        token = page.token
        if not token:
            return sorted(found, key=lambda one: int(one.version))


def _missing(mlflow: Any, name: str, version: Version) -> Difference:
    said = f"release {version.title} has no version in the registry"
    source = _source(mlflow, version)
    if source is None:
        return Difference(f"{said}, and no run of it with a logged model is in the store", None)
    return Difference(said, lambda: _register(mlflow, name, version, source))


def _source(mlflow: Any, version: Version) -> str | None:
    """The logged model of the first run that the store knows."""
    for run_id in version.runs:
        run = _run(mlflow, run_id)
        outputs = run.outputs.model_outputs if run is not None and run.outputs else []
        if outputs:
            return f"models:/{outputs[0].model_id}"
    return None


def _run(mlflow: Any, run_id: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return mlflow.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _register(mlflow: Any, name: str, version: Version, source: str) -> None:
    made = mlflow.register_model(source, name, tags=dict(version.tags))
    mlflow.MlflowClient().update_model_version(name, made.version, version.note)


def _of_version(client: Any, name: str, version: Version, place: Any) -> Iterator[Difference]:
    where = f"version {place.version} ({version.title})"
    for key, value in version.tags.items():
        if place.tags.get(key) != value:
            yield Difference(
                f"{where}: tag {key} is {place.tags.get(key)!r}, not {value!r}",
                _later(client.set_model_version_tag, name, place.version, key, value),
            )
    if STRANGER in place.tags:
        yield Difference(
            f"{where}: tag {STRANGER} is there, and it is a release",
            _later(client.delete_model_version_tag, name, place.version, STRANGER),
        )
    if (place.description or "") != version.note:
        yield Difference(
            f"{where}: the description was changed",
            _later(client.update_model_version, name, place.version, version.note),
        )


def _of_alias(mlflow: Any, wanted: Mirror) -> Iterator[Difference]:
    client = mlflow.MlflowClient()
    model = _registered(client, wanted.name)
    now = None if model is None else model.aliases.get(ALIAS)
    place = _places(client, wanted).get(wanted.released or "")
    right = None if place is None else str(place.version)
    if wanted.released is not None and right is None:
        # only when its version is missing and was not repaired: that has been said
        return
    if now is not None and right is None:
        yield Difference(
            f"alias {ALIAS} points to version {now}, and nothing is released",
            _later(client.delete_registered_model_alias, wanted.name, ALIAS),
        )
    elif right is not None and str(now) != right:
        said = "is missing" if now is None else f"points to version {now}"
        yield Difference(
            f"alias {ALIAS} {said}; it belongs to version {right}",
            _later(client.set_registered_model_alias, wanted.name, ALIAS, right),
        )


def _of_strangers(mlflow: Any, wanted: Mirror) -> Iterator[Difference]:
    """Versions that no release explains: they are not ours to delete, so they are marked."""
    client = mlflow.MlflowClient()
    ours = {one.version for one in _places(client, wanted).values()}
    for one in _all_versions(client, wanted.name):
        if one.version not in ours and one.tags.get(STRANGER) != NO_RELEASE:
            yield Difference(
                f"version {one.version} is no release of the chain",
                _later(
                    client.set_model_version_tag, wanted.name, one.version, STRANGER, NO_RELEASE
                ),
            )


def _of_runs(mlflow: Any, wanted: Mirror) -> Iterator[Difference]:
    """Tags and artifacts of the runs; the newest release of a run says its tags."""
    tags: dict[str, Mapping[str, str]] = {}
    files: dict[str, dict[str, bytes]] = {}
    said = [(one.runs, one.tags, one.files) for one in wanted.refused]
    said += [(one.runs, one.run_tags, one.files) for one in wanted.versions]
    for runs, run_tags, artifacts in said:
        run_id = next((one for one in runs if _run(mlflow, one) is not None), None)
        if run_id is not None:
            tags[run_id] = run_tags
            files[run_id] = {**files.get(run_id, {}), **artifacts}
    for run_id, expected in tags.items():
        yield from _of_run(mlflow, run_id, expected)
        yield from _of_artifacts(mlflow, run_id, files[run_id])


def _of_run(mlflow: Any, run_id: str, tags: Mapping[str, str]) -> Iterator[Difference]:
    client, run = mlflow.MlflowClient(), mlflow.get_run(run_id)
    if run.info.lifecycle_stage == "deleted":
        yield Difference(f"run {run_id} was deleted", _later(client.restore_run, run_id))
    for key, value in tags.items():
        if run.data.tags.get(key) != value:
            yield Difference(
                f"run {run_id}: tag {key} is {run.data.tags.get(key)!r}, not {value!r}",
                _later(client.set_tag, run_id, key, value),
            )


def _of_artifacts(mlflow: Any, run_id: str, files: Mapping[str, bytes]) -> Iterator[Difference]:
    client = mlflow.MlflowClient()
    there = {str(one.path) for one in client.list_artifacts(run_id, FOLDER)}
    with tempfile.TemporaryDirectory(prefix="lifecycle-mirror-") as folder:
        for name, data in files.items():
            path = f"{FOLDER}/{name}"
            if path not in there:
                said = "is missing"
            elif _digest(mlflow, run_id, path, folder) != sha256(data):
                said = "was changed"
            else:
                continue
            yield Difference(f"run {run_id}: artifact {path} {said}",
                             _later(_log, client, run_id, name, data))  # fmt: skip


def _digest(mlflow: Any, run_id: str, path: str, folder: str) -> str:
    got = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path, dst_path=folder)
    return sha256(Path(got).read_bytes())


def _log(client: Any, run_id: str, name: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="lifecycle-mirror-") as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        client.log_artifact(run_id, str(path), FOLDER)
