"""README and docs/ say what the program does: commands, keys, codes, links.

The commands themselves are run by the slow test at the end.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import re
import subprocess
import sys
import types
import typing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML
from support import environment, new_project, run_in

from lifecycle.cohorts.read import import_cohort
from lifecycle.cohorts.split import assign
from lifecycle.domain.classifier import Classifier
from lifecycle.domain.cohort import Cohort
from lifecycle.domain.networks import DEFAULT, NETWORKS
from lifecycle.errors import ExitCode
from lifecycle.gate.criteria import CRITERIA
from lifecycle.params.reader import load
from lifecycle.records.catalogue import FORMATS
from lifecycle.version import VERSION


def _load_docs_commands() -> types.ModuleType:
    """The module beside this file; the tests are no package."""
    path = Path(__file__).with_name("docs_commands.py")
    spec = importlib.util.spec_from_file_location("docs_commands", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_commands"] = module
    spec.loader.exec_module(module)
    return module


docs = _load_docs_commands()
ROOT: Path = docs.ROOT
PAGES: list[str] = docs.pages()
EVERY = [command for page in PAGES for command in docs.commands(page)]
PROGRAMS = {"lifecycle", "dvc", "make", "git", "mlflow", "createdb", "export", "printf", "(cd"}


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


# ---- commands


def test_commands_are_found() -> None:
    # without this, every test over commands would pass on an empty list
    programs = [command.words[0] for command in EVERY]
    assert programs.count("lifecycle") > 25
    assert programs.count("dvc") > 4
    assert set(programs) <= PROGRAMS, set(programs) - PROGRAMS


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command.where)
def test_a_command_parses(command: docs.Command) -> None:
    program, *rest = command.words
    if program == "lifecycle":
        docs.parse_lifecycle(command.words)
    elif program == "make":
        makefile = _text("Makefile")
        assert all(re.search(rf"^{target}:", makefile, re.M) for target in rest), command.where


@pytest.mark.parametrize(
    "words",
    [
        ("lifecycle", "rebild"),
        ("lifecycle", "gate"),
        ("lifecycle", "gate", "a", "--jsn"),
        ("lifecycle", "frozen", "amend", "a"),
        ("lifecycle", "consistency", "predictions", "a.csv"),
        ("lifecycle", "ui", "--port", "99999"),
        ("lifecycle", "data", "simulate", "a", "b", "--part", "c"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_does_not_parse(words: tuple[str, ...]) -> None:
    with pytest.raises(click.ClickException):
        docs.parse_lifecycle(words)


def test_dvc_options_exist() -> None:
    wanted: dict[str, set[str]] = {}
    for command in EVERY:
        if command.words[0] == "dvc":
            path = " ".join(w for w in command.words[1:3] if re.fullmatch("remote|add|[a-z]+", w))
            verb = path if path.startswith("remote") else command.words[1]
            wanted.setdefault(verb, set()).update(w for w in command.words if w.startswith("--"))
    for verb, options in wanted.items():
        done = subprocess.run(
            ["dvc", *verb.split(), "--help"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, verb
        missing = {option for option in options if option not in done.stdout}
        assert not missing, f"dvc {verb} has no {missing}"


def test_every_page_with_commands_is_run() -> None:
    with_commands = {page for page in PAGES if docs.commands(page)}
    assert with_commands == {*docs.PAGES, *docs.APART}


def test_every_exception_from_running_is_used() -> None:
    texts = [" ".join(command.words) for command in EVERY]
    unused = [rule for rule in docs.NOT_RUN if not any(re.fullmatch(rule, t) for t in texts)]
    assert not unused
    run = [command for command in EVERY if command.reason_not_to_run is None]
    assert len(run) > 35
    assert {"mlflow", "make"}.isdisjoint(command.words[0] for command in run)


def test_stated_codes_are_known() -> None:
    known = {int(code) for code in ExitCode}
    for command in EVERY:
        assert set(command.codes) <= known, command.where
    assert any(command.codes == (21,) for command in EVERY)


def test_verdicts_state_their_codes() -> None:
    for command in EVERY:
        if command.words[:2] == ("lifecycle", "gate"):
            assert command.codes == (0, 20, 21), command.where


def test_the_set_up_is_two_commands() -> None:
    first = [c.text for c in docs.commands("README.md")][:2]
    makes = [c.text for c in docs.commands("README.md") if c.words[0] == "make"]
    assert first == makes == ["make rebuild", "make test"]


def test_the_compared_files_give_the_shown_output(tmp_path: Path) -> None:
    page = "docs/how-to/compare-predictions.md"
    ran = 0
    for step in docs.steps(page):
        if isinstance(step, docs.Block):
            (tmp_path / step.name).write_text(step.text, encoding="utf-8")
        elif step.words[:3] == ("lifecycle", "consistency", "predictions"):
            assert step.output, "the page shows what is printed"
            docs.run(tmp_path, step)
            ran += 1
    assert ran == 2


def test_another_output_or_code_is_seen(tmp_path: Path) -> None:
    wrong_code = docs.Command("page", 1, "lifecycle --version", (21,), ())
    with pytest.raises(AssertionError, match="ended with 0"):
        docs.run(tmp_path, wrong_code)
    wrong_output = docs.Command("page", 1, "lifecycle --version", (0,), ("nothing like it",))
    with pytest.raises(AssertionError, match="did not print"):
        docs.run(tmp_path, wrong_output)


# ---- params.yaml


# A key of a section that is one of several kinds belongs to the kind; "" is every other key.
Key = tuple[str, str]


def _keys(kind: type, prefix: str, seen: set[type], of: str = "") -> Iterator[tuple[Key, str]]:
    """Kind, dotted key and default of every field; a section that is shared is walked once."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if not (of and field.name == "kind"):
            yield (of, f"{prefix}{field.name}"), _default(field)
        for inner in _sections(hints[field.name]):
            if inner not in seen:
                seen.add(inner)
                yield from _keys(inner, f"{prefix}{field.name}.", seen, of or _kind(inner))


