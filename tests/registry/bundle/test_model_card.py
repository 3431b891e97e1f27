from __future__ import annotations

import html
from pathlib import Path

import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from snt_zoo.errors import ConfigError
from snt_zoo.registry import BundleConfig
from snt_zoo.registry.bundle.model_card import model_card, plain
from tests.registry.making import config_data, generalist, network, source

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)",
    "see https://evil.example or www.evil.example",
    "a | b | c",
    "---",
    "# Heading",
    "- item",
    "1. item",
    "> quote",
    "```\ncode",
    "    code",
    "*bold* _it_ ~~no~~ `code` $x$",
    'license: mit\n---\n# "Free"',
    ": {a: b}, [c] & *d !e %f @g",
    "&lt;b&gt; &#60; \\<",
    "=====",
    "<!-- hidden -->",
    "[x]: https://evil.example",
    "#1 @someone",
]


ALLOWED = {
    "paragraph", "inline", "text", "heading", "table", "thead", "tbody", "tr", "th", "td", "fence",
    "code_inline", "link", "softbreak",
}  # fmt: skip


DATA = config_data(network())


def config(**changes: object) -> BundleConfig:
    return BundleConfig.from_data({**DATA, **changes})


def body(card: str) -> str:
    return card.split("\n---\n", 1)[1]


def structure(markdown: str) -> tuple[list[str], list[str]]:
    """Kinds of the nodes in order, and where links lead, as GitHub's and the Hub's dialect has it."""
    parser = MarkdownIt("gfm-like" if _has_linkify() else "commonmark", {"html": True}).enable("table")
    kinds, links = [], []
    for token in parser.parse(markdown):
        for node in [token, *(token.children or [])]:
            kind = node.type.removesuffix("_open").removesuffix("_close")
            kinds.append(kind)
            if node.type == "link_open":
                links.append(str(node.attrs["href"]))
    return kinds, links


def _has_linkify() -> bool:
    try:
        import linkify_it  # noqa: F401
    except ImportError:
        return False
    return True


def test_front_matter_is_what_the_hub_reads() -> None:
    card = model_card(config(tags=["glyphs", "snt-zoo"]))
    data = ModelCard(card).data.to_dict()
    assert data == {
        "library_name": "snt-zoo",
        "pipeline_tag": "image-classification",
        "license": "apache-2.0",
        "tags": ["snt-zoo", "supernet", "nas_bench_201", "glyphs"],
    }


def test_datasets_are_named_only_where_the_hub_has_them() -> None:
    training = dict(DATA["training"])
    training["datasets"] = [
        source("beans", source="hf:AI-Lab-Makerere/beans"),
        source("digits"),
        source("odd", source="hf:a/b/c\u2003d"),
    ]
    data = yaml.safe_load(model_card(config(training=training)).split("---")[1])
    assert data["datasets"] == ["AI-Lab-Makerere/beans"]


def test_another_licence_is_other() -> None:
    data = yaml.safe_load(model_card(config(licence="My Own: Licence\n# 1")).split("---")[1])
    assert (data["license"], data["license_name"]) == ("other", "my-own-licence-1")


def test_the_facts_stand_in_the_card() -> None:
    made = config(metrics={"val_accuracy": 0.9123, "test_accuracy": None})
    card = model_card(made)
    for fact in (
        "91.23 %",
        "not measured",
        f"{made.params:,}",
        f"{made.macs:,}",
        "CC0-1.0",
        "snt-zoo show shapes",
    ):
        assert fact in card
    assert card == model_card(made)


def test_no_text_of_a_user_becomes_markup() -> None:
    training = dict(DATA["training"])
    harmless = training | {"datasets": [source(attribution="x")]}
    plain_kinds = structure(body(model_card(config(description="x", training=harmless))))
    for text in HOSTILE:
        line = text.replace("\n", " ")
        hostile = config(
            description=text,
            licence=text,
            class_names=[line, line, line],
            training=training
            | {
                "datasets": [source(line, source=line, licence=line, attribution=line)],
                "recipe": training["recipe"] | {"schedule": line},
                "code_version": line,
            },
        )
        card = model_card(hostile)
        assert yaml.safe_load(card.split("\n---\n")[0])["library_name"] == "snt-zoo"
        kinds, links = structure(body(card))
        # Line for line the same structure as with harmless texts, but for where plain text lies.
        assert set(kinds) <= ALLOWED, text
        assert [k for k in kinds if k != "text"] == [k for k in plain_kinds[0] if k != "text"], text
        assert links == plain_kinds[1], text


def test_text_is_shown_as_it_was() -> None:
    for text in HOSTILE:
        rendered = MarkdownIt("commonmark").render(plain(text))
        shown = rendered.removeprefix("<p>").removesuffix("</p>\n")
        assert html.unescape(shown) == " ".join(text.split())


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.lists(st.text(max_size=12), min_size=3, max_size=3))
def test_any_text_leaves_card_and_front_matter_whole(description: str, names: list[str]) -> None:
    try:
        made = config(description=description, class_names=names, licence=description)
    except ConfigError:
        return  # control characters
    card = model_card(made)
    head, _, rest = card.partition("\n---\n")
    assert set(yaml.safe_load(head)) <= {
        "library_name", "pipeline_tag", "license", "license_name", "tags",
    }  # fmt: skip
    kinds, _ = structure(rest)
    assert set(kinds) <= ALLOWED


def test_the_card_tells_the_accuracy_on_each_source(tmp_path: Path) -> None:
    card = (generalist(tmp_path / "bundle") / "README.md").read_text("utf-8")
    assert "| validation accuracy | test accuracy |" in card
    assert "| d1 | " in card and "60.00 % | 40.00 % |" in card


def test_the_card_names_whom_a_licence_asks_to_name() -> None:
    """Each text once, with all the datasets that it speaks of; a config without any is as it always was."""
    rows = [
        source("leaves", attribution="Leaf set, Ann Other, CC BY 4.0; resized"),
        source("signs"),
        source("more leaves", attribution="Leaf set, Ann Other, CC BY 4.0; resized"),
    ]
    made = config(training=DATA["training"] | {"datasets": rows})
    line = "Attribution for leaves, more leaves: Leaf set, Ann Other, CC BY 4.0; resized"
    assert model_card(made).count(line) == 1
    assert made.source_credits["leaves"] == "CC0-1.0; Leaf set, Ann Other, CC BY 4.0; resized"
    assert made.source_credits["signs"] == "CC0-1.0"
    assert BundleConfig.from_bytes(made.to_bytes()) == made
    assert b"attribution" not in config().to_bytes() and "Attribution" not in model_card(config())
