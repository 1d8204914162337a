"""Every command that README and docs/ show, collected, parsed and run.

A page's steps, in the order of the page:

* a fenced block `console`: lines that begin with `$ ` are commands, the lines after one are its
  output; a trailing comment `# exit 21` (or `# exit 0, 20 or 21`) states another exit code than 0;
* a fenced block after `<!-- file: NAME -->` is the content of a file that the page tells to write;
* a fenced block after `<!-- append: NAME -->` is to be appended to a file;
* one after `<!-- section: NAME -->` too, but it needs data of the reader, so it is only parsed.

Output that a page shows must be printed: each of its lines, in that order.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]

# Pages that are run, in this order, in one project: README and tutorial build b1 and b2 first.
PAGES = (
    "README.md",
    "docs/tutorial.md",
    "docs/how-to/read-a-verdict.md",
    "docs/how-to/read-the-report.md",
    "docs/how-to/rehearse.md",
    "docs/how-to/find-a-divergence.md",
    "docs/how-to/doctor.md",
    "docs/how-to/frozen-set.md",
    "docs/how-to/compare-predictions.md",
    "docs/how-to/add-a-classifier.md",
    "docs/how-to/sign-a-release.md",
    "docs/how-to/keep-data-and-weights.md",
    "docs/how-to/new-version.md",
    "docs/how-to/real-data.md",
    "docs/how-to/ecg.md",
    "docs/how-to/tracking-server.md",
    "docs/reference/pipeline.md",
    "docs/reference/cli.md",
)

# Pages that are run each in a project of its own.
APART = ("docs/tutorial-release.md",)

# Commands that are parsed but not run here, each with the reason.
NOT_RUN: Mapping[str, str] = {
    r"make (rebuild|test)": "makes an environment and trains at full size",
    r"lifecycle \w+ (glioma|medulloblastoma)-methylation": "needs the laboratory's data",
    r"lifecycle \w+ ptbxl-(baseline|conformer)": "needs the laboratory's data",
    r"lifecycle (build|rehearse) ecg-(baseline|conformer).*": "trains an ECG network several times",
    r"createdb .*": "needs a PostgreSQL server",
    r"mlflow db upgrade .*": "needs a PostgreSQL server",
    r"mlflow server .*": "serves until it is stopped",
    r"export .*": "sets a variable of the reader's shell; the test sets what is needed",
}

_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>[\w-]*)\s*$")
_DIRECTIVE = re.compile(r"^<!-- (?P<verb>file|append|section): (?P<name>\S+) -->$")
_STATED = re.compile(r"\s+# exit (?P<codes>[0-9]+(?:(?:, | or )[0-9]+)*)[^#]*$")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*=")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: page, first line's number, kind, the comment before it, lines."""

    page: str
    line: int
    kind: str
    verb: str
    name: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """Its content, every line ended."""
        return "".join(f"{line}\n" for line in self.lines)


@dataclass(frozen=True, slots=True)
class Command:
    """A command as a page shows it."""

    page: str
    line: int
    text: str
    codes: tuple[int, ...]
    output: tuple[str, ...]

    @property
    def where(self) -> str:
        """Page and line, for messages."""
        return f"{self.page}:{self.line}: $ {self.text}"

    @property
    def words(self) -> tuple[str, ...]:
        """Program and arguments, variables before them left out."""
        found = shlex.split(self.text)
        while found and _VARIABLE.match(found[0]):
            found = found[1:]
        return tuple(found)

    @property
    def reason_not_to_run(self) -> str | None:
        """Why it is parsed only; None where it is run."""
        text = shlex.join(self.words)
        return next((why for rule, why in NOT_RUN.items() if re.fullmatch(rule, text)), None)


def pages() -> list[str]:
    """README and every page of docs/, by path from the root."""
    found = sorted((ROOT / "docs").rglob("*.md"))
    return ["README.md", *(path.relative_to(ROOT).as_posix() for path in found)]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    start: tuple[int, str, str] | None = None
    verb = name = ""
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if start is None and (directive := _DIRECTIVE.match(line)):
            verb, name = directive["verb"], directive["name"]
        elif start is None and fence:
            start = (number + 1, fence["kind"], fence["indent"])
        elif start is not None and line.strip() == "```":
            first, kind, indent = start
            inside = tuple(one.removeprefix(indent) for one in lines[first - 1 : number - 1])
            found.append(Block(page, first, kind, verb, name, inside))
            start, verb, name = None, "", ""
    if start is not None:
        raise ValueError(f"{page}: the block of line {start[0]} is not closed")
    return found


