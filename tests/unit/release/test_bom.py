"""The bill of materials' own rules: what the schema lets pass and must not be."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from packageurl import PackageURL

from lifecycle.release.bom import faults, libraries, purl

BOM: dict[str, Any] = {
    "metadata": {
        "component": {
            "bom-ref": "model",
            "modelCard": {"modelParameters": {"datasets": [{"ref": "data:frozen"}]}},
        }
    },
    "components": [
        {"bom-ref": "data:frozen"},
        {"bom-ref": "library:torch", "purl": "pkg:pypi/torch@2.13.0%2Bcpu"},
    ],
    "dependencies": [{"ref": "model", "dependsOn": ["data:frozen", "library:torch"]}],
}


def test_a_sound_one_has_no_fault() -> None:
    assert faults(BOM) == []


def test_every_kind_of_dangling_reference_is_found() -> None:
    for change in (
        lambda bom: bom["dependencies"].append({"ref": "nobody"}),
        lambda bom: bom["dependencies"][0]["dependsOn"].append("nobody"),
        lambda bom: bom["metadata"]["component"]["modelCard"]["modelParameters"].update(
            datasets=[{"ref": "nobody"}]
        ),
    ):
        bom = copy.deepcopy(BOM)
        change(bom)
        assert faults(bom) == ["'nobody' is referred to and is not there"]


def test_one_reference_twice_is_found() -> None:
    bom = copy.deepcopy(BOM)
    bom["components"].append({"bom-ref": "model"})
    assert faults(bom) == ["bom-ref 'model' stands 2 times"]


@pytest.mark.parametrize(
    "text",
    [
        "pkg:pypi/torch",
        "pkg:pypi/Torch@2",
        "pkg:pypi/torch@2.13.0+cpu",
        "pkg:pypi/ast_serialize@1",
        "pkg:npm/torch@2",
        "torch@2",
        "pkg:pypi/torch@2 ",
        "pkg:pypi/torch@2%2",
    ],
)
def test_a_malformed_package_url_is_found(text: str) -> None:
    bom = copy.deepcopy(BOM)
    bom["components"][1]["purl"] = text
    assert faults(bom) == [f"{text!r} is no package URL"]


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("torch", "2.13.0+cpu", "pkg:pypi/torch@2.13.0%2Bcpu"),
        ("ast_serialize", "0.13.1", "pkg:pypi/ast-serialize@0.13.1"),
        ("boolean.py", "5.0", "pkg:pypi/boolean.py@5.0"),
        ("PyYAML", "1!6.0rc1", "pkg:pypi/pyyaml@1%216.0rc1"),
    ],
)
def test_a_package_url_is_as_its_own_library_writes_it(
    name: str, version: str, expected: str
) -> None:
    made = purl(name, version)
    assert made == expected
    assert PackageURL.from_string(made).version == version
    assert PackageURL("pypi", None, name, version).to_string() == made


def test_what_was_measured_holds_over_the_lock() -> None:
    lock = "# made by pip freeze\nnumpy==2.4.6\nast_serialize==0.13.1\ntorch==2.13.0\n-e .\n\n"
    found = libraries(lock, {"torch": "2.13.0+cpu", "numba": "0.68.1", "wfdb": ""})
    assert found == {
        "ast-serialize": "0.13.1", "numba": "0.68.1", "numpy": "2.4.6", "torch": "2.13.0+cpu",
    }  # fmt: skip
    assert list(found) == sorted(found)
