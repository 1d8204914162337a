"""MLflow's registry as a mirror of the chain: what was changed there is found and repaired."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from release_site import Site, new_site, quiet_dvc, release, second_build

from lifecycle.tracking.registry import ALIAS
from lifecycle.tracking.store import mlflow_at

INTEGRITY = 12
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)


def _own_store(root: Path, before: Path) -> None:
    """MLflow keeps absolute paths: a copied project would write into the one it was copied from."""
    with closing(sqlite3.connect(root / "mlflow.db")) as store, store:
        for table, column in PLACES:
            statement = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            store.execute(statement, (str(before), str(root)))


@pytest.fixture(scope="module")
def _mirrored(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, str]:
    """Wine b1 released with its mirror, and what the sign-off said."""
    site = new_site(_built, tmp_path_factory.mktemp("mirror"), ("ada", "rev", "app"))
    _own_store(site.root, _built)
    site = Site(site.root, site.keys, mirrored=True)
    with quiet_dvc():
        assert site.sign("rev", "review").code == 0
        done = site.sign("app", "approval")
    assert done.code == 0, done.said
    site.commit()
    return site, done.err


@pytest.fixture
def site(_mirrored: tuple[Site, str], tmp_path: Path) -> Site:
    """A copy with a store of its own."""
    before = _mirrored[0]
    copy = before.copy(tmp_path / "project")
    _own_store(copy.root, before.root)
    return copy


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    # MLflow remembers by run where artifacts lie; copies of a project have the same runs
    if service := sys.modules.get("mlflow.tracking._tracking_service.utils"):
        service._artifact_repos_cache.clear()
    with quiet_dvc():
        yield


def _client(root: Path) -> Any:
    with mlflow_at(root) as mlflow:
        return mlflow.MlflowClient()


def _run_id(site: Site) -> str:
    text = (site.root / "dossier/wine/builds/b1/run.json").read_bytes()
    return str(json.loads(text)["run"])


def _differences(site: Site, *more: str) -> tuple[int, list[str]]:
    done = site.run("release", "sync", "wine", "--json", *more)
    text = done.out or done.err.removeprefix("error: ")
    return done.code, json.loads(text)["differences"]


def _checked_then_repaired(site: Site, *sentences: str) -> None:
    """--check finds and changes nothing, sync finds the same and repairs, then nothing differs."""
    for options, code in ((("--check",), INTEGRITY), (("--check",), INTEGRITY), ((), 0)):
        found = _differences(site, *options)
        assert found[0] == code, found
        assert len(found[1]) == len(sentences), found[1]
        for said, sentence in zip(found[1], sentences, strict=True):
            assert re.search(sentence, said), said
    assert _differences(site, "--check") == (0, [])


def test_a_release_stands_in_the_registry_when_it_is_signed(
    _mirrored: tuple[Site, str],
) -> None:
    site, said = _mirrored
    assert "MLflow's registry shows it" in said
    client = _client(site.root)
    place = client.get_model_version_by_alias("wine", ALIAS)
    head = client.get_registered_model("wine").tags["head"]
    assert place.run_id == _run_id(site)
    assert place.tags["record"] == head and head in place.description
    assert {k: place.tags[k] for k in ("build", "version", "verdict", "withdrawn")} == {
        "build": "b1", "version": "1", "verdict": "pass", "withdrawn": "no",
    }  # fmt: skip
    assert place.tags["demonstration"] == "no" and place.tags["data.origin"] == "real"
    names = {Path(one.path).name for one in client.list_artifacts(place.run_id, "release")}
    assert {"00001-sign-off.json", "00002-sign-off.json", "report.html"} < names
    assert client.get_run(place.run_id).data.tags["signed"] == "released"
    assert _differences(site, "--check") == (0, [])


def test_a_moved_alias_a_changed_tag_and_description(site: Site) -> None:
    client = _client(site.root)
    client.create_model_version("wine", client.get_model_version("wine", "1").source)
    client.set_registered_model_alias("wine", ALIAS, "2")
    client.set_model_version_tag("wine", "1", "verdict", "fail")
    client.delete_model_version_tag("wine", "1", "tau")
    client.update_model_version("wine", "1", "all is well")
    client.set_registered_model_tag("wine", "head", "0" * 64)
    client.set_tag(_run_id(site), "signed", "no")
    _checked_then_repaired(
        site,
        "registered model: tag head is '0{64}', not",
        r"version 1 \(1 b1\): tag verdict is 'fail', not 'pass'",
        r"version 1 .*tag tau is None, not '0\.",
        "version 1 .*the description was changed",
        "alias released points to version 2; it belongs to version 1",
        "version 2 is no release of the chain",
        "tag signed is 'no', not 'released'",
    )
    assert client.get_model_version_by_alias("wine", ALIAS).version in ("1", 1)
    assert "not.a.release" in client.get_model_version("wine", "2").tags


def test_a_tag_that_names_another_record_does_not_hide_a_version(site: Site) -> None:
    _client(site.root).set_model_version_tag("wine", "1", "record", "0" * 64)
    _checked_then_repaired(site, "version 1 .*tag record is '0{64}', not")


def test_a_deleted_version_a_deleted_alias_and_a_deleted_model(site: Site) -> None:
    client = _client(site.root)
    client.delete_registered_model_alias("wine", ALIAS)
    _checked_then_repaired(site, "alias released is missing; it belongs to version 1")
    client.delete_model_version("wine", "1")
    code, found = _differences(site)
    assert (code, len(found)) == (0, 2)
    assert found[0] == "release 1 b1 has no version in the registry"
    assert str(client.get_model_version_by_alias("wine", ALIAS).version) == "2"
    client.delete_registered_model("wine")
    code, found = _differences(site)
    assert code == 0 and found[0] == "the registered model wine is missing"
    assert _differences(site, "--check") == (0, [])


def test_missing_and_changed_artifacts_and_a_deleted_run(site: Site) -> None:
    client, run_id = _client(site.root), _run_id(site)
    folder = Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://")) / "release"
    assert folder.is_relative_to(site.root)
    (folder / "00001-sign-off.json").unlink()
    (folder / "report.html").write_text("<h1>PASS</h1>")
    client.delete_run(run_id)
    _checked_then_repaired(
        site,
        "was deleted",
        "artifact release/00001-sign-off.json is missing",
        "artifact release/report.html was changed",
    )
    record = site.root / "dossier/wine/releases/00001-sign-off.json"
    assert (folder / record.name).read_bytes() == record.read_bytes()


def test_a_run_that_the_store_does_not_know(site: Site) -> None:
    for path in (site.root / "mlflow.db", *site.root.glob("mlflow.db-*")):
        path.unlink()
    done = site.run("release", "sync", "wine")
    assert done.code == INTEGRITY
    assert "and these cannot be repaired" in done.err and "no run of it" in done.err
    assert site.run("release", "verify", "wine").code == 0


def test_withdrawal_takes_the_alias_and_a_second_release_has_a_version(site: Site) -> None:
    done = site.act("withdraw", "app", "--build", "1", "--reason", "wrong probes")
    assert done.code == 0, done.said
    client = _client(site.root)
    assert ALIAS not in client.get_registered_model("wine").aliases
    gone = client.get_model_version("wine", "1")
    assert gone.tags["withdrawn"].startswith("2") and "WITHDRAWN" in gone.description
    assert client.get_run(_run_id(site)).data.tags["signed"].startswith("withdrawn")
    client.set_registered_model_alias("wine", ALIAS, "1")
    _checked_then_repaired(site, "points to version 1, and nothing is released")
    site.commit()
    for user, meaning in (("rev", "review"), ("app", "approval")):
        assert site.sign(user, meaning).code == 0
    assert str(client.get_model_version_by_alias("wine", ALIAS).version) == "2"
    assert _differences(site, "--check") == (0, [])
    tags = [client.get_model_version("wine", one).tags for one in ("1", "2")]
    assert tags[0]["record"] != tags[1]["record"]


def test_a_second_build_takes_the_alias(site: Site) -> None:
    second_build(site)
    release(site)
    client = _client(site.root)
    place = client.get_model_version_by_alias("wine", ALIAS)
    assert (str(place.version), place.tags["build"]) == ("2", "b2")
    assert client.get_model_version("wine", "1").tags["withdrawn"] == "no"
    assert _differences(site, "--check") == (0, [])


def test_sign_off_succeeds_when_the_server_is_down(
    _built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = new_site(_built, tmp_path, ("ada", "rev", "app"))
    _own_store(site.root, _built)
    site = Site(site.root, site.keys, mirrored=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    begun = time.monotonic()
    for user, meaning in (("rev", "review"), ("app", "approval")):
        done = site.sign(user, meaning)
        assert done.code == 0, done.said
    assert time.monotonic() - begun < 60
    assert "the record is signed; MLflow's registry does not know of it yet" in done.err
    assert "`lifecycle release sync wine` repairs it" in done.err
    assert site.records() == ["00001-sign-off.json", "00002-sign-off.json"]
    assert site.run("release", "sync", "wine").code == 10
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    code, found = _differences(site)
    assert code == 0 and "the registered model wine is missing" in found
    assert _differences(site, "--check") == (0, [])


def test_a_chain_that_does_not_verify_is_not_mirrored(site: Site) -> None:
    path = site.root / "dossier/wine/releases/00002-sign-off.json"
    shutil.copyfile(path, path.with_name("00003-sign-off.json"))
    done = site.run("release", "sync", "wine")
    assert done.code == INTEGRITY and "00003-sign-off.json" in done.err
    assert os.environ.get("MLFLOW_TRACKING_URI") is None
