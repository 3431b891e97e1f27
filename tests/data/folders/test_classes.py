from __future__ import annotations

import os
from pathlib import Path

import pytest

from snt_zoo.data import open_dataset
from snt_zoo.errors import DatasetError, LabelError, TooFewClassesError, TooFewImagesError
from tests.data.making import write_class_folders, write_image


def _counts(root: Path) -> dict[str, int]:
    data = open_dataset(root)
    labels = [label for split in (data.train, data.val, data.test) for label in split.labels.tolist()]
    return {name: labels.count(label) for label, name in enumerate(data.class_names)}


@pytest.mark.parametrize(
    "names",
    [
        ("train", "test"),
        ("train", "val", "test"),
        ("train",),
        ("train", "test1"),
        ("Training Set", "Test Set"),
        ("seg_train", "seg_test", "seg_pred"),
        ("train", "unlabeled"),
        ("trainA", "trainB", "testA", "testB"),
        ("train_cat", "train_dog", "test_cat"),
        ("dev", "eval", "train"),
    ],
)
def test_splits_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_class_folders(tmp_path, names)
    with pytest.raises(
        LabelError, match=r"taken for classes, and are named like splits .*train/CLASS/IMAGE"
    ) as told:
        open_dataset(tmp_path)
    assert names[0] in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "names",
    [
        ("train", "bus"),
        ("test1", "test2", "test3"),
        ("train_station", "test_tube"),
        ("steam_train", "electric_train"),
        ("valid", "invalid"),
    ],
)
def test_classes_may_speak_of_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_class_folders(tmp_path, names)
    assert set(_counts(tmp_path)) == set(names)


@pytest.mark.parametrize(
    "groups",
    [
        ("fold1", "fold2", "fold3"),
        ("2023", "2024"),
        ("images", "masks"),
        ("camera_a", "camera_b"),
        ("train/fold1", "train/fold2", "test/fold1", "test/fold2"),
        ("batch1/data", "batch2/data"),
    ],
)
@pytest.mark.parametrize("loose", [False, True])
def test_the_same_subfolders_everywhere_are_refused(
    tmp_path: Path, groups: tuple[str, ...], loose: bool
) -> None:
    for group in groups:
        write_class_folders(tmp_path / group)
        if loose:
            write_image(tmp_path / group / "preview.png")
    with pytest.raises(
        LabelError, match=r"taken for classes .*same subfolders .*cat.*one level deeper.*CLASS/IMAGE"
    ):
        open_dataset(tmp_path)


def test_a_class_that_one_of_them_lacks_changes_nothing(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "fold1", ("cat", "dog", "emu"))
    write_class_folders(tmp_path / "fold2", ("cat", "dog"))
    with pytest.raises(LabelError, match=r"same subfolders \(cat, dog\)"):
        open_dataset(tmp_path)


def test_splits_below_the_classes_are_told_as_such(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_class_folders(tmp_path / name, ("train", "test"))
    with pytest.raises(
        LabelError, match=r"each class seems to have its own splits: expected .*train/CLASS/IMAGE"
    ):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    "layout",
    [
        {"cat": ("images",), "dog": ("images",)},
        {"cat": ("persian", "siamese"), "dog": ("poodle", "beagle")},
        {"cat": ("", "night"), "dog": ("", "night")},
        {"cat": ("2023",), "dog": ("2023", "2024")},
        {"cat": ("2024/may/1",), "dog": ("2024/may/2",)},
    ],
)
def test_images_may_lie_deeper(tmp_path: Path, layout: dict[str, tuple[str, ...]]) -> None:
    for name, places in layout.items():
        for place in places:
            for index in range(4):
                write_image(tmp_path / name / place / f"{index}.png", seed=index)
    assert _counts(tmp_path) == {name: 4 * len(places) for name, places in layout.items()}


