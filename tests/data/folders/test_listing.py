from __future__ import annotations

import os
from pathlib import Path

import pytest

from snt_zoo.data.folders.listing import Listing, identity_of, natural
from tests.data.making import write_class_folders, write_image


def _found(root: Path) -> list[str]:
    return [os.path.relpath(path, root) for path in Listing(root).below(root, set()).images]


def test_names_are_sorted_as_people_count() -> None:
    names = ["b10", "B2", "a", "10", "9", "b2"]
    assert sorted(names, key=natural) == ["9", "10", "a", "B2", "b2", "b10"]


def test_images_are_sorted_folder_by_folder(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.png", "a.png", "c.png", "b/1/z.png"):
        write_image(tmp_path / name)
    assert _found(tmp_path) == ["a.png", "b/1/z.png", "b/2.png", "b/10.png", "c.png"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".DS_Store", "hidden"),
        ("._0.png", "hidden"),
        ("Thumbs.db", "system"),
        ("THUMBS.DB", "system"),
        ("desktop.ini", "system"),
        ("Icon\r", "system"),
        ("0.png.crdownload", "system"),
        ("0.png.part", "system"),
        ("0.png~", "system"),
        ("0.png.bak", "system"),
        ("notes.txt", "no_image"),
        ("sound.wav", "no_image"),
        ("no_suffix", "no_image"),
        ("drawing.psd", "other_format"),
        ("raw.CR2", "other_format"),
        ("film.mp4", "other_format"),
    ],
)
def test_a_file_that_is_passed_over_is_counted(tmp_path: Path, name: str, reason: str) -> None:
    write_image(tmp_path / "0.png")
    (tmp_path / name).write_bytes(b"content")
    listing = Listing(tmp_path)
    assert listing.below(tmp_path, set()).images == [str(tmp_path / "0.png")]
    assert listing.passed_over == {reason: (name,)}


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints", ".git", "@eaDir", "#recycle", "@Recycle", "__MACOSX", "$RECYCLE.BIN",
        "lost+found", "System Volume Information", "__pycache__", "node_modules", "wandb", "mlruns",
    ],
)  # fmt: skip
def test_a_folder_of_a_system_is_one_entry(tmp_path: Path, name: str) -> None:
    for place in (tmp_path, tmp_path / "deeper"):
        write_image(place / "0.png")
        write_image(place / name / "x" / "1.png")
    listing = Listing(tmp_path)
    assert len(listing.below(tmp_path, set()).images) == 2
    reason = "hidden" if name.startswith(".") else "system"
    assert listing.passed_over == {reason: (f"{name}/", f"deeper/{name}/")}


@pytest.mark.parametrize("name", ["runs", "Outputs", "checkpoints"])
@pytest.mark.parametrize(
    "file", ["photos-1/model.safetensors", "detect/best.pt", "events.out.tfevents.1", "last.ckpt", ""]
)
def test_what_programs_write_is_passed_over(tmp_path: Path, name: str, file: str) -> None:
    (tmp_path / name).mkdir()
    if file:
        (tmp_path / name / file).parent.mkdir(exist_ok=True)
        (tmp_path / name / file).write_bytes(b"x")
        write_image(tmp_path / name / "photos-1" / "curve.png")
    listing = Listing(tmp_path)
    assert not listing.below(tmp_path, set()).images
    assert listing.passed_over == {"system": (f"{name}/",)}


@pytest.mark.parametrize("name", ["my model", "cat_network"])
def test_the_folder_of_a_model_may_have_any_name(tmp_path: Path, name: str) -> None:
    write_image(tmp_path / name / "1.png")
    for file in ("config.json", "model.safetensors", "report.html"):
        (tmp_path / name / file).write_bytes(b"x")
    listing = Listing(tmp_path)
    assert not listing.below(tmp_path, set()).images
    assert listing.passed_over == {"system": (f"{name}/",)}


def test_people_may_call_a_folder_so_too(tmp_path: Path) -> None:
    write_class_folders(tmp_path, ("runs", "outputs", "hits"), each=2)
    assert len(_found(tmp_path)) == 6


class TestLinks:
    def test_those_that_lead_out_are_followed_and_counted(self, tmp_path: Path) -> None:
        outside = write_class_folders(tmp_path / "elsewhere", ("a",), each=3) / "a"
        root = write_class_folders(tmp_path / "photos", ("cat", "dog"), each=2)
        (root / "cat" / "l.png").symlink_to(outside / "0.png")
        (root / "dog" / "more").symlink_to(outside)
        (root / "dog" / "inside.png").symlink_to(root / "cat" / "1.png")
        listing = Listing(root)
        assert len(listing.below(root, set()).images) == 4 + 1 + 3 + 1
        assert listing.links_out == ("cat/l.png", "dog/more/")
        assert not listing.passed_over

    def test_the_folder_itself_may_be_a_link(self, tmp_path: Path) -> None:
        real = write_class_folders(tmp_path / "real", each=2)
        (tmp_path / "link").symlink_to(real)
        listing = Listing(tmp_path / "link")
        assert len(listing.below(tmp_path / "link", set()).images) == 4
        assert not listing.links_out

    def test_those_that_lead_back_are_passed_over(self, tmp_path: Path) -> None:
        root = write_class_folders(tmp_path / "home" / "photos", ("cat",), each=2)
        for name, target in {
            "self": root / "cat",
            "root": root,
            "above": tmp_path,
            "machine": Path(tmp_path.anchor),
            "loop": root / "cat" / "loop",
            "gone": tmp_path / "nowhere",
        }.items():
            (root / "cat" / name).symlink_to(target)
        listing = Listing(root)
        assert len(listing.below(root / "cat", {identity_of(root / "cat")}).images) == 2
        names = {path.rstrip("/") for path in listing.passed_over["link"]}
        assert names == {f"cat/{name}" for name in ("self", "root", "above", "machine", "loop", "gone")}

    def test_many_that_lead_to_each_other_end(self, tmp_path: Path) -> None:
        root = write_class_folders(tmp_path, tuple("abcdefgh"), each=1)
        for one in "abcdefgh":
            for other in "abcdefgh":
                (root / one / f"to_{other}").symlink_to(root / other)
        assert len(Listing(root).below(root, {identity_of(root)}).images) == 8


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_without_a_suffix_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    listing = Listing(tmp_path)
    assert not listing.below(tmp_path, set()).images
    assert listing.passed_over == {"no_image": ("pipe",)}


def test_a_path_of_a_thousand_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depth = 1100  # more than Python calls functions within each other
    monkeypatch.chdir(tmp_path)
    for _ in range(depth):
        Path("d").mkdir()
        os.chdir("d")
    write_image(Path("x.png"))
    found = _found(tmp_path)
    Path("x.png").unlink()
    for _ in range(depth):  # pytest would not come to its end
        os.chdir("..")
        Path("d").rmdir()
    assert len(found) == 1


def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        Listing(tmp_path).look(tmp_path / "gone")
