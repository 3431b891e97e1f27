"""The card: what the Hub reads of it, and whose it is."""

from __future__ import annotations

from pathlib import Path

import yaml
from huggingface_hub import ModelCard

from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import REPO
from tests.registry.hub.state import Hub
from tests.registry.making import make_bundle, source


def test_a_card_of_ones_own_is_kept(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    own = b"# Mine\n"
    hub.seed(REPO, {"README.md": own, ".gitattributes": b""})
    done = zoo().push(good, REPO)
    assert done.card == "kept" and "README.md" not in done.files
    assert hub.files(REPO)["README.md"] == own
    assert any("snt-zoo sync" in note for note in done.notes)  # it would not be found
    assert zoo(machine="there").pull(REPO).added  # and is nevertheless whole

    edited = hub.files("alice/shapes") | {"README.md": b"---\ntags: [snt-zoo]\n---\n# Mine\n"}
    hub.seed(REPO, edited)
    assert zoo().push(make_bundle(tmp_path / "b", seed=3), REPO).notes == ()


def test_an_edited_card_is_kept(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    zoo().push(good, REPO)
    edited = hub.files(REPO)["README.md"].replace(b"Circles", b"Discs")
    hub.seed(REPO, hub.files(REPO) | {"README.md": edited})
    done = zoo().push(make_bundle(tmp_path / "b", seed=3), REPO)
    assert done.changed and done.card == "kept" and hub.files(REPO)["README.md"] == edited


def test_the_metadata_of_the_hub(hub: Hub, zoo: Zoos, tmp_path: Path) -> None:
    bundle = make_bundle(
        tmp_path / "b",
        metrics={"val_accuracy": 0.75, "test_accuracy": 0.5},
        training={
            "datasets": [source(source="hf:someone/shapes:small")],
            "epochs": 2,
            "seconds": 1.5,
            "seed": 0,
            "code_version": "0.1.0",
            "torch_version": "2.14.1",
            "date": "2026-11-01T12:00:00Z",
            "recipe": {},
            "parent": None,
        },
    )
    zoo().push(bundle, REPO)
    files = hub.files(REPO)
    card = ModelCard(files["README.md"].decode())  # the client's own reader
    assert card.data.library_name == "snt-zoo" and card.data.pipeline_tag == "image-classification"
    assert card.data.license == "apache-2.0"
    assert {"snt-zoo", "supernet", "nas_bench_201", "tiny"} <= set(card.data.tags)
    found = {(r.dataset_type, r.dataset_split, r.metric_type, r.metric_value) for r in card.data.eval_results}
    assert found == {
        ("someone/shapes", "validation", "accuracy", 0.75),
        ("someone/shapes", "test", "accuracy", 0.5),
    }
    (entry,) = yaml.safe_load(files[".eval_results/snt-zoo.yaml"])
    assert entry["dataset"] == {"id": "someone/shapes", "task_id": "small"} and entry["value"] == 0.5
    assert f"snt-zoo pull {REPO}" in card.text
    # The next one has no such dataset: what the last push wrote goes with it.
    done = zoo().push(make_bundle(tmp_path / "c", seed=3), REPO)
    assert done.files[".eval_results/snt-zoo.yaml"] == "deleted"
    assert ".eval_results/snt-zoo.yaml" not in hub.files(REPO)
