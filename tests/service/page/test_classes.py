"""Names of classes: by source where that is told, found by a word, and read once."""

from __future__ import annotations

from pathlib import Path

from snt_zoo.registry import Registry
from snt_zoo.service.page.classes import Classes, ClassNames, classes_of
from tests.registry.making import generalist, make_bundle


def test_the_classes_of_a_source_are_its_own(registry: Registry, tmp_path: Path) -> None:
    document = registry.add(generalist(tmp_path / "general", name="general")).document()
    found = classes_of(document)
    assert [(each.source, len(each.names)) for each in found] == [("d0", 3), ("d1", 4)]
    assert [name for each in found for name in each.names] == document["class_names"]
    # Without a head for each nobody says which class is of which source.
    del document["network"]["heads"]
    assert classes_of(document) == (Classes("", tuple(document["class_names"])),)


def test_a_word_is_found_in_any_case_of_letters(registry: Registry) -> None:
    names = ClassNames()
    leaves, letters = sorted(registry.list(), key=lambda record: record.name)
    assert letters.name == "letters"
    assert names.found(letters, "CLASS 1") == ("class 1",)
    assert names.fits(letters, "LETTER")
    assert not names.fits(leaves, "letter")
    assert names.fits(leaves, "tiny")  # a tag
    assert names.fits(leaves, "Shapes")  # its source
    assert not names.fits(leaves, "nothing of the kind")


def test_what_was_read_is_kept_and_what_is_gone_has_none(registry: Registry, tmp_path: Path) -> None:
    names = ClassNames()
    record = registry.add(make_bundle(tmp_path / "gone", seed=9, name="gone"))
    other = registry.list()[-1]
    assert names.of(other)
    for each in (record, other):
        registry.remove(each.id)
    assert names.of(record) == ()
    assert names.of(other)
