"""A laboratory's server: MLflow over PostgreSQL, both real, and builds that are tracked there."""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow_walk import free_port
from release_site import Site, new_site, quiet_dvc
from support import environment, run_in

from lifecycle.dossier.builds import read_build
from lifecycle.dossier.layout import Layout
from lifecycle.tracking.server import healthy
from lifecycle.tracking.store import mlflow_at

PLACES = [*Path("/usr/lib/postgresql").glob("*/bin"), *map(Path, os.get_exec_path())]
BINARIES = next((place for place in PLACES if (place / "initdb").is_file()), None)
pytestmark = [
    pytest.mark.browser,  # beside the tests of pages: it wants a server that CI installs
    pytest.mark.timeout(900),  # with the build of the small project, on a busy machine
    pytest.mark.skipif(BINARIES is None, reason="PostgreSQL (initdb) is not installed"),
    pytest.mark.skipif(
        importlib.util.find_spec("psycopg2") is None, reason="psycopg2 is not installed"
    ),
]


@dataclass(frozen=True)
class Laboratory:
    """Addresses of the server and of its database."""

    address: str
    database: str


def _as_nobody() -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] * (os.geteuid() == 0)


def _postgres(program: str, *words: str) -> list[str]:
    assert BINARIES is not None
    return [*_as_nobody(), str(BINARIES / program), *words]


