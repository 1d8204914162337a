from __future__ import annotations

import base64
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from lifecycle.errors import SignOffRefusedError, UnusableInputError, UsageError
from lifecycle.release import keys
from lifecycle.release.fields import FieldError
from lifecycle.release.keys import create, keyid, public_key, public_of, unlock

PASSPHRASE = "correct horse é"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "home" / "ada.pem"
    create(path, PASSPHRASE)
    return path


@pytest.fixture
def key(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "ada.pem"))


def test_a_key_is_made_and_unlocked(tmp_path: Path) -> None:
    info = create(tmp_path / "ada.pem", PASSPHRASE)
    unlocked = unlock(tmp_path / "ada.pem", PASSPHRASE)
    assert public_of(unlocked) == info
    assert keyid(public_key(info.public)) == info.keyid
    assert [path.name for path in tmp_path.iterdir()] == ["ada.pem"]


def test_only_the_owner_can_read_it(made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700


def test_cryptography_opens_it(made: Path) -> None:
    key = load_pem_private_key(made.read_bytes(), PASSPHRASE.encode())
    assert isinstance(key, Ed25519PrivateKey)


def test_openssl_opens_it_and_sees_its_rounds(made: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    passed = f"pass:{PASSPHRASE}"
    command = ["openssl", "pkey", "-in", made, "-passin", passed, "-pubout", "-outform", "DER"]
    opened = subprocess.run(command, capture_output=True, check=True)
    assert opened.stdout == base64.b64decode(public_of(unlock(made, PASSPHRASE)).public)
    shown = subprocess.run(["openssl", "asn1parse", "-in", made], capture_output=True, check=True)
    for word in (b"PBES2", b"PBKDF2", b"hmacWithSHA256", b"aes-256-cbc", b":0927C0"):  # 600,000
        assert word in shown.stdout


def test_nothing_is_overwritten(key: Path) -> None:
    before = key.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        create(key, PASSPHRASE)
    assert key.read_bytes() == before
    link = key.with_name("link.pem")
    link.symlink_to("nowhere.pem")
    with pytest.raises(UsageError, match="is there already"):
        create(link, PASSPHRASE)
    assert not key.with_name("nowhere.pem").exists()


@pytest.mark.parametrize("passphrase", ["", "seven77", " " * 9, "x" * 1001, "\ud800aaaaaaa"])
def test_a_passphrase_must_be_worth_the_name(tmp_path: Path, passphrase: str) -> None:
    with pytest.raises(UsageError, match="passphrase"):
        create(tmp_path / "k.pem", passphrase)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("passphrase", ["wrong horse", "", PASSPHRASE + " "])
def test_a_wrong_passphrase_is_refused(made: Path, passphrase: str) -> None:
    with pytest.raises(SignOffRefusedError, match=r"ada\.pem: the passphrase is wrong"):
        unlock(made, passphrase)


def test_an_accent_typed_on_another_machine_opens_it(made: Path) -> None:
    assert unlock(made, "correct horse e\u0301")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_file_open_to_others_is_refused(key: Path, mode: int) -> None:
    key.chmod(mode)
    with pytest.raises(SignOffRefusedError, match="chmod 600"):
        unlock(key, PASSPHRASE)


def test_a_link_a_folder_and_nothing_are_refused(key: Path) -> None:
    link = key.with_name("link.pem")
    link.symlink_to(key)
    with pytest.raises(SignOffRefusedError, match="symbolic link"):
        unlock(link, PASSPHRASE)
    with pytest.raises(UnusableInputError, match="it is not a file"):
        unlock(key.parent, PASSPHRASE)
    with pytest.raises(UnusableInputError, match=r"none\.pem cannot be read"):
        unlock(key.with_name("none.pem"), PASSPHRASE)


def _pem(key, secret: bytes | None) -> bytes:
    shield = NoEncryption() if secret is None else BestAvailableEncryption(secret)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, shield)


def test_a_key_without_passphrase_is_refused(key: Path) -> None:
    key.write_bytes(_pem(Ed25519PrivateKey.generate(), None))
    with pytest.raises(SignOffRefusedError, match="without a passphrase"):
        unlock(key, PASSPHRASE)


def test_another_kind_of_key_is_refused(key: Path) -> None:
    key.write_bytes(_pem(generate_private_key(SECP256R1()), b"12345678"))
    with pytest.raises(UnusableInputError, match="not an Ed25519 key"):
        unlock(key, "12345678")


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: b"hello",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"ENCRYPTED PRIVATE", b"PUBLIC"),
        lambda data: data.replace(b"MIG", b"!!!", 1),
        lambda data: data + data,
        lambda data: data.replace(b"MIG", b"MIH", 1),
    ],
)
def test_a_damaged_file_is_unusable(key: Path, change) -> None:
    data = key.read_bytes()
    assert change(data) != data
    key.write_bytes(change(data))
    with pytest.raises(UnusableInputError, match=r"ada\.pem"):
        unlock(key, PASSPHRASE)


def test_a_public_key_has_one_writing() -> None:
    info = public_of(Ed25519PrivateKey.generate())
    for text in ("", "AAAA", info.public + "AAAA", info.public[:-1]):
        with pytest.raises(FieldError, match="field public"):
            public_key(text)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize(
    "y", [0, 1, 2**255 - 20, keys._EIGHTH, 2**255 - 19 - keys._EIGHTH, 2**255 - 18]
)
def test_a_key_for_which_anyone_can_sign_is_refused(y: int, sign: int) -> None:
    raw = (y | sign << 255).to_bytes(32, "little")
    der = bytes.fromhex("302a300506032b6570032100") + raw
    with pytest.raises(FieldError):
        public_key(base64.b64encode(der).decode())


def test_the_points_of_small_order_solve_their_equation() -> None:
    p = keys._FIELD
    d = -121665 * pow(121666, -1, p) % p
    y2 = keys._EIGHTH**2 % p
    assert (d * y2 * y2 + 2 * y2) % p == 1
