from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest

from snt_zoo.errors import ServiceError
from snt_zoo.service.tokens import Holder, Tokens, make_tokens
from tests.service.making import READ, TOKENS, WRITE


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_tokens_that_are_made_are_read_and_only_their_owner_sees_them(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    make_tokens(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 or os.name != "posix"
    tokens = Tokens.read(path)
    roles = dict(line.split() for line in path.read_text().splitlines())
    assert set(roles) == {"read", "write", "metrics"} and len(set(roles.values())) == 3
    for role, token in roles.items():
        holder = tokens.holder(f"Bearer {token}")
        assert holder is not None and holder.role == role
        assert token not in repr(tokens)
    with pytest.raises(ServiceError, match="name a new file"):
        make_tokens(path)


def test_a_token_may_have_a_name_and_a_role_several_tokens(tmp_path: Path) -> None:
    lines = f"# the team's\n\nread {READ}\nread {'s' * 40}\nwrite {WRITE} alice\n"
    tokens = Tokens.read(written(tmp_path / "tokens", lines))
    assert tokens.holder(f"Bearer {WRITE}") == Holder("write", "alice")
    assert tokens.holder(f"bearer {'s' * 40}") == Holder("read", "read")


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {READ[:-1]}",
        f"Bearer {READ}x",
        f"Token {READ}",
        READ,
        "Basic !!!",
        "Basic " + base64.b64encode(READ.encode()).decode(),  # a name without a password
    ],
)
def test_what_is_no_token_opens_nothing(shown: str) -> None:
    assert TOKENS.holder(shown) is None


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="chmod 600"):
        Tokens.read(written(tmp_path / "tokens", f"read {READ}\n", 0o644))


@pytest.mark.parametrize("line", ["read short", f"admin {READ}", READ, f"write {READ} two words"])
def test_a_line_that_is_no_token_is_named_by_its_number_alone(tmp_path: Path, line: str) -> None:
    with pytest.raises(ServiceError, match="line 2 must be") as caught:
        Tokens.read(written(tmp_path / "tokens", f"# first\n{line}\n"))
    assert READ not in str(caught.value)


def test_a_file_that_is_missing_or_empty_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="--new-tokens"):
        Tokens.read(tmp_path / "nothing")
    with pytest.raises(ServiceError, match="--new-tokens"):
        Tokens.read(written(tmp_path / "empty", "# none\n"))
