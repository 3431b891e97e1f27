"""Signatures: what another key made, or another manifest has, is refused before its weights are fetched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from snt_zoo.data import ImageDataset
from snt_zoo.errors import NotInRegistryError, SignatureError
from snt_zoo.registry.hub.client import HubClient
from snt_zoo.registry.hub.signing import SIGNATURE, SIGNATURE_LIMIT
from snt_zoo.search.budget import Budget
from snt_zoo.zoo import Zoo
from tests.cli.conftest import invoke
from tests.conftest import TINY
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import MODEL, REPO, TOKEN
from tests.registry.hub.state import Hub
from tests.registry.making import make_bundle
from tests.search.runs import finetune

pytest.importorskip("model_signing", reason='needs the extra: pip install "snt-zoo[sign]"')


def make_keys(folder: Path, name: str, *, password: bytes | None = None) -> tuple[Path, Path]:
    """A private and a public key."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem, private, public = serialization.Encoding.PEM, folder / f"{name}.pem", folder / f"{name}.pub"
    locked = (
        serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    )
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def alice(tmp_path: Path) -> tuple[Path, Path]:
    return make_keys(tmp_path, "alice")


@pytest.fixture
def mallory(tmp_path: Path) -> tuple[Path, Path]:
    return make_keys(tmp_path, "mallory")


def test_a_signed_supernet_is_pulled_by_its_key(
    hub: Hub, zoo: Zoos, good: Path, alice: tuple[Path, Path]
) -> None:
    pushed = zoo().push(good, REPO, sign_key=alice[0])
    assert pushed.files[SIGNATURE] == "added" and len(hub.repos[REPO].commits) == 2
    there = zoo(machine="there")
    pulled = there.pull(REPO, verify_key=alice[1])
    assert pulled.added and SIGNATURE not in {path.name for path in pulled.out.iterdir()}
    assert not there.pull(REPO, verify_key=alice[1]).added  # and once more, when it is here
    assert zoo(machine="who does not ask").pull(REPO).added


