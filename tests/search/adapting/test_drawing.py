"""The pictures: every kept edge is there once, no label covers another, nothing is loaded from outside."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.networks.genotype import Edge, Genotype
from snt_zoo.networks.spaces import get_space, list_spaces
from snt_zoo.search.adapting.drawing import draw_genotype, draw_history
from snt_zoo.search.adapting.drawing.style import COLOURS, PALETTE
from snt_zoo.search.run import EpochRecord

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    """The picture, which must be well-formed and stand alone."""
    assert not re.search(r"""(?:href|src)\s*=|url\(|@import|<script|<foreignObject""", svg)
    assert set(re.findall(r"https?://[^\"]+", svg)) == {"http://www.w3.org/2000/svg"}
    return ElementTree.fromstring(svg)


def random_genotype(space_name: str, seed: int) -> Genotype:
    space = get_space(space_name)
    generator = torch.Generator().manual_seed(seed)
    return space.discretise(
        {
            kind: torch.rand(len(edges), len(space.operations), generator=generator)
            for kind, edges in space.edges.items()
        }
    )


def drawn_edges(panel: ElementTree.Element) -> list[Edge]:
    groups = [g for g in panel.iter(f"{SVG}g") if g.get("class") == "edge"]
    return [
        Edge(int(g.attrib["data-source"]), int(g.attrib["data-target"]), g.attrib["data-operation"])
        for g in groups
    ]


def boxes(panel: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of the labels and the nodes of a panel."""
    found = []
    for rect in panel.iter(f"{SVG}rect"):
        x, y, width, height = (float(rect.attrib[k]) for k in ("x", "y", "width", "height"))
        found.append((x, y, x + width, y + height))
    return found


def panels(svg: str) -> list[ElementTree.Element]:
    return [g for g in parsed(svg).iter(f"{SVG}g") if g.get("class") == "cell"]


def check(genotype: Genotype) -> None:
    svg = draw_genotype(genotype)
    drawn = panels(svg)
    assert len(drawn) == len(genotype.cells)
    _, _, width, height = map(float, parsed(svg).attrib["viewBox"].split())
    top = 0.0
    for panel, edges in zip(drawn, genotype.cells.values(), strict=True):
        assert drawn_edges(panel) == [edge for edge in edges if edge.operation != "none"]
        for a, b in itertools.combinations(boxes(panel), 2):
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)
        for left, upper, right, lower in boxes(panel):
            assert left >= 0
            assert right <= width
            assert upper >= 22  # below the panel's title
            assert lower <= height
        start = float(re.findall(r"[\d.]+", panel.attrib["transform"])[1])
        assert start >= top
        top = start


@pytest.mark.parametrize("space", list_spaces())
@pytest.mark.parametrize("seed", range(20))
def test_every_kept_edge_is_drawn_once_and_no_label_covers_another(space: str, seed: int) -> None:
    check(random_genotype(space, seed))


EDGES = st.builds(
    lambda ends, name: Edge(min(ends), max(ends), name),
    st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda ends: ends[0] != ends[1]),
    st.sampled_from(["none", "skip_connect", "an_operation_with_a_very_long_name", "x"]),
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["cell", "normal", "other"]), st.lists(EDGES, max_size=20)))
def test_so_it_is_for_cells_of_any_other_space(cells: dict[str, list[Edge]]) -> None:
    check(Genotype("another", {kind: tuple(edges) for kind, edges in cells.items()}))


def test_a_darts_cell_shows_its_concatenation() -> None:
    svg = draw_genotype(random_genotype("darts", 0))
    assert svg.count("concat</text>") == 2
    assert svg.count(">out</text>") == 2
    assert "concat" not in draw_genotype(random_genotype("nas_bench_201", 0))


@pytest.mark.parametrize("blocks", [5, 16, 60])
def test_a_long_chain_is_broken_into_rows(blocks: int) -> None:
    names = ["mb_e6_k3", "skip_connect", "mb_e3_k7"]
    chain = tuple(Edge(i, i + 1, names[i % 3]) for i in range(blocks))
    genotype = Genotype("mobile", {"chain": chain})
    check(genotype)
    svg = draw_genotype(genotype)
    assert float(parsed(svg).attrib["width"]) <= 760
    nodes = [r for r in parsed(svg).iter(f"{SVG}rect") if "node" in r.attrib["class"]]
    places = [(float(r.attrib["y"]), float(r.attrib["x"])) for r in nodes]
    assert len(places) == blocks + 1
    assert places == sorted(places)  # read like text: left to right, then down


