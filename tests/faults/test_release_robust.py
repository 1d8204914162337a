"""`lifecycle release` where messages go nowhere, pipes stand for files and disks are full."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr
from functools import partial
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.csv import write_csv
from release_site import PASSPHRASE, Site, new_site, quiet_dvc, release
from support import environment

from lifecycle.errors import UnusableInputError
from lifecycle.released import load_released
from lifecycle.workflows import exporting
from lifecycle.workflows.project import open_project
from lifecycle.workflows.released import Released

USAGE, UNUSABLE, INTEGRITY, REFUSED = 2, 10, 12, 22
PATIENCE = 120  # seconds: a pipe that is waited for ends in a failure, not in a night
DOSSIER = "dossier/wine"


@pytest.fixture(scope="module")
def _site(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return release(new_site(_built, tmp_path_factory.mktemp("robust"), ("ada", "rev", "app")))


@pytest.fixture(scope="module")
def model(_site: Site) -> Released:
    with redirect_stderr(StringIO()):
        return load_released("wine", _site.root)


@pytest.fixture
def site(_site: Site, tmp_path: Path) -> Site:
    """What a release needs and nothing else, to be changed at will."""
    for name in ("dossier", "weights"):
        shutil.copytree(_site.root / name, tmp_path / "site" / name)
    shutil.copy(_site.root / "params.yaml", tmp_path / "site")
    return Site(tmp_path / "site", _site.keys)


@pytest.fixture(autouse=True)
def _no_night() -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"still waiting after {PATIENCE} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def _no_browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(exporting, "print_page", lambda page, target, at: "not in this test")
    with quiet_dvc():
        yield


def _gone(folder: Path, *command: str, out: Any, err: Any) -> int:
    """The exit code of the installed command; "gone" is a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            ["lifecycle", "release", *command], cwd=folder, check=False, timeout=PATIENCE,
            env=environment(LIFECYCLE_PASSPHRASE=PASSPHRASE), stdin=subprocess.DEVNULL,
            stdout=write if out == "gone" else out, stderr=write if err == "gone" else err,
        )  # fmt: skip
    finally:
        os.close(write)
    return done.returncode


def _tamper(site: Site) -> Path:
    path = site.root / DOSSIER / "builds/b1/features.txt"
    path.write_bytes(path.read_bytes() + b"x")
    return path


@pytest.mark.parametrize("where", ["full", "gone"])
def test_a_message_that_nobody_gets_changes_no_exit_code(
    where: str, site: Site, tmp_path: Path
) -> None:
    table, calls = tmp_path / "new.csv", tmp_path / "calls.csv"
    table.write_text("id,alcohol\na,1\n")
    with Path("/dev/full").open("w") as full:
        out = subprocess.DEVNULL if where == "full" else "gone"
        said = partial(_gone, site.root, out=out, err=full if where == "full" else "gone")
        for what in ("withdraw", "amend"):
            words = (what, "wine", "--build", "1", "--reason", "x", "--yes", "--key", "nobody.pem")
            assert said(*words) == UNUSABLE
        assert said("verify", "wine") == 0
        _tamper(site)
        assert said("verify", "wine") == INTEGRITY
        assert said("no-such-command") == USAGE
        assert said("predict", "wine", str(table), "--out", str(calls)) == INTEGRITY
    assert not calls.exists() and site.records() == ["00001-sign-off.json", "00002-sign-off.json"]


def test_results_that_cannot_be_written_are_an_error_but_a_reader_may_leave(_site: Site) -> None:
    with Path("/dev/full").open("w") as full:
        words = ("history", "wine")
        assert _gone(_site.root, *words, out=full, err=subprocess.DEVNULL) == UNUSABLE
        assert _gone(_site.root, *words, out="gone", err=subprocess.DEVNULL) == 0


def _fifo(path: Path, aside: Path) -> None:
    path.rename(aside)
    os.mkfifo(path)


def _folder(path: Path, aside: Path) -> None:
    path.rename(aside)
    path.mkdir()


def _socket(path: Path, aside: Path) -> None:
    path.rename(aside)
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as one:  # paths of 107 bytes at most
        one.bind("s")
        Path("s").rename(path.name)


def _link(path: Path, aside: Path) -> None:
    path.rename(aside)
    path.symlink_to(aside)


def _file(path: Path, aside: Path) -> None:
    path.rename(aside)
    path.touch()


