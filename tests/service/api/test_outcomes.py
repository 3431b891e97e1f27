from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from snt_zoo.registry.own_outcomes import FILE, SWITCH
from snt_zoo.registry.predicting import moved_at
from snt_zoo.zoo import Zoo
from tests.service.making import READ, WRITE, shown

HEAD = {
    "target": "birds",
    "fingerprint": "0123456789abcdef",
    "classes": 4,
    "images": 200,
    "method": "head",
    "budget": 0,
    "val": 0.8,
    "val_images": 50,
    "expected": 0.6,
}


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "1")


def test_what_was_measured_is_kept_read_and_learned_from(guarded: TestClient, zoo: Zoo) -> None:
    assert guarded.get("/v1/supernets/leaves/outcomes", headers=shown(READ)).json() == {"outcomes": []}
    assert moved_at(zoo.registry.home) == {}
    tuned = {**HEAD, "method": "finetune", "budget": 60, "test": 0.9, "test_images": 40}
    sent = {"outcomes": [HEAD, tuned]}
    answer = guarded.post("/v1/supernets/leaves/outcomes", json=sent, headers=shown(WRITE))
    assert answer.status_code == 201
    found = guarded.get("/v1/supernets/leaves/outcomes", headers=shown(READ)).json()["outcomes"]
    assert found == answer.json()["outcomes"]
    record = zoo.show("leaves")
    assert [(one["bundle"], one["method"], one["test"]) for one in found] == [
        (record.id, "head", None),
        (record.id, "finetune", 0.9),
    ]
    again = guarded.post("/v1/supernets/leaves/outcomes", json=sent, headers=shown(WRITE))
    assert again.status_code == 201 and again.json() == answer.json()  # a client whose answer was lost
    assert guarded.get("/v1/supernets/shapes/outcomes", headers=shown(READ)).json() == {"outcomes": []}
    assert list(moved_at(zoo.registry.home)) == [record.digest[:16]]
    page = guarded.get("/supernets/leaves", headers=shown(READ)).text
    assert "What it came to" in page and "birds" in page and "1 min" in page
    assert "tried 2 times" in guarded.get("/supernets", headers=shown(READ)).text


@pytest.mark.parametrize(
    "change",
    [
        {"val": None},
        {"val": 1.5},
        {"val": None, "val_images": 0},
        {"test": 0.5},
        {"target": "a\nb"},
        {"method": "guess"},
        {"fingerprint": "../../etc"},
        {"digest": "0" * 16},
    ],
)
def test_what_is_no_outcome_is_refused(guarded: TestClient, zoo: Zoo, change: dict[str, Any]) -> None:
    sent = {"outcomes": [{**HEAD, **change}]}
    answer = guarded.post("/v1/supernets/leaves/outcomes", json=sent, headers=shown(WRITE))
    assert answer.status_code == 422
    assert not (zoo.registry.home / FILE).exists()


def test_who_may_not_write_adds_none_and_switched_off_nobody(
    guarded: TestClient, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, sent = "/v1/supernets/leaves/outcomes", {"outcomes": [HEAD]}
    assert guarded.post(address, json=sent, headers=shown(READ)).status_code == 403
    assert guarded.post("/v1/supernets/nobody/outcomes", json=sent, headers=shown(WRITE)).status_code == 404
    monkeypatch.setenv(SWITCH, "0")
    refused = guarded.post(address, json=sent, headers=shown(WRITE))
    assert refused.status_code == 422 and SWITCH in refused.json()["error"]["message"]
    assert not (zoo.registry.home / FILE).exists()
