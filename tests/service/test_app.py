from __future__ import annotations

import subprocess
import sys

from starlette.testclient import TestClient

from snt_zoo.service.app import create_app
from snt_zoo.service.settings import Settings
from snt_zoo.zoo import Zoo


def test_it_is_healthy_and_ready_until_it_ends(zoo: Zoo) -> None:
    app = create_app(zoo, Settings(threads=1))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/health").json()["status"] == "ok"
        assert client.get("/ready").status_code == 200
        app.state.closing = True
        assert client.get("/ready").json()["status"] == "closing"
        app.state.closing = False
        (zoo.registry.home / "catalog.sqlite").write_bytes(b"no database" * 1000)
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200


def test_the_document_names_every_route_and_what_it_may_answer(client: TestClient) -> None:
    document = client.get("/v1/openapi.json").json()
    assert {"/v1/supernets", "/v1/query", "/v1/query/images", "/v1/distance", "/metrics"} <= set(
        document["paths"]
    )
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert {"401", "403", "422", "429", "503"} <= set(operation["responses"]), (path, method)
            assert operation["description"], (path, method)


def test_figures_are_told(client: TestClient) -> None:
    client.get("/v1/supernets")
    text = client.get("/metrics").text
    assert 'snt_zoo_requests_total{method="GET",route="/v1/supernets",status="200"} 1.0' in text
    assert "snt_zoo_supernets 3.0" in text


def test_nothing_else_imports_the_service() -> None:
    code = (
        "import sys, snt_zoo, snt_zoo.zoo, snt_zoo.cli.main; "
        "print({'fastapi', 'uvicorn', 'snt_zoo.service', 'prometheus_client'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
