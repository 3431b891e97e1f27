from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from benchmarks.limits import files_of_at_most, read_only
from snt_zoo.errors import ReadOnlyRegistryError
from snt_zoo.registry.bundle.folder import FILE_LIMITS
from snt_zoo.registry.bundle.sketch_file import dump_sketches
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.service.answering import ask
from snt_zoo.service.api.changing import _add
from snt_zoo.service.failures import of_error
from snt_zoo.zoo import Zoo
from tests.registry.making import make_bundle, remanifest, sketch
from tests.service.making import WRITE, shown

HEADERS = shown(WRITE)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "fresh", seed=9, name="fresh")


def form(folder: Path) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]


def test_a_bundle_that_was_acknowledged_is_in_the_registry(
    guarded: TestClient, zoo: Zoo, bundle: Path
) -> None:
    answer = guarded.post("/v1/supernets?tag=seen&alias=best", files=form(bundle), headers=HEADERS)
    assert answer.status_code == 201
    record = zoo.show("fresh@best")
    assert answer.json()["id"] == record.id and "seen" in record.tags
    assert zoo.registry.verify().ok
    again = guarded.post("/v1/supernets", files=form(bundle), headers=HEADERS)
    assert (again.status_code, again.json()["error"]["kind"]) == (409, "AlreadyInRegistryError")


def spoil(folder: Path, what: str) -> None:
    if what == "weights":
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-4] + b"\xff\xff\xff\x7f")
        remanifest(folder)
    elif what == "config":
        config = json.loads((folder / "config.json").read_bytes())
        (folder / "config.json").write_text(json.dumps(config | {"params": 1}))
        remanifest(folder)
    elif what == "hash":
        (folder / "README.md").write_text("changed")
    elif what == "pickle":
        (folder / "README.md").rename(folder / "weights.pkl")


@pytest.mark.parametrize("what", ["weights", "config", "hash", "pickle"])
def test_a_bundle_that_is_not_whole_is_refused_and_nothing_of_it_stays(
    guarded: TestClient, zoo: Zoo, bundle: Path, what: str
) -> None:
    spoil(bundle, what)
    answer = guarded.post("/v1/supernets", files=form(bundle), headers=HEADERS)
    assert answer.status_code == 422
    assert "/tmp" not in answer.text
    assert zoo.registry.count() == 3 and zoo.registry.verify().ok
    assert not list((zoo.registry.home / "incoming").iterdir())


@pytest.mark.parametrize(
    "sent", [{}, {"files": [("other", ("config.json", b"{}"))]}, {"content": b"x"}, {"json": {"files": []}}]
)
def test_what_is_no_form_of_five_files_is_refused(guarded: TestClient, sent: dict[str, Any]) -> None:
    assert guarded.post("/v1/supernets", headers=HEADERS, **sent).status_code in (400, 422)


def test_many_files_are_not_taken(guarded: TestClient) -> None:
    many = [("files", (f"{i}", b"x")) for i in range(len(FILE_LIMITS) + 1)]
    answer = guarded.post("/v1/supernets", headers=HEADERS, files=many)
    assert answer.status_code == 400


def test_a_label_that_is_none_is_refused_before_the_bundle_is_added(
    guarded: TestClient, zoo: Zoo, bundle: Path
) -> None:
    for query in ("tag=two words", "alias=0123"):
        answer = guarded.post(f"/v1/supernets?{query}", files=form(bundle), headers=HEADERS)
        assert (answer.status_code, answer.json()["error"]["kind"]) == (422, "AliasError")
    assert zoo.registry.count() == 3


def test_tags_are_given_and_taken(guarded: TestClient, zoo: Zoo) -> None:
    path = "/v1/supernets/letters@latest/tags"
    assert "seen" in guarded.post(path, json={"add": ["seen"]}, headers=HEADERS).json()["tags"]
    assert "seen" not in guarded.post(path, json={"remove": ["seen"]}, headers=HEADERS).json()["tags"]
    for wrong in ({"add": ["two words"]}, {"set": []}, {"add": "seen"}, []):
        assert guarded.post(path, json=wrong, headers=HEADERS).status_code == 422


def test_an_alias_is_moved_and_dropped_and_the_trail_says_by_whom(guarded: TestClient, zoo: Zoo) -> None:
    id = zoo.show("letters").id
    path = "/v1/aliases/letters/best"
    moved = guarded.put(path, json={"id": "letters", "why": "0.9"}, headers=HEADERS)
    assert moved.json() == {"name": "letters", "alias": "best", "id": id, "digest": zoo.show(id).digest}
    assert guarded.put(path, json={"id": "leaves"}, headers=HEADERS).status_code == 422
    assert guarded.put("/v1/aliases/letters/0123", json={"id": id}, headers=HEADERS).status_code == 422
    assert guarded.delete(path, headers=HEADERS).status_code == 204
    assert guarded.delete(path, headers=HEADERS).status_code == 404
    trail = [move for move in zoo.registry.aliases.history("letters") if move.alias == "best"]
    assert [(move.by, move.why, move.digest is None) for move in trail] == [
        ("alice", "0.9", False),
        ("alice", "", True),
    ]


@pytest.mark.parametrize("room", [0, 4_096, 20_000])
def test_a_full_disk_is_told_and_reads_go_on(guarded: TestClient, zoo: Zoo, bundle: Path, room: int) -> None:
    sent = form(bundle)
    assert guarded.post("/v1/query", content=dump_sketches([sketch()]), headers=HEADERS).status_code == 200
    with files_of_at_most(room):
        answer = guarded.post("/v1/supernets", files=sent, headers=HEADERS)
        assert (answer.status_code, answer.json()["error"]["kind"]) == (507, "DiskFullError"), answer.text
        assert str(zoo.registry.home) not in answer.text
        assert guarded.get("/v1/supernets", headers=HEADERS).json()["total"] == 3
        asked = guarded.post("/v1/query", content=dump_sketches([sketch(seed=1)]), headers=HEADERS)
        assert len(asked.json()["matches"]) == 3
    assert zoo.registry.verify().ok
    assert guarded.post("/v1/supernets", files=sent, headers=HEADERS).status_code == 201


def test_a_registry_that_may_not_be_written_to_is_read(zoo: Zoo, bundle: Path) -> None:
    """In one thread, which alone gives up the rights of root."""
    files = [(path.name, path.open("rb")) for path in sorted(bundle.iterdir())]
    with read_only(zoo.registry.home):
        with pytest.raises(ReadOnlyRegistryError) as caught:
            _add(zoo.registry, files, (), ())
        assert of_error(caught.value, zoo.registry.home).status_code == 507
        assert len(ask(zoo, dump_sketches([sketch(seed=1)]), Filter(), k=3)["matches"]) == 3
    for _, file in files:
        file.close()
