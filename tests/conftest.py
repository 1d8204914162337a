"""Shared ground for all tests: a small project, built once by DVC, and the real data's place."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings
from support import ROOT, environment, new_project, run_in

# no test asserts a time: a busy machine is no fault
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")

# a shell's background job ignores the interrupt, and so would every command that a test stops
signal.signal(signal.SIGINT, signal.default_int_handler)

# as if the virtual environment were active, however pytest was started
os.environ["PATH"] = environment()["PATH"]


@pytest.fixture
def real() -> Path:
    """The folder of real data; the test is skipped where it is absent."""
    place = Path(os.environ.get("LIFECYCLE_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"no real data at {place}; set LIFECYCLE_REAL_DATA")
    return place


@pytest.fixture(scope="session")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once, whatever the number of test processes."""
    base = tmp_path_factory.getbasetemp()
    place = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = place / "built" / "project", place / "built" / "done"
    with FileLock(place / "built.lock"):
        if not done.exists():
            new_project(folder)
            made = run_in(folder, "lifecycle", "rebuild")
            assert made.returncode == 0, made.stdout + made.stderr
            done.touch()
    return folder


@pytest.fixture
def project(_built: Path, tmp_path: Path) -> Path:
    """A copy of the built project, to be changed at will (its MLflow store is a copy too)."""
    folder = tmp_path / "project"
    shutil.copytree(_built, folder, symlinks=True)
    return folder


@pytest.fixture
def built(_built: Path) -> Path:
    """The built project itself: for looking at, not for changing."""
    return _built
