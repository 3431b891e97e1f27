from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image

from snt_zoo.errors import DatasetError, OversizedImageError, RequestError, SntZooError, TooLargeError
from snt_zoo.registry.bundle.folder import FILE_LIMITS
from snt_zoo.service.receiving import bundle_folder, image_dataset
from snt_zoo.service.settings import Settings

SETTINGS = Settings(max_images=40, max_upload_bytes=200_000, max_pixels=10_000)


def image(seed: int = 0, side: int = 8) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def images(*, classes: tuple[str, ...] = ("cats", "dogs"), top: str = "", count: int = 4) -> dict[str, bytes]:
    return {
        f"{top}{name}/{i}.png": image(100 * number + i)
        for number, name in enumerate(classes)
        for i in range(count)
    }


def files(content: Mapping[str, bytes]) -> list[tuple[str, IO[bytes]]]:
    return [(name, io.BytesIO(raw)) for name, raw in content.items()]


def zipped(content: Mapping[str, bytes], name: str = "photos.zip") -> list[tuple[str, IO[bytes]]]:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, each in content.items():
            archive.writestr(path, each)
    return files({name: raw.getvalue()})


def class_names(sent: list[tuple[str, IO[bytes]]], settings: Settings = SETTINGS) -> tuple[str, ...]:
    with image_dataset(sent, settings) as data:
        assert len(data.train) > 0
        return data.class_names


@pytest.mark.parametrize(
    "content",
    [
        images(),
        images(top="photos/"),
        images(top="a/b/c/"),
        images(top="photos/") | {"photos/README.md": b"by hand", "photos/.DS_Store": b"x"},
        images() | {"__MACOSX/cats/._1.png": b"x", "cats/.hidden/2.png": b"x"},
        images(top="train/") | images(top="test/"),
        images(top="x\\train\\") | images(top="x\\val\\"),
    ],
)
def test_classes_are_the_folders_of_the_images(content: dict[str, bytes]) -> None:
    assert class_names(files(content)) == ("cats", "dogs")
    assert class_names(zipped(content)) == ("cats", "dogs")


def test_a_class_may_be_called_anything_and_none_of_it_is_a_path(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    odd = ("..", "con", "a:b", "x" * 300, "nul\0byte", "école", str(outside), "~", "$HOME", "000001")
    content = {f"{name}/{i}.png": image(i) for name in odd for i in range(4) if "/" not in name}
    content |= {f"{outside}/{i}.png": image(i) for i in range(4)}
    names = class_names(files(content))
    assert len(names) == len(odd) - 1 and ".." not in names  # which is taken for a hidden folder
    assert {"con", "a:b", "nul\\x00byte", "école", "000001"} <= set(names)
    assert not outside.exists()


def test_what_is_no_dataset_is_told_in_the_words_of_the_client() -> None:
    for content in ({}, {"1.png": image()}, {"cats/README.md": b"none"}):
        with pytest.raises(SntZooError):
            class_names(zipped(content))
    with pytest.raises(DatasetError, match="cats") as caught:
        class_names(files(images(classes=("cats",))))
    assert "/tmp" not in str(caught.value) and "000000" not in str(caught.value)
    with pytest.raises(DatasetError, match="zip cannot be read"):
        class_names(files({"photos.zip": b"PK no zip"}))
    with pytest.raises(DatasetError):
        class_names(files({"photos.npz": b"PK no npz"}))


def test_files_are_told_by_the_names_that_the_client_gave_them() -> None:
    sent = images(top="photos/")
    with (
        pytest.raises(DatasetError, match=r"cats/cut\.png"),
        image_dataset(files({**sent, "photos/cats/cut.png": image()[:60]}), SETTINGS),
    ):
        pass
    with image_dataset(files({**sent, "photos/dogs/notes.txt": b"no image"}), SETTINGS) as data:
        assert data.passed_over == {"no_image": ("dogs/notes.txt",)}


def test_an_upload_is_bounded_in_images_pixels_and_bytes() -> None:
    with pytest.raises(OversizedImageError, match="at most 40"):
        class_names(zipped(images(count=21)))
    with pytest.raises(OversizedImageError):
        class_names(files(images() | {"cats/large.png": image(side=101)}))
    bomb = images() | {"cats/bomb.png": bytes(10**7)}  # 10 KB as it is sent
    with pytest.raises(TooLargeError, match="more than 200,000 bytes"):
        class_names(zipped(bomb))


def test_an_npz_is_bounded_before_it_is_read() -> None:
    def archive(**arrays: Any) -> list[tuple[str, IO[bytes]]]:
        raw = io.BytesIO()
        np.savez_compressed(raw, **arrays)
        return files({"photos.npz": raw.getvalue()})

    labels = np.arange(40) % 2
    assert class_names(archive(train_images=np.zeros((40, 8, 8), np.uint8), train_labels=labels))
    with pytest.raises(OversizedImageError, match="at most 40"):
        class_names(archive(train_images=np.zeros((41, 8, 8), np.uint8), train_labels=np.arange(41) % 2))
    with pytest.raises(SntZooError):
        class_names(archive(train_images=np.zeros((40, 800, 800, 3), np.uint8), train_labels=labels))
    with pytest.raises(DatasetError, match="never unpickled"):
        class_names(archive(train_images=np.array([{}] * 4), train_labels=labels[:4]))


def test_the_files_of_a_bundle_are_five_of_known_names() -> None:
    good = {name: name.encode() for name in FILE_LIMITS}
    with bundle_folder(files(good)) as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == good
    assert not folder.exists()
    for bad in (
        {},
        {name: raw for name, raw in good.items() if name != "README.md"},
        good | {"more.txt": b""},
        {**{name: raw for name, raw in good.items() if name != "README.md"}, "../README.md": b""},
    ):
        with pytest.raises(RequestError, match="expected the files"), bundle_folder(files(bad)):
            pass
