"""Push: one commit or none, nothing mixed, nobody's card lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

import snt_zoo
from snt_zoo.data import ImageDataset
from snt_zoo.errors import (
    HubAccessError,
    HubConflictError,
    HubError,
    HubUnavailableError,
    IntegrityError,
    MissingFileError,
    NotInRegistryError,
)
from snt_zoo.networks.supernet import Supernet
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.search.budget import Budget
from tests.conftest import TINY
from tests.registry.making import make_bundle, source
from tests.search.runs import finetune

from .conftest import OTHER_TOKEN, Zoos
from .state import Hub

REPO = "alice/shapes"
BUNDLE = {"config.json", "model.safetensors", "dataset.safetensors", "manifest.json", "card.md"}


def commits(hub: Hub, repo: str = REPO) -> int:
    return len(hub.repos[repo].commits)


def test_a_push_is_one_commit_and_a_second_one_none(hub: Hub, zoo: Zoos, good: Path) -> None:
    done = zoo().push(good, REPO, tag="v1")
    assert done.changed and done.created and done.card == "written"
    assert set(done.files) == BUNDLE | {"README.md"} and set(done.files.values()) == {"added"}
    assert commits(hub) == 2  # the first is the Hub's own
    repo = hub.repos[REPO]
    assert repo.branches["main"] == repo.tags["v1"] == done.commit
    assert done.commit_url == f"{hub.url}/{REPO}/commit/{done.commit}"
    files = hub.files(REPO)
    for name in BUNDLE - {"card.md"}:
        assert files[name] == (good / name).read_bytes()
    assert files["card.md"] == (good / "README.md").read_bytes()

    sent = len([entry for entry in hub.log if entry[0] in ("POST", "PUT")])
    again = zoo().push(good, REPO, tag="v1")
    assert not again.changed and not again.created and again.commit == done.commit
    assert again.commit_url == done.commit_url and set(again.files.values()) == {"unchanged"}
    assert len([entry for entry in hub.log if entry[0] in ("POST", "PUT")]) == sent
    assert json.loads(json.dumps(again.to_json()))["changed"] is False


def test_only_what_changed_is_sent(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    zoo().push(good, REPO)
    other = make_bundle(tmp_path / "other", description="Other words.")
    done = zoo().push(other, REPO)
    assert done.files["model.safetensors"] == done.files["dataset.safetensors"] == "unchanged"
    assert done.files["config.json"] == done.files["manifest.json"] == "changed"
    # Nobody edited the card, so it follows.
    assert done.files["README.md"] == "changed" and b"Other words" in hub.files(REPO)["README.md"]


def test_a_conflicting_push_is_refused_and_nothing_is_mixed(
    hub: Hub, zoo: Zoos, good: Path, tmp_path: Path
) -> None:
    zoo().push(good, REPO)
    mine, theirs = (make_bundle(tmp_path / name, seed=seed, name=name) for seed, name in ((5, "a"), (6, "b")))
    hub.before_commit = lambda: zoo(machine="there").push(theirs, REPO)
    with pytest.raises(HubConflictError, match=r"somebody else changed it meanwhile.*push again"):
        zoo().push(mine, REPO, tag="v2")
    files = hub.files(REPO)
    assert {name: files[name] for name in BUNDLE - {"card.md"}} == {
        name: (theirs / name).read_bytes() for name in BUNDLE - {"card.md"}
    }
    assert hub.repos[REPO].tags == {} and commits(hub) == 3
    assert zoo().push(mine, REPO, tag="v2").changed  # after a look at it


def test_a_dry_run_sends_nothing(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    would = zoo().push(good, REPO, tag="v1", private=True, dry_run=True)
    assert would.changed and would.created and would.dry_run and would.commit is None
    assert hub.repos == {}
    zoo().push(good, REPO)
    would = zoo().push(make_bundle(tmp_path / "b", seed=3), REPO, revision="next", dry_run=True)
    assert would.files["model.safetensors"] == "changed" and would.commit is None
    assert commits(hub) == 2 and set(hub.repos[REPO].branches) == {"main"}


def test_a_tag_never_moves(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    first = zoo().push(good, REPO, tag="v1").commit
    with pytest.raises(HubConflictError, match="the tag v1 names the commit"):
        zoo().push(make_bundle(tmp_path / "b", seed=3), REPO, tag="v1")
    assert commits(hub) == 2 and hub.repos[REPO].tags == {"v1": first}


def test_a_branch_is_made(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    head = zoo().push(good, REPO, tag="v1").commit
    done = zoo().push(make_bundle(tmp_path / "b", seed=3), REPO, revision="next")
    assert hub.repos[REPO].branches == {"main": head, "next": done.commit}
    with pytest.raises(HubError, match="v1 is a tag"):
        zoo().push(good, REPO, revision="v1")


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


def test_a_derived_model_goes_and_comes_back_without_the_zoo(
    hub: Hub, zoo: Zoos, tmp_path: Path, few_digits: ImageDataset
) -> None:
    config = TINY["nas_bench_201"]
    net = Supernet.create(config, generator=torch.Generator().manual_seed(0))
    saved = finetune(few_digits, net, budget=Budget(epochs=1), device="cpu").save(
        tmp_path / "secret" / "model"
    )
    done = zoo().push(saved, "alice/digits")
    assert done.kind == "model" and "report.html" not in done.files
    assert not any(str(tmp_path).encode() in content for content in hub.files("alice/digits").values())

    pulled = zoo(machine="there").pull("alice/digits", out=tmp_path / "mine")
    assert pulled.kind == "model" and pulled.id is None and pulled.commit == done.commit
    assert {path.name for path in pulled.out.iterdir()} == {
        "config.json", "genotype.json", "manifest.json", "model.safetensors", "report.json",
    }  # fmt: skip
    for name in ("config.json", "genotype.json", "model.safetensors"):
        assert (pulled.out / name).read_bytes() == (saved / name).read_bytes()
    before, after = snt_zoo.load_model(saved), snt_zoo.load_model(pulled.out)
    x = few_digits.test.tensor(16)[:4].float() / 255
    assert torch.equal(before.model(x), after.model(x)) and after.class_names == few_digits.class_names
    assert not zoo().push(pulled.out, "alice/digits").changed
    with pytest.raises(snt_zoo.SntZooError, match="in use"):
        zoo(machine="there").pull("alice/digits", out=tmp_path / "mine")
    with pytest.raises(HubError, match="derived model, not a supernet"):
        zoo().finetune("alice/digits", few_digits, epochs=1)


def test_what_is_refused_before_anything_is_sent(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    with pytest.raises(NotInRegistryError):
        zoo().push("nobody", REPO)
    with pytest.raises(MissingFileError, match=r"holds no config\.json"):
        zoo().push(tmp_path, REPO)
    with pytest.raises(HubError, match="owner/name"):
        zoo().push(good, "../shapes")
    with pytest.raises(HubError, match="no branch, tag or commit"):
        zoo().push(good, REPO, tag="../v1")
    damaged = shutil.copytree(good, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"0" * 10)
    with pytest.raises(IntegrityError):
        zoo().push(damaged, REPO)
    assert hub.repos == {}
    # Somebody's other model is not overwritten, and what could not be pulled is not pushed.
    hub.seed(REPO, {"config.json": b"{}", "model.safetensors": b"1234"})
    with pytest.raises(HubError, match=r"holds config\.json, model\.safetensors that snt-zoo did not write"):
        zoo().push(good, REPO)
    hub.seed("alice/pickled", {"pytorch_model.bin": b"1234"})
    with pytest.raises(snt_zoo.SntZooError, match=r"pytorch_model\.bin"):
        zoo().push(good, "alice/pickled")
    with pytest.raises(HubError, match="there and public, so --private cannot be kept"):
        zoo().push(good, REPO, private=True)
    assert commits(hub) == 1


def test_who_may_push(hub: Hub, zoo: Zoos, good: Path, tmp_path: Path) -> None:
    with pytest.raises(HubAccessError, match="hf auth login"):
        zoo(None).push(good, REPO)
    with pytest.raises(HubAccessError, match="hf auth login"):
        zoo("hf_unknownunknownunknown").push(good, REPO)
    zoo().push(good, REPO)
    with pytest.raises(HubAccessError):
        zoo(OTHER_TOKEN).push(make_bundle(tmp_path / "b", seed=3), REPO)
    assert commits(hub) == 2
    away = snt_zoo.Zoo(zoo().registry, hub=HubClient(endpoint="http://127.0.0.1:9", token="hf_whatever123"))
    with pytest.raises(HubUnavailableError, match=r"cannot reach http://127\.0\.0\.1:9: check the network"):
        away.push(good, REPO)
