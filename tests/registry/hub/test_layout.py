"""Which files a repository may hold."""

from __future__ import annotations

from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import CARD, MODEL, REPO, Files
from tests.registry.hub.state import Hub


def test_harmless_bystanders_are_left_alone(hub: Hub, zoo: Zoos, uploaded: Files) -> None:
    beside = {".gitattributes": b"", "LICENSE": b"", "sample.png": b"", ".eval_results/x.yaml": b"- 1"}
    hub.seed(REPO, uploaded | beside)
    assert zoo().pull(REPO).added
    assert set(hub.sent) == {"manifest.json", "config.json", "dataset.safetensors", MODEL, "card.md"}


def test_derived_models_are_no_supernets(stocked: Hub, zoo: Zoos) -> None:
    names = ("config.json", "model.safetensors", "genotype.json", "manifest.json")
    stocked.seed("bob/model", dict.fromkeys(names, b"{}") | {"README.md": CARD})
    report = zoo().sync()
    assert report.supernets == 4 and report.repositories == 5 and report.refused == ()
