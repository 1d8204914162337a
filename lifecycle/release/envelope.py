"""One signature over one statement: a DSSE envelope whose bytes can be written in one way only.

DSSE, https://github.com/secure-systems-lab/dsse, protocol 1.0: what is signed is the
pre-authentication encoding (PAE) of payload type and payload, with Ed25519.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import ValidationError

from lifecycle.domain.digests import canonical_json
from lifecycle.errors import IntegrityError
from lifecycle.records.format import explain
from lifecycle.records.release import Envelope
from lifecycle.release.fields import FieldError, faults_of, strict_base64, strict_json
from lifecycle.release.files import MOST_BYTES
from lifecycle.release.keys import keyid

IN_TOTO = "application/vnd.in-toto+json"


@dataclass(frozen=True, slots=True)
class Sealed:
    """An envelope taken apart; its payload has not been looked at.

    Attributes:
        name: the file, for messages.
        payload_type: media type of the payload.
        payload: the signed bytes.
        keyid: who is said to have signed.
        signature: 64 bytes.
    """

    name: str
    payload_type: str
    payload: bytes
    keyid: str
    signature: bytes


def pae(payload_type: str, payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding (protocol.md, "Signature Definition")."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal(
    statement: Mapping[str, Any], key: Ed25519PrivateKey, payload_type: str = IN_TOTO
) -> bytes:
    """The envelope's bytes, signed."""
    payload = canonical_json(statement)
    signature = {
        "keyid": keyid(key.public_key()),
        "sig": _base64(key.sign(pae(payload_type, payload))),
    }
    body = {"payload": _base64(payload), "payloadType": payload_type, "signatures": [signature]}
    return canonical_json(body)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def opened(data: bytes, name: str, payload_type: str = IN_TOTO) -> Sealed:
    """An envelope taken apart, strictly; nothing inside the payload is read.

    Raises:
        IntegrityError: other bytes than `seal` writes; names file and field.
    """
    if len(data) > MOST_BYTES:
        raise IntegrityError(f"{name} is larger than {MOST_BYTES} bytes; restore it from git")
    with faults_of(name):
        body = _envelope(strict_json(data, "the envelope"))
        if body.payloadType != payload_type:
            raise FieldError(f"field envelope.payloadType: not {payload_type}")
        signed = body.signatures[0]
        signature = strict_base64(signed.sig, "envelope.signatures[0].sig")
        if len(signature) != 64:
            raise FieldError("field envelope.signatures[0].sig: not 64 bytes")
        payload = strict_base64(body.payload, "envelope.payload")
        return Sealed(name, payload_type, payload, signed.keyid, signature)


def _envelope(value: object) -> Envelope:
    try:
        return Envelope.model_validate(value)
    except ValidationError as error:
        raise FieldError(explain(error, "envelope")) from None


def verified(sealed: Sealed, public: Ed25519PublicKey) -> Any:
    """The payload's value, read only once the signature has proved to be good.

    Raises:
        IntegrityError: another key, a wrong signature, or a payload that is not canonical JSON.
    """
    with faults_of(sealed.name):
        if keyid(public) != sealed.keyid:
            raise FieldError("field envelope.signatures[0].keyid: another key")
        try:
            public.verify(sealed.signature, pae(sealed.payload_type, sealed.payload))
        except InvalidSignature:
            raise FieldError("field envelope.signatures[0].sig: the signature is wrong") from None
        return strict_json(sealed.payload, "the payload")
