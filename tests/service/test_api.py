"""Every route of the OpenAPI document is called with what it says it takes, and with what it does not.

`SNT_ZOO_API_EXAMPLES=240 python -m pytest tests/service/test_api.py` makes some 5,000 calls.
"""

from __future__ import annotations

import os
from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from snt_zoo.registry import Registry
from snt_zoo.service.app import create_app
from snt_zoo.zoo import Zoo
from tests.registry.making import copy_home
from tests.service.making import GUARDED, METRICS, READ, WRITE, shown

_ASKED = os.environ.get("SNT_ZOO_API_EXAMPLES")
EXAMPLES = int(_ASKED or "4")
"""Calls of each route, and as many that it must refuse; the same in every run unless a number is given."""

CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
"""Not whether what is wrong is refused: in a query a list of one text and that text are the same."""


def called(operation: schemathesis.schemas.APIOperation, mode: GenerationMode) -> int:
    """Call a route, as its document says or otherwise, and hold the answers to the document; how often."""
    headers = {"Host": "localhost", **shown(METRICS if operation.path == "/metrics" else WRITE)}
    checks = CHECKS.get_by_names(list(CHECKED))
    calls = 0

    @settings(
        max_examples=EXAMPLES,
        derandomize=_ASKED is None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: schemathesis.Case) -> None:
        nonlocal calls
        calls += 1
        case.call_and_validate(headers=headers, checks=checks)

    try:
        call()
    except Unsatisfiable:  # there is nothing that such a route could refuse
        assert mode is GenerationMode.NEGATIVE
    return calls


def test_no_call_breaks_the_service_or_its_document(_served_home: Path, tmp_path: Path) -> None:
    app = create_app(Zoo(Registry.open(copy_home(_served_home, tmp_path / "home"))), GUARDED)
    load_all_checks()
    document = schemathesis.openapi.from_asgi(
        "/v1/openapi.json", app, headers={"Host": "localhost", **shown(READ)}
    )
    calls = [
        called(result.ok(), mode)
        for result in document.get_all_operations()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]
    assert len(calls) > 20 and sum(calls) > 20
    print(f"{sum(calls):,} calls")  # noqa: T201  (shown by `pytest -s`)
    assert Registry.open(tmp_path / "home").verify().ok
