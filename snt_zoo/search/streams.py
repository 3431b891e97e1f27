"""The batches of a training: a stream for each kind of step, of one dataset or balanced over several."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from snt_zoo.data import Augmentation, BalancedStream, Split, Stream
from snt_zoo.data.seeding import derive_seed
from snt_zoo.networks.distributed import Team
from snt_zoo.networks.heads import split_by_head
from snt_zoo.networks.supernet import NetworkConfig
from snt_zoo.search.mirroring import augmentation_names
from snt_zoo.search.recipe import Recipe


class Streams:
    """Endless shuffled, augmented batches, by name; a checkpoint keeps where each stands.

    Args:
        config: of the network that takes them; with several heads they are balanced over the datasets.
        recipe: batch size, augmentation, and how datasets are drawn.
        device: where they lie.
        seed: decides order and augmentation, with the name.
    """

    def __init__(self, config: NetworkConfig, recipe: Recipe, *, device: torch.device, seed: int) -> None:
        self.config = config
        self.recipe = recipe
        self.device = device
        self.seed = seed
        team = Team.current()
        self._share = (team.rank, team.size)
        self._by_name: dict[str, Stream | BalancedStream] = {}
        self._by_head: dict[Split, tuple[Split, ...]] = {}

    def open(self, name: str, split: Split) -> Stream | BalancedStream:
        """A new stream of a split.

        Args:
            name: among these streams; decides the order, with the seed.
            split: training images.
        """
        config, recipe, heads = self.config, self.recipe, self.config.heads
        seed = derive_seed(self.seed, name)
        augment = [Augmentation.named(each) for each in augmentation_names(recipe.augmentation, heads)]
        made: Stream | BalancedStream
        if heads:
            present = [pair for pair in zip(self.divided(split), augment, strict=True) if len(pair[0])]
            made = BalancedStream(
                [part for part, _ in present],
                datasets=recipe.datasets_per_step,
                temperature=recipe.dataset_temperature,
                size=config.input_size,
                batch_size=recipe.batch_size,
                normalisation=config.normalisation,
                device=self.device,
                seed=seed,
                augment=[preset for _, preset in present],
                share=self._share,
            )
        else:
            made = Stream(
                split,
                size=config.input_size,
                batch_size=recipe.batch_size,
                normalisation=config.normalisation,
                device=self.device,
                seed=seed,
                augment=augment[0],
                share=self._share,
            )
        self._by_name[name] = made
        return made

    def divided(self, split: Split) -> tuple[Split, ...]:
        """A split by head; kept, with the images that its parts hold in memory."""
        if split not in self._by_head:
            self._by_head[split] = split_by_head(split, self.config.heads)
        return self._by_head[split]

    def reseed(self, seed: int) -> None:
        """Let order and augmentation depend on another seed, from where each stream stands."""
        self.seed = seed
        for name, stream in self._by_name.items():
            stream.seed = derive_seed(seed, name)
            stream.seek(stream.position)

    def close(self) -> None:
        """End the processes that read images; the next batch starts new ones."""
        for stream in self._by_name.values():
            stream.close()

    def positions(self) -> dict[str, Tensor]:
        """Where each stands, for a checkpoint."""
        return {name: torch.tensor(stream.position) for name, stream in self._by_name.items()}

    def seek(self, positions: Mapping[str, Tensor]) -> None:
        """The inverse of `positions`."""
        for name, position in positions.items():
            self._by_name[name].seek(int(position))
