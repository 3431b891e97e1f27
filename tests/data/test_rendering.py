"""What lies below transparency, and how deep values are scaled, is chosen for a whole dataset."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from snt_zoo.data import Rendering, Split, decode_image, open_dataset
from snt_zoo.data import rendering as module
from snt_zoo.data.rendering import Look, choose

Colour = tuple[int, int, int, int]
WHITE, BLACK, GREY, CLEAR = (255,) * 3 + (255,), (0, 0, 0, 255), (128,) * 3 + (255,), (0, 0, 0, 0)


def icon(colour: Colour, *, below: Colour = CLEAR, number: int = 0) -> Image.Image:
    image = Image.new("RGBA", (32, 32), below)
    ImageDraw.Draw(image).ellipse((4 + number % 5, 6, 20 + number % 7, 26), fill=colour)
    return image


def folder_of(
    root: Path, draw: Callable[[int], Image.Image], *, suffix: str = "png", **options: object
) -> Path:
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for number in range(12):
            draw(number).save(root / name / f"{number}.{suffix}", **options)
    return root


def contrast(split: Split) -> float:
    """The least standard deviation of an image's pixels."""
    return float(split.tensor(32).float().std((1, 2, 3)).min())


DRAWN: dict[str, tuple[Callable[[int], Image.Image], str]] = {
    "white": (lambda n: icon(WHITE, number=n), "black"),
    "nearly white": (lambda n: icon((250, 252, 255, 255), number=n), "black"),
    "half transparent white": (lambda n: icon((255, 255, 255, 128), number=n), "black"),
    "white as LA": (lambda n: icon(WHITE, number=n).convert("LA"), "black"),
    "white in a palette": (lambda n: icon(WHITE, number=n).quantize(), "black"),
    "white on clear white": (lambda n: icon(WHITE, below=(255, 255, 255, 0), number=n), "black"),
    "black": (lambda n: icon(BLACK, number=n), "white"),
    "grey": (lambda n: icon(GREY, number=n), "white"),
    "yellow": (lambda n: icon((255, 255, 0, 255), number=n), "white"),
    "white and black": (lambda n: icon(WHITE if n % 2 else BLACK, number=n), "grey"),
    "white and grey": (lambda n: icon(WHITE if n % 3 else GREY, number=n), "black"),
    "white with a black rim": (
        lambda n: Image.alpha_composite(
            icon(BLACK, number=0), icon(WHITE, number=0).reduce(2).resize((32, 32))
        ),
        "white",
    ),
    "white on opaque black": (lambda n: icon(WHITE, below=BLACK, number=n), "white"),
    "all clear": (lambda n: icon(CLEAR, number=n), "white"),
    "no transparency": (lambda n: icon(WHITE, below=BLACK, number=n).convert("RGB"), "white"),
}


@pytest.mark.parametrize(("draw", "ground"), DRAWN.values(), ids=DRAWN)
def test_the_ground_is_white_unless_images_vanish_on_it(
    draw: Callable[[int], Image.Image], ground: str, tmp_path: Path
) -> None:
    dataset = open_dataset(folder_of(tmp_path, draw))
    assert dataset.rendering.ground == ground
    if draw(0).getextrema() != icon(CLEAR).getextrema():
        for split in (dataset.train, dataset.val, dataset.test):
            assert contrast(split) > 15


def test_other_formats_have_transparency_too(tmp_path: Path) -> None:
    webp = folder_of(tmp_path / "webp", lambda n: icon(WHITE, number=n), suffix="webp", lossless=True)
    gif = folder_of(tmp_path / "gif", lambda n: icon(WHITE, number=n), suffix="gif")
    for folder in (webp, gif):
        assert open_dataset(folder).rendering == Rendering("black")


def test_a_few_white_ones_among_many_change_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, lambda n: icon(BLACK, number=n))
    icon(WHITE).save(folder / "a" / "white.png")
    assert open_dataset(folder).rendering == Rendering()


def test_the_caller_may_choose(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, lambda n: icon(WHITE, number=n))
    dataset = open_dataset(folder, rendering=Rendering("grey"))
    assert dataset.rendering == Rendering("grey")
    assert set(np.unique(dataset.train.tensor(32))) >= {128, 255}
    path = folder / "a" / "1.png"
    assert decode_image(path).float().std() == 0
    assert decode_image(path, rendering=Rendering("black")).float().std() > 20


@pytest.mark.parametrize("wrong", [("red", 0), ("white", 9), ("white", -1), (["white"], 0)])
def test_there_is_no_other_rendering(wrong: tuple[str, int]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Rendering(*wrong)


def deep(values: NDArray[np.uint16 | np.int32 | np.float32], kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 9, 10, 11, 12, 14, 16])
def test_sixteen_bits_that_are_not_filled_do_not_become_black(kind: str, bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 64).astype(np.uint16).reshape(8, 8)
    decoded = decode_image(deep(values, kind))[0].numpy()
    assert decoded.max() >= 127  # of the next of `DEPTHS` at least half is filled
    assert np.array_equal(decoded.argsort(None, kind="stable"), values.argsort(None, kind="stable"))
    if bits in module.DEPTHS:
        assert decoded.max() == 255


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_deep_images_of_a_dataset_are_scaled_alike(suffix: str, tmp_path: Path) -> None:
    def draw(number: int) -> Image.Image:
        return Image.fromarray(np.full((8, 8), 4095 if number == 3 else 100 + number, np.uint16))

    dataset = open_dataset(folder_of(tmp_path, draw, suffix=suffix))
    assert dataset.rendering == Rendering(bits=12)
    dark = decode_image(tmp_path / "a" / f"5.{suffix}", rendering=dataset.rendering)
    assert set(dark.flatten().tolist()) == {round(105 * 255 / 4095)}
    # One that fills more than the others is not clipped.
    over = deep(np.array([[0, 8191, 16383]], np.uint16), "PNG")
    assert decode_image(over, rendering=dataset.rendering)[0].tolist() == [[0, 127, 255]]


def test_large_deep_images_are_scaled_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(0, 300, (37, 23)).astype(np.float32)
    whole = decode_image(deep(values, "TIFF"))
    low, high = float(values.min()), float(values.max())
    expected = np.rint((values.astype(np.float64) - low) * 255 / (high - low))
    assert np.array_equal(whole[0].numpy(), expected)
    monkeypatch.setattr(module, "STRIP", 50)
    assert np.array_equal(decode_image(deep(values, "TIFF")), whole)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak cannot be reset")
@pytest.mark.parametrize("mode", ["F", "I", "I;16", "RGBA", "LA"])
def test_memory_is_bounded_by_few_copies(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tiff"
    Image.new(mode, (3000, 3000)).save(path, compression="tiff_deflate")  # as 36 MB in memory at most
    assert path.stat().st_size < 300_000
    decode_image(path, size=32)  # what is loaded at first use
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    decode_image(path, size=32)
    assert _peak() - before < 120 * 2**20


def _peak() -> int:
    status = Path(f"/proc/{os.getpid()}/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def test_a_look_tells_only_what_is_open() -> None:
    assert Look.at(icon(WHITE, below=BLACK)) == Look()
    assert Look.at(icon(CLEAR)) == Look()
    assert Look.at(Image.fromarray(np.array([[0, 900]], np.uint16))).bits == 10
    assert Look.at(Image.fromarray(np.array([[0, 1e6]], np.int32))).bits == 0
    assert choose([]) == Rendering()
