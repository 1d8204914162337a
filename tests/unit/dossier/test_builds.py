from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sample_records import RUN, content
from support import every_flip

from lifecycle.domain.digests import digest_of, sha256
from lifecycle.dossier.attempts import Attempt, read_attempts, record_attempt
from lifecycle.dossier.builds import RECORD, enrol, first_of, read_build, read_builds
from lifecycle.dossier.files import write_json
from lifecycle.dossier.layout import Layout
from lifecycle.errors import IntegrityError, UnusableInputError


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, "c")


def _enrol(layout: Layout, version: str = "1", weights: str = "w") -> int:
    whole = content(version=version, weights=digest(weights))
    return enrol(layout, whole, {"frozen.parquet": b"scores"}, RUN)


def digest(name: str) -> str:
    return sha256(name.encode())


def test_known_content_keeps_its_number(layout: Layout) -> None:
    assert _enrol(layout) == 1
    assert _enrol(layout, weights="v") == 2
    assert _enrol(layout) == 1
    assert [build.name for build in read_builds(layout)] == ["b1", "b2"]


def test_the_first_of_a_version(layout: Layout) -> None:
    _enrol(layout)
    _enrol(layout, version="2")
    _enrol(layout, version="2", weights="v")
    builds = read_builds(layout)
    first = first_of(builds, "2")
    assert first is not None
    assert first.number == 2
    assert first_of(builds, "3") is None


def test_every_single_bit_of_a_build_is_seen(layout: Layout) -> None:
    _enrol(layout)
    for path in sorted(layout.build(1).iterdir()):
        data = path.read_bytes()
        for flipped in every_flip(data):
            path.write_bytes(flipped)
            with pytest.raises(IntegrityError, match="b1"):
                read_builds(layout)
        path.write_bytes(data)
    assert len(read_builds(layout)) == 1


def test_missing_and_strange_files_are_named(layout: Layout) -> None:
    _enrol(layout)
    _enrol(layout, weights="v")
    (layout.build(2) / "extra").write_text("x", encoding="utf-8")
    with pytest.raises(IntegrityError, match="extra does not belong"):
        read_builds(layout)
    (layout.build(2) / "extra").unlink()
    (layout.build(2) / "frozen.parquet").unlink()
    with pytest.raises(IntegrityError, match=r"frozen\.parquet is missing"):
        read_builds(layout)
    shutil.rmtree(layout.build(1))
    with pytest.raises(IntegrityError, match="b1 is missing"):
        read_builds(layout)
    with pytest.raises(UnusableInputError, match="no build b7"):
        read_build(layout, 7)


def test_a_build_moved_to_another_place_is_refused(layout: Layout) -> None:
    _enrol(layout)
    shutil.copytree(layout.build(1), layout.build(2))
    with pytest.raises(IntegrityError, match="another place"):
        read_builds(layout)


def _attempt(
    layout: Layout,
    version: str,
    weights: str,
    judged: tuple[str, ...],
    settled: set[str] = frozenset(),
) -> Attempt:
    """An attempt of networks that are called by a word."""
    known = tuple(digest(one) for one in judged)
    before = {digest(one) for one in settled}
    return record_attempt(layout, version, digest(weights), known, before, policy="b" * 64)


def test_attempts_count_networks_not_runs(layout: Layout) -> None:
    assert _attempt(layout, "1", "first", ()).k == 0
    assert _attempt(layout, "1", "first", ("first",)).k == 0
    assert _attempt(layout, "1", "second", ("first",)).k == 1
    assert _attempt(layout, "1", "third", ("first", "second")).k == 2
    # a release settles what came before it: the count begins anew
    three = ("first", "second", "third")
    assert _attempt(layout, "1", "fourth", three, {"first", "second", "third"}).k == 1
    assert _attempt(layout, "1", "fifth", (*three, "fourth"), set(three)).k == 2
    assert _attempt(layout, "1", "second", ("first", "second")).k == 1
    assert _attempt(layout, "2", "second", ()).k == 0
    assert len(read_attempts(layout)) == 6


def test_every_single_bit_of_an_attempt_is_seen(layout: Layout) -> None:
    record_attempt(layout, "1", "a" * 64, (), policy="b" * 64)
    path = next(layout.attempts.iterdir())
    data = path.read_bytes()
    for flipped in every_flip(data):
        path.write_bytes(flipped)
        with pytest.raises(IntegrityError):
            read_attempts(layout)


def test_a_missing_attempt_is_not_counted_anew(layout: Layout) -> None:
    _attempt(layout, "1", "first", ())
    _attempt(layout, "1", "second", ("first",))
    _attempt(layout, "1", "third", ("first", "second"))
    for path in layout.attempts.iterdir():
        if any(digest(name)[:32] in path.name for name in ("second", "third")):
            path.unlink()
    with pytest.raises(IntegrityError, match="restore the whole folder"):
        _attempt(layout, "1", "third", ("first", "second", "third"))
    assert len(read_attempts(layout)) == 1


def test_a_missing_attempt_in_the_middle_is_seen(layout: Layout) -> None:
    _attempt(layout, "1", "first", ())
    for weights in ("second", "third"):
        _attempt(layout, "1", weights, ("first",))
    next(p for p in layout.attempts.iterdir() if digest("second")[:32] in p.name).unlink()
    with pytest.raises(IntegrityError, match="attempt 1"):
        _attempt(layout, "1", "fourth", ("first",))


@pytest.mark.parametrize("key", sorted(content()))
def test_a_record_without_a_field_is_refused_though_its_digest_was_redone(
    layout: Layout, key: str
) -> None:
    _enrol(layout)
    path = layout.build(1) / RECORD
    record = json.loads(path.read_bytes())
    for change in ("removed", "emptied"):
        left = {k: v for k, v in record["content"].items() if k != key}
        left |= {} if change == "removed" else {key: None}
        body = {**record, "content": left}
        body.pop("digest")
        write_json(path, {**body, "digest": digest_of(body)})
        with pytest.raises(IntegrityError, match="was changed"):
            read_builds(layout)
