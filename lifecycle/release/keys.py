"""Signers' keys: Ed25519, one PEM file a person, encrypted with a passphrase.

The file is PKCS#8 (RFC 5958) under PBES2 (RFC 8018) with 600,000 rounds of PBKDF2-HMAC-SHA-256
(OWASP's figure) and AES-256-CBC. The `cryptography` package opens such files and writes them with
2,048 rounds only, hence the few lines of DER here.
"""

from __future__ import annotations

import base64
import errno
import re
import secrets
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from lifecycle.domain.digests import sha256
from lifecycle.errors import SignOffRefusedError, UnusableInputError, UsageError
from lifecycle.release.fields import FieldError, strict_base64
from lifecycle.release.files import place_once, read_regular

ROUNDS = 600_000
SHORTEST_PASSPHRASE = 8
LONGEST_PASSPHRASE = 1000  # bytes; OpenSSL's prompt takes 1,023
_MOST_BYTES = 1 << 16
# Object identifiers, DER encoded: RFC 8018 appendices A and B.
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_PBKDF2 = bytes.fromhex("06092a864886f70d01050c")
_HMAC_SHA256 = bytes.fromhex("06082a864886f70d02090500")  # with its NULL parameter
_AES256_CBC = bytes.fromhex("060960864801650304012a")
_SEQUENCE, _INTEGER, _OCTETS = 0x30, 0x02, 0x04
# edwards25519 (RFC 7748): y of the eight points whose order divides the cofactor 8, computed from
# 8 A = O: 1, -1, 0 and the two roots of d y^4 + 2 y^2 = 1 that are squares, each with its negative.
_FIELD = 2**255 - 19
_EIGHTH = 0x5FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset((0, 1, _FIELD - 1, _EIGHTH, _FIELD - _EIGHTH))
_LABEL = "ENCRYPTED PRIVATE KEY"
_PEM = re.compile(rf"-----BEGIN {_LABEL}-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END {_LABEL}-----\s*")


@dataclass(frozen=True, slots=True)
class PublicInfo:
    """The half of a key that everyone may see.

    Attributes:
        keyid: SHA-256 of the SubjectPublicKeyInfo's DER.
        public: that DER, in base64.
    """

    keyid: str
    public: str


def create(path: Path, passphrase: str) -> PublicInfo:
    """Make a key and keep it at `path`, mode 600, whole or not at all.

    Raises:
        UsageError: the passphrase is too short or too long, or something is at `path`.
        UnusableInputError: the folder cannot be written.
    """
    secret = _new_secret(passphrase)
    key = Ed25519PrivateKey.generate()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place_once(path, _pem(key, secret), 0o600)
    except FileExistsError:
        raise UsageError(
            f"{path} is there already; a key is never overwritten: name another"
        ) from None
    except OSError as error:
        raise UnusableInputError(f"{path} cannot be written: {error.strerror}") from None
    return public_of(key)


