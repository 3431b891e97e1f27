from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snt_zoo.data import Split, open_dataset
from snt_zoo.data.reader import SPLIT_NAMES, RawDataset, SplitName
from snt_zoo.data.splits import HELD_OUT, complete, stratified_split
from snt_zoo.errors import TooFewImagesError

from .making import array_split

COUNTS = st.lists(st.integers(1, 60), min_size=2, max_size=8)


def _labels(counts: list[int], seed: int = 0) -> torch.Tensor:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]


def _split(labels: torch.Tensor, parts: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return stratified_split(labels, (HELD_OUT,) * parts, generator=generator)


@given(counts=COUNTS, parts=st.integers(1, 2), seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_every_image_is_in_one_part_and_every_class_in_its_share(
    counts: list[int], parts: int, seed: int
) -> None:
    labels = _labels(counts, seed)
    drawn = _split(labels, parts, seed)
    assert torch.equal(torch.cat(drawn).sort().values, torch.arange(len(labels)))
    for label, count in enumerate(counts):
        kept, *held_out = (int((labels[part] == label).sum()) for part in drawn)
        assert kept >= 1
        for share in held_out:
            if count > parts:
                # Within one image of the fraction, and at least one.
                assert max(1, HELD_OUT * count - 1) <= share <= max(1, HELD_OUT * count + 1)
            else:
                assert share <= 1
        if count <= parts:
            assert kept == 1


@given(counts=COUNTS, first=st.floats(0.01, 0.9), second=st.floats(0.01, 0.09))
@settings(max_examples=50, deadline=None)
def test_any_fractions_leave_an_image_of_each_class(counts: list[int], first: float, second: float) -> None:
    labels = _labels(counts)
    rest, *held_out = stratified_split(labels, (first, second), generator=torch.Generator())
    assert set(labels[rest].tolist()) == set(range(len(counts)))
    enough = {label for label, count in enumerate(counts) if count > 2}
    assert all(enough <= set(labels[part].tolist()) for part in held_out)


@given(classes=st.integers(2, 9))
@settings(max_examples=10, deadline=None)
def test_classes_of_two_even_out_the_parts(classes: int) -> None:
    train, val, test = _split(_labels([2] * classes), 2)
    assert len(train) == classes
    assert 0 <= len(test) - len(val) <= 1
    assert len(val) > 0


def test_the_seed_decides_and_nothing_else() -> None:
    labels = _labels([40, 40])
    torch.manual_seed(1)
    a = _split(labels, 2)
    torch.manual_seed(2)
    b = _split(labels, 2)
    assert all(map(torch.equal, a, b))
    assert not all(map(torch.equal, a, _split(labels, 2, seed=1)))


def _raw(**splits: Split) -> RawDataset:
    named: dict[SplitName, Split] = {n: splits[n] for n in SPLIT_NAMES if n in splits}
    return RawDataset("blobs", ("a", "b", "c"), named)


@pytest.mark.parametrize("given_", [(), ("val",), ("test",), ("val", "test")])
def test_given_splits_stay_and_missing_ones_come_from_train(given_: tuple[str, ...]) -> None:
    train = array_split(60)
    others = {name: array_split(9, seed=1) for name in given_}
    dataset = complete(_raw(train=train, **others), seed=0)
    for name in given_:
        assert getattr(dataset, name) is others[name]
    made = [split for name in ("val", "test") if name not in given_ for split in [getattr(dataset, name)]]
    taken = [dataset.train, *made]
    assert sum(map(len, taken)) == 60
    images = torch.cat([split.tensor(8) for split in taken]).flatten(1).tolist()
    assert sorted(images) == sorted(train.tensor(8).flatten(1).tolist())
    assert all(len(split) == 9 for split in made)


def test_a_validation_part_that_cannot_be_made_is_an_error() -> None:
    with pytest.raises(TooFewImagesError, match="no val split, and too few training images"):
        complete(_raw(train=array_split(3), test=array_split(6)), seed=0)


def test_two_images_a_class_are_enough() -> None:
    dataset = complete(_raw(train=array_split(6)), seed=0)
    assert [len(s) for s in (dataset.train, dataset.val, dataset.test)] == [3, 1, 2]


def test_a_long_list_of_classes_is_cut_in_messages() -> None:
    raw = RawDataset("blobs", tuple(map(str, range(40))), {"train": array_split(60, classes=3)})
    with pytest.raises(TooFewImagesError, match=r"0 of '7' and 32 classes more"):
        complete(raw, seed=0)


def test_names_from_any_reader_are_one_line() -> None:
    raw = RawDataset("a\u202eb", ("cat\nerror: x", "caf\udce9", "c"), {"train": array_split(60)})
    dataset = complete(raw, seed=0)
    assert dataset.name == "a\\u202eb"
    assert dataset.class_names == ("cat\\nerror: x", "caf\\xe9", "c")


def test_the_seed_is_taken_by_open_dataset() -> None:
    a, b = (open_dataset("sklearn:digits", seed=seed) for seed in (0, 1))
    assert not torch.equal(a.test.tensor(8), b.test.tensor(8))
