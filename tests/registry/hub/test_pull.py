"""Pull: the same bits or nothing; what is cached needs no network; hostile repositories are refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from snt_zoo.errors import (
    BundleError,
    ConfigError,
    ForbiddenFileError,
    HubUnavailableError,
    IntegrityError,
    MissingFileError,
)
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import MODEL, REPO, Files, unreachable
from tests.registry.hub.state import Hub


def remanifest(files: Files) -> None:
    """A manifest that fits, so that only the next guard can refuse."""
    listed = {"config.json", MODEL, "dataset.safetensors", "README.md"}
    local = {name: files["card.md" if name == "README.md" else name] for name in listed}
    entries = {n: {"sha256": hashlib.sha256(c).hexdigest(), "size": len(c)} for n, c in local.items()}
    files["manifest.json"] = json.dumps({"format_version": 1, "files": entries}).encode()


def test_bits_are_equal_after_a_round_trip(hub: Hub, zoo: Zoos, good: Path) -> None:
    pushed = zoo().push(good, REPO, tag="v1")
    for number, revision in enumerate(("", "@v1", f"@{pushed.commit}", "@main")):
        there = zoo(machine=f"fresh-{number}")
        pulled = there.pull(REPO + revision)
        assert pulled.added and pulled.commit == pushed.commit and pulled.id is not None
        assert pulled.revision == (revision[1:] or None)
        stored = there.show(pulled.id).path
        assert {path.name: path.read_bytes() for path in stored.iterdir()} == {
            path.name: path.read_bytes() for path in good.iterdir()
        }
        origin = there.origin(pulled.id)
        assert origin is not None
        assert (origin.repo, origin.commit, origin.endpoint) == (REPO, pushed.commit, hub.url)


def test_a_bundle_that_was_uploaded_as_it_is(hub: Hub, zoo: Zoos, good: Path) -> None:
    hub.seed(REPO, {path.name: path.read_bytes() for path in good.iterdir()})
    assert zoo().pull(REPO).added


def test_a_pinned_commit_in_the_cache_needs_no_network(
    hub: Hub, zoo: Zoos, uploaded: Files, tmp_path: Path
) -> None:
    commit = hub.seed(REPO, uploaded)
    home = zoo()
    id = home.pull(REPO).id
    assert id is not None
    requests = len(hub.log)
    home.remove(id)
    assert home.pull(f"{REPO}@{commit}").added and len(hub.log) == requests
    home.remove(id)
    away = unreachable(home, home.hub.cache)
    assert away.pull(f"{REPO}@{commit}").added
    home.remove(id)
    with pytest.raises(HubUnavailableError, match=f"cannot reach.*snt-zoo pull {REPO}@{commit}"):
        away.pull(REPO)  # the main branch may have moved: no silent answer from the cache
    with pytest.raises(HubUnavailableError, match="cannot reach"):
        unreachable(home, tmp_path / "empty").pull(f"{REPO}@{commit}")


Change = Callable[[Files], object]


def listing(files: Files, name: str, *, size: int | None = None) -> None:
    manifest = json.loads(files["manifest.json"])
    manifest["files"][name] = {"sha256": "0" * 64, "size": size or 3}
    files["manifest.json"] = json.dumps(manifest).encode()


def edited(files: Files, edit: Callable[[dict[str, object]], object]) -> None:
    config = json.loads(files["config.json"])
    edit(config)
    files["config.json"] = json.dumps(config).encode()
    remanifest(files)


def bomb(files: Files) -> None:
    entry = '{"dtype":"F16","shape":[0],"data_offsets":[0,0]}'
    header = ("{" + ",".join(f'"{i}":{entry}' for i in range(100_000)) + "}").encode()
    files[MODEL] = len(header).to_bytes(8, "little") + header
    remanifest(files)


def network(config: dict[str, object], **hyperparameters: int) -> None:
    entry = config["network"]
    assert isinstance(entry, dict)
    entry["hyperparameters"].update(hyperparameters)


HOSTILE: Mapping[str, tuple[Change, type[BundleError], str]] = {
    "a pickle": (lambda f: f.update({"pytorch_model.bin": b"x"}), ForbiddenFileError, "pytorch_model"),
    "a .pt": (lambda f: f.update({"weights.pt": b"x"}), ForbiddenFileError, r"weights\.pt"),
    "a pickle in a folder": (lambda f: f.update({"a/b.pkl": b"x"}), ForbiddenFileError, "b.pkl"),
    "a script": (lambda f: f.update({"modeling.py": b"x"}), ForbiddenFileError, r"modeling\.py"),
    "a library": (lambda f: f.update({"evil.so": b"x"}), ForbiddenFileError, r"evil\.so"),
    "no suffix": (lambda f: f.update({"run": b"x"}), ForbiddenFileError, "run"),
    "a way up": (lambda f: f.update({"../../x.json": b"x"}), ForbiddenFileError, "x.json"),
    "an absolute path": (lambda f: f.update({"/etc/x.json": b"x"}), ForbiddenFileError, "x.json"),
    "a backslash": (lambda f: f.update({"..\\x.json": b"x"}), ForbiddenFileError, "x.json"),
    "a NUL": (lambda f: f.update({"a\0.json": b"x"}), ForbiddenFileError, "x00"),
    "a pickle in the manifest": (lambda f: listing(f, "evil.bin"), ConfigError, r"evil\.bin"),
    "a way up in the manifest": (lambda f: listing(f, "../../evil"), ConfigError, "evil"),
    "no manifest": (lambda f: f.pop("manifest.json"), MissingFileError, "neither a supernet"),
    "no weights": (lambda f: f.pop(MODEL), MissingFileError, "neither a supernet"),
    "other weights": (lambda f: f.update({MODEL: f[MODEL][:-1] + b"!"}), IntegrityError, "not the file"),
    "another config": (lambda f: f.update({"config.json": b"{}"}), IntegrityError, "not the file"),
    "a huge manifest": (lambda f: f.update({"manifest.json": b" " * 20_000}), IntegrityError, "at most"),
    "a huge config": (lambda f: edited(f, lambda c: c.update(x="y" * 2_000_000)), IntegrityError, "at most"),
    "duplicate keys": (
        lambda f: f.update({"manifest.json": b'{"files":{},"files":{}}'}), ConfigError, "stands there twice",
    ),
    "deep JSON": (  # how deep is too deep for Python's parser depends on its version
        lambda f: f.update({"manifest.json": b"[" * 9000}), ConfigError, "too deeply|cannot be read as JSON",
    ),
    "NaN": (
        lambda f: (f.update({"config.json": b'{"x": NaN}'}), remanifest(f)), ConfigError, "NaN is not",
    ),
    "a field for code": (
        lambda f: edited(f, lambda c: c.update(trust_remote_code=True)), ConfigError, "unknown field",
    ),
    "10^12 parameters": (
        lambda f: edited(f, lambda c: network(c, channels=10**6)), ConfigError, "channels must be",
    ),
    "a safetensors bomb": (bomb, BundleError, "header must have at most|tensors"),
    "nothing": (lambda f: f.clear(), MissingFileError, "neither a supernet"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_repositories_are_refused(what: str, hub: Hub, zoo: Zoos, uploaded: Files) -> None:
    change, error, reason = HOSTILE[what]
    change(uploaded)
    hub.seed(REPO, uploaded)
    home = zoo()
    with pytest.raises(error, match=reason) as caught:
        home.pull(REPO)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500
    assert home.list() == []
    if error is ForbiddenFileError:
        assert hub.sent == {}  # refused by the names alone


def test_weights_are_not_fetched_if_the_tree_does_not_fit(hub: Hub, zoo: Zoos, uploaded: Files) -> None:
    uploaded[MODEL] = uploaded[MODEL][:-1] + b"!"
    hub.seed(REPO, uploaded)
    with pytest.raises(IntegrityError, match="changed by hand"):
        zoo().pull(REPO)
    assert set(hub.sent) == {"manifest.json"}


def test_a_size_limit_holds_before_anything_is_fetched(hub: Hub, zoo: Zoos, uploaded: Files) -> None:
    hub.seed(REPO, uploaded)
    with pytest.raises(IntegrityError, match=r"more than the 10,000 that are allowed: raise --max-size"):
        zoo().pull(REPO, max_bytes=10_000)
    assert hub.sent == {}