def _parts(hint: object) -> tuple[object, ...]:
    united = typing.get_origin(hint) in (types.UnionType, typing.Union)
    return typing.get_args(hint) if united else (hint,)


def _sections(hint: object) -> list[type]:
    return [c for c in _parts(hint) if isinstance(c, type) and dataclasses.is_dataclass(c)]


def _kind(section: type) -> str:
    """What its key `kind` must say, "" where it has none."""
    hint = typing.get_type_hints(section).get("kind")
    return str(typing.get_args(hint)[0]) if hint is not None else ""


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is dataclasses.MISSING:
        return "required"
    value = field.default
    if dataclasses.is_dataclass(value):
        return "`{}`"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _rows() -> Iterator[tuple[Key, list[str]]]:
    """Every row of a table of keys; one below a heading `### NAME` belongs to that kind."""
    of = ""
    for line in _text("docs/reference/params.md").splitlines():
        if heading := re.match(r"#{2,3} (.*)", line):
            named = re.fullmatch(r"### `([a-z-]+)`", line)
            of = named[1] if named else ""
            assert named or not line.startswith("###"), heading[1]
        elif row := re.match(r"\| `([\w.]+)` \|(.*)\|$", line):
            yield (of, row[1]), [cell.strip() for cell in row[2].split(" | ")]


def _documented() -> dict[Key, str]:
    found: dict[Key, str] = {}
    for key, cells in _rows():
        assert key not in found, f"{key} is documented twice"
        assert len(cells) == 3 and all(cells), f"{key}: type, default and meaning are needed"
        found[key] = cells[1]
    return found


def test_every_key_is_documented_with_its_default() -> None:
    expected = dict(_keys(Classifier, "", {Classifier}))
    expected["", "model.kind"] = f"`{DEFAULT}`"
    assert len(expected) > 100
    assert _documented() == expected


