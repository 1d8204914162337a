"""`lifecycle release verify` where nothing is installed but numpy, pandas and what can check."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from release_site import Site, new_site, release
from support import ROOT, environment

# What an auditor installs. The rest is what these bring themselves.
NEEDED = ("numpy", "pandas", "scipy", "pyarrow", "click", "cryptography", "pydantic")
BROUGHT = (
    *("annotated_types", "pydantic_core", "typing_inspection", "dateutil", "_cffi_backend", "cffi"),
    *("typing_extensions", "six", "tzdata", "pytz"),
)
HEAVY = ("torch", "mlflow", "dvc", "great_expectations", "matplotlib", "sklearn", "numba")
# Any other package is absent, as it would be in an environment of these alone.
ALONE = """\
import json, sys

known = {*sys.stdlib_module_names, *sys.argv[1].split(","), "lifecycle"}
asked = set()


class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in known or top.startswith("_sysconfigdata"):
            return None
        asked.add(top)
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
for heavy in sys.argv[2].split(","):
    try:
        __import__(heavy)
        raise SystemExit(99)
    except ModuleNotFoundError:
        asked.discard(heavy)

from lifecycle.cli.main import _invoke
from lifecycle.workflows.boundary import guarded

code = guarded(lambda: _invoke(sys.argv[3:]))
tops = {name.partition(".")[0] for name in sys.modules}
print(json.dumps([sorted(tops - set(sys.stdlib_module_names)), sorted(asked)]), file=sys.stderr)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def _site(_built: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return release(new_site(_built, tmp_path_factory.mktemp("alone"), ("ada", "rev", "app")))


def _alone(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    # -P: the project has a folder `lifecycle` of its own, which is not what is tested here
    allowed, heavy = ",".join((*NEEDED, *BROUGHT)), ",".join(HEAVY)
    return subprocess.run(
        [sys.executable, "-P", "-c", ALONE, allowed, heavy, *words], cwd=site.root,
        env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["verify", "history"])
def test_an_auditor_needs_seven_packages(_site: Site, command: str) -> None:
    done = _alone(_site, "release", command, "wine")
    assert done.returncode == 0, done.stderr
    assert ("b1 is released since" if command == "verify" else "Dr rev") in done.stdout
    loaded, _ = json.loads(done.stderr.splitlines()[-1])
    assert set(loaded) & set(HEAVY) == set()
    assert {"numpy", "cryptography"} <= set(loaded)


def test_a_changed_bit_is_found_there_too(_site: Site) -> None:
    path = _site.root / "dossier/wine/builds/b1/frozen.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:400] + bytes([data[400] ^ 1]) + data[401:])
    try:
        done = _alone(_site, "release", "verify", "wine")
    finally:
        path.write_bytes(data)
    assert done.returncode == 12
    assert "b1/frozen.parquet was changed" in done.stderr
    assert "(named by 00001-sign-off.json)" in done.stderr