Put = Callable[[Path, Path], None]
FILES = [
    "dossier/wine/builds/b1/record.json",
    "dossier/wine/builds/b1/frozen.parquet",
    "dossier/wine/frozen.json",
    "dossier/wine/threshold.json",
    "dossier/wine/attempts/*.json",
    "dossier/wine/verdicts/b1.json",
    "dossier/wine/releases/00001-sign-off.json",
    "dossier/wine/releases/cases/*.json",
    "dossier/_signers/00001.json",
    "weights/wine/*.dvc",
]
FOLDERS = [
    "dossier/wine/builds/b1",
    "dossier/wine/builds",
    "dossier/wine/verdicts",
    "dossier/wine/attempts",
    "dossier/wine/releases/cases",
    "dossier/wine/releases",
    "dossier/_signers",
]


def _found(site: Site, place: str, put: Put) -> None:
    """`verify` names what stands there; everything is put back."""
    path, aside = next(site.root.glob(place)), site.root.with_name("aside")
    put(path, aside)
    done = site.verify()
    assert (done.code, str(path.name) in done.err) == (INTEGRITY, True), (place, done.said)
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()
    aside.rename(path)


@pytest.mark.parametrize("put", [_fifo, _folder, _socket, _link])
def test_evidence_is_regular_files(put: Put, site: Site) -> None:
    for place in FILES:
        _found(site, place, put)


@pytest.mark.parametrize("put", [_fifo, _file, _link])
def test_and_they_stand_in_folders(put: Put, site: Site) -> None:
    for place in FOLDERS:
        _found(site, place, put)
    if put is _link:
        for place in ("dossier/wine", "dossier"):
            _found(site, place, put)
    (site.root / DOSSIER / "builds/b9").touch()
    done = site.verify()
    assert done.code == INTEGRITY and "builds/b9" in done.err


def test_weights_may_be_links_into_a_cache_but_no_pipe(site: Site, tmp_path: Path) -> None:
    path = next((site.root / "weights/wine").glob("*.safetensors"))
    kept = tmp_path / "cache"
    path.rename(kept)
    path.symlink_to(kept)
    assert site.verify().code == 0
    path.unlink()
    os.mkfifo(path)
    for more in ((), ("--without-weights",)):
        done = site.verify(*more)
        assert done.code == INTEGRITY and path.name in done.err
    path.unlink()
    path.symlink_to("/dev/zero")
    assert site.verify().code == INTEGRITY


def test_no_pipe_is_waited_for(_site: Site, model: Released, tmp_path: Path) -> None:
    pipe, out = tmp_path / "pipe", tmp_path / "bundle"
    os.mkfifo(pipe, 0o600)
    done = _site.run("release", "export", "wine", "--out", str(out), "--model-signing-key",
                     str(pipe))  # fmt: skip
    assert done.code == UNUSABLE and str(pipe) in done.err and not out.exists()
    with pytest.raises(UnusableInputError, match="pipe"):
        model.predict_file(pipe)


def test_a_large_file_is_no_key(_site: Site, tmp_path: Path) -> None:
    key = tmp_path / "large.pem"
    key.write_bytes(b"x" * ((1 << 16) + 1))
    key.chmod(0o600)
    done = _site.run("release", "export", "wine", "--out", str(tmp_path / "out"),
                     "--model-signing-key", str(key))  # fmt: skip
    assert done.code == UNUSABLE and "too large" in done.err


@pytest.mark.parametrize("handle", ["-1", "999999999999"])
def test_a_descriptor_that_cannot_be_is_a_usage_error(handle: str, site: Site) -> None:
    done = site.run("release", "keys", "create", "--key", str(site.root / "new.pem"),
                    "--passphrase-fd", handle)  # fmt: skip
    assert done.code == USAGE and handle in done.err


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_feature_cannot_name_the_cases(ending: str, model: Released, tmp_path: Path) -> None:
    path, feature = tmp_path / f"new.{ending}", model.features[0]
    table = pa.table({"id": ["a"], **{name: [1.5] for name in model.features}})
    (pq.write_table if ending == "parquet" else write_csv)(table, path)
    with redirect_stderr(StringIO()):
        assert model.predict_file(path).ids == ("a",)
        with pytest.raises(UnusableInputError, match=re.escape(repr(feature))):
            model.predict_file(path, key=feature)


NAN = float("nan")
HALF = np.full((2, 13), 0.5)


