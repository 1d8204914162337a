"""The page: what it says, that nothing breaks out of it, that it is accessible and repeatable."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from lifecycle.consistency.calls import call
from lifecycle.domain.predictions import Cutoffs
from lifecycle.errors import UnusableInputError
from lifecycle.report import palette
from lifecycle.report.figures import _precision_recall
from lifecycle.report.page import ReportInput, Validation, figures, render
from lifecycle.report.source import Changes
from lifecycle.report.text import MINUS

VOID = {"meta", "br", "img", "link", "input", "hr"}
EVIL = (
    "<script>alert(1)</script>\"' onload=x ]]> $x_1$",
    "</title></style></svg><img src=http://example.org/x onerror=alert(1)>",
    "{{ 7 * 7 }} {% raw %} &lt; \\frac{1} " + "x" * 90,
)


@dataclass
class Node:
    tag: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    text: str = ""

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()

    def every(self, tag: str) -> list[Node]:
        return [node for node in self.walk() if node.tag == tag]

    def all_text(self) -> str:
        return self.text + " ".join(child.all_text() for child in self.children)


class Reader(HTMLParser):
    """Builds a tree; a tag that is closed out of order is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack = [Node("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag} has an attribute twice"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.stack[-1].children.append(node)
        if tag not in VOID:
            self.stack.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.stack[-1].text += data


def read(html: str) -> Node:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert len(reader.stack) == 1, f"never closed: {[node.tag for node in reader.stack[1:]]}"
    return reader.stack[0]


def said(html: str) -> str:
    return " ".join(read(html).every("body")[0].all_text().split())


def tables_of(html: str) -> dict[str, Node]:
    """Tables by caption."""
    return {table.children[0].text: table for table in read(html).every("table")}


def plain(data: ReportInput) -> str:
    """The page without its figures, which take longest."""
    return render(data, {})


def nothing_reportable(classes: int = 3) -> Cutoffs:
    return Cutoffs((1.0,) * classes, None, "refused", {"said": "too few positives"})


KINDS = ("rebuild", "first", "refused", "multi", "unlabelled", "six", "nothing in common")


@dataclass
class Page:
    """An input and what became of it, rendered once."""

    data: ReportInput
    html: str
    tree: Node


@pytest.fixture(params=KINDS, scope="module")
def page(request: pytest.FixtureRequest, make: SimpleNamespace) -> Page:
    """Every kind of input once."""
    makers = {
        "rebuild": make.rebuild,
        "first": make.first_build,
        "refused": lambda: make.rebuild(cutoffs=nothing_reportable()),
        "multi": lambda: make.rebuild(task="multi"),
        "unlabelled": lambda: make.rebuild(labelled=False),
        "six": lambda: make.rebuild(builds=6, n=60),
        "nothing in common": lambda: make.rebuild(cutoffs=Cutoffs((1.0,) * 3, None, "given", {})),
    }
    data = makers[request.param]()
    html = render(data)
    return Page(data, html, read(html))


def test_is_one_accessible_file(page: Page) -> None:
    html, nodes = page.html, list(page.tree.walk())
    ids = Counter(node.attributes["id"] for node in nodes if "id" in node.attributes)
    assert [name for name, n in ids.items() if n > 1] == []
    for node in nodes:
        assert node.tag not in {"script", "link", "img", "iframe", "object", "embed", "form"}
        assert not any(name.startswith("on") for name in node.attributes)
        assert "src" not in node.attributes
        refers = [node.attributes[key] for key in ("href", "xlink:href") if key in node.attributes]
        assert all(place.startswith("#") and place[1:] in ids for place in refers)
        assert all(name in ids for name in node.attributes.get("aria-labelledby", "").split())
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert "@import" not in html
    assert all(place.startswith("#") and place[1:] in ids
               for place in re.findall(r"url\(([^)]+)\)", html))  # fmt: skip
    assert page.tree.every("html")[0].attributes["lang"] == "en"


def test_tables_and_figures_speak_for_themselves(page: Page) -> None:
    assert len(page.tree.every("table")) >= 8
    for table in page.tree.every("table"):
        assert table.children[0].tag == "caption"
        assert table.children[0].text.strip()
        assert all(cell.attributes["scope"] in {"col", "row"} for cell in table.every("th"))
    assert page.tree.every("svg")
    for svg in page.tree.every("svg"):
        assert svg.attributes["role"] == "img"
        assert [child.tag for child in svg.children[:2]] == ["title", "desc"]
        assert all(child.text.strip() for child in svg.children[:2])
    levels = [int(node.tag[1]) for node in page.tree.walk() if re.fullmatch("h[1-6]", node.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_same_input_same_bytes(page: Page) -> None:
    assert render(page.data).encode() == page.html.encode()


def test_never_claims_compliance(page: Page) -> None:
    text = said(page.html).lower()
    assert "supports" in text
    assert not re.search(r"compl(y|ies|iant|iance)", text)
    assert "convenience or enriched set does not" in text


@pytest.mark.parametrize("task", ["single", "multi"])
def test_hostile_names_change_no_markup(make: SimpleNamespace, task: str) -> None:
    """The same page with other names has the same elements, and shows the names as they are."""
    tame = render(make.rebuild(task=task, name="tame"))
    evil_input = make.rebuild(classes=EVIL, task=task, name=f"{EVIL[0]}\u202e")
    wild = render(evil_input)
    trees = [read(html) for html in (tame, wild)]
    counts = [Counter(node.tag for node in tree.walk()) for tree in trees]
    counts = [c - Counter({"p": c["p"]}) for c in counts]  # remarks on tau depend on its value
    assert counts[0] == counts[1]
    text = trees[1].all_text()
    assert EVIL[1] in text
    assert EVIL[0] in text
    assert "\u202e" not in wild
    assert "{{ 7 * 7 }} {% raw %} &lt; \\frac{1}" in text


def test_hostile_cases_patients_and_records(make: SimpleNamespace) -> None:
    data = make.rebuild()
    ids = tuple(f"{EVIL[1]}{i:03d}\u202e" for i in range(len(data.frozen.ids)))
    hostile = make.verdict(
        tuple(replace(f, criterion=EVIL[0], said=EVIL[1]) for f in make.findings), EVIL[1]
    )
    conversions = tuple(
        replace(one, case=ids[i], patient=EVIL[0])
        for i, one in enumerate(data.agreement.conversions)
    )
    changed = replace(
        data,
        agreement=replace(data.agreement, conversions=conversions),
        verdict=hostile,
        content={**make.content, "environment": {EVIL[1]: {EVIL[0]: EVIL[1]}}},
        run={EVIL[0]: EVIL[1], "built": EVIL[1]},
        validation=Validation(False, 2, (EVIL[1],), (EVIL[0],)),
        changes=Changes(EVIL[0], *[[EVIL[1]]] * 4),
        pin=replace(data.pin, reason=EVIL[1], total=EVIL[0]),
    )
    html = plain(changed)
    read(html)
    assert "<img" not in html
    assert "<script" not in html
    assert "\u202e" not in html
    assert conversions, "the input has conversions to print"
    assert f"{EVIL[1]}000\\u202e" in said(html)


def test_figures_are_xml_and_take_names_as_text(make: SimpleNamespace) -> None:
    data = make.rebuild(classes=EVIL)
    before = {EVIL[1]: data.frozen_before["b1"]}
    found = figures(replace(data, frozen_before=before))
    assert set(found) == {
        "scores", "reportable", "conversions", "tau", "calibration", "training",
    }  # fmt: skip
    for svg in found.values():
        root = ET.fromstring(svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert not [e for e in root.iter() if str(e.tag).endswith(("script", "image", "img"))]
    assert "b2 against &lt;/title&gt;&lt;/style&gt;" in found["scores"]


def test_dollar_signs_are_dollar_signs(make: SimpleNamespace) -> None:
    data = make.rebuild()
    svg = figures(replace(data, frozen_before={"$\\frac{$": data.frozen_before["b1"]}))["scores"]
    assert "b2 against $\\frac{$" in svg


def test_glyphs_that_the_font_lacks_draw_without_a_warning(make: SimpleNamespace) -> None:
    data = make.rebuild()
    svg = figures(replace(data, frozen_before={"胶质瘤": data.frozen_before["b1"]}))["scores"]
    assert "胶质瘤" in svg


@pytest.mark.parametrize(("tau", "marked"), [(0.4, [0.75, 0.9]), (0.5, [0.75, 0.9]), (0.95, None)])
def test_tau_is_marked_where_its_calls_stand(tau: float, marked: list[float] | None) -> None:
    """On another build's curve tau lies between scores: called is what reaches it."""
    points = np.array([(0.3, 0.6, 1.0), (0.5, 0.9, 0.75), (0.9, 1.0, 0.5)])
    axes = Figure().add_subplot()
    _precision_recall(axes, points, tau)
    marks = [line.get_xydata() for line in axes.lines[1:]]
    assert [xy.tolist() for xy in marks] == ([] if marked is None else [[marked]])


def test_drawing_leaves_no_settings_behind(make: SimpleNamespace) -> None:
    data = make.rebuild()
    with matplotlib.rc_context():
        plain = figures(data)
        matplotlib.rcParams["font.size"] = 30.0
        matplotlib.rcParams["text.parse_math"] = True
        before = dict(matplotlib.rcParams.items())
        assert figures(data) == plain
        assert dict(matplotlib.rcParams.items()) == before


def test_no_back_end_is_chosen() -> None:
    code = (
        "import sys, matplotlib; import lifecycle.report.page as p;"
        "from lifecycle.report.drawing import draw;"
        "draw('a', 't', 'd', lambda axes: axes[0].plot([1, 2]));"
        "assert 'matplotlib.pyplot' not in sys.modules;"
        "print(matplotlib.get_backend(auto_select=False))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"


@pytest.mark.parametrize(("status", "sign"), [("pass", "✓"), ("fail", "✖"), ("inconclusive", "?")])
def test_the_banner_says_it_in_words_and_sign(
    make: SimpleNamespace, status: str, sign: str
) -> None:
    finding = next(f for f in make.findings if f.status == status)
    tree = read(plain(replace(make.rebuild(), verdict=make.verdict((finding,)))))
    head = " ".join(tree.every("h1")[0].all_text().split())
    assert head == f"{status.upper()} {sign} gbm-methylation 1.0.0 b2"
    assert tree.every("title")[0].text == f"gbm-methylation 1.0.0 b2: {status.upper()}"


def test_simulated_is_marked_from_either_source(make: SimpleNamespace) -> None:
    data = make.rebuild()
    assert "SIMULATED" not in plain(data)
    by_pin = replace(data, pin=replace(data.pin, origin="simulated"))
    by_record = replace(data, content={**make.content, "origin": "simulated"})
    for marked in (by_pin, by_record):
        html = plain(marked)
        assert "SIMULATED DATA" in said(html)
        assert "SIMULATED\\000020 DATA" in html.split("@top-right")[1].split(";")[0]


def test_masked_identifiers_are_marked_on_every_page(make: SimpleNamespace) -> None:
    data = make.rebuild()
    assert "MASKED" not in plain(data)
    html = plain(replace(data, masked=True, pin=replace(data.pin, origin="simulated")))
    mark = html.split("@top-right")[1].split(";")[0]
    assert "SIMULATED\\000020 DATA" in mark
    assert "IDENTIFIERS\\000020 MASKED" in mark
    assert "IDENTIFIERS MASKED: cases and patients have numbers here" in said(html)


def test_worst_criteria_stand_first(make: SimpleNamespace) -> None:
    table = read(plain(make.rebuild())).every("table")[0]
    results = [row.children[1].all_text() for row in table.every("tr")[1:]]
    assert results == ["✖ FAIL", "? INCONCLUSIVE", "✓ PASS"]


def test_figures_of_the_agreement_are_printed(make: SimpleNamespace) -> None:
    data = make.rebuild(builds=3, n=200)
    series = data.agreement.series
    text = said(plain(data))
    assert f"all report {series.R:,} cases; on {series.D:,} of them" in text
    tables = tables_of(plain(data))
    rows = [
        [cell.all_text() for cell in row.children]
        for row in tables["Consistency in cases"].every("tr")[1:]
    ]
    assert [row[0] for row in rows] == [
        "all builds together", "b1 and b2", "b1 and b3 (candidate)", "b2 and b3 (candidate)",
        "ever: any two builds",
    ]  # fmt: skip
    assert rows[0][1:5] == [str(v) for v in (series.S, series.R, series.D, series.conversions)]


def test_lists_of_cases_are_cut_with_a_count(make: SimpleNamespace) -> None:
    cutoffs = Cutoffs((0.9,) * 3, None, "given", {})
    data = make.rebuild(n=2400, cutoffs=cutoffs)
    total = len(data.agreement.conversions)
    assert total > 200, "the input must overflow the list"
    html = plain(data)
    tables = tables_of(html)
    listed = next(t for name, t in tables.items() if name.startswith("Conversions"))
    assert len(listed.every("tr")) == 201
    assert f"And {total - 200:,} more" in html


def test_directions_are_cut_with_a_count_the_most_frequent_kept(make: SimpleNamespace) -> None:
    data = make.rebuild()
    (pair,) = data.agreement.pairs
    many = replace(pair, directions={f"A{i} -> B{i}": i for i in range(1, 151)})
    html = plain(replace(data, agreement=replace(data.agreement, pairs=(many,))))
    rows = tables_of(html)["Contradictions by direction"].every("tr")[1:]
    assert [row.children[2].all_text() for row in rows] == [str(i) for i in range(150, 50, -1)]
    assert "50 more are not listed" in html


def test_scores_beside_cases_stay_on_their_side_of_tau(make: SimpleNamespace) -> None:
    data = make.rebuild()
    one = replace(data.agreement.conversions[0], case="edge", scores={"b1": {"RTK I": 0.649999}})
    cutoffs = replace(data.cutoffs, yes=(0.65,) * 3)
    agreement = replace(data.agreement, conversions=(one,))
    assert "RTK I 0.649999" in said(plain(replace(data, agreement=agreement, cutoffs=cutoffs)))


def test_multi_label_scores_say_what_they_amount_to(make: SimpleNamespace) -> None:
    data = make.rebuild(task="multi")
    tables = tables_of(plain(data))
    text = next(t for n, t in tables.items() if n.startswith("Conversions")).all_text()
    assert "(inconclusive, margin " in text
    assert "(yes, margin +" in text or f"(no, margin {MINUS}" in text


def test_multi_label_results_are_counted_class_by_class(make: SimpleNamespace) -> None:
    data = make.rebuild(task="multi")
    state = call(data.frozen, data.cutoffs).state
    text = said(plain(data))
    yes, no = int((state == 1).sum()), int((state == -1).sum())
    assert f"calls {yes:,} results present" in text
    assert f"rules out {no:,}; the other {state.size - yes - no:,}" in text
    truth = np.array([[c in label.split("|") for c in data.frozen.classes]
                      for label in data.frozen.labels])  # fmt: skip
    wrong = int(((state == 1) & ~truth).sum())
    assert f"{wrong:,} of {yes:,} present calls" in text


def test_first_build_has_nothing_to_agree_with(make: SimpleNamespace) -> None:
    text = said(plain(make.first_build()))
    assert "there is no build before it to agree with" in text
    assert "Discordant cases and conversions" not in text
    assert "There is no earlier build to compare with" in figures(make.first_build())["scores"]


def test_refused_tau_reports_nothing_and_says_so(make: SimpleNamespace) -> None:
    text = said(plain(make.rebuild(cutoffs=nothing_reportable())))
    assert "Tau was refused, so nothing is reportable." in text
    assert "nothing can be said of their agreement" in text
    assert "Refused: no critical value is in force" in text
    assert "RTK I never" in text


def test_accuracy_and_confusion_follow_from_the_scores(make: SimpleNamespace) -> None:
    data = make.rebuild()
    tables = tables_of(plain(data))
    frozen = data.frozen
    truth = np.array([frozen.classes.index(label) for label in frozen.labels])
    right = int((frozen.scores.argmax(axis=1) == truth).sum())
    accuracy = tables["The candidate against the reference classes"].every("tr")[1]
    assert [c.all_text() for c in accuracy.children[1:3]] == [str(right), str(len(truth))]
    confusion = tables["Confusion table at tau"].every("tr")
    counts = [[int(c.all_text() or 0) for c in row.children[1:]] for row in confusion[1:]]
    assert [sum(row) for row in counts] == [int((truth == j).sum()) for j in range(3)]


def test_many_classes_list_their_confusions(make: SimpleNamespace) -> None:
    classes = [f"class {i:02d}" for i in range(20)]
    text = said(plain(make.rebuild(classes=classes, n=300)))
    assert "Confusions at tau, and cases left inconclusive" in text
    assert "Confusion table at tau" not in text


def test_unlabelled_sets_have_no_accuracy(make: SimpleNamespace) -> None:
    text = said(plain(make.rebuild(labelled=False)))
    assert "accuracy at full recall" not in text
    assert "120 of 120 cases have no reference class" in text


def test_records_are_shown(make: SimpleNamespace) -> None:
    text = said(plain(make.rebuild()))
    for value in ("5f3a", "0123abc", "1" * 64, "cd" * 32, "machine.cpu",
                  "libraries.torch: 2.12.0 → 2.13.0", "feature x7 is constant",
                  "1 attempt counted", "thrown away"):  # fmt: skip
        assert value in text
    assert "The policy differs from the one in force when the build was made" in text


def test_a_set_too_small_is_called_too_small(make: SimpleNamespace) -> None:
    verdict = replace(make.verdict(), shown={"patients_needed": 72, "patients": 60})
    assert "with 60 this set is too small" in said(plain(replace(make.rebuild(), verdict=verdict)))


def test_builds_of_other_cases_are_refused(make: SimpleNamespace) -> None:
    data = make.rebuild()
    other = make.rebuild(n=90).frozen
    with pytest.raises(UnusableInputError, match="case"):
        render(replace(data, frozen_before={"b1": other}))


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_sufficient() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert min(contrast(*pair) for pair in palette.TEXT_PAIRS) >= 4.5
    assert min(contrast(*pair) for pair in palette.MARK_PAIRS) >= 3.0


def test_every_colour_is_of_the_palette(make: SimpleNamespace) -> None:
    known = {v for v in vars(palette).values() if isinstance(v, str) and v.startswith("#")}
    known |= {*palette.COOL, *palette.WARM}
    drawn = known | {"#000000"}  # tick marks' default outline
    html = render(make.rebuild())
    assert set(re.findall(r"#[0-9a-f]{6}\b", html)) <= drawn
    style = html.split("<style>")[1].split("</style>")[0]
    assert set(re.findall(r"#[0-9a-f]{3,8}\b", style)) <= known
