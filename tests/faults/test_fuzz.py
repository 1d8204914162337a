"""Mutated files for every reader, in a process of bounded memory; and small files of large ones."""

from __future__ import annotations

import gzip
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.cohorts.tables import open_table
from lifecycle.dossier import packed
from lifecycle.dossier.arrays import read_array
from lifecycle.dossier.packed import DamagedError, gunzip, largest
from lifecycle.dossier.predictions import read_csv, read_parquet
from lifecycle.errors import IntegrityError, LifecycleError, UnusableInputError
from lifecycle.workflows.boundary import guarded

FUZZING = Path(__file__).with_name("fuzzing.py")
MEMORY = 6 << 30  # bytes of addresses; a process with Arrow and NumPy begins with about one


def bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def fuzzed(count: int, seed: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FUZZING), str(count), str(seed)],
        preexec_fn=bounded, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_some_mutations_of_every_reader() -> None:
    done = fuzzed(600, 1)
    assert done.returncode == 0, (done.stdout + done.stderr[-2000:])[:8000]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 12))
def test_a_hundred_thousand_mutations(seed: int) -> None:
    done = fuzzed(10_000, seed)
    assert done.returncode == 0, (done.stdout + done.stderr[-2000:])[:8000]


def bomb(megabytes: int) -> bytes:
    """A gzip file of zeros, a thousandth as large as what it holds."""
    stream = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    block = b"0" * (1 << 20)
    return b"".join([*(stream.compress(block) for _ in range(megabytes)), stream.flush()])


READS = [
    lambda path: open_table(path, path.name).cells([], []),
    read_csv,
]


@pytest.mark.parametrize("read", READS, ids=["table", "predictions"])
def test_a_small_file_that_unpacks_to_a_large_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read
) -> None:
    monkeypatch.setattr(packed, "SMALLEST", 1 << 22)
    path = tmp_path / "b.csv.gz"
    path.write_bytes(bomb(64))
    with pytest.raises(UnusableInputError) as found:
        read(path)
    assert "b.csv.gz" in str(found.value)
    assert "unpacks to more than 4194304" in str(found.value)
    assert "LIFECYCLE_LARGEST_UNPACKED" in str(found.value)


def test_two_gigabytes_out_of_two_megabytes(tmp_path: Path) -> None:
    """At the limit that is shipped, and never more than half of it in memory at a time."""
    path = tmp_path / "b.csv.gz"
    path.write_bytes(bomb(2048))
    code = (
        "import sys; from pathlib import Path; from lifecycle.cohorts.tables import open_table\n"
        "from lifecycle.errors import LifecycleError\n"
        "try: open_table(Path(sys.argv[1]), 'b.csv.gz')\n"
        "except LifecycleError as e: print(e); sys.exit(int(e.exit_code))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        preexec_fn=bounded, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (10, "")
    assert "unpacks to more than 1073741824" in done.stdout


def test_the_limit_follows_the_file_or_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert largest(1) == 1 << 30
    assert largest(1 << 30) == 20 << 30
    for said, size in (("8G", 8 << 30), ("17", 17), ("2K", 2048), ("1T", 1 << 40)):
        monkeypatch.setenv(packed.VARIABLE, said)
        assert largest(1 << 30) == size
    for said in ("", "0", "8 G", "-1", "8GB", "٨G", "1e9"):
        monkeypatch.setenv(packed.VARIABLE, said)
        with pytest.raises(UnusableInputError, match="such as 8G"):
            largest(1)


def test_gzip_files_of_several_members_and_with_padding() -> None:
    one, two = gzip.compress(b"one "), gzip.compress(b"two")
    assert gunzip(one + two, "x") == b"one two"
    assert gunzip(one + b"\0" * 100, "x") == b"one "
    assert gunzip(gzip.compress(b""), "x") == b""
    for torn in (one[:-1], one[:9], one + two[:-9]):
        with pytest.raises(DamagedError) as found:
            gunzip(torn, "x")
        assert found.value.torn
    with pytest.raises(DamagedError):
        gunzip(one + b"rest", "x")


def test_one_long_text_in_every_row_of_a_parquet_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "SMALLEST", 1 << 24)
    path = tmp_path / "b.parquet"
    text = pa.array(["x" * 100_000] * 20_000)
    pq.write_table(pa.table({"id": text, "cg1": np.zeros(20_000)}), path)
    assert path.stat().st_size < 1 << 20
    for read in (lambda p: open_table(p, p.name), read_parquet):
        with pytest.raises(UnusableInputError, match=r"b\.parquet .*unpacks to more than"):
            read(path)
    monkeypatch.setenv(packed.VARIABLE, "8G")
    assert len(open_table(path, "b.parquet").header) == 2


def test_many_rows_of_one_number_in_a_parquet_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "SMALLEST", 1 << 20)
    path = tmp_path / "b.parquet"
    pq.write_table(pa.table({"a": np.zeros(1_000_000), "b": np.zeros(1_000_000)}), path)
    with pytest.raises(UnusableInputError, match=r"b\.parquet .*unpacks to more than"):
        open_table(path, "b.parquet")


@pytest.mark.parametrize("mapped", [False, True])
def test_an_array_is_read_as_numpy_wrote_it(tmp_path: Path, mapped: bool) -> None:
    path = tmp_path / "x.npy"
    for value in (
        np.arange(12.0).reshape(3, 4), np.asfortranarray(np.arange(12).reshape(3, 4)),
        np.zeros((0, 4)), np.arange(5, dtype="u2"), np.ones((2, 3, 4), "i1"), np.array(3.5),
        np.array([True, False]),
    ):  # fmt: skip
        np.save(path, value)
        found = read_array(path, mapped=mapped)
        np.testing.assert_array_equal(found, value)
        assert (found.dtype, found.shape) == (value.dtype, value.shape)


@pytest.mark.parametrize("place", range(128))
def test_any_byte_of_the_header_of_an_array(tmp_path: Path, place: int) -> None:
    """The header that ended in exit 70: every byte of it, changed to others."""
    path = tmp_path / "x.npy"
    np.save(path, np.arange(12.0).reshape(3, 4))
    good = path.read_bytes()
    for byte in {good[place] ^ (1 << bit) for bit in range(8)} | set(b"\0(')9\n\xff"):
        path.write_bytes(good[:place] + bytes([byte]) + good[place + 1 :])
        try:
            read_array(path)
        except LifecycleError as error:
            assert isinstance(error, IntegrityError)
            assert str(path) in str(error)


def test_a_shape_that_no_memory_holds(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(3))
    path.write_bytes(path.read_bytes().replace(b"(3,), }      ", b"(3000000000,), }"[:13] + b""))
    with pytest.raises(IntegrityError):
        read_array(path)


def test_where_the_memory_ends_the_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise MemoryError

    assert guarded(work) == 10
    assert "not enough memory" in capsys.readouterr().err