def _wait(ready: Any, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while not ready():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@contextmanager
def _process(command: list[str], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    quiet = environment(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=folder, env=quiet, stdout=sink, stderr=sink)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextmanager
def _database(folder: Path) -> Iterator[str]:
    """PostgreSQL on a free port of this machine; its address for MLflow."""
    data, port = folder / "data", free_port()
    if os.geteuid() == 0:
        person = pwd.getpwnam("nobody")
        os.chown(folder, person.pw_uid, person.pw_gid)
    made = ["--auth=trust", "--username=mlflow", "--no-sync", "--encoding=UTF8"]
    subprocess.run(_postgres("initdb", f"--pgdata={data}", *made), cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    settings = [f"port={port}", f"unix_socket_directories={folder}", "fsync=off",
                "listen_addresses=127.0.0.1"]  # fmt: skip
    words = [word for setting in settings for word in ("-c", setting)]
    ask = _postgres("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))
    log = Path(tempfile.gettempdir()) / f"{folder.name}.log"
    try:
        with _process(_postgres("postgres", "-D", str(data), *words), folder, log) as process:
            _wait(lambda: subprocess.run(ask, cwd=folder, check=False).returncode == 0,
                  process, log)  # fmt: skip
            create = ["-h", "127.0.0.1", "-p", str(port), "-U", "mlflow", "mlflow"]
            subprocess.run(_postgres("createdb", *create), cwd=folder, check=True)
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/mlflow"
    finally:
        log.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """The server of docs/how-to/tracking-server.md."""
    # not among pytest's folders, which another user may not enter
    folder = Path(tempfile.mkdtemp(prefix="lifecycle-postgres-"))
    place, port = tmp_path_factory.mktemp("server"), free_port()
    try:
        with _database(folder) as database:
            done = run_in(place, "mlflow", "db", "upgrade", database)
            assert done.returncode == 0, done.stderr
            serve = [
                "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
                "--backend-store-uri", database,
                "--artifacts-destination", str(place / "artifacts"),
            ]  # fmt: skip
            with _process(serve, place, place / "log.txt") as process:
                _wait(lambda: healthy(port), process, place / "log.txt")
                yield Laboratory(f"http://127.0.0.1:{port}", database)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def site(_built: Path, laboratory: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A project whose store is the server: two classifiers trained at the same time."""
    site = new_site(_built, tmp_path_factory.mktemp("project"), ("ada", "rev", "app"))
    for path in (*site.root.glob("mlflow.db*"), site.root / "mlartifacts"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    tracked = environment(MLFLOW_TRACKING_URI=laboratory.address)
    both = [
        subprocess.Popen(["python", "-m", "pipelines.build", name], cwd=site.root, env=tracked,
                         stderr=subprocess.PIPE, text=True)
        for name in ("wine", "tiny-beta")
    ]  # fmt: skip
    for process in both:
        _, said = process.communicate(timeout=200)
        assert process.returncode == 0, said
    for stage in ("enrol", "report"):
        done = run_in(site.root, "python", "-m", f"pipelines.{stage}", "wine",
                      MLFLOW_TRACKING_URI=laboratory.address)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "does not know" not in done.stderr
    assert not (site.root / "mlflow.db").exists(), "the embedded database was used all the same"
    return Site(site.root, site.keys, mirrored=True)


@pytest.fixture
def client(site: Site, laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", laboratory.address)
    with mlflow_at(site.root) as mlflow:
        return mlflow.MlflowClient()


def _run(client: Any, name: str) -> Any:
    (run,) = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    return run


def test_the_database_holds_what_two_builds_wrote_at_once(
    site: Site, laboratory: Laboratory, client: Any
) -> None:
    import psycopg2

    plain = laboratory.database.replace("+psycopg2", "")
    with closing(psycopg2.connect(plain)) as database, database.cursor() as cursor:
        cursor.execute("SELECT name, status FROM runs ORDER BY name")
        assert cursor.fetchall() == [("tiny-beta 1", "FINISHED"), ("wine 1 b1", "FINISHED")]
    for name in ("wine", "tiny-beta"):
        rows = (site.root / "work" / name / "curves.csv").read_text().splitlines()[1:]
        kept = [(int(epoch), float(loss)) for epoch, loss, *_ in (row.split(",") for row in rows)]
        history = client.get_metric_history(_run(client, name).info.run_id, "training_loss")
        assert [(point.step, point.value) for point in history] == kept


def test_the_run_says_what_the_dossier_says(site: Site, client: Any) -> None:
    run = _run(client, "wine")
    verdict = json.loads((site.root / "dossier/wine/verdicts/b1.json").read_bytes())
    kept = json.loads((site.root / "dossier/wine/metrics.json").read_bytes())
    build = read_build(Layout(site.root, "wine"), 1)
    assert run.info.run_name == "wine 1 b1"
    assert run.data.tags["verdict.code"] == verdict["status"]
    assert run.data.tags["digest.weights"] == build.weights
    assert run.data.metrics["frozen_accuracy"] == kept["frozen_accuracy"]
    assert run.data.tags["mlflow.note.content"].startswith("PASS ✓ first build")
    assert {"report.html", "figures", "tables", "verdict"} <= _names(client, run, None)


def _names(client: Any, run: Any, folder: str | None) -> set[str]:
    return {Path(one.path).name for one in client.list_artifacts(run.info.run_id, folder)}


def test_the_tables_come_back_from_the_server(site: Site, client: Any, tmp_path: Path) -> None:
    run = _run(client, "wine")
    verdict = json.loads((site.root / "dossier/wine/verdicts/b1.json").read_bytes())
    got = client.download_artifacts(run.info.run_id, "tables/criteria.json", str(tmp_path))
    table = json.loads(Path(got).read_bytes())
    said = {row[table["columns"].index("criterion")] for row in table["data"]}
    assert said == {finding["criterion"] for finding in verdict["findings"]}
    report = client.download_artifacts(run.info.run_id, "report.html", str(tmp_path))
    assert Path(report).read_bytes() == (site.root / "work/wine/report/report.html").read_bytes()


def test_a_release_stands_in_the_server_s_registry(site: Site, client: Any) -> None:
    with quiet_dvc():
        for user, meaning in (("rev", "review"), ("app", "approval")):
            done = site.sign(user, meaning)
            assert done.code == 0, done.said
    assert "MLflow's registry shows it" in done.err
    version = client.get_model_version_by_alias("wine", "released")
    assert version.run_id == _run(client, "wine").info.run_id
    assert version.description.startswith("RELEASED at ")
    assert site.run("release", "sync", "wine", "--check").code == 0


def test_ui_names_the_view_on_the_server(site: Site, laboratory: Laboratory, client: Any) -> None:
    done = site.run("ui", "wine", "--no-open")
    assert done.code == 0
    experiment = client.get_experiment_by_name("wine").experiment_id
    assert f"{laboratory.address}/#/experiments/{experiment}/runs?" in done.err
    assert "viewStateShareKey=builds" in done.err