def test_anybody_can_check_it_without_us(
    hub: Hub, zoo: Zoos, good: Path, alice: tuple[Path, Path], mallory: tuple[Path, Path], tmp_path: Path
) -> None:
    zoo().push(good, REPO, sign_key=alice[0])
    for name in ("manifest.json", SIGNATURE):
        (tmp_path / name).write_bytes(hub.files(REPO)[name])
    program = [sys.executable, "-m", "model_signing", "verify", "key", str(tmp_path / "manifest.json")]
    for key, code in ((alice[1], 0), (mallory[1], 1)):
        options = ["--signature", str(tmp_path / SIGNATURE), "--public_key", str(key)]
        done = subprocess.run(program + options, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr


def test_what_that_key_did_not_sign_is_refused(
    hub: Hub,
    zoo: Zoos,
    good: Path,
    uploaded: dict[str, bytes],
    alice: tuple[Path, Path],
    mallory: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    zoo().push(good, "alice/signed", sign_key=alice[0])
    zoo().push(make_bundle(tmp_path / "other", seed=3), "alice/other", sign_key=alice[0])
    signature = hub.files("alice/other")[SIGNATURE]
    hub.seed("bob/unsigned", uploaded)
    hub.seed("bob/borrowed", uploaded | {SIGNATURE: signature})
    hub.seed("bob/garbage", uploaded | {SIGNATURE: b'{"dsseEnvelope": [1, 2]}'})
    hub.seed("bob/bytes", uploaded | {SIGNATURE: bytes(range(256))})
    hub.seed("bob/empty", uploaded | {SIGNATURE: b""})
    hub.seed("bob/huge", uploaded | {SIGNATURE: b" " * (SIGNATURE_LIMIT + 1)})
    there = zoo(machine="there")
    for repo, key, reason in (
        ("alice/signed", mallory[1], "not a signature of its manifest by"),
        ("bob/unsigned", alice[1], r"is not signed \(manifest.json.sig is missing\): pull it without"),
        ("bob/borrowed", alice[1], "not a signature of its manifest by"),
        ("bob/garbage", alice[1], "not a signature of its manifest by"),
        ("bob/bytes", alice[1], "not a signature of its manifest by"),
        ("bob/empty", alice[1], "not a signature of its manifest by"),
        ("bob/huge", alice[1], "must have at most 100,000 bytes"),
        ("alice/signed", alice[0], "is no public key"),
    ):
        with pytest.raises(SignatureError, match=reason):
            there.pull(repo, verify_key=key)
    assert not hub.sent.get(MODEL) and there.registry.list() == []
    assert there.pull("alice/signed", verify_key=alice[1]).added


def test_a_signature_stays_as_long_as_its_manifest(
    hub: Hub, zoo: Zoos, good: Path, alice: tuple[Path, Path], mallory: tuple[Path, Path], tmp_path: Path
) -> None:
    first = zoo().push(good, REPO, sign_key=alice[0])
    for key in (alice[0], None):
        again = zoo().push(good, REPO, sign_key=key)
        assert not again.changed and again.commit == first.commit
        assert again.files[SIGNATURE] == "unchanged"
    assert zoo().push(good, REPO, sign_key=mallory[0]).files[SIGNATURE] == "changed"
    assert zoo(machine="there").pull(REPO, verify_key=mallory[1]).added
    other = make_bundle(tmp_path / "other", seed=3)
    would = zoo().push(other, REPO, sign_key=alice[0], dry_run=True)
    assert would.files[SIGNATURE] == "changed"
    assert zoo().push(other, REPO).files[SIGNATURE] == "deleted"
    assert SIGNATURE not in hub.files(REPO)


def test_a_cached_commit_is_checked_without_a_network(
    hub: Hub, zoo: Zoos, good: Path, alice: tuple[Path, Path], mallory: tuple[Path, Path], tmp_path: Path
) -> None:
    pinned = f"{REPO}@{zoo().push(good, REPO, sign_key=alice[0]).commit}"
    home = zoo(machine="there")
    id = home.pull(pinned).id  # without its signature
    assert id is not None
    requests = len(hub.log)
    home.pull(pinned, verify_key=alice[1])
    assert len(hub.log) > requests
    home.remove(id)
    away = Zoo(home.registry, hub=HubClient(endpoint="http://127.0.0.1:9", token=TOKEN, cache=home.hub.cache))
    with pytest.raises(SignatureError):
        away.pull(pinned, verify_key=mallory[1])
    with pytest.raises(NotInRegistryError):
        away.show(id)
    assert away.pull(pinned, verify_key=alice[1]).added


def test_a_derived_model_is_signed_likewise(
    hub: Hub, zoo: Zoos, few_digits: ImageDataset, alice: tuple[Path, Path], tmp_path: Path
) -> None:
    config = TINY["nas_bench_201"]
    finetune(few_digits, config, budget=Budget(epochs=1), device="cpu").save(tmp_path / "model")
    zoo().push(tmp_path / "model", "alice/digits", sign_key=alice[0])
    pulled = zoo(machine="there").pull("alice/digits", out=tmp_path / "got", verify_key=alice[1])
    assert pulled.kind == "model" and not (tmp_path / "got" / SIGNATURE).exists()


def test_keys_that_cannot_sign(
    hub: Hub, zoo: Zoos, good: Path, alice: tuple[Path, Path], tmp_path: Path
) -> None:
    private, _ = make_keys(tmp_path, "locked", password=b"opensesame")
    (tmp_path / "not.pem").write_text("no key")
    for key in (private, tmp_path / "not.pem", alice[1]):
        with pytest.raises(SignatureError, match=r"cannot sign with .*expected a private key"):
            zoo().push(good, REPO, sign_key=key)
    assert SIGNATURE not in hub.files(REPO) and len(hub.repos[REPO].commits) == 1


def test_the_command_line(
    hub: Hub,
    good: Path,
    alice: tuple[Path, Path],
    mallory: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    # Sketched by another backbone than these.
    monkeypatch.setattr("snt_zoo.registry.starter.starter_bundles", list)
    home = ("--home", tmp_path / "home")
    assert invoke("push", good, REPO, "--sign-key", alice[0], *home).exit_code == 0
    refused = invoke("pull", REPO, "--verify-key", mallory[1], *home)
    assert refused.exit_code == 1 and "ask its owner which key it was signed with" in refused.stderr
    assert invoke("pull", REPO, "--verify-key", alice[1], *home).exit_code == 0
