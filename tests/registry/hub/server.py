"""A small Hugging Face Hub over HTTP, in memory, for the real client.

What the client calls, as observed with huggingface_hub 2.4: repositories, commits, refs, LFS, downloads, the
listing with its pages. It cannot show the Xet data plane, rate limits, the CDN and the real card validation.
A `Hub` can be told to misbehave: see its fields.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from .state import GITATTRIBUTES, LFS_SUFFIXES, TEXT, Entry, Hub, Refused, Repo, front_matter, git_sha1


def card_problems(text: str) -> list[str]:
    """What the card check refuses: far less than the real one."""
    data = front_matter(text)
    problems = []
    if text.startswith("---") and not data:
        problems.append("the metadata are no YAML")
    if not all(isinstance(tag, str) for tag in data.get("tags") or ()):
        problems.append('"tags" must be texts')
    results = [result for entry in data.get("model-index") or () for result in entry["results"]]
    whole = [{"task", "dataset", "metrics"} <= {*r} and {"name", "type"} <= {*r["dataset"]} for r in results]
    return problems + ([] if all(whole) else ['"model-index" lacks a field'])


def asked_range(request: Request, size: int) -> tuple[int, int]:
    """The part of a content that a request wants: from, and up to but not including."""
    first, _, last = request.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")
    return int(first), min(size, int(last) + 1) if last else size


def application(hub: Hub) -> Starlette:
    """The routes."""

    async def whoami(request: Request) -> Response:
        name = hub.user(request)
        if name is None:
            raise Refused(401, "Invalid username or password.")
        return JSONResponse({"type": "user", "name": name, "orgs": [], "auth": {"type": "access_token"}})

    async def create(request: Request) -> Response:
        body = await request.json()
        user = hub.user(request)
        if user is None:
            raise Refused(401, "Invalid username or password.")
        id = f"{body.get('organization') or user}/{body['name']}"
        if not id.startswith(f"{user}/"):
            raise Refused(403, "you may not write there")
        url = {"url": f"{hub.url}/{id}", "name": id}
        with hub.guard:
            if id in hub.repos:
                return JSONResponse(url | {"error": "You already created this model repo"}, 409)
            repo = hub.repos[id] = Repo(
                id, body.get("visibility") == "private" or body.get("private") is True
            )
            repo.commit(
                "main", {".gitattributes": hub.store(".gitattributes", GITATTRIBUTES)}, "initial commit"
            )
        return JSONResponse(url)

    async def delete(request: Request) -> Response:
        body = await request.json()
        id = f"{body.get('organization') or hub.user(request)}/{body['name']}"
        if hub.user(request) != id.partition("/")[0] or hub.repos.pop(id, None) is None:
            raise Refused(404, "Repository not found", "RepoNotFound")
        return Response()

    async def validate(request: Request) -> Response:
        problems = card_problems((await request.json())["content"])
        errors = [{"message": problem} for problem in problems]
        return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)

    async def listing(request: Request) -> Response:
        user, query = hub.user(request), request.query_params
        wanted = set(query.getlist("filter"))
        found = []
        for id, repo in sorted(hub.repos.items()):
            if repo.private and user != id.partition("/")[0]:
                continue
            info = hub.info(repo, repo.branches["main"], blobs=False)
            if wanted <= set(info["tags"]) and query.get("author") in (None, id.partition("/")[0]):
                expand = query.getlist("expand")
                found.append({key: info.get(key) for key in ("_id", "id", *expand)} if expand else info)
        start, size = int(query.get("cursor", 0)), min(hub.page, int(query.get("limit", hub.page)))
        headers = {}
        if start + size < len(found):
            following = request.url.include_query_params(cursor=start + size)
            headers["Link"] = f'<{following}>; rel="next"'
        return JSONResponse(found[start : start + size], headers=headers)

    async def info(request: Request) -> Response:
        repo = hub.open(request)
        commit = hub.at(repo, request.path_params.get("rev", "main"))
        return JSONResponse(hub.info(repo, commit, blobs="blobs" in request.query_params))

    async def tree(request: Request) -> Response:
        repo = hub.open(request)
        commit = hub.at(repo, request.path_params["rev"])
        rows = [
            {"type": "file", "path": path, "size": entry.size, "oid": entry.oid}
            | (
                {}
                if entry.sha256 is None
                else {"lfs": {"oid": entry.sha256, "size": entry.size, "pointerSize": 130}}
            )
            for path, entry in sorted(repo.commits[commit].items())
        ]
        return JSONResponse(rows)

    async def refs(request: Request) -> Response:
        repo = hub.open(request)
        kinds = {"branches": ("heads", repo.branches), "tags": ("tags", repo.tags)}
        answer = {
            key: [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": c} for n, c in named.items()]
            for key, (kind, named) in kinds.items()
        }
        return JSONResponse(answer | {"converts": []})

    async def tag(request: Request) -> Response:
        repo = hub.open(request, write=True)
        commit, name = hub.at(repo, request.path_params["rev"]), (await request.json())["tag"]
        if name in repo.tags:
            raise Refused(409, "Tag already exists")
        repo.tags[name] = commit
        return Response()

    async def branch(request: Request) -> Response:
        repo = hub.open(request, write=True)
        name, body = request.path_params["rev"], await request.json()
        if name in repo.branches:
            raise Refused(409, "Branch already exists")
        repo.branches[name] = hub.at(repo, body.get("startingPoint", "main"))
        return Response()

    async def preupload(request: Request) -> Response:
        repo = hub.open(request, write=True)
        there = repo.commits[hub.at(repo, request.path_params["rev"])]
        files = []
        for file in (await request.json())["files"]:
            path = file["path"]
            lfs = PurePosixPath(path).suffix in LFS_SUFFIXES or file["size"] > 10_000_000
            oid = there[path].key if path in there else None
            files.append(
                {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, "oid": oid}
            )
        return JSONResponse({"files": files})

    async def batch(request: Request) -> Response:
        hub.open(request, write=True)
        objects: list[dict[str, Any]] = []
        for one in (await request.json())["objects"]:
            objects.append({"oid": one["oid"], "size": one["size"]})
            if one["oid"] not in hub.contents:
                objects[-1]["actions"] = {
                    "upload": {"href": f"{hub.url}/lfs/{one['oid']}", "header": {}},
                    "verify": {"href": f"{hub.url}/lfs/verify", "header": {}},
                }
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def put(request: Request) -> Response:
        content, oid = await request.body(), request.path_params["oid"]
        if hashlib.sha256(content).hexdigest() != oid:
            raise Refused(422, "the content is not what was announced")
        hub.contents[oid] = content
        return Response()

    async def verify(request: Request) -> Response:
        body = await request.json()
        return Response(status_code=200 if len(hub.contents.get(body["oid"], b"")) == body["size"] else 404)

    async def commit(request: Request) -> Response:
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
        if hub.before_commit is not None:
            first, hub.before_commit = hub.before_commit, None
            await asyncio.to_thread(first)  # it may ask this server
        with hub.guard:
            repo = hub.open(request, write=True)
            rev = request.path_params["rev"]
            if rev not in repo.branches:
                raise Refused(404, f"Invalid rev id: {rev}", "RevisionNotFound")
            head = repo.branches[rev]
            header = next(line["value"] for line in lines if line["key"] == "header")
            if header.get("parentCommit") not in (None, head):
                raise Refused(412, "A commit has happened since. Please refresh and try again.")
            files = dict(repo.commits[head])
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = hub.store(value["path"], base64.b64decode(value["content"]))
                elif line["key"] == "lfsFile":
                    if value["oid"] not in hub.contents:
                        raise Refused(400, f"{value['path']} was not uploaded")
                    pointer = f"oid sha256:{value['oid']}".encode()
                    files[value["path"]] = Entry(value["size"], git_sha1(pointer), value["oid"])
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            oid = repo.commit(rev, files, header["summary"])
        return JSONResponse(
            {"commitOid": oid, "commitUrl": f"{hub.url}/{repo.id}/commit/{oid}", "success": True}
        )

    async def resolve(request: Request) -> Response:
        repo = hub.open(request)
        rev, path = request.path_params["rev"], request.path_params["path"]
        commit = hub.at(repo, rev)
        entry = repo.commits[commit].get(path)
        if hub.busy > 0:
            hub.busy -= 1
            return JSONResponse({"error": "Too many requests"}, 429, {"Retry-After": "0"})
        if repo.id in hub.broken:
            raise Refused(500, "Internal error")
        if entry is None:
            raise Refused(404, "Entry not found", "EntryNotFound")
        headers = TEXT | {"X-Repo-Commit": commit, "ETag": f'"{entry.key}"', "Accept-Ranges": "bytes"}
        if entry.sha256 is not None:
            headers |= {"X-Linked-Etag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size)}
            if hub.other_host:
                place = hub.url.replace("127.0.0.1", "localhost")
                return RedirectResponse(f"{place}/cdn/{entry.sha256}/{path}?sig=s1gned", 302, headers)
        return content(request, path, entry.key, headers)

    async def cdn(request: Request) -> Response:
        return content(request, request.path_params["path"], request.path_params["oid"], TEXT)

    def content(request: Request, path: str, key: str, headers: Mapping[str, str]) -> Response:
        raw = hub.contents[key]
        if path in hub.corrupt:
            raw = raw[:-1] + bytes([raw[-1] ^ 1])
        headers = {**headers, "Content-Length": str(len(raw))}
        if request.method == "HEAD":
            return Response(headers=headers)
        start, stop = asked_range(request, len(raw))
        ranged = "range" in request.headers
        if ranged:
            headers |= {
                "Content-Length": str(stop - start),
                "Content-Range": f"bytes {start}-{stop - 1}/{len(raw)}",
            }
        end = min(stop, start + hub.cut.pop(path)) if path in hub.cut else stop
        hub.sent[path] = hub.sent.get(path, 0) + end - start

        async def parts() -> AsyncIterator[bytes]:
            yield raw[start:end]
            if end < stop:
                raise ConnectionResetError("cut off, as the test wants it")

        return StreamingResponse(parts(), 206 if ranged else 200, headers)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return JSONResponse({"error": str(error)}, error.status, error.headers)

    async def counts(request: Request) -> Response:
        return JSONResponse({"sent": hub.sent, "requests": len(hub.log), "answered": hub.answered})

    repo = "/api/models/{ns}/{name}"
    routes = [
        Route("/_counts", counts),
        Route("/api/whoami-v2", whoami),
        Route("/api/repos/create", create, methods=["POST"]),
        Route("/api/repos/delete", delete, methods=["DELETE"]),
        Route("/api/validate-yaml", validate, methods=["POST"]),
        Route("/api/models", listing),
        Route(repo, info),
        Route(repo + "/revision/{rev:path}", info),
        Route(repo + "/tree/{rev:path}", tree),
        Route(repo + "/refs", refs),
        Route(repo + "/tag/{rev:path}", tag, methods=["POST"]),
        Route(repo + "/branch/{rev:path}", branch, methods=["POST"]),
        Route(repo + "/preupload/{rev:path}", preupload, methods=["POST"]),
        Route(repo + "/commit/{rev:path}", commit, methods=["POST"]),
        Route("/{ns}/{name}.git/info/lfs/objects/batch", batch, methods=["POST"]),
        Route("/lfs/verify", verify, methods=["POST"]),
        Route("/lfs/{oid}", put, methods=["PUT"]),
        Route("/cdn/{oid}/{path:path}", cdn),
        Route("/{ns}/{name}/resolve/{rev}/{path:path}", resolve),
    ]
    made = Starlette(routes=routes, exception_handlers={Refused: refused})

    async def logged(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = {key.decode(): value.decode() for key, value in scope["headers"]}
            host = "cdn:" if headers.get("host", "").startswith("localhost") else ""
            hub.log.append(
                (scope["method"], host + scope["path"], headers.get("authorization"), headers.get("range"))
            )

        async def counting(message: Any) -> None:
            hub.answered += len(message.get("body", b""))
            await send(message)

        await made(scope, receive, counting)

    return logged  # type: ignore[return-value]  # an application by its call


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[str]:
    """Serve on a free port of loopback; yields the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application(hub), log_level="critical", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        while not server.started:
            time.sleep(0.005)
        yield hub.url
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
