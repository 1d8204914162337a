"""YAML of people: bounded in size and depth, nothing standing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.cohorts.simulate import load_settings
from lifecycle.cohorts.simulate_settings import read_settings
from lifecycle.domain.classifier import Policy
from lifecycle.errors import UnusableInputError
from lifecycle.params import plain_yaml
from lifecycle.params.plain_yaml import NoYamlError, read_yaml
from lifecycle.params.reader import load

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(12)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "aliases"),
        ("a: " + "[" * 5000, "too deeply"),
        ("a: {", "expected"),
        ("!!python/object:os.system a", "tag"),
        ("a: \udcff", "codec"),
    ],
)
def test_what_is_no_plain_yaml_is_refused_by_every_reader(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(NoYamlError, match=said):
        read_yaml(path)
    for read in (lambda: load(tmp_path), lambda: load_settings(path),
                 lambda: read_settings(path, Policy)):  # fmt: skip
        with pytest.raises(UnusableInputError, match=r"params\.yaml"):
            read()


def test_a_large_file_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_yaml, "LARGEST", 100)
    (tmp_path / "a.yaml").write_text("a: " + "x" * 100)
    with pytest.raises(NoYamlError, match="larger than 100 bytes"):
        read_yaml(tmp_path / "a.yaml")