def test_every_colour_stands_out_on_light_and_on_dark() -> None:
    def luminance(colour: str) -> float:  # WCAG 2.1
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark = luminance("#0d1117")
    for colour in {*PALETTE, *COLOURS.values()}:
        own = luminance(colour)
        assert 1.05 / (own + 0.05) >= 3, colour
        assert (own + 0.05) / (dark + 0.05) >= 3, colour


def test_every_operation_of_mobile_has_a_colour_of_its_own() -> None:
    operations = get_space("mobile").operations
    assert len({COLOURS[name] for name in operations}) == len(operations)


def test_names_are_escaped() -> None:
    svg = draw_genotype(Genotype("<b>", {"<i>": (Edge(0, 1, '"><script>alert(1)</script>'),)}))
    assert "<b>" not in svg
    assert "<i>" not in svg
    parsed(svg)


@pytest.mark.parametrize("space_name", list_spaces())
def test_an_edge_is_as_thick_as_the_share_of_its_operation(space_name: str) -> None:
    genotype = random_genotype(space_name, 3)
    shares = {
        kind: [(index + 1) / (len(edges) + 1) for index in range(len(edges))]
        for kind, edges in genotype.cells.items()
    }
    drawn = panels(draw_genotype(genotype, shares=shares))
    for panel, (kind, edges) in zip(drawn, genotype.cells.items(), strict=True):
        groups = [g for g in panel.iter(f"{SVG}g") if g.get("class") == "edge"]
        widths = [float(group.findall(f"{SVG}path")[0].attrib["stroke-width"]) for group in groups]
        assert widths == sorted(set(widths))  # as the shares grow from edge to edge
        told = [title.text or "" for group in groups for title in group.findall(f"{SVG}title")]
        kept = [s for s, edge in zip(shares[kind], edges, strict=True) if edge.operation != "none"]
        assert [text.rpartition(": ")[2] for text in told] == [
            f"{100 * s:.0f} % of its mixture" for s in kept
        ]


def test_a_picture_brings_no_style_where_a_page_has_it() -> None:
    for svg in (draw_genotype(random_genotype("darts", 0), styled=False), draw_history(RUN, styled=False)):
        assert "<style" not in svg
    for svg in (draw_genotype(random_genotype("darts", 0)), draw_history(RUN, others={"a": RUN})):
        assert svg.count("<style") == 1
        assert " style=" not in svg  # inline style is what the policy of a page may forbid
        parsed(svg)


def history(*points: tuple[str, float, float]) -> list[EpochRecord]:
    return [EpochRecord(stage, i, s, a) for i, (stage, s, a) in enumerate(points)]


RUN = history(("head", 1, 0.5), ("search", 2, 0.6), ("search", 3, 0.7), ("derived", 4, 0.9))


def test_every_epoch_is_a_dot_in_the_colour_of_its_stage() -> None:
    dots = [(d.get("cx"), d.get("fill")) for d in parsed(draw_history(RUN)).iter(f"{SVG}circle")]
    assert len(dots) == len(RUN)
    colours = [colour for _, colour in dots]
    assert colours[1] == colours[2]
    assert len(set(colours)) == 3
    places = [float(x or 0) for x, _ in dots]
    assert places == sorted(places)


def test_other_runs_are_dashed_and_named() -> None:
    others = {"from <scratch>": history(("search", 1, 0.1), ("derived", 9, 0.8)), "third": RUN[:1]}
    svg = draw_history(RUN, others=others)
    assert len(list(parsed(svg).iter(f"{SVG}polyline"))) == 2
    assert "from &lt;scratch&gt;" in svg


@given(
    st.lists(
        st.tuples(st.sampled_from(["head", "search", "derived", "new"]), st.floats(0, 1e6), st.floats(0, 1)),
        max_size=8,
    )
)
def test_any_history_stays_in_its_frame(points: list[tuple[str, float, float]]) -> None:
    picture = parsed(draw_history(history(*points)))
    for dot in picture.iter(f"{SVG}circle"):
        assert 64 <= float(dot.attrib["cx"]) <= 700
        assert 19.9 <= float(dot.attrib["cy"]) <= 280.1
