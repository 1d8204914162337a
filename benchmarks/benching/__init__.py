"""What the benchmarks share: options that cannot crash them, and projects to measure in."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from lifecycle.workflows.boundary import guarded

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("lifecycle", "pipelines", "dvc.yaml", ".dvcignore", "requirements.lock")


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option: a whole number from `least`; another one is a usage error."""

    def number(text: str) -> int:
        found = int(text)
        if found < least:
            raise argparse.ArgumentTypeError(f"{found} is less than {least}")
        return found

    number.__name__ = f"whole number from {least}"
    return number


count = at_least(1)


def parsed(parser: argparse.ArgumentParser, **smallest: Any) -> argparse.Namespace:
    """The options, `--smallest` among them: it tries a benchmark out, and its figures mean nothing.

    Args:
        parser: with the benchmark's own options.
        smallest: what takes the place of their defaults then; who states an option keeps it.
    """
    parser.add_argument("--smallest", action="store_true", help="try it out in the least time")
    if parser.parse_args().smallest:
        parser.set_defaults(**smallest)
    return parser.parse_args()


def leave_with(main: Callable[[], int | None]) -> None:
    """End the process with the exit code of the benchmark; a user's error has no traceback."""
    sys.exit(guarded(main))


def run(folder: Path, *command: str) -> None:
    """A command in a project, with that project's sources; the benchmark ends where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")


@contextmanager
def project_of(
    name: str,
    changes: Mapping[str, Any] | None = None,
    cohort: Mapping[str, Any] | None = None,
) -> Iterator[Path]:
    """A temporary project with one of the shipped classifiers, nothing built.

    Args:
        name: of the classifier.
        changes: to its section of params.yaml, section within section.
        cohort: to its simulator's settings file.
    """
    yaml = YAML(typ="safe", pure=True)
    with tempfile.TemporaryDirectory(prefix="lifecycle-benchmark-") as place:
        folder = Path(place)
        for shipped in SHIPPED:
            source = ROOT / shipped
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "dvc.lock")
                shutil.copytree(source, folder / shipped, ignore=ignored)
            else:
                shutil.copy(source, folder / shipped)
        section = _shipped(yaml)[name]
        _change(section, changes or {})
        yaml.dump({"classifiers": {name: section}}, folder / "params.yaml")
        if cohort:
            path = folder / section["cohort"]["path"]
            settings = yaml.load(path)
            _change(settings, cohort)
            yaml.dump(settings, path)
        run(folder, "git", "init", "-q")
        run(folder, "dvc", "init", "-q")
        yield folder


def _shipped(yaml: YAML) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(ROOT / "params.yaml")["classifiers"]
    return found


def _change(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, change in changes.items():
        if isinstance(change, Mapping) and isinstance(values.get(key), dict):
            _change(values[key], change)
        else:
            values[key] = change
