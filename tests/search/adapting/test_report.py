"""The report: the contract's keys as JSON, one harmless page that needs nothing else as HTML."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from snt_zoo.search.adapting.report import report_html
from snt_zoo.search.adapting.result import FinetuneResult

HOSTILE = '<script>alert(\'"&")</script>'
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that tags are balanced, and keeps their attributes and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [(name, value) for name, value in attrs if name in ("src", "href", "xlink:href")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_says_what_came_out(result: FinetuneResult) -> None:
    page = Page(report_html(result.to_json(out="runs/my photos")))
    for text in (
        f"{100 * result.accuracy['test']:.1f} %",
        f"{100 * result.accuracy['val']:.1f} %",
        f"{result.params:,}",
        f"{result.macs:,}",
        str(result.genotype),
        *result.class_names,
        *result.steps,
        "snt_zoo.load_model('runs/my photos')",
        "snt-zoo predict 'runs/my photos' image.jpg",
        "torch",
    ):
        assert text in page.text
    assert page.tags.count("svg") == 2


def test_the_page_needs_nothing_else(result: FinetuneResult) -> None:
    html = report_html(result.to_json())
    page = Page(html)
    assert page.loads == []
    assert "script" not in page.tags
    assert "@import" not in html
    assert "url(" not in html
    assert html.replace("http://www.w3.org/2000/svg", "").count("://") == 0


def test_names_from_outside_are_escaped(result: FinetuneResult) -> None:
    names = (HOSTILE, *result.class_names[1:])
    bad = replace(result, class_names=names, source=HOSTILE, settings={HOSTILE: {"a": HOSTILE}})
    others = {HOSTILE: result.history}
    page = Page(report_html(bad.to_json(out=f"runs/{HOSTILE}"), others=others))
    assert "script" not in page.tags
    assert HOSTILE in page.text


def test_a_comparison_is_in_the_curve(result: FinetuneResult) -> None:
    assert "from scratch" in report_html(result.to_json(), others={"from scratch": result.history})
    assert "polyline" not in report_html(result.to_json())
