"""The report as people see it: Chromium opens it at a desk's and a telephone's width and for print.

axe-core looks for what keeps people from reading it; contrast is computed here as well, since
axe leaves it open for texts in figures and in boxes that scroll. The pictures go to the folder that
LIFECYCLE_SCREENSHOTS names, where it is set.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from mlflow_walk import ARGUMENTS, CHROMIUM
from unit.report import inputs

from lifecycle.domain.predictions import Cutoffs
from lifecycle.report.page import render
from lifecycle.report.source import Changes, Features, ReportInput, Signature

MISSING = [name for name in ("playwright", "axe_playwright_python")
           if importlib.util.find_spec(name) is None]  # fmt: skip
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no Chromium at {CHROMIUM}"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]
DESK, PHONE = 1280, 390
CASES = 90
PRINT = (688, 1016)  # the room of an A4 page within the report's margins, in CSS pixels
WIDE = {"single": Cutoffs((0.6,) * 3, None, "given", {}),
        "multi": Cutoffs((0.5,) * 3, (0.3,) * 3, "given", {})}  # fmt: skip
EVIL = (
    "<script>window.broken = 1</script>",
    "![x](http://example.org/x.png)<img src=http://example.org/y onerror=window.broken=2>",
    "=cmd' /C calc'!A1,\"'&lt;",
)  # names of classes, which can hold no control character; other texts can


def _signed(build: str, reason: str = "") -> list[Signature]:
    return [
        Signature(1, "sign-off", "review", "Rosa Beispiel", "reviewer",
                  "2026-11-20T10:00:00+01:00", build, reason, "ab" * 32),
        Signature(2, "refusal", "responsibility", "Carl Muster", "approver",
                  "2026-11-21T10:00:00+01:00", build, reason or "Too many.", "cd" * 32),
    ]  # fmt: skip


def _judged(data: ReportInput, status: str) -> ReportInput:
    findings = [one for one in inputs.FINDINGS if one.status in (status, "pass")]
    return replace(data, verdict=inputs.verdict(tuple(findings)))


def _discordant(task: Any = "single", **more: Any) -> ReportInput:
    data = inputs.rebuild(n=CASES, task=task, cutoffs=WIDE[task], noise=1.5, **more)
    commits = ["commit 0123abc -> 4567def: <b>halve</b> the rate"]
    changed = Changes(
        "b1", commits, ["recipe.lr: 0.002 -> 0.001"], [], ["libraries.torch: 2.12 -> 2.13"]
    )
    return replace(data, changes=changed, signatures=_signed(data.build), standing="refused",
                   features=Features("b1", 12, ["cg1"], ["cg2"]))  # fmt: skip


def _crowded(data: ReportInput) -> ReportInput:
    """A first page with all that it takes: criteria with reasons, changes, signatures."""
    said = "of 64 cases that are reported 7 are discordant (64 patients), at most 21.2% at " * 2
    names = ("consistency.series", "consistency.pair:b1", "consistency.ever", "lost:b1", "tau",
             "reportable.floor", *(f"lost:b1:class {i}" for i in range(12)))  # fmt: skip
    findings = tuple(
        replace(inputs.FINDINGS[1], criterion=name, said=said, status="fail" if i < 4 else "pass")
        for i, name in enumerate(names)
    )
    lines = [f"recipe.number{i}: {i} -> {i + 1}" for i in range(9)]
    return replace(data, verdict=inputs.verdict(findings), changes=Changes("b1", *[lines] * 4))


def _simulated(data: ReportInput) -> ReportInput:
    return replace(data, pin=replace(data.pin, origin="simulated"), masked=True)


def _hostile() -> ReportInput:
    data = inputs.rebuild(n=CASES, classes=EVIL, cutoffs=WIDE["single"], noise=1.5, name=EVIL[0])
    text = "".join((*EVIL, "\n\u202e"))

    def worse(found: Any) -> Any:
        return tuple(replace(one, case=f"{text}{i}", patient=text) for i, one in enumerate(found))

    agreement = replace(data.agreement, discordant=worse(data.agreement.discordant),
                        conversions=worse(data.agreement.conversions))  # fmt: skip
    finding = replace(inputs.FINDINGS[1], criterion=text, said=text)
    groups = {text: tuple(EVIL[i % 3] for i in range(CASES))}
    before = {k: replace(one, subgroups=groups) for k, one in data.frozen_before.items()}
    return replace(
        data,
        agreement=agreement,
        verdict=replace(data.verdict, findings=(finding,), basis=text),
        frozen=replace(data.frozen, subgroups=groups),
        frozen_before=before,
        changes=Changes(text, [text], [text], [text], [text]),
        signatures=_signed(text, text),
        standing=text,
        features=Features(text, 1, [text], [text]),
        run={text: text, "built": text},
    )


REPORTS: dict[str, Any] = {
    "pass": lambda: _judged(inputs.rebuild(n=80), "pass"),
    "fail": lambda: _crowded(_discordant()),
    "inconclusive": lambda: _judged(_discordant(builds=6), "inconclusive"),
    "simulated": lambda: _simulated(_judged(_discordant("multi"), "fail")),
    "first": lambda: _simulated(inputs.first_build()),
    "hostile": _hostile,
}


@dataclass
class Shown:
    """A report in the browser.

    Attributes:
        name: of REPORTS.
        data: what it was made of.
        page: of Chromium.
        asked: addresses that the page asked for.
    """

    name: str
    data: ReportInput
    page: Any
    asked: list[str]

    def at(self, width: int, height: int = 900, media: str = "screen") -> Any:
        """The page at a width, as a screen or a printer shows it."""
        self.page.emulate_media(media=media)
        self.page.set_viewport_size({"width": width, "height": height})
        return self.page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="module", params=REPORTS)
def shown(
    request: pytest.FixtureRequest, chromium: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shown]:
    """Every kind of report, opened once."""
    name, data = request.param, REPORTS[request.param]()
    path = tmp_path_factory.mktemp(name) / "report.html"
    path.write_text(render(data), encoding="utf-8")
    page, asked = chromium.new_page(), []
    page.on("request", lambda one: asked.append(one.url))
    page.goto(path.as_uri())
    yield Shown(name, data, page, asked)
    page.close()


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_axe_finds_nothing(shown: Shown, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(shown.at(width)).response
    assert found["passes"], "axe must have looked"
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []
    # what axe leaves open of contrast is computed below
    assert {one["id"] for one in found["incomplete"]} <= {"color-contrast"}


_CONTRAST = """() => {
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => linear(c / 255);
  const luminance = c => .2126 * light(c[0]) + .7152 * light(c[1]) + .0722 * light(c[2]);
  const parsed = text => [...text.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
  const ground = node => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parsed(getComputedStyle(at).backgroundColor);
      if (colour[3] === 1) return colour;
      if (colour[3] !== 0) throw new Error("half transparent: " + at.tagName);
    }
    return [255, 255, 255, 1];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || ["title", "desc", "style"].includes(node.tagName.toLowerCase())) continue;
    const style = getComputedStyle(node), drawn = node.closest("svg") !== null;
    const [a, b] = [luminance(parsed(drawn ? style.fill : style.color)), luminance(ground(node))];
    found.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), text.slice(0, 40)]);
  }
  return found;
}"""


def test_every_text_can_be_told_from_its_ground(shown: Shown) -> None:
    """4.5 to 1 (WCAG 2.2, 1.4.3); cells of matrices have grounds that the palette's test covers."""
    found = shown.at(DESK).evaluate(_CONTRAST)
    assert len(found) > 300
    assert [text for ratio, text in found if ratio < 4.5] == []
    assert min(ratio for ratio, _ in found) < 21, "not everything is black on white"


