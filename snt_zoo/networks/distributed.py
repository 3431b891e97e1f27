"""Several processes, one for each GPU, that train one network: see docs/scale.md.

Every process holds the whole network and takes its share of each batch. Gradients are averaged over the
processes before each optimizer step, so weights and alphas stay the same to the bit in all of them; what is
random comes from counters (`snt_zoo.data.seeding`), so all sample the same paths. Only the first process
writes files and prints.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from snt_zoo.data import Split
from snt_zoo.errors import TeamError


@dataclass(frozen=True)
class Team:
    """The processes that train together; `Team()` is one that works alone.

    Args:
        rank: of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Team:
        """The default process group of `torch.distributed`, if there is one."""
        if not distributed.is_available() or not distributed.is_initialized():
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def largest(self, *values: float) -> list[float]:
        """The largest of each value over the processes. Waits for their hosts, not for their GPUs."""
        if self.size == 1:
            return list(values)
        found = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return found.tolist()

    def wait(self) -> None:
        """Go on when all processes are here."""
        self.largest(0.0)

    def average(self, tensors: Sequence[Tensor], *, weight: float = 1.0) -> list[Tensor]:
        """The mean of each tensor over the processes, in one message.

        Args:
            tensors: of the same shapes in every process.
            weight: of this process.
        """
        if self.size == 1 or not tensors:
            return list(tensors)
        parts = [tensor.detach().reshape(-1) * weight for tensor in tensors]
        flat = torch.cat([*parts, parts[0].new_full((1,), weight)])
        distributed.all_reduce(flat)
        pieces = torch.split(flat[:-1] / flat[-1], [part.numel() for part in parts])
        return [
            torch.empty_like(tensor).copy_(piece.view(tensor.shape))
            for tensor, piece in zip(tensors, pieces, strict=True)
        ]

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """`average` in place."""
        if self.size > 1:
            for tensor, mean in zip(tensors, self.average(tensors), strict=True):
                tensor.copy_(mean)

    def broadcast_(self, network: nn.Module) -> None:
        """Give every process the first one's weights, alphas and buffers."""
        if self.size > 1:
            with torch.no_grad():
                for tensor in network.state_dict().values():
                    plain = tensor.contiguous()
                    distributed.broadcast(plain, 0)
                    tensor.copy_(plain)

    def tell(self, text: str) -> str:
        """The first process's text, in every process."""
        if self.size == 1:
            return text
        data = torch.tensor(list(text.encode()), dtype=torch.uint8)
        length = torch.tensor(len(data))
        distributed.broadcast(length, 0)
        data = data if self.first else torch.empty(int(length), dtype=torch.uint8)
        distributed.broadcast(data, 0)
        return bytes(data.tolist()).decode()

    def share(self, split: Split) -> Split:
        """This process's part of a split that is only gone through, as for evaluation."""
        return split if self.size == 1 else split.subset(torch.arange(self.rank, len(split), self.size))

    def accuracy(self, value: float, images: int) -> float:
        """The accuracy over all shares.

        Args:
            value: accuracy on this process's share, from 0 to 1.
            images: in this share.
        """
        if self.size == 1:
            return value
        counts = torch.tensor([round(value * images), images], dtype=torch.int64)
        distributed.all_reduce(counts)
        return int(counts[0]) / max(int(counts[1]), 1)

    def check(self, network: nn.Module) -> None:
        """Compare what the processes hold, to the bit.

        Raises:
            TeamError: they have come apart.
        """
        if self.size == 1:
            return
        tensors = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
        digest = torch.stack([tensor.detach().double().sum() for tensor in tensors]).cpu()
        both = torch.cat([digest, -digest])
        distributed.all_reduce(both, distributed.ReduceOp.MAX)
        if not torch.equal(both[: len(digest)], -both[len(digest) :]):
            raise TeamError(
                "the processes hold different weights after the same steps: start the run again with "
                "--resume from its last checkpoint, and report it if it happens again"
            )


@contextlib.contextmanager
def joined() -> Iterator[Team]:
    """Join the processes that `torchrun` started; alone where it started none.

    Example:
        >>> with joined() as team:
        ...     team.size
        1

    Raises:
        TeamError: `torchrun` started more processes than there are GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or distributed.is_initialized():
        yield Team.current()
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        if local >= torch.cuda.device_count():
            raise TeamError(
                f"torchrun started process {local + 1} on a machine with {torch.cuda.device_count()} GPUs: "
                f"use --nproc_per_node={torch.cuda.device_count()}"
            )
        torch.cuda.set_device(local)
    # Messages between hosts go by gloo, tensors on GPUs by NCCL.
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    yield Team.current()
    distributed.destroy_process_group()  # not after an error: the others may never answer
