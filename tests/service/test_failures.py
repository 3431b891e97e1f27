from __future__ import annotations

import inspect
import json
import tempfile
from pathlib import Path

from starlette.exceptions import HTTPException

from snt_zoo import errors
from snt_zoo.service.api.failing import FAILURES
from snt_zoo.service.failures import STATUS, of_error, of_http, without_paths


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
