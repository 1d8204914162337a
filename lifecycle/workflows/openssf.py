"""The weights of an exported release, signed as OpenSSF model-signing does, where it is wished.

A second signature, of whoever exports, in a format that other tools read. What the laboratory
decided stands in the signed chain; this one only says that the weights left it unchanged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.errors import SignOffRefusedError, UnusableInputError
from lifecycle.release.keys import read_private

FOLDER, SIGNATURE, PUBLIC = "openssf", "model.sig", "public.pem"
SIGNED = "weights"  # folder of the export that is signed
ABSENT = "OpenSSF model-signing is not installed here: `pip install model-signing pyopenssl`"


@dataclass(frozen=True, slots=True)
class WeightsKey:
    """Who signs the weights.

    Attributes:
        path: PEM file of an elliptic-curve key (P-256, P-384 or P-521), which others cannot read.
        passphrase: None where the file is not encrypted.
    """

    path: Path
    passphrase: str | None = None


def is_encrypted(path: Path) -> bool:
    """Whether a key file asks for a passphrase.

    Raises:
        UnusableInputError: it cannot be read, or is no file of a key's size.
        SignOffRefusedError: others can read it, or it is a symbolic link.
    """
    return b"ENCRYPTED" in read_private(path)


def sign_weights(folder: Path, key: WeightsKey) -> None:
    """Sign `weights/` of an export; writes `openssf/model.sig` and the public key beside it.

    Args:
        folder: of the export, complete but for its lists of files.
        key: of the person who exports.

    Raises:
        UnusableInputError: model-signing is not installed, or the key is of another kind.
        SignOffRefusedError: the passphrase is wrong, or others can read the key file.
    """
    try:
        from model_signing import hashing, signing
    except ImportError as error:
        raise UnusableInputError(f"{ABSENT} ({error})") from None
    public = _public(key)
    place = folder / FOLDER
    place.mkdir()
    secret = None if key.passphrase is None else key.passphrase.encode("utf-8")
    kinds: Any = (signing.Config, hashing.Config)  # both without types
    plan = kinds[0]().use_elliptic_key_signer(private_key=key.path, password=secret)
    plan.set_hashing_config(kinds[1]().use_file_serialization())
    plan.sign(folder / SIGNED, place / SIGNATURE)
    _canonical(place / SIGNATURE)
    (place / PUBLIC).write_bytes(public)


def _public(key: WeightsKey) -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    secret = None if key.passphrase is None else key.passphrase.encode("utf-8")
    try:
        private = serialization.load_pem_private_key(read_private(key.path), secret)
    except (ValueError, TypeError):
        raise SignOffRefusedError(
            f"{key.path} does not open: the passphrase is wrong, or it is no private key in PEM"
        ) from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.key_size < 256:
        raise UnusableInputError(
            f"{key.path} is no elliptic-curve key that model-signing knows (P-256, P-384, P-521); "
            "signers' own Ed25519 keys are not for this"
        )
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _canonical(path: Path) -> None:
    """One JSON document on one line with a newline at the end, whatever the library wrote."""
    path.write_text(json.dumps(json.loads(path.read_bytes()), sort_keys=True) + "\n", "utf-8")


def how(signed: bool) -> str:
    """What VERIFY.md says of it."""
    if not signed:
        return (
            "The weights bear no signature of OpenSSF model-signing (`release export "
            "--model-signing-key` adds one); the signed records bind their SHA-256."
        )
    return (
        f"The weights are also signed by OpenSSF model-signing, by whoever exported: "
        f"`model_signing verify key {SIGNED} --signature {FOLDER}/{SIGNATURE} --public_key "
        f"{FOLDER}/{PUBLIC}`. Compare the public key with one that you know."
    )
