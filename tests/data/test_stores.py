from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from snt_zoo.data.stores import ArrayStore, EncodedStore, in_threads

from .making import pixels


@pytest.mark.parametrize("size", [4, 8, 13, 50])
@pytest.mark.parametrize("shape", [(20, 12), (20, 12, 3)])
def test_arrays_are_resized_like_pillow(size: int, shape: tuple[int, ...]) -> None:
    content = pixels(5, *shape)
    read = ArrayStore(torch.from_numpy(content)).read(torch.arange(5), size)
    for image, got in zip(content, read, strict=True):
        reference = Image.fromarray(image).convert("RGB")
        expected = torch.frombuffer(
            bytearray(reference.resize((size, size), Image.Resampling.BILINEAR).tobytes()), dtype=torch.uint8
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


PROGRAM = """
import sys, torch
from benchmarks.memory import peak_bytes
from snt_zoo.data import stores
stores.THREADS = 4
torch.set_num_threads(1)
store = stores.EncodedStore([sys.argv[1]] * 64)
store.read(torch.arange(1), 8)
before = peak_bytes()
store.read(torch.arange(64), 224)
print(peak_bytes() - before)
"""


def test_photographs_of_12_megapixels_are_read_in_bounded_memory(tmp_path: Path) -> None:
    small = Image.fromarray(pixels(30, 40, 3))
    small.resize((4000, 3000), Image.Resampling.BICUBIC).save(tmp_path / "x.jpg")
    whole = 4000 * 3000 * 3
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "x.jpg")], capture_output=True, text=True, check=True
    )
    held = 64 * 3 * 224 * 224
    assert (
        int(run.stdout) < held + 1.5 * whole
    )  # four threads that decode whole images take four times as much
