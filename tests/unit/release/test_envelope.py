from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lifecycle.domain.digests import canonical_json
from lifecycle.errors import IntegrityError
from lifecycle.release.envelope import IN_TOTO, opened, pae, seal, verified
from lifecycle.release.keys import keyid

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key()
GOOD = seal({"a": [1, 2.5, "é"]}, KEY)


def _changed(**changes) -> bytes:
    return canonical_json({**json.loads(GOOD), **changes})


def _signature(**changes) -> list:
    return [{**json.loads(GOOD)["signatures"][0], **changes}]


def _sealed_raw(payload: bytes, kind: str = IN_TOTO) -> bytes:
    """Any payload, truly signed."""
    body = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": kind,
        "signatures": _signature(sig=base64.b64encode(KEY.sign(pae(kind, payload))).decode()),
    }
    return canonical_json(body)


def _trailing_bit(data: bytes) -> bytes:
    """The same bytes in base64's other spelling: a bit that decoders throw away."""
    text = json.loads(data)["signatures"][0]["sig"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = text[:85] + alphabet[alphabet.index(text[85]) + 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(text)
    return data.replace(text.encode(), other.encode())


def test_pae_is_that_of_the_dsse_protocol() -> None:
    # the example of protocol.md
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_what_was_sealed_is_read_back() -> None:
    assert verified(opened(GOOD, "r.json"), PUBLIC) == {"a": [1, 2.5, "é"]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the envelope is not strict JSON"),
        (GOOD[:-1], "not written in canonical form"),
        (GOOD[:-2], "not strict JSON"),
        (GOOD + b"\n", "not written in canonical form"),
        (GOOD.replace(b'":', b'": ', 1), "not written in canonical form"),
        (json.dumps(json.loads(GOOD), sort_keys=True, indent=1).encode(), "canonical form"),
        (json.dumps(dict(reversed(json.loads(GOOD).items()))).encode(), "canonical form"),
        (GOOD.replace(b"payload", b"p\\u0061yload", 1), "canonical form"),
        (b"\xef\xbb\xbf" + GOOD, "not strict JSON"),
        (GOOD.decode().encode("utf-16"), "not strict JSON"),
        (b"\xff" + GOOD, "not strict JSON"),
        (b'{"payload":"",' + GOOD[1:], "a key stands twice"),
        (b'{"a":NaN}\n', "NaN is no number"),
        (b'{"a":1e999}\n', "not strict JSON"),
        (b"[" * 100_000, "not strict JSON"),
        (b"<<<<<<< HEAD\n" + GOOD, "conflict marks"),
        (b"[]\n", "field envelope: not an object"),
        (_changed(extra=1), "field envelope.extra: not a known field"),
        (canonical_json({"payload": ""}), "field envelope.payloadType: missing"),
        (_changed(payloadType="text/plain"), "field envelope.payloadType"),
        (_changed(payload=7), "field envelope.payload: not a text"),
        (_changed(payload="e30"), "field envelope.payload: not base64"),
        (_changed(payload="e3 0="), "field envelope.payload: not base64"),
        (_changed(payload="e31="), "field envelope.payload: not canonical base64"),
        (_changed(payload="é30="), "field envelope.payload: not base64"),
        (_changed(signatures=[]), "envelope.signatures: "),
        (_changed(signatures=_signature() * 2), "envelope.signatures: "),
        (_changed(signatures=[*_signature(), *_signature(sig="AAAA")]), "envelope.signatures: "),
        (_changed(signatures={}), "field envelope.signatures: not a list"),
        (_changed(signatures=_signature(cert="x")), "signatures[0].cert: not a known field"),
        (_changed(signatures=_signature(keyid="K" * 64)), "keyid: not a SHA-256"),
        (_changed(signatures=_signature(sig="AAAA")), "sig: not 64 bytes"),
        (_trailing_bit(GOOD), "sig: not canonical base64"),
    ],
)
def test_no_other_bytes_are_an_envelope(data: bytes, said: str) -> None:
    with pytest.raises(IntegrityError) as refused:
        opened(data, "r.json")
    assert "r.json: " in str(refused.value)
    assert said in str(refused.value)
    assert "git" in str(refused.value) or "branches" in str(refused.value)


def test_too_large_is_not_parsed() -> None:
    with pytest.raises(IntegrityError, match=r"r\.json is larger than 4194304 bytes"):
        opened(b"[" * (1 << 23), "r.json")


def test_a_wrong_signature_is_found_before_the_payload_is_parsed() -> None:
    sealed = opened(_changed(payload=base64.b64encode(b"no json").decode()), "r.json")
    with pytest.raises(IntegrityError, match="sig: the signature is wrong"):
        verified(sealed, PUBLIC)


def test_another_key_and_another_type_are_refused() -> None:
    with pytest.raises(IntegrityError, match="keyid: another key"):
        verified(opened(GOOD, "r.json"), Ed25519PrivateKey.generate().public_key())
    other = seal({"a": 1}, KEY, "text/x")
    moved = other.replace(b"text/x", IN_TOTO.encode())
    with pytest.raises(IntegrityError, match="the signature is wrong"):
        verified(opened(moved, "r.json"), PUBLIC)


@pytest.mark.parametrize(
    "payload", [b'{"a": 1}\n', b'{"a":1}', b'{"b":1,"a":2}\n', b'{"a":NaN}\n', b'{"a":"\\ud800"}\n']
)
def test_a_signed_payload_must_be_canonical_too(payload: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"r\.json: the payload is not"):
        verified(opened(_sealed_raw(payload), "r.json"), PUBLIC)


def test_openssl_accepts_the_signature(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    # the recipe that the bundle gives: nothing of ours is used
    body = json.loads(GOOD)
    payload = base64.b64decode(body["payload"])
    kind = body["payloadType"]
    (tmp_path / "pae").write_bytes(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    (tmp_path / "sig").write_bytes(base64.b64decode(body["signatures"][0]["sig"]))
    pem = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "pub").write_bytes(pem)
    keys = ["-pubin", "-inkey", "pub"]
    command = ["openssl", "pkeyutl", "-verify", *keys, "-rawin", "-in", "pae", "-sigfile", "sig"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "pae").write_bytes((tmp_path / "pae").read_bytes().replace(b"2.5", b"2.6"))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_securesystemslib_accepts_the_envelope() -> None:
    dsse = pytest.importorskip("securesystemslib.dsse")
    signer = pytest.importorskip("securesystemslib.signer")
    value = {"public": PUBLIC.public_bytes_raw().hex()}
    key = signer.SSlibKey(keyid(PUBLIC), "ed25519", "ed25519", value)
    envelope = dsse.Envelope.from_dict(json.loads(GOOD))
    assert list(envelope.verify([key], 1)) == [keyid(PUBLIC)]
    other = dsse.Envelope.from_dict(json.loads(_changed(payload="e30=")))
    with pytest.raises(Exception, match=r"[Ss]ignature"):
        other.verify([key], 1)
