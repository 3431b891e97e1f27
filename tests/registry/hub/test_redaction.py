"""No token in any text: messages, logs, what is printed when something is looked at."""

from __future__ import annotations

import copy
import io
import logging
import pickle
import traceback

import pytest

from snt_zoo.errors import HubError, SntZooError
from snt_zoo.registry.hub.redaction import MASK, RedactingFilter, Secret, protect_logs, redact
from tests.registry.conftest import Zoos
from tests.registry.hub.repositories import TOKEN
from tests.registry.hub.state import Hub


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-ghi", f"Authorization: Bearer {MASK}"),
        ("authorization: basic dXNlcjpwYXNz", f"authorization: basic {MASK}"),
        ("token hf_abcdefgh12345678 is bad", f"token {MASK} is bad"),
        ("https://user:pass@hub.example/x", f"https://{MASK}@hub.example/x"),
        (
            "https://cdn.example/x?X-Amz-Signature=abc123&X-Amz-Date=1&Policy=zz",
            f"https://cdn.example/x?X-Amz-Signature={MASK}&X-Amz-Date=1&Policy={MASK}",
        ),
        ("config.json must have at most 1,000 bytes", "config.json must have at most 1,000 bytes"),
        ("see https://huggingface.co/alice/shapes@v1", "see https://huggingface.co/alice/shapes@v1"),
    ],
)
def test_what_is_blanked_out(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_a_token_without_a_form_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert redact("said my-own-token!", [Secret("my-own-token")]) == f"said {MASK}!"
    monkeypatch.setenv("HF_TOKEN", "from-the-environment")
    assert redact("said from-the-environment!") == f"said {MASK}!"
    monkeypatch.setenv("HF_TOKEN", "a")
    assert redact("banana") == "banana"


def test_a_secret_shows_itself_to_nobody() -> None:
    secret = Secret("my-own-token")
    for text in (repr(secret), str(secret), f"{secret}", repr([secret]), repr({"a": secret})):
        assert "my-own" not in text
    assert secret.reveal() == "my-own-token"
    for leak in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="not to be written"):
            leak(secret)


def test_logs_of_the_client_are_redacted() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("huggingface_hub.a_test_of_ours")
    logger.addHandler(handler)
    try:
        protect_logs([Secret("my-own-token")])
        protect_logs([Secret("another-token")])
        assert sum(isinstance(kept, RedactingFilter) for kept in logger.filters) == 1
        logger.warning("sent %s and %s, Bearer %s", "my-own-token", "another-token", "abcdefgh")
        try:
            raise ValueError("my-own-token")
        except ValueError:
            logger.exception("failed")
    finally:
        logger.removeHandler(handler)
    text = stream.getvalue()
    assert text.startswith(f"sent {MASK} and {MASK}, Bearer {MASK}\n")
    assert "my-own-token" not in text and f"ValueError: {MASK}" in text


def test_a_server_that_repeats_the_token(
    hub: Hub, zoo: Zoos, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.echo = True
    home = zoo()
    (home.registry.home / "hub.sqlite").unlink(missing_ok=True)
    caplog.set_level(logging.DEBUG)
    said = []
    for act in (
        lambda: home.pull("alice/shapes"),
        lambda: home.sync(),
        lambda: home.hub.create("alice/shapes", private=False),
        lambda: home.hub.tags("alice/shapes"),
    ):
        with pytest.raises(HubError) as caught:
            act()
        # As --debug would print it; the client's own exception holds the request with its header.
        said += traceback.format_exception(caught.value)
        assert caught.value.__cause__ is None and caught.value.__suppress_context__
    text = "".join(said) + caplog.text + "".join(capsys.readouterr())
    assert "may not" in text and MASK in text
    assert TOKEN not in text


def test_messages_are_one_line_for_a_terminal(hub: Hub, zoo: Zoos) -> None:
    hub.seed("alice/x", {"a\x1b[31m.bin": b""})
    with pytest.raises(SntZooError) as caught:
        zoo().pull("alice/x")
    assert str(caught.value).isprintable()
