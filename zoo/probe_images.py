"""Make the images on which networks are compared: `python -m zoo.probe_images --data DIR --sources DIR`

Ninety-six images of 32 pixels, of several domains, whose licences let them ship: see `PARTS`. Which images
are taken depends on their content alone. Eight more are computed: gratings and noise, which belong to nobody.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor

from snt_zoo.data import open_dataset
from snt_zoo.encoders.profile import ASSET, SIDE
from snt_zoo.formats.tensor_file import dump_tensors

PARTS = {
    "font_greek_upper": 10,
    "mnist10k": 6,
    "openclipart_category": 12,
    "furniture_category": 10,
    "animal_silhouette": 8,
    "textile_sim": 6,
    "dungeon14": 12,
    "groceries18": 14,
    "blood_cells3": 4,
    "chilli_leaf5": 6,
}
"""How many images of each dataset."""


def computed() -> Tensor:
    """Gratings of four frequencies and noise of four sizes, uint8 ``8 x 3 x SIDE x SIDE``."""
    steps = torch.arange(SIDE) / SIDE
    made = []
    for number, waves in enumerate((1, 2, 4, 8)):
        angle = math.pi * number / 4
        across = math.cos(angle) * steps[None, :] + math.sin(angle) * steps[:, None]
        made.append((0.5 + 0.5 * (2 * math.pi * waves * across).sin()).expand(3, -1, -1))
    generator = torch.Generator().manual_seed(0)
    for size in (4, 8, 16, 32):
        noise = torch.rand(1, 3, size, size, generator=generator)
        made.append(torch.nn.functional.interpolate(noise, size=(SIDE, SIDE), mode="bilinear")[0])
    return (255 * torch.stack(made)).round().to(torch.uint8)


def main() -> None:
    """Write the asset."""
    parser = argparse.ArgumentParser(prog="python -m zoo.probe_images", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of npz files")
    parser.add_argument("--sources", type=Path, required=True, help="folder of folders of images")
    arguments = parser.parse_args()
    parts = [computed()]
    for name, count in PARTS.items():
        path = arguments.data / f"{name}.npz"
        split = open_dataset(path if path.is_file() else arguments.sources / name).train
        order = split.by_content(torch.arange(len(split)), seed=0)
        # One of each class, round by round.
        labels = split.labels[order]
        rank = torch.stack([(labels[: i + 1] == label).sum() for i, label in enumerate(labels)])
        chosen = order[rank.argsort(stable=True)[:count]]
        parts.append(split.read(chosen, SIDE))
    images = torch.cat(parts)
    ASSET.parent.mkdir(exist_ok=True)
    # Two bytes together, as the project's files hold no single ones.
    ASSET.write_bytes(dump_tensors({"images": images.view(torch.int16)}))
    print(f"{len(images)} images, {ASSET.stat().st_size:,} bytes: {ASSET}")


if __name__ == "__main__":
    main()
