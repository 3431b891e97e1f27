"""Drawn pairs of classes: the nearest first, thicker, and each name once."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from snt_zoo.service.page.links import ROW, Link, draw_links, short

links = st.lists(
    st.builds(Link, st.sampled_from("abcdefgh"), st.sampled_from("ABCDEFGH"), st.floats(0, 100)),
    max_size=30,
    unique_by=lambda link: link.target,
)


@given(links)
def test_every_link_is_drawn_or_counted(given: list[Link]) -> None:
    drawn = draw_links(given, most=5)
    assert len(drawn.lines) + drawn.hidden == len(given)
    assert len(drawn.lines) <= 5
    assert [name for name, _ in drawn.left] == [
        link.target for link in sorted(given, key=lambda link: (link.distance, link.target))[:5]
    ]
    heights = [y for _, y in drawn.left]
    assert all(b - a == ROW for a, b in itertools.pairwise(heights))
    assert len({name for name, _ in drawn.right}) == len(drawn.right)
    for _, y in (*drawn.left, *drawn.right):
        assert 0 < y < drawn.height


@given(links)
def test_nearer_pairs_have_thicker_lines(given: list[Link]) -> None:
    widths = [line.width for line in draw_links(given, most=99).lines]
    assert widths == sorted(widths, reverse=True)


def test_a_line_says_what_it_joins() -> None:
    drawn = draw_links([Link("cat", "lynx", 0.25, 0.8), Link("dog", "wolf", 0.5)])
    assert [line.title for line in drawn.lines] == [
        "cat ~ lynx: distance 0.25, 80 % of it",
        "dog ~ wolf: distance 0.50",
    ]


def test_long_names_are_cut() -> None:
    assert short("abc") == "abc"
    assert len(short("a" * 99)) == 20
    assert short("a" * 99).endswith("…")