def test_nothing_is_asked_for_and_nothing_runs(shown: Shown) -> None:
    page = shown.page
    assert shown.asked == [page.url]
    assert page.locator("script, img, image, iframe, object, embed, link, form, base").count() == 0
    assert page.evaluate("window.broken") is None
    assert "\u202e" not in page.content()


@pytest.mark.parametrize("shown", ["hostile"], indirect=True)
def test_hostile_names_are_text(shown: Shown) -> None:
    text = shown.at(DESK).locator("body").inner_text()
    assert f"{EVIL[0]}{EVIL[1]}{EVIL[2]}\\u000a\\u202e" in text
    figures = " ".join(shown.page.locator("svg text").all_text_contents())
    assert "<script>window.broken" in figures
    assert shown.page.title().startswith(EVIL[0])


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_page_never_scrolls_sideways(shown: Shown, width: int) -> None:
    page = shown.at(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate(
        "[...document.querySelectorAll('.wide')].map(b => [b.scrollWidth, b.clientWidth,"
        " getComputedStyle(b).overflowX])"
    )
    assert {overflow for _, _, overflow in boxes} == {"auto"}
    if width == PHONE:
        assert any(inner > outer for inner, outer, _ in boxes), "wide tables scroll in their box"
    sizes = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map(h => parseFloat("
        "getComputedStyle(h).fontSize))"
    )
    assert min(sizes) >= 15


def test_the_first_printed_page_has_what_a_director_signs(shown: Shown) -> None:
    page = shown.at(*PRINT, media="print")

    def bottom(selector: str) -> float:
        found: float = page.locator(selector).bounding_box()["y"]
        return found + float(page.locator(selector).bounding_box()["height"])

    ends = [bottom("section[aria-labelledby=criteria]"), bottom("section[aria-labelledby=changes]"),
            bottom("section[aria-labelledby=signed]")]  # fmt: skip
    assert ends == sorted(ends)
    if shown.name != "hostile":
        assert ends[-1] <= PRINT[1]
    broken = "getComputedStyle(document.querySelector('.page')).breakBefore"
    assert page.evaluate(broken) == "page"
    status = shown.data.verdict.status.upper()
    assert page.locator("h1").inner_text().startswith(status)


def test_every_printed_page_is_marked(shown: Shown) -> None:
    rules = "[...document.styleSheets[0].cssRules].filter(r => r instanceof CSSPageRule)"
    said = " ".join(shown.page.evaluate(f"{rules}.map(r => r.cssText)"))
    assert "counter(page)" in said
    assert ("SIMULATED DATA" in said) == shown.data.simulated
    assert ("IDENTIFIERS MASKED" in said) == shown.data.masked
    assert shown.data.verdict.status.upper() in said


def test_it_prints_as_a_tagged_pdf(shown: Shown) -> None:
    pdf = shown.at(*PRINT, media="print").pdf(
        prefer_css_page_size=True, tagged=True, print_background=True
    )
    assert pdf.startswith(b"%PDF-")
    assert b"/StructTreeRoot" in pdf
    pages = max(int(n) for n in re.findall(rb"/Count (\d+)", pdf))
    assert 5 < pages < 40


def test_a_discordant_patient_cannot_be_overlooked(shown: Shown) -> None:
    """The alert stands on the first screen of a telephone and is the largest text but the name."""
    page, agreement = shown.at(PHONE, 844), shown.data.agreement
    if agreement is None or not agreement.ever.D:
        assert page.locator(".alert.fail").count() == 0
        return
    alert = page.locator(".alert.fail")
    assert alert.bounding_box()["y"] < 844
    said = alert.inner_text()
    assert said.startswith(f"✖ {agreement.ever.D} discordant case")
    sizes = page.evaluate(
        "['.alert.fail h2', '#criteria'].map(s => parseFloat(getComputedStyle("
        "document.querySelector(s)).fontSize))"
    )
    assert sizes[0] > sizes[1]


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_pictures_are_kept(shown: Shown, width: int, tmp_path: Path) -> None:
    folder = Path(os.environ.get("LIFECYCLE_SCREENSHOTS") or tmp_path)
    path = folder / f"report-{shown.name}-{width}.png"
    shown.at(width, 1600).screenshot(path=path)
    assert path.stat().st_size > 20_000