def unlock(path: Path, passphrase: str) -> Ed25519PrivateKey:
    """The key at `path`.

    Raises:
        SignOffRefusedError: others can read or change the file, it is a link, it is not encrypted,
            or the passphrase is wrong.
        UnusableInputError: the file is missing or is not a key as `create` makes them.
    """
    data = read_private(path)
    if b"-----BEGIN PRIVATE KEY-----" in data:
        raise SignOffRefusedError(
            f"{path} is a key without a passphrase; make one with `lifecycle release keys create`"
        )
    _require_shape(path, data)
    try:
        key = load_pem_private_key(data, _secret(passphrase))
    except UnsupportedAlgorithm as error:
        raise UnusableInputError(f"{path} cannot be opened: {error}") from None
    except (ValueError, TypeError):  # an empty passphrase is a TypeError
        raise SignOffRefusedError(
            f"{path}: the passphrase is wrong (or the file was damaged); nothing was signed"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UnusableInputError(f"{path} is not an Ed25519 key; make one with `keys create`")
    return key


def spki(public: Ed25519PublicKey) -> bytes:
    """The public key as SubjectPublicKeyInfo, DER."""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def keyid(public: Ed25519PublicKey) -> str:
    """SHA-256 of the public key's SubjectPublicKeyInfo."""
    return sha256(spki(public))


def public_of(key: Ed25519PrivateKey) -> PublicInfo:
    """What the roster says of a key."""
    der = spki(key.public_key())
    return PublicInfo(sha256(der), base64.b64encode(der).decode("ascii"))


def public_key(text: str, place: str = "public") -> Ed25519PublicKey:
    """The public key that a roster writes.

    Raises:
        FieldError: not an Ed25519 key, or not the one way to write it.
    """
    der = strict_base64(text, place)
    try:
        public = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise FieldError(f"field {place}: not a public key") from None
    if not isinstance(public, Ed25519PublicKey) or spki(public) != der:
        raise FieldError(f"field {place}: not an Ed25519 public key")
    if _is_of_small_order(public):
        raise FieldError(f"field {place}: a point of small order, for which anyone can sign")
    return public


def _is_of_small_order(public: Ed25519PublicKey) -> bool:
    """Whether 8 A is the neutral point (RFC 8032: the cofactor); the sign bit does not matter."""
    raw = bytearray(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
    raw[31] &= 0x7F
    return int.from_bytes(raw, "little") % _FIELD in _SMALL_ORDER


def _new_secret(passphrase: str) -> bytes:
    if len(passphrase) < SHORTEST_PASSPHRASE or not passphrase.strip():
        raise UsageError(f"the passphrase needs at least {SHORTEST_PASSPHRASE} characters")
    secret = _secret(passphrase)
    if len(secret) > LONGEST_PASSPHRASE:
        raise UsageError(f"the passphrase is longer than {LONGEST_PASSPHRASE} bytes")
    return secret


def _secret(passphrase: str) -> bytes:
    # one typed accent can be one character or two, by machine
    try:
        return unicodedata.normalize("NFC", passphrase).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("the passphrase is not text in UTF-8") from None


def read_private(path: Path) -> bytes:
    """The bytes of a private key's file, which only its owner can read.

    Raises:
        UnusableInputError: it cannot be read, or is no file of a key's size.
        SignOffRefusedError: others can read it, or it is a symbolic link.
    """
    try:
        data, state = read_regular(path, _MOST_BYTES)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise SignOffRefusedError(f"{path} is a symbolic link; name the key itself") from None
        raise UnusableInputError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise UnusableInputError(f"{path} is too large to be a key")
    if state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SignOffRefusedError(
            f"{path} can be read or changed by others: chmod 600 it, and think whether they did"
        )
    return data


def _require_shape(path: Path, data: bytes) -> None:
    """Whole PEM, whole DER, PBES2: what else is wrong, the passphrase decides."""
    found = _PEM.fullmatch(data.decode("ascii", "replace"))
    try:
        der = base64.b64decode("".join(found[1].split()), validate=True) if found else b""
    except ValueError:
        der = b""
    if len(der) < 4 or der != _der(_SEQUENCE, _content(der)) or _PBES2 not in der:
        raise UnusableInputError(
            f"{path} is not an encrypted PKCS#8 key in PEM, or it was damaged; restore it, or make "
            "one with `lifecycle release keys create`"
        )


def _content(der: bytes) -> bytes:
    """What stands after tag and length."""
    return der[2 + (der[1] & 0x7F if der[1] & 0x80 else 0) :]


def _pem(key: Ed25519PrivateKey, secret: bytes) -> bytes:
    text = base64.encodebytes(_encrypted(key, secret)).decode("ascii").replace("\n", "")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {_LABEL}-----", *lines, f"-----END {_LABEL}-----", ""]).encode()


def _encrypted(key: Ed25519PrivateKey, secret: bytes) -> bytes:
    """EncryptedPrivateKeyInfo (RFC 5958, section 3) with PBES2-params (RFC 8018, A.4)."""
    salt, start = secrets.token_bytes(16), secrets.token_bytes(16)
    wrapping = PBKDF2HMAC(hashes.SHA256(), 32, salt, ROUNDS).derive(secret)
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    pad = PKCS7(128).padder()
    box = Cipher(algorithms.AES(wrapping), modes.CBC(start)).encryptor()
    sealed = box.update(pad.update(plain) + pad.finalize()) + box.finalize()
    rounds = _der(_INTEGER, ROUNDS.to_bytes(3, "big"))
    prf = _der(_SEQUENCE, _HMAC_SHA256)
    derivation = _der(_SEQUENCE, _PBKDF2 + _der(_SEQUENCE, _der(_OCTETS, salt) + rounds + prf))
    cipher = _der(_SEQUENCE, _AES256_CBC + _der(_OCTETS, start))
    scheme = _der(_SEQUENCE, _PBES2 + _der(_SEQUENCE, derivation + cipher))
    return _der(_SEQUENCE, scheme + _der(_OCTETS, sealed))


def _der(tag: int, content: bytes) -> bytes:
    """Tag, shortest length, content (X.690, 8.1)."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