def test_every_kind_of_model_has_its_keys() -> None:
    # without this, a kind that the walk does not find would need no documentation
    documented = _documented()
    assert len(NETWORKS) > 3
    for plan in (network.settings for network in NETWORKS.values()):
        keys = {f"model.{field.name}" for field in dataclasses.fields(plan)} - {"model.kind"}
        assert keys == {key for of, key in documented if of == _kind(plan)}, plan


def test_what_a_kind_of_network_learns_from_is_documented() -> None:
    (row,) = (cells for (_, key), cells in _rows() if key == "model.kind")
    listed = {one.measures for one in NETWORKS.values()}
    assert listed == {("beta", "table"), ("ecg",)}, "say in params.md what the further one needs"
    assert "from `cohort.measures` `beta` and `table`, the two between from `ecg`" in row[2]
    page = _text("docs/how-to/add-a-network.md")
    assert all(f"`{kind}`" in page for kind in NETWORKS)


def test_shared_sections_say_so() -> None:
    text = _text("docs/reference/params.md")
    assert "with the same keys as `cohort.patient`" in text
    assert "with the same keys as `cohort`" in text


def test_choices_are_documented() -> None:
    rows = {key: cells[0] for (_, key), cells in _rows()}
    choices: dict[str, list[object]] = {}
    for key, kind in _literals(Classifier, "", {Classifier}):
        choices.setdefault(key, []).extend(kind)
    assert len(choices) > 20
    for key, known in choices.items():
        assert rows[key] == ", ".join(f"`{choice}`" for choice in known), key


def _literals(kind: type, prefix: str, seen: set[type]) -> Iterator[tuple[str, tuple[object, ...]]]:
    for name, hint in typing.get_type_hints(kind).items():
        for part in _parts(hint):
            if typing.get_origin(part) is typing.Literal:
                yield f"{prefix}{name}", typing.get_args(part)
        for inner in _sections(hint):
            if inner not in seen:
                seen.add(inner)
                yield from _literals(inner, f"{prefix}{name}.", seen)


SECTIONS = [block for page in PAGES for block in docs.blocks(page) if block.name == "params.yaml"]


ECG = ("ptbxl-baseline", "ptbxl-conformer")


@pytest.fixture
def with_sections(tmp_path: Path) -> Path:
    text = _text("params.yaml") + "".join(block.text for block in SECTIONS)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def test_every_section_shown_is_a_classifier(with_sections: Path) -> None:
    found = load(with_sections)
    assert len(SECTIONS) == 6
    real = {"glioma-methylation", "medulloblastoma-methylation", *ECG}
    assert {"wine", "gbm-demo", *real} <= set(found)


def test_every_yaml_block_is_yaml() -> None:
    # a part of a section: `frozen:` with its keys
    loose = [
        block
        for page in PAGES
        for block in docs.blocks(page)
        if block.kind == "yaml" and not block.verb
    ]
    assert loose
    for block in loose:
        assert isinstance(YAML(typ="safe", pure=True).load(block.text), dict), block.page


@pytest.mark.parametrize(
    ("name", "cases", "features"),
    [("glioma-methylation", 430, 843), ("medulloblastoma-methylation", 523, 399)],
)
def test_the_real_sections_read_the_real_files(
    with_sections: Path, real: Path, name: str, cases: int, features: int
) -> None:
    classifier, cohort = _read_section(with_sections, real, name)
    assert (len(cohort.ids), len(cohort.features)) == (cases, features)
    assert set(cohort.labels) == set(classifier.classes)
    assert cohort.origin == "real"


@pytest.mark.parametrize("name", ECG)
def test_the_ecg_sections_read_the_real_records(with_sections: Path, real: Path, name: str) -> None:
    classifier, cohort = _read_section(with_sections, real, name)
    assert cohort.values.shape == (500, 1000, 12)
    assert cohort.origin == "real"
    parts = assign(cohort, None, classifier.split, classifier.frozen, None)
    counts = Counter(parts.values())
    shown = _text("docs/how-to/ecg.md").split("## PTB-XL")[1]
    row = "| folds | " + " | ".join(classifier.classes) + " | none of them | records |"
    assert row in shown
    for part, title in (("training", "1 to 8"), ("holdout", "9"), ("frozen", "10")):
        mine = [i for i, fold in enumerate(cohort.folds) if _part_of_fold(fold) == part]
        labels = Counter(x for i in mine for x in cohort.labels[i].split("|"))
        cells = [*(labels[c] for c in classifier.classes), labels[""], len(mine)]
        assert f"| {title} | " + " | ".join(map(str, cells)) + " |" in shown
        assert counts[part] == len(mine) - (labels[""] if part != "frozen" else 0)
    assert f"{counts['aside']} cases without a label" in shown


