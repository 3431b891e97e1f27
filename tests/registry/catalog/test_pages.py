from __future__ import annotations

import pytest

from snt_zoo.errors import RegistryError
from snt_zoo.registry import Registry
from snt_zoo.registry.catalog.filters import Filter
from snt_zoo.registry.catalog.pages import SORTS, Place
from tests.registry.making import make_bundle


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("pages")
    registry = Registry.open(folder / "home")
    for seed in range(5):
        metrics = {"val_accuracy": 0.5, "test_accuracy": (None, 0.9, 0.9, 0.2, 0.4)[seed]}
        name = ("b", "a", "a", "c", "b")[seed]
        registry.add(make_bundle(folder / str(seed), seed=seed, name=name, metrics=metrics))
    return registry


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 2, 5, 500])
def test_pages_come_to_the_sorted_list_each_row_once(registry: Registry, sort: str, limit: int) -> None:
    found, after = [], None
    while True:
        page = registry.page(sort=sort, after=after, limit=limit)
        assert page.total == 5 and 1 <= len(page.records) <= limit
        found += page.records
        after = page.end
        if after is None:
            break

    def key(record: object) -> tuple[object, str]:
        accuracy = record.val_accuracy if record.test_accuracy is None else record.test_accuracy  # type: ignore[attr-defined]
        values = {**vars(record), "accuracy": accuracy, "added": record.added_at}  # type: ignore[attr-defined]
        return values[sort.removeprefix("-")], values["id"]

    assert found == sorted(registry.list(), key=key, reverse=sort.startswith("-"))  # type: ignore[arg-type]


def test_the_total_is_of_all_that_fit(registry: Registry) -> None:
    page = registry.page(Filter(name="a"), limit=1)
    assert (page.total, len(page.records), page.end) == (2, 1, Place("a", page.records[0].id))
    assert registry.page(Filter(name="nothing")).total == 0


def test_a_page_begins_behind_a_row_that_is_gone(registry: Registry) -> None:
    page = registry.page(after=Place("b", "b-00000000"))
    assert [record.name for record in page.records] == ["b", "b", "c"]


@pytest.mark.parametrize("options", [{"sort": "licence"}, {"sort": "--name"}, {"limit": 0}, {"limit": 501}])
def test_what_is_no_page_is_refused(registry: Registry, options: dict[str, object]) -> None:
    with pytest.raises(RegistryError, match="a page has 1 to 500 rows"):
        registry.page(**options)  # type: ignore[arg-type]
