"""Batches from several datasets in turn, so that a large one does not drown the others.

Like `Stream`, it can be entered anywhere: which datasets a batch is drawn from depends on the seed and on
the batch's position alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from snt_zoo.data.augmentation import Augmentation
from snt_zoo.data.dataset import Split
from snt_zoo.data.normalisation import Normalisation
from snt_zoo.data.seeding import derive_seed
from snt_zoo.data.stream import Stream


class BalancedStream:
    """Batches without end, each in equal parts from a few datasets.

    A dataset with n images is drawn in proportion to n^(1/T): T = 1 goes by the images, a large T draws all
    alike (Arivazhagan et al. 2019, arXiv 1907.05019, section 4.1, who take 5 for languages).

    Args:
        splits: The datasets.
        datasets: How many a batch is drawn from, without repetition.
        temperature: T, at least 1.
        size: The side of the images, in pixels.
        batch_size: Images in a batch, of all its datasets together.
        normalisation: Applied last.
        device: Where the batches shall lie.
        seed: Decides datasets, order and augmentation.
        augment: Changes to the images of each dataset.
        share: As of `Stream`.
    """

    def __init__(
        self,
        splits: Sequence[Split],
        *,
        datasets: int,
        temperature: float,
        size: int,
        batch_size: int,
        normalisation: Normalisation,
        device: torch.device | str = "cpu",
        seed: int = 0,
        augment: Sequence[Augmentation | None] | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        counts = torch.tensor([len(split) for split in splits], dtype=torch.float64)
        if not 1 <= temperature < float("inf"):
            raise ValueError(f"expected a temperature of at least 1, got {temperature}")
        self.probabilities = counts ** (1 / temperature) / (counts ** (1 / temperature)).sum()
        """Of each dataset to be the next that is drawn."""
        self.datasets = max(1, min(datasets, len(splits)))
        self.seed = seed
        self.position = 0
        """Batches taken so far; the next one stands there."""
        self.parts: tuple[int, ...] = ()
        """Images of each dataset in the batch that was taken last, which lie one after the other."""
        self._streams = [
            Stream(
                split,
                size=size,
                batch_size=max(2 * share[1], batch_size // self.datasets),
                normalisation=normalisation,
                device=device,
                augment=None if augment is None else augment[index],
                share=share,
            )
            for index, split in enumerate(splits)
        ]
        self._generator = torch.Generator()
        self._images = int(counts.sum())
        self._batch_size = batch_size
        self.seek(0)

    @property
    def pass_length(self) -> int:
        """Batches that hold as many images as there are in all."""
        return -(-self._images // self._batch_size)

    def drawn(self, position: int) -> list[int]:
        """The datasets of the batch at a position."""
        self._generator.manual_seed(derive_seed(self.seed, "datasets", position))
        return torch.multinomial(self.probabilities, self.datasets, generator=self._generator).tolist()

    def seek(self, position: int) -> None:
        """Go on with the batch at a position."""
        self.position = position
        taken = [0] * len(self._streams)
        for before in range(position):
            for index in self.drawn(before):
                taken[index] += 1
        for index, (stream, count) in enumerate(zip(self._streams, taken, strict=True)):
            stream.seed = derive_seed(self.seed, "dataset", index)
            stream.seek(count)

    def close(self) -> None:
        """Read no further ahead; the next batch begins again."""
        for stream in self._streams:
            stream.close()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        """float32 ``(b, 3, size, size)`` in channels_last, and int64 ``(b,)``; see `parts`.

        Raises:
            UnreadableImageError: A file turns out to be damaged when it is decoded.
        """
        found = [next(self._streams[index]) for index in self.drawn(self.position)]
        self.position += 1
        self.parts = tuple(len(labels) for _, labels in found)
        images = torch.cat([images for images, _ in found])
        return images.contiguous(memory_format=torch.channels_last), torch.cat(
            [labels for _, labels in found]
        )