def _part_of_fold(fold: str) -> str:
    return {"9": "holdout", "10": "frozen"}.get(fold, "training")


def _read_section(root: Path, real: Path, name: str) -> tuple[Classifier, Cohort]:
    """A section of the pages, and its cohort from the laboratory's folder."""
    classifier = load(root)[name]
    prefix = "../shared/data/"
    assert classifier.cohort.path.startswith(prefix)
    place = str(real / classifier.cohort.path.removeprefix(prefix))
    source = dataclasses.replace(classifier.cohort, path=place)
    return classifier, import_cohort(source, classifier.classes, classifier.task, root)


# ---- commands, exit codes and criteria in the reference


def _leaves(group: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, group
    if isinstance(group, click.Group):
        with click.Context(group) as context:
            for child in group.list_commands(context):
                found = group.get_command(context, child)
                assert found is not None
                yield from _leaves(found, f"{name} {child}")


def _cli() -> dict[str, click.Command]:
    from lifecycle.cli.main import root

    return dict(_leaves(root, "lifecycle"))


def _cli_sections() -> dict[str, str]:
    parts = re.split(r"^#{2,3} (lifecycle.*)$", _text("docs/reference/cli.md"), flags=re.M)
    last = re.split(r"^## ", parts[-1], flags=re.M)[0]
    return dict(zip(parts[1::2], [*parts[2:-1:2], last], strict=True))


def test_every_command_is_documented_and_no_other() -> None:
    assert sorted(_cli_sections()) == sorted(_cli())


@pytest.mark.parametrize("name", list(_cli()))
def test_options_and_arguments_are_documented(name: str) -> None:
    command, section = _cli()[name], _cli_sections()[name]
    options = {
        text
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for text in (*parameter.opts, *parameter.secondary_opts)
    } | ({"-h", "--help"} if name == "lifecycle" else set())
    rows = [row for row in section.splitlines() if row.startswith("| `-")]
    documented = {
        text for row in rows for text in re.findall(r"`(--?[\w-]+)`", row.split(" | ")[0])
    }
    assert documented == options
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            shown = re.search(rf"`{name} ([^`]*)`", section)
            assert shown is not None, f"{name} is shown with its arguments"
            assert str(parameter.name).rstrip("s").upper() in shown[1], parameter.name


def test_every_command_has_help_with_an_example() -> None:
    for name, command in _cli().items():
        assert command.help and "Example: lifecycle" in command.help, name


def test_every_exit_code_is_documented() -> None:
    from lifecycle.workflows.boundary import INTERRUPTED

    listed = re.findall(r"^\| (\d+) \|", _text("docs/reference/exit-codes.md"), re.M)
    assert listed == [str(int(code)) for code in ExitCode] + [str(INTERRUPTED)]


def test_every_criterion_is_explained() -> None:
    text = _text("docs/how-to/read-a-verdict.md")
    rows = [row.split(" | ")[0] for row in text.splitlines() if row.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([a-z]+[a-z.]*)`", row)}
    assert set(CRITERIA) <= listed


def test_the_stages_are_listed() -> None:
    stages = YAML(typ="safe", pure=True).load(_text("dvc.yaml"))["stages"]
    table = _text("docs/reference/pipeline.md").split("## Stages")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `([a-z]+)` \|", table, re.M)
    assert listed == ["surroundings", *stages]


# ---- the pages as text


def test_the_site_builds_strictly_and_calls_nobody(tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    fetched = re.compile(
        r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=[\"'](?:https?:)?//[^>]*>"
    )
    for page in pages:
        assert not fetched.findall(page.read_text(encoding="utf-8")), page
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8"), style


def _anchor(heading: str) -> str:
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def test_links_of_the_readme_resolve() -> None:
    links = re.findall(r"\]\(([^)]+)\)", _text("README.md"))
    assert len(links) > 15
    for link in links:
        path, _, anchor = link.partition("#")
        assert (ROOT / path).is_file(), link
        headings = re.findall(r"^#+ (.*)$", _text(path), re.M) if anchor else []
        assert not anchor or anchor in map(_anchor, headings), link


def test_no_page_names_a_machine_or_claims_too_much() -> None:
    place = re.compile(r"(?<![\w.>~/-])/(?:work|root|home|Users|tmp|mnt|srv)(?:/|\b)")
    claim = re.compile(r"\bcompl(?:y|ies|iant)\b|\bcertified\b|\bseamless|\bpowerful\b", re.I)
    for page in [*PAGES, "CHANGELOG.md", "mkdocs.yml"]:
        for number, line in enumerate(_text(page).splitlines(), 1):
            assert not place.search(line), f"{page}:{number}: a place on one machine: {line}"
            assert not claim.search(line), f"{page}:{number}: {line}"


def test_the_guard_against_machine_paths_sees_one() -> None:
    place = re.compile(r"(?<![\w.>~/-])/(?:work|root|home|Users|tmp|mnt|srv)(?:/|\b)")
    assert place.search("see `/home/somebody/x`") and place.search("in /root")
    assert not place.search("`srv/<c>/cohort`, ../srv/x, a/srv/b")


def test_what_is_to_come_is_said() -> None:
    coming = _text("docs/reference/cli.md").split("## To come")[1]
    names = set(re.findall(r"`([a-z]+)`", coming))
    assert names and names.isdisjoint({name.split()[1] for name in _cli() if " " in name})
    readme = _text("README.md").split("## What is not there yet")[1]
    assert all(word in readme for word in ("instability", "lookback"))


def test_the_specification_is_of_the_arithmetic_in_force() -> None:
    from lifecycle.numerics.exact.rounding import ARITHMETIC

    said = _text("docs/reference/arithmetic.md").split("## Slices")[0]
    assert f"**`{ARITHMETIC}`**" in said


def test_the_changelog_has_this_version() -> None:
    assert f"## [{VERSION}]" in _text("CHANGELOG.md")
    assert f"This is version {VERSION}." in _text("README.md")


def _with_short_ecg_trainings() -> str:
    """params.yaml as shipped, but for the epochs of the ECG networks: several builds are made."""
    yaml = YAML()
    document = yaml.load(_text("params.yaml"))
    ecg = [c for c in document["classifiers"].values() if c["cohort"].get("measures") == "ecg"]
    assert len(ecg) == 2
    for classifier in ecg:
        classifier["recipe"]["epochs"] = classifier["recipe"]["warm_up"] + 1
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def test_short_trainings_are_classifiers_and_take_a_section(tmp_path: Path) -> None:
    text = _with_short_ecg_trainings() + SECTIONS[0].text
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    found = load(tmp_path)
    assert len(found) == 5
    assert found["ecg-baseline"].recipe.epochs == found["ecg-conformer"].recipe.epochs == 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = new_project(tmp_path / "project", _with_short_ecg_trainings())
    done = run_in(project, "lifecycle", "rebuild")
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.setenv("PATH", environment()["PATH"])
    monkeypatch.setenv("LIFECYCLE_PASSPHRASE", "four words nobody guesses")
    docs.run_all(project)


def test_every_format_is_in_the_reference() -> None:
    text = _text("docs/reference/records.md") + _text("docs/reference/release-records.md")
    missing = [form.schema for form in FORMATS if f"`{form.schema}`" not in text]
    assert not missing
    for form in FORMATS:
        for key in form.newest.model_fields:
            assert f"`{key}`" in text, (form.kind, key)
