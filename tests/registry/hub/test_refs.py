from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snt_zoo.errors import HubError
from snt_zoo.registry.hub.refs import RepoRef


@given(st.text(alphabet="ab1._-/@\n ", max_size=12))
def test_a_reference_is_refused_or_comes_back_as_it_was_written(text: str) -> None:
    try:
        ref = RepoRef.parse(text)
    except HubError as error:
        assert str(error).isprintable()
    else:
        assert str(ref) == text and ref.repo.count("/") == 1 and ".." not in text


@pytest.mark.parametrize(
    "text", ["a", "a/b/c", "a/../b", "a/b@", "a/b@../x", "a/b@x.lock", "a/b@x\n", "/a", "a/"]
)
def test_what_could_be_a_path_out_is_refused(text: str) -> None:
    with pytest.raises(HubError):
        RepoRef.parse(text)
