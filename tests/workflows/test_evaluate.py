"""Nothing is measured on images that the network has seen, and classes are matched or refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from snt_zoo.data import Split, decode_image, open_dataset
from snt_zoo.data.stores import ArrayStore
from snt_zoo.errors import DatasetError, EmptySplitError, LabelError, TooFewImagesError
from snt_zoo.networks.model_folder import LoadedModel
from snt_zoo.networks.trained_on import TrainedOn
from snt_zoo.workflows import evaluate as module
from snt_zoo.workflows.evaluate import evaluate, relabelled
from tests.data.making import pixels, write_class_folders, write_npz

CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Split]:
    """What was measured on, in place of a network."""
    found: list[Split] = []

    def measure(network: object, split: Split) -> float:
        found.append(split)
        return 0.5

    monkeypatch.setattr(module, "accuracy_of", measure)
    return found


def trained(folder: Path, *, classes: tuple[str, ...] = CLASSES) -> LoadedModel:
    """A network that was trained on a folder."""
    data = open_dataset(folder)
    return LoadedModel(None, classes, "scratch", {}, trained_on=TrainedOn.of(data))


def add(folder: Path, name: str, *, seed: int, count: int = 1) -> None:
    for number in range(count):
        content = pixels(10, 12, 3, seed=10_000 + 100 * seed + number)
        Image.fromarray(content).save(folder / f"{name}{number}.png")


def seen_among(measured: Split, loaded: LoadedModel, folder: Path) -> int:
    """Images that were measured and trained or chosen on, counted by their pixels."""
    before = open_dataset(folder)
    known = {row.numpy().tobytes() for part in (before.train, before.val) for row in part.tensor(16)}
    return sum(row.numpy().tobytes() in known for row in measured.tensor(16))


GROWN: dict[str, Callable[[Path], object]] = {
    "one image more, first in its class": lambda root: add(root / "cat", "0 first", seed=1),
    "one image more, last in its class": lambda root: add(root / "owl", "z", seed=2),
    "eighty images more": lambda root: add(root / "cat", "a", seed=3, count=80),
    "a class renamed back and forth": lambda root: (root / "dog").rename(root / "d").rename(root / "dog"),
    "files renamed": lambda root: [
        p.rename(p.with_name(f"x{p.name[::-1]}.png")) for p in root.rglob("*.png")
    ],
    "images taken away": lambda root: list(map(Path.unlink, sorted(root.rglob("*.png"))[::3])),
    "an image in two classes": lambda root: shutil.copy(root / "cat" / "1.png", root / "dog" / "copy.png"),
    "images in a folder of their class's own": lambda root: [
        shutil.move(shutil.move(root / name, root / "moved"), root / name / "2024") for name in CLASSES
    ],
}


@pytest.mark.parametrize("change", GROWN.values(), ids=GROWN)
@pytest.mark.parametrize("part", ["test", "all"])
def test_a_folder_that_changed_is_never_measured_on_what_was_seen(
    change: Callable[[Path], object], part: module.Part, tmp_path: Path, measured: list[Split]
) -> None:
    folder = write_class_folders(tmp_path / "now", CLASSES, each=20)
    before = Path(shutil.copytree(folder, tmp_path / "before"))
    loaded = trained(folder)
    change(folder)
    found = evaluate(loaded, folder, part=part)
    (split,) = measured
    assert seen_among(split, loaded, before) == 0
    assert found.images == len(split) > 0
    if part == "all":
        count = sum(1 for _ in folder.rglob("*.png"))
        assert found.images + found.left_out == count


def test_the_test_part_of_the_training_is_measured_whole(tmp_path: Path, measured: list[Split]) -> None:
    folder = write_class_folders(tmp_path, CLASSES, each=20)
    data, loaded = open_dataset(folder), trained(folder)
    for part, given in (("test", data.test), ("val", data.val), ("train", data.train)):
        found = evaluate(loaded, folder, part=part)
        assert (found.images, found.left_out, found.warnings) == (len(given), 0, ())
        assert torch.equal(measured[-1].tensor(8), given.tensor(8))


def test_names_that_are_shown_on_one_line_match(tmp_path: Path, measured: list[Split]) -> None:
    folder = write_class_folders(tmp_path, ("line\nbreak", "plain"), each=20)
    loaded = trained(folder, classes=open_dataset(folder).class_names)
    assert "line\nbreak" not in loaded.class_names
    assert evaluate(loaded, folder).images > 0


def test_given_parts_with_copies_are_measured_without_them(tmp_path: Path, measured: list[Split]) -> None:
    for part, seed in (("train", 0), ("val", 1), ("test", 2)):
        write_class_folders(tmp_path / part, CLASSES, each=6, seed=seed)
    shutil.copy(tmp_path / "train" / "cat" / "0.png", tmp_path / "test" / "cat" / "copy.png")
    shutil.copy(tmp_path / "val" / "owl" / "0.png", tmp_path / "test" / "owl" / "copy.png")
    found = evaluate(trained(tmp_path), tmp_path)
    assert (found.images, found.left_out) == (18, 2)


def test_a_folder_that_is_all_seen_is_refused(tmp_path: Path, measured: list[Split]) -> None:
    folder = write_class_folders(tmp_path / "a", CLASSES, each=20)
    loaded = trained(folder)
    seen = Path(shutil.copytree(folder, tmp_path / "b"))
    test = {row.numpy().tobytes() for row in open_dataset(folder).test.tensor(16)}
    for path in seen.rglob("*.png"):
        if decode_image(path, size=16).numpy().tobytes() in test:
            path.unlink()
    with pytest.raises(TooFewImagesError, match="trained or chosen on all"):
        evaluate(loaded, seen, part="all")


def test_only_a_test_part_is_enough(tmp_path: Path, measured: list[Split]) -> None:
    loaded = trained(write_class_folders(tmp_path / "data", CLASSES, each=20))
    write_class_folders(tmp_path / "new" / "test", ("cat", "owl"), each=3, seed=7)
    for part in ("test", "all"):
        found = evaluate(loaded, tmp_path / "new", part=part)
        assert (found.images, found.left_out) == (6, 0)
        assert measured[-1].labels.tolist() == [0, 0, 0, 2, 2, 2]
        assert "2 of the network's 3 classes" in found.warnings[0]
    with pytest.raises(EmptySplitError, match="--all"):
        evaluate(loaded, tmp_path / "new", part="val")


def test_an_npz_of_a_test_part_alone_is_enough(tmp_path: Path, measured: list[Split]) -> None:
    loaded = trained(write_class_folders(tmp_path / "data", CLASSES, each=20))
    gone = dict.fromkeys(["train_images", "train_labels", "val_images", "val_labels"])
    path = write_npz(tmp_path / "x.npz", class_names=list(CLASSES), **gone)
    assert evaluate(loaded, path).images == 30
    with pytest.raises(DatasetError, match="lacks train_images"):
        open_dataset(path)


def test_new_images_are_all_measured_if_asked(tmp_path: Path, measured: list[Split]) -> None:
    loaded = trained(write_class_folders(tmp_path / "data", CLASSES, each=20))
    new = write_class_folders(tmp_path / "new", ("dog",), each=1, seed=5)
    assert evaluate(loaded, new, part="all").images == 1
    with pytest.raises(DatasetError, match=r"two classes.*--all"):
        evaluate(loaded, new)
    more = write_class_folders(tmp_path / "more", CLASSES, each=20, seed=6)
    found = evaluate(loaded, more)
    assert found.images < 60
    assert "--all measures them all" in found.warnings[0]


def test_a_network_that_does_not_tell_is_not_measured_on_a_part_that_was_made(
    tmp_path: Path, measured: list[Split]
) -> None:
    folder = write_class_folders(tmp_path / "data", CLASSES, each=20)
    loaded = trained(folder)
    pulled = replace(loaded, trained_on=replace(loaded.trained_on, seen=None))
    assert evaluate(pulled, folder).images == len(open_dataset(folder).test)  # the very same dataset
    add(folder / "cat", "new", seed=1)
    with pytest.raises(EmptySplitError, match="does not tell which of the images"):
        evaluate(pulled, folder)
    assert "see that these are new" in evaluate(pulled, folder, part="all").warnings[0]
    write_class_folders(tmp_path / "new" / "test", CLASSES, each=3, seed=7)
    assert evaluate(pulled, tmp_path / "new").images == 9


SPLIT = Split(ArrayStore(torch.zeros(4, 2, 2, 3, dtype=torch.uint8)), torch.tensor([0, 1, 2, 0]))


def test_labels_follow_class_names() -> None:
    assert relabelled(SPLIT, ("a", "b", "c"), ("c", "a", "b")).labels.tolist() == [1, 2, 0, 1]
    assert relabelled(SPLIT, ("a", "b", "c"), ("a", "b", "c")) is SPLIT
    assert relabelled(SPLIT, ("a", "b", "c"), ("x", "c", "a", "b")).labels.tolist() == [2, 3, 1, 2]
    # A class without images harms nobody.
    assert relabelled(SPLIT, ("a", "b", "c", "x"), ("c", "b", "a")).labels.tolist() == [2, 1, 0, 2]


@pytest.mark.parametrize(
    ("names", "wanted", "message"),
    [
        (("a", "b", "x"), ("a", "b", "c"), "does not know 'x'"),
        (("0", "1", "2"), ("a", "b", "c"), "does not know '0', '1', '2'"),
        (("A", "b", "c"), ("a", "b", "c"), "does not know 'A'"),
        (("a", "b", "c"), ("a", "b"), "has 2 classes, 'a', 'b', and the dataset 3"),
        (("a", "a", "b"), ("b", "a", "c"), "some have the same name"),
        (tuple("abcdefghij"), tuple("cdefghijkl"), "'c', 'd', 'e', 'f', 'g', …"),
    ],
)
def test_classes_that_differ_are_refused(
    names: tuple[str, ...], wanted: tuple[str, ...], message: str
) -> None:
    with pytest.raises(LabelError, match=message) as refused:
        relabelled(SPLIT, names, wanted)
    assert "--match position" in str(refused.value)
    if len(names) == len(wanted):
        assert relabelled(SPLIT, names, wanted, match="position") is SPLIT
    else:
        with pytest.raises(LabelError, match="equally many"):
            relabelled(SPLIT, names, wanted, match="position")
