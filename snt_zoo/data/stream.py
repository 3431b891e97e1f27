"""Endless training batches that can be entered anywhere.

The order of each pass and the augmentation of each batch depend on the seed and on the position alone (see
`snt_zoo.data.seeding`). So a stream goes on from a position as if it had never stopped, without going
through what came before, and several processes share each batch as if one had it whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from snt_zoo.data.augmentation import Augmentation
from snt_zoo.data.batches import finished, one_pass, plan_batches
from snt_zoo.data.dataset import Split
from snt_zoo.data.normalisation import Normalisation
from snt_zoo.data.seeding import derive_seed
from snt_zoo.errors import TooFewImagesError


class Stream:
    """Passes through a split without end, each in an order of its own.

    Args:
        split: What to go through.
        size: The side of the images, in pixels.
        batch_size: Images in a batch of all processes together. Images that are left for the last batch
            of a pass join the one before it if they are too few for batch norm: fewer than two for each
            process.
        normalisation: Applied last.
        device: Where the batches shall lie.
        seed: Decides order and augmentation.
        augment: Changes to the images; none if not given.
        share: Which part of each batch this process takes: its rank, and the number of processes.

    Raises:
        TooFewImagesError: There are fewer than two images, in all or in a batch, for each process.

    Example:
        >>> from snt_zoo import open_dataset
        >>> split = open_dataset("sklearn:digits").train
        >>> stream = Stream(split, size=8, batch_size=64, normalisation=Normalisation())
        >>> images, labels = next(stream)
        >>> images.shape, stream.position
        (torch.Size([64, 3, 8, 8]), 1)
    """

    def __init__(
        self,
        split: Split,
        *,
        size: int,
        batch_size: int,
        normalisation: Normalisation,
        device: torch.device | str = "cpu",
        seed: int = 0,
        augment: Augmentation | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        least = 2 * share[1] if share[1] > 1 else 1
        if min(len(split), batch_size) < least:
            what = (
                f"{len(split)} training images" if len(split) < least else f"batches of {batch_size} images"
            )
            raise TooFewImagesError(
                f"{what} cannot be shared by {share[1]} processes, which take at least two each: start fewer"
            )
        self.split = split
        self.size = size
        self.batch_size = batch_size
        self.normalisation = normalisation
        self.device = torch.device(device)
        self.seed = seed
        self.augment = augment
        self.share = share
        self.position = 0
        """Batches taken so far; the next one stands there."""
        self.parts: tuple[int, ...] = ()
        """Of a batch from one dataset there are none; see `BalancedStream`."""
        self._lengths = [len(indices) for indices in self._plan(0)]
        self._generator = torch.Generator()
        self._source: Iterator[tuple[Tensor, Tensor]] | None = None

    @property
    def pass_length(self) -> int:
        """Batches in one pass."""
        return len(self._lengths)

    def seek(self, position: int) -> None:
        """Go on with the batch at a position."""
        self.close()
        self.position = position

    def close(self) -> None:
        """Read no further ahead; the next batch begins again."""
        self._source = None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        """float32 ``(b, 3, size, size)`` in channels_last, and int64 ``(b,)``.

        Raises:
            UnreadableImageError: A file turns out to be damaged when it is decoded.
        """
        if self._source is None:
            self._source = self._open()
        pixels, labels = next(self._source)
        draws = None
        if self.augment is not None:
            self._generator.manual_seed(derive_seed(self.seed, "augment", self.position))
            count = self._lengths[self.position % self.pass_length]
            whole = self.augment.draw(count, generator=self._generator)
            draws = None if whole is None else self._part(whole)
        self.position += 1
        return finished(pixels, self.normalisation, self.augment, draws), labels

    def _open(self) -> Iterator[tuple[Tensor, Tensor]]:
        passes = (
            self._from_position(number) for number in itertools.count(self.position // self.pass_length)
        )
        return itertools.chain.from_iterable(
            one_pass(self.split, plan, size=self.size, device=self.device) for plan in passes
        )

    def _from_position(self, number: int) -> list[Tensor]:
        """What this process takes of the batches of a pass, from the position on if it stands in it."""
        start = max(self.position - number * self.pass_length, 0)
        return [self._part(indices) for indices in self._plan(number)[start:]]

    def _plan(self, number: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", number))
        return plan_batches(
            len(self.split),
            self.batch_size,
            shuffle=True,
            drop_last=False,
            generator=generator,
            least=2 * self.share[1],
        )

    def _part(self, rows: Tensor) -> Tensor:
        rank, processes = self.share
        return torch.tensor_split(rows, processes)[rank]