def commands(page: str) -> list[Command]:
    """The commands of a page, in order."""
    return [step for step in steps(page) if isinstance(step, Command)]


def steps(page: str) -> list[Block | Command]:
    """What a reader does: commands, and files to write or to append to."""
    found: list[Block | Command] = []
    for block in blocks(page):
        if block.kind == "console":
            found += list(_commands(block))
        elif block.verb in ("file", "append"):
            found.append(block)
    return found


def _commands(block: Block) -> Iterator[Command]:
    starts = [i for i, line in enumerate(block.lines) if line.startswith("$ ")]
    if not starts or starts[0] != 0:
        raise ValueError(f"{block.page}:{block.line}: a console block begins with `$ `")
    for here, after in zip(starts, [*starts[1:], len(block.lines)], strict=True):
        text = block.lines[here].removeprefix("$ ")
        stated = _STATED.search(text)
        codes = tuple(map(int, re.findall(r"[0-9]+", stated["codes"]))) if stated else (0,)
        shown = text[: stated.start()] if stated else text
        output = tuple(line for line in block.lines[here + 1 : after] if line.strip())
        yield Command(block.page, block.line + here, shown.strip(), codes, output)


def parse_lifecycle(words: tuple[str, ...]) -> None:
    """Parse a `lifecycle` command line against the real commands, without running it.

    Raises:
        click.ClickException: a command or option does not exist, or an argument is missing.
    """
    from lifecycle.cli.main import root

    command: click.Command = root
    arguments, parent = list(words[1:]), None
    while True:
        name = "lifecycle" if parent is None else str(command.name)
        context = command.make_context(name, arguments, parent=parent)
        if not isinstance(command, click.Group):
            return
        rest = [*context._protected_args, *context.args]
        _, found, arguments = command.resolve_command(context, rest)
        assert found is not None
        command, parent = found, context


def run_all(project: Path) -> None:
    """Run every runnable command of the pages, in order, in a prepared project.

    Args:
        project: a git repository with params.yaml (classifiers `gbm-methylation` and
            `breast-cytology`), dvc.yaml, pipelines/, requirements.lock and .dvc; `lifecycle`, `dvc`
            and `mlflow` on the path. Files beside it (`../lab-store`) are written too.

    Raises:
        AssertionError: a command ended with another code than its page states, or did not print
            what the page shows.
    """
    for page in PAGES:
        for step in steps(page):
            if isinstance(step, Block):
                write(project, step)
            elif step.reason_not_to_run is None:
                run(project, step)


def write(project: Path, block: Block) -> None:
    """Write or append what the page tells to."""
    path = project / block.name
    before = path.read_text(encoding="utf-8") if block.verb == "append" else ""
    path.write_text(before + block.text, encoding="utf-8")


def run(project: Path, command: Command, timeout_s: float = 600) -> None:
    """Run one command as a reader would, in the shell.

    Raises:
        AssertionError: see `run_all`.
    """
    done = subprocess.run(
        ["bash", "-c", command.text],
        cwd=project,
        env={**os.environ, **_IDENTITY},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    said = f"{command.where}\n{done.stdout}\n{done.stderr}"
    assert done.returncode in command.codes, f"ended with {done.returncode}: {said}"
    missing = _first_missing(command.output, done.stdout.splitlines() + done.stderr.splitlines())
    assert missing is None, f"did not print {missing!r}: {said}"


# git asks for somebody; a test must not depend on who runs it.
_IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A Reader"), ("EMAIL", "reader@example.org"))
}


def _first_missing(shown: tuple[str, ...], printed: list[str]) -> str | None:
    """The first shown line that is not printed in its place."""
    left = iter(line.rstrip() for line in printed)
    return next((line for line in shown if line.rstrip() not in left), None)
