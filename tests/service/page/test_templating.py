"""What the templates share: they escape, and say times and shares for people."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest

from snt_zoo.service.page import templating
from snt_zoo.service.page.templating import HEADERS, TEMPLATES, page, percent, spell


def test_times_and_shares() -> None:
    assert [spell(seconds) for seconds in (-1.0, 0.4, 59.4, 61, 3600, 7325)] == [
        "0 s", "0 s", "59 s", "1 min 1 s", "1 h", "2 h 2 min",
    ]  # fmt: skip
    assert (percent(None), percent(0.125)) == ("–", "12.5\N{NO-BREAK SPACE}%")


def test_a_page_escapes_what_it_shows_and_has_the_headers() -> None:
    answer = page("error.html.j2", status=404, here="", title="<b>", message="<script>x</script>")
    text = bytes(answer.body).decode()
    assert "<b>" not in text
    assert "<script>x" not in text
    assert "&lt;script&gt;x" in text
    assert answer.status_code == 404
    for name, value in HEADERS.items():
        assert answer.headers[name] == value


def test_what_is_missing_is_no_silence() -> None:
    with pytest.raises(jinja2.UndefinedError):
        page("error.html.j2", here="", title="only a title")


@pytest.mark.parametrize("name", TEMPLATES.list_templates())
def test_no_template_has_inline_style_or_script_or_is_marked_safe(name: str) -> None:
    source = (Path(templating.__file__).parent / "templates" / name).read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|<style|\son\w+=|javascript:|\|\s*safe|autoescape", source)
    assert all(
        re.fullmatch(r'<script src="/static/[^"]+" defer>', tag)
        for tag in re.findall(r"<script[^>]*>", source)
    )
    assert "//" not in re.sub(r"\{#.*?#\}", "", source)  # no address of elsewhere
