"""Records and rosters changed behind our back: every change is found, and the file is named."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from signing import Lab, new_lab

from lifecycle.domain.digests import canonical_json
from lifecycle.errors import IntegrityError
from lifecycle.release.chain import read, require_head
from lifecycle.release.roster import read_rosters

LATER = "2026-11-02T09:00:00+01:00"


@pytest.fixture(scope="module")
def _signed(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Two rosters and five records."""
    lab = new_lab(tmp_path_factory.mktemp("signed"))
    lab.roster(lab.people(), LATER)
    one = lab.add("rev")
    lab.add("app", "approval")
    lab.decide("refusal", "two", "review", build=2, result="FAILED", verdict="fail")
    lab.decide("withdrawal", target=one.digest)
    lab.decide("drill", "rev", "responsibility", drill={"seconds": 3.25})
    return lab


@pytest.fixture
def lab(_signed: Lab, tmp_path: Path) -> Lab:
    shutil.copytree(_signed.root, tmp_path, dirs_exist_ok=True)
    return Lab(tmp_path, _signed.keys)


def _records(lab: Lab) -> list[Path]:
    return sorted(lab.releases.glob("*.json"))


def _flips(path: Path) -> Iterator[int]:
    """The file with each single bit flipped, one after the other; written in place, for speed."""
    data = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for bit in range(len(data) * 8):
            os.pwrite(file.fileno(), bytes([data[bit // 8] ^ 1 << bit % 8]), bit // 8)
            yield bit
            os.pwrite(file.fileno(), data[bit // 8 : bit // 8 + 1], bit // 8)


def _found(look: Callable[[], object], name: str) -> bool:
    try:
        look()
    except IntegrityError as error:
        return name in str(error)
    return False


@pytest.mark.parametrize("at", [0, pytest.param(4, marks=pytest.mark.slow)])
def test_every_single_bit_of_a_record_is_seen(lab: Lab, at: int) -> None:
    rosters, path = lab.rosters(), _records(lab)[at]
    missed = [
        bit
        for bit in _flips(path)
        if not _found(lambda: read(lab.releases, "wine", rosters), path.name)
    ]
    assert missed == []
    assert len(lab.chain().links) == 5


@pytest.mark.parametrize("number", ["00001", pytest.param("00002", marks=pytest.mark.slow)])
def test_every_single_bit_of_a_roster_is_seen(lab: Lab, number: str) -> None:
    path = lab.signers / f"{number}.json"
    assert [bit for bit in _flips(path) if not _found(lab.rosters, path.name)] == []
    assert len(lab.rosters()) == 2


def test_every_record_deleted_but_the_newest_is_missed(lab: Lab) -> None:
    *old, newest = _records(lab)
    head = lab.chain().head
    for path in old:
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(IntegrityError, match=f"{path.name[:5]} is missing before"):
            lab.chain()
        path.write_bytes(data)
    newest.unlink()
    with pytest.raises(IntegrityError, match="cut off"):
        require_head(lab.chain(), head)


def test_a_roster_deleted_is_missed(lab: Lab) -> None:
    (lab.signers / "00002.json").unlink()
    with pytest.raises(IntegrityError, match=r"00001-sign-off.*roster 00002\.json is missing"):
        lab.chain()
    (lab.signers / "00001.json").unlink()
    with pytest.raises(IntegrityError, match=r"00001-sign-off\.json.*no roster knows"):
        lab.chain()


def test_records_renumbered_after_a_deletion_are_found(lab: Lab) -> None:
    files = _records(lab)
    for at in range(len(files) - 1):
        files = _records(lab)
        kept = {path.name: path.read_bytes() for path in files}
        files[at].unlink()
        for number, path in enumerate(files[at + 1 :], at + 1):
            path.rename(path.with_name(f"{number:05d}{path.name[5:]}"))
        with pytest.raises(IntegrityError, match=f"{at + 1:05d}.*number: {at + 2}, and by"):
            lab.chain()
        for path in lab.releases.glob("*.json"):
            path.unlink()
        for name, data in kept.items():
            (lab.releases / name).write_bytes(data)
    assert len(lab.chain().links) == 5


def test_every_swap_and_every_older_record_in_anothers_place_is_found(lab: Lab) -> None:
    files = _records(lab)
    for at, path in enumerate(files):
        data = path.read_bytes()
        for other in files:
            if other == path:
                continue
            taken = other.read_bytes()
            path.write_bytes(taken)
            with pytest.raises(IntegrityError, match=path.name):
                lab.chain()
            other.write_bytes(data)
            with pytest.raises(IntegrityError, match=min(path, other).name):
                lab.chain()
            other.write_bytes(taken)
        path.write_bytes(data)
        assert len(lab.chain().links) == 5, at


def test_a_record_replayed_at_the_end_is_found(lab: Lab) -> None:
    for path in _records(lab):
        again = lab.releases / f"00006{path.name[5:]}"
        shutil.copy(path, again)
        with pytest.raises(IntegrityError, match=r"00006.*number: \d, and by its place"):
            lab.chain()
        again.unlink()


def test_a_record_twice_is_found(lab: Lab) -> None:
    for path in _records(lab):
        again = lab.releases / f"{path.name[:5]}-amendment.json"
        shutil.copy(path, again)
        with pytest.raises(IntegrityError, match="have the same number"):
            lab.chain()
        again.unlink()


def test_every_truncation_is_found(lab: Lab) -> None:
    rosters, path = lab.rosters(), _records(lab)[0]
    for size in reversed(range(path.stat().st_size)):
        os.truncate(path, size)
        assert _found(lambda: read(lab.releases, "wine", rosters), path.name), size


def _body(data: bytes) -> dict:
    return json.loads(data)


def _junk_signature(data: bytes) -> bytes:
    body = _body(data)
    body["signatures"].append({"keyid": "0" * 64, "sig": "AAAA"})
    return canonical_json(body)


def _trailing_bits(data: bytes) -> bytes:
    """Another spelling of the signature's bytes, which base64 decoders take for the same."""
    sig = _body(data)["signatures"][0]["sig"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = sig[:85] + alphabet[alphabet.index(sig[85]) ^ 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(sig)
    return data.replace(sig.encode(), other.encode())


REWRITES: dict[str, Callable[[bytes], bytes]] = {
    "whitespace": lambda data: json.dumps(_body(data), sort_keys=True).encode() + b"\n",
    "indent": lambda data: json.dumps(_body(data), sort_keys=True, indent=2).encode(),
    "no newline": lambda data: data.rstrip(b"\n"),
    "two newlines": lambda data: data + b"\n",
    "windows line end": lambda data: data.replace(b"\n", b"\r\n"),
    "key order": lambda data: (
        json.dumps(dict(reversed(_body(data).items())), separators=(",", ":")).encode() + b"\n"
    ),
    "unicode escapes": lambda data: data.replace(b"payloadType", b"payload\\u0054ype"),
    "escaped slash": lambda data: data.replace(b"application/", b"application\\/"),
    "byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "unknown field": lambda data: canonical_json({**_body(data), "note": "x"}),
    "key twice": lambda data: b'{"payload":"x",' + data[1:],
    "junk signature": _junk_signature,
    "base64 trailing bits": _trailing_bits,
    "base64 line ends": lambda data: data.replace(b'"payload":"', b'"payload":"\\n'),
    "padding dropped": lambda data: data.replace(b'=="', b'"'),
}


@pytest.mark.parametrize("how", REWRITES)
def test_a_rewrite_that_keeps_the_meaning_is_found(lab: Lab, how: str) -> None:
    for path, look in [(p, lab.chain) for p in _records(lab)] + [
        (p, lab.rosters) for p in sorted(lab.signers.glob("*.json"))
    ]:
        data = path.read_bytes()
        path.write_bytes(REWRITES[how](data))
        assert path.read_bytes() != data
        with pytest.raises(IntegrityError, match=path.name):
            look()
        path.write_bytes(data)


def test_a_forged_chain_needs_the_trusted_fingerprint(lab: Lab, tmp_path: Path) -> None:
    trusted = lab.rosters()[0].digest
    keys = {**lab.keys, "ada": lab.keys["eve"]}
    forged = Lab(tmp_path / "forged", keys)
    forged.roster(forged.people())
    forged.add("rev")
    assert len(forged.chain().links) == 1
    with pytest.raises(IntegrityError, match=r"00001\.json: its fingerprint"):
        read_rosters(forged.signers, trusted)
