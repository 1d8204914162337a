"""A record's values, its verification, and every way in which it can be bad."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from ecg_files import wave, write_record

from lifecycle.cohorts.ecg.faults import BadRecordError
from lifecycle.cohorts.ecg.headers import inside, read_header
from lifecycle.cohorts.ecg.leads import columns_of, lead_of
from lifecycle.cohorts.ecg.records import Signal, cut, read_signal, samples_of, window
from lifecycle.domain.classifier import LEADS, Lead, SignalPlan
from lifecycle.errors import UnusableInputError

PLAN = SignalPlan()


def read(path: Path, plan: SignalPlan = PLAN) -> Signal:
    return read_signal(read_header(path.with_name(path.name + ".hea"), path.name), plan.leads)


def fault(path: Path, plan: SignalPlan = PLAN) -> BadRecordError:
    with pytest.raises(BadRecordError) as raised:
        window(read(path, plan), plan, path.name)
    assert f"record {path.name}: " in str(raised.value)
    assert "bad_records: skip" in str(raised.value)
    return raised.value


def edit(path: Path, before: str, after: str) -> Path:
    header = path.with_name(path.name + ".hea")
    text = header.read_text()
    assert before in text
    header.write_text(text.replace(before, after, 1))
    return path


def test_values_are_the_files_own_microvolts(tmp_path: Path) -> None:
    values = wave(1000)
    assert np.array_equal(read(write_record(tmp_path / "r", values)).values, values)


@pytest.mark.parametrize(
    ("gain", "unit", "expected"),
    [
        ("200(1024)", "mV", [-5120, -5115, -5105, 10000]),
        ("1(0)", "uV", [0, 1, 3, 3024]),
        ("400(0)", "mV", [0, 2, 8, 7560]),  # 2.5 and 7.5 round to the even neighbour
        ("1000000(0)", "V", [0, 1, 3, 3024]),
        ("1e3(4)", "mv", [-4, -3, -1, 3020]),
    ],
)
def test_gain_baseline_and_unit(tmp_path: Path, gain: str, unit: str, expected: list[int]) -> None:
    values = np.array([[0], [1], [3], [3024]])
    path = write_record(tmp_path / "r", values, names=["II"], gain=gain, unit=unit)
    assert read(path, SignalPlan(leads=("II",))).values[:, 0].tolist() == expected


def test_leads_are_found_by_name_in_any_order_and_spelling(tmp_path: Path) -> None:
    values = wave(1000)
    names = [name.upper() for name in reversed(LEADS)]
    path = write_record(tmp_path / "r", values, names=names)
    plan = SignalPlan(leads=("V1", "aVR", "I"))
    assert np.array_equal(read(path, plan).values, values[:, [5, 8, 11]])
    assert [lead_of(name) for name in ("MLII", "avl", " v6 ", "ECG1")] == ["II", "aVL", "V6", None]


def test_a_person_says_what_a_channel_with_a_name_of_its_own_is() -> None:
    stated: dict[str, Lead] = {"ECG1": "II", "ECG2": "V1"}
    assert columns_of(["ECG1", "ECG2"], ["V1", "II"], "r", stated) == [1, 0]
    with pytest.raises(BadRecordError, match="leads_as"):
        columns_of(["ECG1", "ECG2"], ["II"], "r")
    with pytest.raises(BadRecordError, match="2 channels are lead II"):
        columns_of(["MLII", "ECG1"], ["II"], "r", stated)


def test_two_channels_of_one_lead_are_refused() -> None:
    with pytest.raises(BadRecordError, match="2 channels are lead II"):
        columns_of(["II", "MLII"], ["II"], "r")


def test_window_is_the_beginning_of_a_longer_record(tmp_path: Path) -> None:
    values = wave(1234)
    path = write_record(tmp_path / "r", values)
    kept = window(read(path), PLAN, "r")
    assert kept.dtype == np.int16
    assert np.array_equal(kept, values[:1000])
    assert np.array_equal(cut(read(path).values, 1, SignalPlan(seconds=5.0), "r"), values[500:1000])


def test_micro_sign_in_either_encoding(tmp_path: Path) -> None:
    path = write_record(tmp_path / "r", wave(1000), gain="1(0)", unit="µV")
    assert np.array_equal(read(path).values, wave(1000))


# ---- every named fault


def test_missing_files(tmp_path: Path) -> None:
    assert fault(tmp_path / "absent").reason == "missing file"
    path = write_record(tmp_path / "r", wave(1000))
    (tmp_path / "r.dat").unlink()
    assert fault(path).reason == "missing file"


@pytest.mark.parametrize("held", [999, 1001])
def test_header_and_signal_of_different_length(tmp_path: Path, held: int) -> None:
    path = write_record(tmp_path / "r", wave(held), samples=1000)
    bad = fault(path)
    assert bad.reason == "length"
    assert f"1000 samples a lead, r.dat holds {held}" in str(bad)


def test_torn_in_the_middle_of_a_sample(tmp_path: Path) -> None:
    path = write_record(tmp_path / "r", wave(1000))
    data = (tmp_path / "r.dat").read_bytes()
    (tmp_path / "r.dat").write_bytes(data + b"\0")
    assert "and 1 bytes" in str(fault(path))


def test_missing_lead(tmp_path: Path) -> None:
    path = write_record(tmp_path / "r", wave(1000, 11), names=LEADS[:-1])
    bad = fault(path)
    assert bad.reason == "missing lead"
    assert "no channel is lead V6" in str(bad)


def test_checksum_of_a_changed_sample(tmp_path: Path) -> None:
    path = write_record(tmp_path / "r", wave(1000))
    data = bytearray((tmp_path / "r.dat").read_bytes())
    data[5000] ^= 1
    (tmp_path / "r.dat").write_bytes(bytes(data))
    assert fault(path).reason == "checksum"


@pytest.mark.parametrize("unit", ["mmHg", "MV", "adu", "mV/s"])
def test_unknown_unit(tmp_path: Path, unit: str) -> None:
    assert fault(write_record(tmp_path / "r", wave(1000), unit=unit)).reason == "unit"


@pytest.mark.parametrize("gain", ["nan(0)", "inf(0)", "0(0)", "-5(0)", "x(0)", "1e999(0)"])
def test_gain_that_calibrates_nothing(tmp_path: Path, gain: str) -> None:
    assert fault(write_record(tmp_path / "r", wave(1000), gain=gain)).reason == "gain"


@pytest.mark.parametrize("gain", ["1e-300(0)", "10(0)"])
def test_amplitude_beyond_int16(tmp_path: Path, gain: str) -> None:
    assert fault(write_record(tmp_path / "r", wave(1000), gain=gain)).reason == "amplitude"


def test_missing_sample_of_the_format(tmp_path: Path) -> None:
    values = wave(1000)
    values[17, 3] = -32768
    bad = fault(write_record(tmp_path / "r", values))
    assert bad.reason == "missing samples"
    assert "1 of 12000" in str(bad)


def test_missing_sample_outside_the_window_does_not_matter(tmp_path: Path) -> None:
    values = wave(1100)
    values[1050, 3] = -32768
    path = write_record(tmp_path / "r", values)
    assert np.array_equal(window(read(path), PLAN, "r"), values[:1000])


def test_shorter_than_the_window(tmp_path: Path) -> None:
    bad = fault(write_record(tmp_path / "r", wave(990)))
    assert bad.reason == "too short"
    assert "9.9 seconds" in str(bad)


def test_read_rate_is_compared_with_the_header(tmp_path: Path) -> None:
    path = write_record(tmp_path / "r", wave(5000), rate=500)
    assert fault(path, SignalPlan(read_rate=100)).reason == "rate"


def test_rates_without_a_usable_ratio(tmp_path: Path) -> None:
    assert fault(write_record(tmp_path / "r", wave(1000), rate="99.9173")).reason == "rate"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("r 12 100 1000", "r 12"),
        ("r 12 100 1000", "r 12 0 1000"),
        ("r 12 100 1000", "r 13 100 1000"),
        ("r 12 100 1000", "other 12 100 1000"),
        ("r 12 100 1000", "r/3 12 100 1000"),
        ("r.dat 16 1000.0(0)/mV 16 0", "r.dat 16 1000.0(0)/mV 16"),
        ("r.dat 16 ", "r.dat 508 "),
        ("r.dat 16 ", "r.dat 16x2 "),
        ("r.dat 16 ", "r.dat 99999999999999999999 "),
        ("1000.0(0)", "1000.0(0"),
    ],
)
def test_malformed_header(tmp_path: Path, before: str, after: str) -> None:
    path = edit(write_record(tmp_path / "r", wave(1000)), before, after)
    assert fault(path).reason == "header"


def test_header_that_is_no_header(tmp_path: Path) -> None:
    for content in (b"", b"\n\n# only a comment\n", bytes(range(256))):
        (tmp_path / "r.hea").write_bytes(content)
        assert fault(tmp_path / "r").reason == "header"


def test_huge_header(tmp_path: Path) -> None:
    (tmp_path / "r.hea").write_bytes(b"#" * ((1 << 20) + 1))
    assert fault(tmp_path / "r").reason == "file too large"


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "", "  ", "c:\\x", "http://h/x", "a\0b"]
)
def test_paths_stay_inside_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadRecordError) as raised:
        inside(tmp_path, name, "r")
    assert raised.value.reason == "path outside the folder"


def test_header_that_names_a_file_elsewhere(tmp_path: Path) -> None:
    path = write_record(tmp_path / "in" / "r", wave(1000))
    write_record(tmp_path / "s", wave(1000))
    header = tmp_path / "in" / "r.hea"
    header.write_text(header.read_text().replace("r.dat", "../s.dat"))
    assert fault(path).reason == "path outside the folder"


def test_window_of_no_whole_number_of_samples() -> None:
    assert samples_of(SignalPlan(rate=250, seconds=2.5)) == 625
    with pytest.raises(UnusableInputError, match="whole number"):
        samples_of(SignalPlan(seconds=1.234))


def test_damaged_headers_are_named_and_never_a_crash(tmp_path: Path) -> None:
    """Bytes changed, dropped and doubled at random: an outcome is a window or a named fault."""
    values = wave(1000)
    path = write_record(tmp_path / "r", values)
    header = tmp_path / "r.hea"
    whole = header.read_bytes()
    rng = np.random.default_rng(4)
    reasons, kept = set(), 0
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(len(data)))
            kind = int(rng.integers(3))
            if kind == 0:
                data[place] = int(rng.integers(256))
            elif kind == 1:
                del data[place : place + int(rng.integers(1, 40))]
            else:
                data[place:place] = data[place : place + int(rng.integers(1, 40))]
        header.write_bytes(bytes(data))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                result = window(read(path), PLAN, "r")
        except BadRecordError as bad:
            reasons.add(bad.reason)
        else:
            kept += 1
            assert result.shape == (1000, 12)
    assert len(reasons) >= 6
    assert 0 < kept < 300
