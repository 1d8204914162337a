"""A number that people write is plain ASCII, or refused: in files, settings and options alike.

Python's `float` and `int` read the digits of every script; the next program does not.
"""

# ruff: noqa: RUF001  # letters that look alike are what is tested
from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from lifecycle.cli.main import root as commands
from lifecycle.cohorts.ecg import table as ecg_table
from lifecycle.cohorts.ecg.attributes import age_group, whole
from lifecycle.cohorts.ecg.faults import BadRecordError
from lifecycle.cohorts.ecg.headers import gain_of, read_header
from lifecycle.cohorts.simulate_settings import read_settings
from lifecycle.cohorts.tables import open_table
from lifecycle.domain.classifier import Policy
from lifecycle.domain.numbers import is_plain, plain_float
from lifecycle.dossier.predictions import read_csv
from lifecycle.errors import UnusableInputError
from lifecycle.params.reader import load

ARABIC, FULL, DEVANAGARI, UNDERSCORE = "٠.٩", "０.９", "०.९", "0.9_0"
FOREIGN = [ARABIC, FULL, DEVANAGARI, UNDERSCORE, "0.9\u00a0", "\u20070.9"]
WHOLES = ["٥", "５", "५", "5_0", "²"]


@pytest.mark.parametrize("text", FOREIGN)
def test_only_ascii_is_a_number(text: str) -> None:
    assert not is_plain(text)
    with pytest.raises(ValueError, match="plain ASCII"):
        plain_float(text)


def test_ascii_is_read_as_before() -> None:
    assert [plain_float(one) for one in ("0.9", " 1e-3", "1", "-0.5")] == [0.9, 1e-3, 1, -0.5]


@pytest.mark.parametrize("text", FOREIGN)
def test_scores(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"case_id,A,B\nc0,{text},0.1\n", encoding="utf-8")
    with pytest.raises(UnusableInputError, match=r"row 1, column 'A': .* is not a number"):
        read_csv(path)


@pytest.mark.parametrize("text", FOREIGN)
def test_measurements_in_a_text_table(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"id,cg1\na,{text}\n", encoding="utf-8")
    with pytest.raises(UnusableInputError, match=r"m\.csv"):
        open_table(path, "m.csv").cells(["id"], ["cg1"])


@pytest.mark.parametrize("text", FOREIGN)
def test_measurements_as_texts_in_parquet(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"id": ["a"], "cg1": [text]}), path)
    with pytest.raises(UnusableInputError, match="is not a number"):
        open_table(path, "m.parquet").cells(["id"], ["cg1"])


LINE = "a.dat 16 {gain}(0)/mV 16 0 {first} 0 0 I"


@pytest.mark.parametrize("text", ["٢٠٠", "２００", "2_00"])
def test_the_gain_of_a_signal(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.hea"
    path.write_bytes(f"a 1 500 10\n{LINE.format(gain=text, first=0)}\n".encode())
    with pytest.raises(BadRecordError, match="gain"):
        gain_of(read_header(path, "a").channels[0], "a")


@pytest.mark.parametrize("text", ["a 1 ٥٠٠ 10", "a ١ 500 10", "a 1 500 ١٠"])
def test_a_header_of_a_signal(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.hea"
    path.write_bytes(f"{text}\n{LINE.format(gain=200, first=0)}\n".encode())
    try:
        assert read_header(path, "a").samples is None  # what is no number is a remark there
    except BadRecordError as error:
        assert error.reason == "header"


@pytest.mark.parametrize("text", ["٥٠٠", "５００"])
def test_rates_ages_and_codes_of_ecgs(text: str) -> None:
    with pytest.raises(BadRecordError, match="rate"):
        ecg_table._rate(text, "a")
    assert ecg_table._rate("500", "a") == Fraction(500)
    assert whole(text) is None
    assert age_group(text) == ""


@pytest.mark.parametrize("text", [ARABIC, FULL, DEVANAGARI])
def test_settings_in_yaml(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(
        f"classifiers:\n  a:\n    policy: {{p: {text}}}\n", encoding="utf-8"
    )
    with pytest.raises(UnusableInputError, match=r"classifiers\.a\.policy\.p"):
        load(tmp_path)
    path = tmp_path / "s.yaml"
    path.write_text(f"p: {text}\n", encoding="utf-8")
    with pytest.raises(UnusableInputError, match="`p`"):
        read_settings(path, Policy)


def numeric_options() -> list[tuple[list[str], str, str]]:
    """Every option of every command that takes a number: command, option, what it is."""
    found = []

    def walk(command: click.Command, path: list[str]) -> None:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                walk(below, [*path, name])
        for one in command.params:
            kinds = (click.types.IntParamType, click.types.FloatParamType)
            if isinstance(one, click.Option) and isinstance(one.type, kinds):
                whole_one = isinstance(one.type, click.types.IntParamType)
                found.append((path, one.opts[0], "whole" if whole_one else "number"))

    walk(commands, [])
    return found


def test_every_option_that_takes_a_number_takes_plain_ascii_only() -> None:
    options = numeric_options()
    assert {option for _, option, _ in options} >= {"--tau", "--p", "--alpha", "--jobs", "--port"}
    for path, option, kind in options:
        for text in WHOLES[:4] if kind == "whole" else FOREIGN[:4]:
            done = CliRunner().invoke(commands, [*path, option, text])
            assert done.exit_code == 2, (path, option, text, done.output)
            assert "plain ASCII" in done.output, (path, option, text, done.output)
