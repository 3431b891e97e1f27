"""The model card: `README.md` of a bundle, with the metadata that the Hugging Face Hub reads.

Texts in a config are anybody's. In the front matter they stand as JSON strings, which YAML reads as
they are; in the text every sign that could start Markdown or HTML is written as a character
reference, which cannot stand for structure (CommonMark 0.31, section 2.5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from snt_zoo.registry.bundle.schema import BundleConfig, Source

_MARKUP = re.compile(r"[&<>`*_\[\]#|~$@\\!{}]")
_AUTOLINK = re.compile(r"://|\bwww\.", re.IGNORECASE)
_BLOCK_START = re.compile(r"^(?:[-+=:]|\d+[.)](?=\s|$))")
_SHOWN_CLASSES = 50
# Of the licences that the Hub knows, those that datasets and networks commonly have.
_HUB_LICENCES = {
    "apache-2.0",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc0-1.0",
    "gpl-3.0",
    "mit",
    "mpl-2.0",
    "odbl",
    "unlicense",
}


def model_card(config: BundleConfig, *, repo: str | None = None, metadata: Sequence[str] = ()) -> str:
    """The card of a bundle.

    Args:
        config: of the bundle.
        repo: where it stands on the Hub, if the card is written for there.
        metadata: further lines of the front matter.

    Returns:
        Markdown with YAML front matter; the same text for equal configs.
    """
    return "\n".join(
        [
            "---",
            *_front_matter(config),
            *metadata,
            "---",
            "",
            f"# `{config.name}`",
            "",
            "A pretrained supernet of `snt-zoo`: weights and "
            "architecture parameters, to be finetuned together on your own images.",
            "",
            *([plain(config.description), ""] if config.description.strip() else []),
            *_facts(config),
            "## Trained on",
            "",
            *_sources(config.training.datasets),
            f"{len(config.class_names)} classes: {_class_names(config)}.",
            "",
            "## Use",
            "",
            *_use(config, repo),
            "## Training",
            "",
            *_training(config),
        ]
    )


def plain(text: str) -> str:
    """A text as one line of Markdown that shows it and does nothing else."""
    line = " ".join(text.split())
    line = _MARKUP.sub(_reference, line)
    line = _AUTOLINK.sub(lambda found: found[0][:-1] + f"&#{ord(found[0][-1])};", line)
    return _BLOCK_START.sub(lambda found: found[0][:-1] + f"&#{ord(found[0][-1])};", line)


def _reference(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"


def _front_matter(config: BundleConfig) -> list[str]:
    licence = config.licence.strip().lower()
    lines = ["library_name: snt-zoo", "pipeline_tag: image-classification"]
    if licence in _HUB_LICENCES:
        lines.append(f"license: {licence}")
    else:
        slug = re.sub(r"[^a-z0-9.]+", "-", licence)[:64].strip("-.") or "other"
        lines += ["license: other", f"license_name: {quoted(slug)}"]
    tags = dict.fromkeys(["snt-zoo", "supernet", config.network.space, *config.tags])
    lines += ["tags:", *(f"- {quoted(tag)}" for tag in tags)]
    on_hub = [s.source.removeprefix("hf:") for s in config.training.datasets if _is_on_hub(s)]
    if on_hub:
        lines += ["datasets:", *(f"- {quoted(name)}" for name in dict.fromkeys(on_hub))]
    return lines


def _is_on_hub(source: Source) -> bool:
    return re.fullmatch(r"hf:[\w.-]+(/[\w.-]+)?", source.source, re.ASCII) is not None


def quoted(text: str) -> str:
    """A text as YAML reads it back, whatever is in it."""
    return json.dumps(text, ensure_ascii=False)


def _facts(config: BundleConfig) -> list[str]:
    network = config.network
    shape = ", ".join(f"{key} {value}" for key, value in sorted(network.hyperparameters.items()))
    further = config.metrics.model_extra or {}
    # Of the supernet with what it was trained to be: paths drawn from its alphas, or all operations mixed.
    whole = [
        (f"{name} accuracy of the supernet", percent(further[key]))
        for name, key in (("Validation", "supernet_val_accuracy"), ("Test", "supernet_test_accuracy"))
        if key in further
    ]
    of_derived = " of the derived network" if whole else ""
    rows = [
        ("Search space", f"`{network.space}` ({shape})"),
        ("Input", f"{network.input_size} × {network.input_size} pixels, RGB"),
        (f"Validation accuracy{of_derived}", percent(config.metrics.val_accuracy)),
        (f"Test accuracy{of_derived}", percent(config.metrics.test_accuracy)),
        *whole,
        ("Parameters of the derived network", f"{config.params:,}"),
        ("MACs of the derived network", f"{config.macs:,}"),
        ("Parameters of the supernet", f"{config.supernet_params:,}"),
        ("Licence", plain(config.licence)),
    ]
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), ""]


def percent(value: float | None) -> str:
    """A share from 0 to 1, or that it was not measured."""
    return "not measured" if value is None else f"{100 * value:.2f} %"


def _sources(sources: tuple[Source, ...]) -> list[str]:
    rows = [
        f"| {plain(s.name)} | {plain(s.source)} | {plain(s.licence)} | {s.classes} | {s.train_images:,} |"
        for s in sources
    ]
    head, rule = "| dataset | source | licence | classes | training images |", "|---|---|---|---|---|"
    if any(s.test_accuracy is not None for s in sources):
        head, rule = f"{head} validation accuracy | test accuracy |", f"{rule}---|---|"
        rows = [
            f"{row} {percent(s.val_accuracy)} | {percent(s.test_accuracy)} |"
            for row, s in zip(rows, sources, strict=True)
        ]
    return [head, rule, *rows, "", *_attributions(sources)]


def _attributions(sources: tuple[Source, ...]) -> list[str]:
    """A line for each text that a licence asks for, with the datasets that it speaks of."""
    named: dict[str, list[str]] = {}
    for source in sources:
        if source.attribution:
            named.setdefault(source.attribution, []).append(source.name)
    return [
        line
        for text, names in named.items()
        for line in (f"Attribution for {plain(', '.join(names))}: {plain(text)}", "")
    ]


def _class_names(config: BundleConfig) -> str:
    shown = [plain(name) for name in config.class_names[:_SHOWN_CLASSES]]
    hidden = len(config.class_names) - len(shown)
    return ", ".join(shown) + (f" and {hidden:,} more" if hidden else "")


def _use(config: BundleConfig, repo: str | None) -> list[str]:
    if repo is not None:
        return [
            "```",
            f"snt-zoo pull {repo}",
            f"snt-zoo finetune YOUR_IMAGES --from {repo}",
            "```",
            "",
            "```python",
            "import snt_zoo",
            "",
            "zoo = snt_zoo.Zoo.open()",
            f'zoo.finetune("{repo}", snt_zoo.open_dataset("YOUR_IMAGES"))',
            "```",
            "",
            "No code of this repository is run, and no pickle is read. `card.md` is the bundle's own card.",
            "",
        ]
    return [
        "```",
        "snt-zoo add FOLDER",
        f"snt-zoo show {config.name}",
        f"snt-zoo finetune YOUR_IMAGES --from {config.name}",
        "```",
        "",
        "```python",
        "from snt_zoo.registry import read_bundle",
        "",
        'bundle = read_bundle("FOLDER")',
        "bundle.supernet  # a torch.nn.Module",
        "```",
        "",
        "No code of this bundle is run, and no pickle is read.",
        "",
    ]


def _training(config: BundleConfig) -> list[str]:
    training = config.training
    rows = [
        ("Epochs", f"{training.epochs:,}"),
        ("Seconds", f"{training.seconds:,.0f}"),
        ("Seed", str(training.seed)),
        ("Started from", "scratch" if training.parent is None else plain(training.parent)),
        ("Date", plain(training.date)),
        ("snt-zoo", plain(training.code_version)),
        ("torch", plain(training.torch_version)),
        *((f"`{key}`", plain(str(value))) for key, value in sorted(training.recipe.items())),
    ]
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows), ""]
