from __future__ import annotations

import pytest

from snt_zoo.encoders.bounds import SIZE_LIMIT
from snt_zoo.errors import ServiceError
from snt_zoo.service.settings import MAX_SKETCH_BYTES, Settings, is_this_machine
from tests.service.making import TOKENS


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.9", "::", "zoo.example"])
def test_other_machines_are_only_served_with_tokens(host: str) -> None:
    assert not is_this_machine(host)
    with pytest.raises(ServiceError, match=r"--new-tokens FILE.*--token-file FILE"):
        Settings(host=host)
    assert Settings(host=host, tokens=TOKENS).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_this_machine_is_served_without(host: str) -> None:
    assert is_this_machine(host) and Settings(host=host).host == host


def test_no_token_ships_with_the_package_and_a_sketch_has_room() -> None:
    assert not Settings().tokens
    assert MAX_SKETCH_BYTES == SIZE_LIMIT
