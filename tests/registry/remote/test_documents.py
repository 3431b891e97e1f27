from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from snt_zoo.registry import Registry
from snt_zoo.registry.remote.documents import AliasDocument, MoveDocument, Supernet


def test_a_record_goes_there_and_back_but_for_its_place(registry: Registry) -> None:
    for record in registry.list():
        document = Supernet.of(record)
        assert "path" not in document.model_dump()
        assert Supernet.model_validate_json(document.model_dump_json()).record(record.path) == record


@pytest.mark.parametrize("changes", [{"id": "../x"}, {"id": "x"}, {"digest": "../../x"}, {"digest": ""}])
def test_what_would_become_a_path_is_checked(registry: Registry, changes: dict[str, str]) -> None:
    fields = Supernet.of(registry.list()[0]).model_dump() | changes
    with pytest.raises(ValidationError):
        Supernet(**fields).record(Path())


def test_aliases_and_moves_go_there_and_back(registry: Registry) -> None:
    for alias in registry.aliases.all():
        assert AliasDocument.of(alias).value() == alias
    for move in registry.aliases.history():
        assert MoveDocument.of(move).value() == move
