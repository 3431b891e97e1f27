from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount
from starlette.testclient import TestClient

from snt_zoo.errors import ServiceError
from snt_zoo.service.app import create_app
from snt_zoo.service.gate import Gate
from snt_zoo.service.guards import Rule, allow, check_routes, rule_of
from snt_zoo.service.metrics import Metrics
from snt_zoo.service.settings import Settings
from snt_zoo.service.tokens import COVERS, Role
from snt_zoo.zoo import Zoo
from tests.service.making import BY_ROLE, GUARDED, shown


def routes(zoo: Zoo) -> list[BaseRoute]:
    found = list(create_app(zoo, GUARDED).routes)
    assert len(found) > 10
    return found


def test_every_route_says_who_may_use_it(zoo: Zoo) -> None:
    for route in routes(zoo):
        rule = rule_of(route)
        assert rule is not None, route
        methods = route.methods  # type: ignore[attr-defined]  # every route has some
        assert (rule.scope == "write") or methods <= {"GET", "HEAD"} or "/query" in route.path, route  # type: ignore[attr-defined]


def test_an_application_with_a_route_without_a_rule_is_refused(zoo: Zoo) -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_api_route("/fine", allow("read")(lambda: "fine"))
    check_routes(app.routes)
    app.add_api_route("/forgotten", lambda: "secret")
    with pytest.raises(ServiceError, match="'/forgotten' says not who may use it"):
        check_routes(app.routes)
    with pytest.raises(ServiceError, match="/static"):
        check_routes([Mount("/static", app)])
    # Were it there all the same, nobody could use it.
    metrics = Metrics(supernets=lambda: 0, busy=lambda: 0)
    gate = Gate(app, router=app.router, settings=Settings(), metrics=metrics)
    with TestClient(gate, base_url="http://localhost") as client:
        assert client.get("/forgotten").status_code == 403
        assert client.get("/fine").json() == "fine"


@pytest.mark.parametrize("role", [*COVERS, None])
def test_a_token_opens_the_routes_of_its_role_and_no_others(
    guarded: TestClient, zoo: Zoo, role: Role | None
) -> None:
    headers = {} if role is None else shown(BY_ROLE[role])
    for route in routes(zoo):
        rule, path = rule_of(route), route.path  # type: ignore[attr-defined]
        assert rule is not None
        for part in ("id", "name", "alias", "file"):
            path = path.replace(f"{{{part}}}", "letters")
        for method in route.methods:  # type: ignore[attr-defined]
            status = guarded.request(method, path, headers=headers).status_code
            if rule.scope == "open" or (role is not None and rule.scope in COVERS[role]):
                assert status not in (401, 403), (role, method, path)
            else:
                assert status == (401 if role is None else 403), (role, method, path)


def test_a_rule_stands_on_the_function_of_its_route() -> None:
    @allow("write", body=7, seconds=3.0)
    async def change(request: Request) -> None: ...

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_api_route("/change", change, methods=["POST"])
    assert rule_of(app.routes[0]) == Rule("write", 7, 3.0)
