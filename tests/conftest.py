"""Shared ground for all tests: a small project in a temporary folder, and the real data's place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def real_data() -> Path:
    """Where the real data lie (LIFECYCLE_REAL_DATA, default ../shared/data)."""
    return Path(os.environ.get("LIFECYCLE_REAL_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture
def real() -> Path:
    """The folder of real data; the test is skipped where it is absent."""
    place = real_data()
    if not place.is_dir():
        pytest.skip(f"no real data at {place}; set LIFECYCLE_REAL_DATA")
    return place
