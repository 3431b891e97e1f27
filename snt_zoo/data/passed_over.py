"""What a reader passed over, and why: counted, so that nothing is dropped without a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from snt_zoo.data.class_names import one_line

Reason = Literal[
    "unreadable",
    "other_format",
    "loose",
    "beside_splits",
    "no_class",
    "mask",
    "link",
    "no_image",
    "system",
    "hidden",
]
PassedOver = Mapping[Reason, tuple[str, ...]]
"""For each reason the paths, relative to the dataset; that of a folder ends with a slash and stands for all
that is in it."""

MEANING: Mapping[Reason, str] = {
    "unreadable": "unreadable or too large",
    "other_format": "in a format that is not read (convert it; HEIC takes snt-zoo[heic])",
    "loose": "images in no class folder",
    "beside_splits": "images beside the folders of the splits",
    "no_class": "folders without images, which are no classes",
    "mask": "masks or thumbnails of other images",
    "link": "links that lead back or nowhere",
    "no_image": "no images",
    "system": "of systems and tools",
    "hidden": "hidden",
}
"""What people are told, the most important first."""

_EXAMPLES = 3  # of each reason


def account(passed_over: PassedOver, links_out: Sequence[str]) -> dict[str, Any]:
    """What was passed over, and which links lead out of the dataset, as plain data.

    Returns:
        ``{"passed_over": {"count", "reasons": {REASON: {"count", "examples"}}}, "links_out": {"count",
        "examples"}}``.
    """
    reasons = {reason: _counted(passed_over[reason]) for reason in MEANING if passed_over.get(reason)}
    total = sum(entry["count"] for entry in reasons.values())
    return {"passed_over": {"count": total, "reasons": reasons}, "links_out": _counted(links_out)}


def lines(told: Mapping[str, Any]) -> list[str]:
    """What `account` gives, for people: a line for what was passed over, and one for links."""
    passed, links, found = told["passed_over"], told["links_out"], []
    if passed["count"]:
        parts = (f"{MEANING[reason]}: {_named(entry)}" for reason, entry in passed["reasons"].items())
        what = "file or folder" if passed["count"] == 1 else "files and folders"
        found.append(f"passed over {passed['count']:,} {what}; {'; '.join(parts)}")
    if links["count"]:
        found.append(f"warning: links lead out of the dataset, and were followed: {_named(links)}")
    return found


def _counted(paths: Sequence[str]) -> dict[str, Any]:
    return {"count": len(paths), "examples": [one_line(path) for path in paths[:_EXAMPLES]]}


def _named(entry: Mapping[str, Any]) -> str:
    more = ", …" if entry["count"] > len(entry["examples"]) else ""
    return f"{entry['count']:,} ({', '.join(entry['examples'])}{more})"
