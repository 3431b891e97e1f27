from __future__ import annotations

import inspect
import json
import tempfile
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from snt_zoo import errors
from snt_zoo.service.api.failing import FAILURES
from snt_zoo.service.failures import STATUS, of_error, of_http, without_paths
from tests.service.making import READ, shown


def test_every_error_of_the_package_has_a_status_that_the_document_names() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    found = {kind for kind in kinds if issubclass(kind, errors.SntZooError)}
    for kind in found:
        answer = of_error(kind("what is wrong"), Path("/zoo"))
        assert answer.status_code in FAILURES
        body = json.loads(bytes(answer.body))
        assert body == {"error": {"kind": kind.__name__, "message": "what is wrong"}}
    assert {status for _, status in STATUS} <= set(FAILURES)


def test_a_client_learns_no_path_of_this_machine() -> None:
    home = Path("/home/alice/zoo")
    text = f"{home}/bundles/x-1 and {home} and {tempfile.gettempdir()}/upload/7.png"
    assert without_paths(text, home) == "bundles/x-1 and the registry and upload/7.png"


def test_what_is_busy_says_when_to_come_again() -> None:
    assert of_error(errors.BusyError("full"), Path("/zoo")).headers["retry-after"] == "1"
    assert of_http(HTTPException(404)).status_code == 404


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/supernets", 401, "show a token that may read"),
        ("/nowhere", 404, "Not Found"),
        ("/v1/supernets?limit=0", 422, "limit"),
    ],
)
def test_a_browser_without_scripts_is_refused_by_a_page(
    guarded: TestClient, address: str, status: int, said: str
) -> None:
    headers = {} if status == 401 else shown(READ)
    page = guarded.get(address, headers={**headers, "Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.status_code == status and page.headers["content-type"].startswith("text/html")
    assert said in page.text and "<h1>" in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    scripted = {**headers, "Accept": "text/html, */*", "HX-Request": "true"}
    assert said in guarded.get(address, headers=scripted).json()["error"]["message"]
    plain = guarded.get(address, headers=headers)
    assert plain.status_code == status and said in plain.json()["error"]["message"]
    assert page.headers.get("www-authenticate") == plain.headers.get("www-authenticate")
