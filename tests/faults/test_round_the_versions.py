"""A new version, a new name, more networks: none of them is a way round the comparison."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import chdir, redirect_stderr
from dataclasses import replace
from pathlib import Path

import pytest
from following_site import (
    findings,
    gate,
    judge,
    new_build,
    says_otherwise,
    set_params,
    sign_all,
)
from release_site import Site, new_site, release

from lifecycle.dossier.layout import Layout
from lifecycle.workflows.project import open_project

FOLLOWS = {"predecessor": {"version": "1"}}


@pytest.fixture(scope="module")
def _released(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = new_site(_built, tmp_path_factory.mktemp("versions"), ("ada", "rev", "app", "two"))
    return release(site)


@pytest.fixture
def site(_released: Site, tmp_path: Path) -> Site:
    """Wine b1 of version 1 is released."""
    return _released.copy(tmp_path / "project")


def test_a_new_version_that_agrees_passes_is_signed_and_verifies(site: Site) -> None:
    assert new_build(site, policy=FOLLOWS) == 2
    verdict = gate(site)
    found = {one["criterion"]: one["status"] for one in verdict["findings"]}
    assert (verdict["status"], verdict["basis"]) == ("pass", "first build"), verdict
    compared = {name for name in found if name.startswith("predecessor")}
    assert compared == {
        "predecessor", "predecessor.coverage", "predecessor.frozen", "predecessor.series",
        "predecessor.pair:b1", "predecessor.ever", "predecessor.lost:b1", "predecessor.floor",
    }  # fmt: skip
    assert verdict["shown"]["predecessor"]["names"] == ["b1", "b2"]
    assert [one.code for one in sign_all(site)] == [0, 0]
    assert site.verify().code == 0
