from __future__ import annotations

import base64
import hashlib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from snt_zoo.registry.bundle.folder import FILE_LIMITS
from snt_zoo.zoo import Zoo


def names(answer: dict[str, Any]) -> list[str]:
    return [each["name"] for each in answer["supernets"]]


def test_a_list_can_be_narrowed_and_sorted_and_says_how_many_there_are(client: TestClient) -> None:
    whole = client.get("/v1/supernets").json()
    assert names(whole) == ["leaves", "letters", "shapes"] and whole["total"] == 3 and whole["next"] is None
    some = client.get("/v1/supernets", params={"name": "le*", "sort": "-name"}).json()
    assert names(some) == ["letters", "leaves"] and some["total"] == 2
    none = client.get("/v1/supernets", params={"max_params": 1}).json()
    assert none == {"supernets": [], "total": 0, "next": None}
    out = client.get("/v1/supernets", params=[("exclude", "leaves"), ("exclude", "shapes")]).json()
    assert names(out) == ["letters"]


def test_pages_come_to_the_whole_list_whatever_is_added_meanwhile(client: TestClient, zoo: Zoo) -> None:
    first = client.get("/v1/supernets", params={"limit": 1}).json()
    assert (names(first), first["total"]) == (["leaves"], 3)
    zoo.remove("leaves")
    second = client.get("/v1/supernets", params={"limit": 1, "cursor": first["next"]}).json()
    assert (names(second), second["total"]) == (["letters"], 2)
    last = client.get("/v1/supernets", params={"limit": 1, "cursor": second["next"]}).json()
    assert (names(last), last["next"]) == (["shapes"], None)


def test_a_cursor_is_of_one_list(client: TestClient) -> None:
    cursor = client.get("/v1/supernets", params={"limit": 1}).json()["next"]
    for changed in ({"sort": "-name"}, {"tag": "x"}):
        answer = client.get("/v1/supernets", params={"cursor": cursor, **changed})
        assert (answer.status_code, answer.json()["error"]["kind"]) == (422, "RequestError")


@given(st.text(max_size=60))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_no_cursor_is_refused(client: TestClient, text: str) -> None:
    assert client.get("/v1/supernets", params={"cursor": text}).status_code == 422


def test_a_parameter_that_is_none_is_named_and_not_repeated(client: TestClient) -> None:
    answer = client.get("/v1/supernets", params={"max_params": "secret-thing"})
    assert answer.status_code == 422
    message = answer.json()["error"]["message"]
    assert "max_params" in message and "secret-thing" not in message
    assert client.get("/v1/supernets", params={"metric": "ece"}).status_code == 422


def test_a_supernet_is_shown_with_its_files_and_its_config_but_not_its_place(
    client: TestClient, zoo: Zoo
) -> None:
    shown = client.get("/v1/supernets/letters@latest").json()
    record = zoo.show("letters")
    assert shown["id"] == record.id and shown["config"]["name"] == "letters"
    assert set(shown["files"]) == set(FILE_LIMITS)
    assert "path" not in shown and str(zoo.registry.home) not in str(shown)
    missing = client.get("/v1/supernets/lettres")
    assert missing.status_code == 404
    assert missing.json()["error"]["kind"] == "NotInRegistryError"
    assert "letters" in missing.json()["error"]["message"]


def test_a_file_comes_whole_or_in_ranges_with_its_hash(client: TestClient, zoo: Zoo) -> None:
    record = zoo.show("letters")
    for name, entry in client.get("/v1/supernets/letters").json()["files"].items():
        answer = client.get(f"/v1/supernets/letters/files/{name}")
        content = (record.path / name).read_bytes()
        assert answer.content == content
        sha256 = hashlib.sha256(content).digest()
        assert entry == {"sha256": sha256.hex(), "size": len(content)}
        assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(sha256).decode()}:"
        assert answer.headers["etag"] == f'"{sha256.hex()}"'
        part = client.get(f"/v1/supernets/letters/files/{name}", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, content[10:20])
    beyond = client.get("/v1/supernets/letters/files/README.md", headers={"Range": "bytes=999999999-"})
    assert beyond.status_code == 416


def test_no_path_of_a_client_is_opened(client: TestClient) -> None:
    for path in (
        "/v1/supernets/letters/files/..%2f..%2f..%2fcatalog.sqlite",
        "/v1/supernets/..%2f..%2fetc/files/passwd",
        "/v1/supernets/letters/files/%2fetc%2fpasswd",
        "/v1/supernets/letters/files/catalog.sqlite",
        "/v1/supernets/..%2fletters/files/config.json",
        "/v1/supernets/file:%2f%2f%2fetc%2fpasswd",
    ):
        assert client.get(path).status_code in (404, 422), path


def test_a_link_in_the_store_is_not_followed(client: TestClient, zoo: Zoo) -> None:
    card = zoo.show("letters").path / "README.md"
    card.unlink()
    card.symlink_to("/etc/passwd")
    answer = client.get("/v1/supernets/letters/files/README.md")
    assert answer.status_code == 422 and "root:" not in answer.text


def test_aliases_and_their_trail(client: TestClient, zoo: Zoo) -> None:
    id = zoo.show("letters").id
    zoo.registry.aliases.move("best", id, why="0.9 on our own test", by="bob")
    answer = client.get("/v1/aliases", params={"name": "letters", "history": True}).json()
    assert {(one["alias"], one["id"]) for one in answer["aliases"]} == {("best", id), ("latest", id)}
    assert (answer["history"][-1]["by"], answer["history"][-1]["why"]) == ("bob", "0.9 on our own test")
    assert client.get("/v1/aliases").json()["history"] == []