@pytest.mark.parametrize("name", ["backup", "masks", "augmented"])
def test_a_copy_of_all_classes_beside_them_is_refused(tmp_path: Path, name: str) -> None:
    write_class_folders(tmp_path)
    write_class_folders(tmp_path / name)
    with pytest.raises(LabelError, match=rf"'{name}' in .* was taken for a class.*\(cat, dog\): move it out"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("inside", ["data", "archive/dataset", "data/train"])
def test_a_wrapper_is_named(tmp_path: Path, inside: str) -> None:
    write_class_folders(tmp_path / inside)
    expected = (
        rf"only one class folder, .* (folders )?cat, dog of {tmp_path / inside}.*: .*name .* as the dataset"
    )
    with pytest.raises(TooFewClassesError, match=expected):
        open_dataset(tmp_path)


def test_a_wrapper_within_a_split_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_class_folders(tmp_path / split / split)
    with pytest.raises(
        (TooFewClassesError, LabelError), match=r"named like splits|move them up into .*train"
    ):
        open_dataset(tmp_path)


def test_a_folder_without_pictures_is_no_class(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    for name in ("labels/cat/1.txt", "labels/cat/2.txt", "code/train.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    data = open_dataset(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert data.passed_over["no_class"] == ("code/", "labels/")
    assert len(data.passed_over["no_image"]) == 3


@pytest.mark.parametrize("suffix", [".psd", ".dng", ".svg", ".mp4"])
def test_a_class_in_a_format_that_is_not_read_does_not_vanish(tmp_path: Path, suffix: str) -> None:
    write_class_folders(tmp_path)
    (tmp_path / "emu").mkdir()
    for index in range(3):
        (tmp_path / "emu" / f"{index}{suffix}").write_bytes(b"content")
    with pytest.raises(
        TooFewImagesError, match=rf"'emu' has no image that .* 3 in another .*0{suffix}: convert"
    ):
        open_dataset(tmp_path)
    write_image(tmp_path / "emu" / "a.png")
    write_image(tmp_path / "emu" / "b.png", seed=1)
    data = open_dataset(tmp_path)
    assert len(data.passed_over["other_format"]) == 3


def test_masks_are_no_examples(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    for index in range(8):
        write_image(tmp_path / "cat" / f"{index}_mask.png")
    assert _counts(tmp_path) == {"cat": 8, "dog": 8}
    assert len(open_dataset(tmp_path).passed_over["mask"]) == 8


class TestNames:
    def _write(self, root: Path, name: bytes) -> None:
        folder = root / os.fsdecode(name)
        try:
            folder.mkdir(parents=True)
        except OSError:
            pytest.skip("the disk takes UTF-8 only")
        for index in range(4):
            write_image(folder / f"{index}.png", seed=index)

    def test_bytes_that_are_no_utf8_are_classes_of_their_own(self, tmp_path: Path) -> None:
        for word in ("狗", "鸟", "马"):
            self._write(tmp_path / "d\udce9", word.encode("gbk"))
        data = open_dataset(tmp_path / "d\udce9")
        assert data.class_names == ("\\xb9\\xb7", "\\xc2\\xed", "\\xc4\\xf1")
        assert data.name == "d\\xe9"
        data.train.tensor(8)

    @pytest.mark.parametrize("name", ["a\nerror: b", "\x1b[31ma", "a\u202eb", "a\u2028b"])
    def test_a_name_is_one_line(self, tmp_path: Path, name: str) -> None:
        for each in (name, "dog"):
            self._write(tmp_path, each.encode())
        assert all(each.isprintable() for each in open_dataset(tmp_path).class_names)

    def test_names_that_come_to_the_same_text_are_refused(self, tmp_path: Path) -> None:
        self._write(tmp_path, b"a\nb")
        self._write(tmp_path, b"a\\nb")
        with pytest.raises(LabelError, match=r"two class folders whose names come to .*: rename one"):
            open_dataset(tmp_path)

    def test_one_name_in_two_spellings_is_one_class(self, tmp_path: Path) -> None:
        for name in ("caf\u00e9", "cafe\u0301", "dog"):
            self._write(tmp_path, name.encode())
        assert _counts(tmp_path) == {"café": 8, "dog": 4}


def test_a_link_to_a_class_is_no_class(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    (tmp_path / "a").symlink_to(tmp_path / "cat")
    data = open_dataset(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert data.passed_over == {"link": ("a/",)}


def test_a_class_may_be_a_link(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "photos")
    other = write_class_folders(tmp_path / "other", ("emu",))
    (root / "emu").symlink_to(other / "emu")
    assert _counts(root) == {"cat": 8, "dog": 8, "emu": 8}
    assert open_dataset(root).links_out == ("emu/",)


def test_refusals_are_errors_of_datasets() -> None:
    assert issubclass(LabelError, DatasetError)