@pytest.mark.parametrize(
    "values",
    [
        np.ma.masked_array(HALF, mask=HALF > 0.4),
        [np.ma.masked_array(row) for row in HALF],
        HALF + 1j,
        HALF.astype(str),
        HALF.astype(str).astype(object),
        np.where(HALF > 1, 0.5, None),
        HALF.astype("datetime64[s]"),
        np.full((2, 13), 10**400, dtype=object),
        [[0.5] * 13, [0.5] * 12],
        None,
    ],
    ids=[
        "masked",
        "rows",
        "complex",
        "text",
        "texts",
        "none",
        "dates",
        "huge",
        "ragged",
        "nothing",
    ],
)
def test_values_that_are_no_numbers_are_refused(values: Any, model: Released) -> None:
    with pytest.raises(UnusableInputError, match="value"):
        model.predict(values, ["a", "b"], fill_missing=True)


@pytest.mark.parametrize(
    "ids", [["a", None], ["a", NAN], [1.0, 2.0], [b"a", b"b"], [True, False], "ab", None,
            np.ma.masked_array(["a", "b"], mask=[0, 1])],
)  # fmt: skip
def test_what_is_no_id_is_refused(ids: Any, model: Released) -> None:
    with pytest.raises(UnusableInputError, match="id"):
        model.predict(HALF, ids)


def test_what_is_an_id_or_a_number_is_taken(model: Released) -> None:
    for values in (HALF.tolist(), HALF.astype(np.float32), HALF.astype(object)):
        for ids in ([1, 2], np.array([1, 2]), (one for one in ("1", "2"))):
            assert model.predict(values, ids).ids == ("1", "2")


KILLED = """
import os, signal, sys
from pathlib import Path
from lifecycle.workflows import exporting
from lifecycle.workflows.project import open_project
write = exporting._write
def then_killed(path, data):
    write(path, data)
    os.kill(os.getpid(), signal.SIGKILL)
exporting._write = then_killed
exporting.export(open_project("wine"), Path(sys.argv[1]))
"""


def _export(site: Site, out: Path) -> None:
    with redirect_stderr(StringIO()):
        exporting.export(open_project("wine", site.root), out)


def test_what_a_killed_export_left_is_hidden_and_goes_with_the_next(
    _site: Site, tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(out)], cwd=_site.root, env=environment(), check=False,
        capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = tmp_path.iterdir()
    assert left.stat().st_mode & 0o777 == 0o700 and (left / "bundle/dossier").is_dir()

    held = left.with_name(left.name.replace("bundle", "other"))
    shutil.copytree(left, held)
    new = tmp_path / f".new.export-{os.getpid()}-abcdefgh"  # made, and not yet held
    not_ours = [tmp_path / ".bundle.export-1-short", tmp_path / "bundle.export-1-abcdefgh"]
    for path in (new, *not_ours):
        path.mkdir()
        (path / "kept").touch() if path is not new else None
    link = tmp_path / ".link.export-1-abcdefgh"
    link.symlink_to(not_ours[0])
    handle = os.open(held, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        _export(_site, out)
    finally:
        os.close(handle)
    assert set(tmp_path.iterdir()) == {out, held, new, link, *not_ours}
    assert (not_ours[0] / "kept").exists() and out.stat().st_mode & 0o777 == 0o755


def test_the_commands_of_verify_md_find_links_and_pipes_too(_site: Site, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    _export(_site, out)
    sums = re.findall(r"```sh\n(.*?)```", (out / "VERIFY.md").read_text(), re.DOTALL)[1]

    def said() -> str:
        done = subprocess.run(["sh", "-c", sums], cwd=out, capture_output=True, text=True,
                              check=False, timeout=PATIENCE)  # fmt: skip
        return done.stdout + done.stderr

    assert said() == ""
    added = out / "report" / "added"
    added.parent.mkdir(exist_ok=True)
    added.symlink_to("/etc/passwd")
    assert "report/added" in said()
    added.unlink()
    os.mkfifo(added)
    assert "report/added" in said()


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_full_disk_is_said_of_what_could_not_be_written(
    name: str, _site: Site, tmp_path: Path
) -> None:
    out = tmp_path / name
    done = subprocess.run(
        ["lifecycle", "release", "export", "wine", "--out", str(out)], cwd=_site.root, check=False,
        env=environment(), capture_output=True, text=True, timeout=PATIENCE,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2000, 2000)),
    )  # fmt: skip
    assert done.returncode == UNUSABLE and f"error: {out}: " in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())
