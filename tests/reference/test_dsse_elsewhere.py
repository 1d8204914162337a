"""Our envelopes in hands that are not ours: securesystemslib and openssl accept and refuse them."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from signing import Lab, new_lab

from lifecycle.release.envelope import IN_TOTO, pae


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    made = new_lab(tmp_path_factory.mktemp("lab"))
    made.add("rev")
    made.add("app", "approval")
    return made


def _key(lab: Lab, user: str) -> SSlibKey:
    public = lab.keys[user].public_key()
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return SSlibKey(lab.person(user).keyid, "ed25519", "ed25519", {"public": raw.hex()})


def _every_file(lab: Lab) -> list[tuple[Path, str]]:
    records = list(zip(sorted(lab.releases.glob("*.json")), ("rev", "app"), strict=True))
    return [*records, (lab.signers / "00001.json", "ada")]


def test_securesystemslib_accepts_records_and_rosters(lab: Lab) -> None:
    for path, user in _every_file(lab):
        envelope = Envelope.from_dict(json.loads(path.read_bytes()))
        key = _key(lab, user)
        assert list(envelope.verify([key], 1)) == [key.keyid]


def test_securesystemslib_signs_over_the_same_bytes(lab: Lab) -> None:
    for path, _ in _every_file(lab):
        envelope = Envelope.from_dict(json.loads(path.read_bytes()))
        assert envelope.pae() == pae(envelope.payload_type, envelope.payload)


def test_securesystemslib_refuses_another_key_and_a_changed_payload(lab: Lab) -> None:
    path, user = _every_file(lab)[0]
    value = json.loads(path.read_bytes())
    with pytest.raises(VerificationError):
        Envelope.from_dict(json.loads(path.read_bytes())).verify([_key(lab, "app")], 1)
    payload = base64.b64decode(value["payload"]).replace(b'"PASSED"', b'"WARNED"')
    changed = {**value, "payload": base64.b64encode(payload).decode()}
    with pytest.raises(VerificationError):
        Envelope.from_dict(changed).verify([_key(lab, user)], 1)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
@pytest.mark.parametrize("change", [b"", b" "])
def test_openssl_verifies_the_hand_made_encoding(lab: Lab, tmp_path: Path, change: bytes) -> None:
    path, user = _every_file(lab)[0]
    value = json.loads(path.read_bytes())
    payload = base64.b64decode(value["payload"]) + change
    signed = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload
    assert len(IN_TOTO) == 28
    (tmp_path / "pae").write_bytes(signed)
    (tmp_path / "sig").write_bytes(base64.b64decode(value["signatures"][0]["sig"]))
    (tmp_path / "key").write_bytes(base64.b64decode(lab.person(user).public))
    command = "openssl pkeyutl -verify -rawin -pubin -inkey key -keyform DER -in pae -sigfile sig"
    done = subprocess.run(
        command.split(), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == (change == b""), done.stdout + done.stderr
