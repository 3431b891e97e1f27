from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from snt_zoo.data import ImageDataset, Split, dataset
from snt_zoo.data.image_store import WHOLE_FILE_LIMIT, digest_file
from snt_zoo.data.stores import ArrayStore, EncodedStore, in_threads

from .making import array_split, pixels


@dataclass(eq=False)
class _CountingStore:
    """Counts what is read of it."""

    inner: ArrayStore
    reads: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.inner)

    def read(self, indices: Tensor, size: int) -> Tensor:
        self.reads.append(size)
        return self.inner.read(indices, size)


def _counting_split() -> tuple[Split, _CountingStore]:
    plain = array_split(12)
    assert isinstance(plain.images, ArrayStore)
    store = _CountingStore(plain.images)
    return Split(store, plain.labels), store


def test_the_last_two_sizes_are_kept() -> None:
    split, store = _counting_split()
    for size in (8, 16, 8, 16, 8, 24, 8):  # 24 drives 16 out, as 8 was used later
        assert split.tensor(size).shape == (12, 3, size, size)
    assert store.reads == [8, 16, 24]
    split.tensor(16)
    assert store.reads == [8, 16, 24, 16]


def test_what_does_not_fit_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    split, store = _counting_split()
    monkeypatch.setattr(dataset, "IN_MEMORY_LIMIT", 12 * 3 * 8 * 8)
    assert split.fits(8)
    assert not split.fits(9)
    split.tensor(9)
    split.tensor(9)
    assert store.reads == [9, 9]


def test_a_subset_takes_what_is_in_memory() -> None:
    split, store = _counting_split()
    subset = split.subset(torch.tensor([3, 1])).subset(torch.tensor([1]))
    subset.tensor(8)
    split.tensor(16)
    assert torch.equal(subset.tensor(16), split.tensor(16)[1:2])
    assert store.reads == [8, 16]


def test_a_thinned_split_has_evenly_spaced_images() -> None:
    split = array_split(12)
    assert split.thinned(12) is split and split.thinned(100) is split
    for most, step in ((11, 2), (6, 2), (5, 3), (1, 12)):
        thinned = split.thinned(most)
        assert len(thinned) <= most and torch.equal(thinned.tensor(8), split.tensor(8)[::step])
        assert torch.equal(thinned.labels, split.labels[::step])


@pytest.mark.parametrize("size", [4, 8, 13, 50])
@pytest.mark.parametrize("shape", [(20, 12), (20, 12, 3)])
def test_arrays_are_resized_like_pillow(size: int, shape: tuple[int, ...]) -> None:
    content = pixels(5, *shape)
    read = ArrayStore(torch.from_numpy(content)).read(torch.arange(5), size)
    for image, got in zip(content, read, strict=True):
        reference = Image.fromarray(image).convert("RGB")
        expected = torch.frombuffer(
            bytearray(reference.resize((size, size), Image.Resampling.BILINEAR).tobytes()),
            dtype=torch.uint8,
        )
        difference = got.permute(1, 2, 0).flatten().int() - expected.int()
        assert difference.abs().max() <= 1


def test_an_image_is_read_alike_alone_and_among_others() -> None:
    store = ArrayStore(torch.from_numpy(pixels(70, 28, 28)))
    together = store.read(torch.arange(70), 32)
    for index in range(70):
        assert torch.equal(store.read(torch.tensor([index]), 32)[0], together[index])


def test_a_store_of_anything_but_eight_bit_pixels_is_refused() -> None:
    for wrong in (torch.zeros(3, 8, 8), torch.zeros(3, 8, 8, 4, dtype=torch.uint8)):
        with pytest.raises(ValueError, match=r"expected pixels as uint8 \(n, h, w\)"):
            ArrayStore(wrong)


def test_threads_give_results_in_order_and_the_error_of_the_task() -> None:
    assert in_threads(lambda item: item * item, range(50)) == [i * i for i in range(50)]

    def fail(item: int) -> int:
        raise KeyError(item)

    with pytest.raises(KeyError):
        in_threads(fail, range(50))


def test_many_large_images_are_decoded_in_order(tmp_path: Path) -> None:
    paths = []
    for index in range(70):
        paths.append(tmp_path / f"{index}.bmp")
        Image.new("RGB", (60, 60), (index, 0, 0)).save(paths[-1])
    assert paths[0].stat().st_size > 8192  # large enough for threads
    images = EncodedStore(paths).read(torch.arange(70), 8)
    assert images[:, 0, 0, 0].tolist() == list(range(70))


class TestFingerprint:
    @pytest.fixture
    def whole(self) -> ImageDataset:
        train, val, test = (array_split(9, seed=seed) for seed in range(3))
        return ImageDataset("blobs", ("a", "b", "c"), train, val, test)

    def test_is_sha256_in_hex_and_kept(self, whole: ImageDataset) -> None:
        assert len(whole.fingerprint) == 64
        assert int(whole.fingerprint, 16) >= 0
        assert whole.fingerprint is whole.fingerprint

    @pytest.mark.parametrize(
        "change",
        [
            lambda d: ImageDataset(d.name, ("a", "b", "x"), d.train, d.val, d.test),
            lambda d: ImageDataset(d.name, d.class_names, d.val, d.train, d.test),
            lambda d: ImageDataset(d.name, d.class_names, array_split(9, seed=7), d.val, d.test),
            lambda d: ImageDataset(
                d.name, d.class_names, Split(d.train.images, d.train.labels.flip(0)), d.val, d.test
            ),
        ],
    )
    def test_changes_with_the_content(
        self, whole: ImageDataset, change: Callable[[ImageDataset], ImageDataset]
    ) -> None:
        assert change(whole).fingerprint != whole.fingerprint

    def test_does_not_change_with_the_name(self, whole: ImageDataset) -> None:
        other = ImageDataset("other", whole.class_names, whole.train, whole.val, whole.test)
        assert other.fingerprint == whole.fingerprint

    def test_a_store_that_cannot_digest_is_read(self) -> None:
        split, store = _counting_split()
        _ = ImageDataset("blobs", ("a", "b", "c"), split, split, split).fingerprint
        assert store.reads == [32, 32, 32]

    def test_a_long_file_is_named_by_its_ends_and_length(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        half = WHOLE_FILE_LIMIT // 2

        def digest(content: bytes) -> bytes:
            path.write_bytes(content)
            return digest_file(path)

        base = digest(b"a" * half + b"b" * 100 + b"c" * half)
        assert digest(b"x" + b"a" * (half - 1) + b"b" * 100 + b"c" * half) != base
        assert digest(b"a" * half + b"b" * 100 + b"c" * (half - 1) + b"x") != base
        assert digest(b"a" * half + b"b" * 101 + b"c" * half) != base
