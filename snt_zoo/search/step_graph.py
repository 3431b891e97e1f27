"""The passes of a training step as CUDA graphs: launched at once, and not kernel by kernel from Python.

A network of this package is small: of a step the GPU works for a quarter, and waits for Python in between
(docs/decisions.md, 57). A graph (Nguyen et al. 2021, "Accelerating PyTorch with CUDA Graphs", the PyTorch
blog) is recorded once for each shape of a batch and then replayed with that batch's images.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor, nn

from snt_zoo.networks.memory import release

Loss = Callable[[Tensor, Tensor], Tensor]

WARM_UPS = 3
"""Passes before the recording, in which libraries choose their kernels and take their memory."""

RECORDED_AT = 8
"""How often a shape has come when it is recorded, which takes as long as some dozen steps."""

MOST_GRAPHS = 4
"""Each holds the memory of its passes. A stream has whole batches and at most one other size."""

_log = logging.getLogger(__name__)


class StepGraphs:
    """Loss and gradients of a network in which nothing varies from step to step but the numbers.

    Args:
        network: on a CUDA GPU; its parameters and buffers stay where they are in memory.
        loss_of: the mean loss of some images with their labels. It draws nothing, reads no number from the
            device, and does the same for every batch of a shape.
        parameters: what to differentiate by.
    """

    def __init__(self, network: nn.Module, loss_of: Loss, parameters: list[nn.Parameter]) -> None:
        self.network = network
        self.loss_of = loss_of
        self.parameters = parameters
        self.broken = False
        """Whether a recording failed, or had no room; there are none from then on."""
        self._graphs: dict[torch.Size, _StepGraph] = {}
        self._seen: Counter[torch.Size] = Counter()

    @property
    def recorded(self) -> int:
        """For how many shapes of a batch there is a graph."""
        return len(self._graphs)

    def gradients(self, images: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor]] | None:
        """The loss of a batch and its gradients, which the next call overwrites; None if there is no graph.

        Args:
            images: ``batch x 3 x size x size``.
            labels: ``batch``.
        """
        graph = self._graphs.get(images.shape)
        if graph is None:
            graph = self._record(images, labels)
            if graph is None:
                return None
            self._graphs[images.shape] = graph
        return graph.replay(images, labels)

    def _record(self, images: Tensor, labels: Tensor) -> _StepGraph | None:
        self._seen[images.shape] += 1
        if self.broken or self._seen[images.shape] < RECORDED_AT or len(self._graphs) == MOST_GRAPHS:
            return None
        if not has_room(images.device):
            self.broken = True
            _log.info("steps are not recorded as a CUDA graph: too little memory is free")
            return None
        kept = [buffer.clone() for buffer in self.network.buffers()]
        try:
            return _StepGraph(self.loss_of, images, labels, self.parameters)
        except RuntimeError as error:  # no memory for it, or an operation that cannot be recorded
            self.broken = True
            _log.info("steps are not recorded as a CUDA graph: %s", str(error).splitlines()[0])
        finally:
            with torch.no_grad():
                for buffer, value in zip(self.network.buffers(), kept, strict=True):
                    buffer.copy_(value)  # the warm-ups are no steps
        release(images.device)
        return None


def has_room(device: torch.device) -> bool:
    """Whether all that this process has taken of the device so far would fit once more.

    A graph keeps what its passes take, and whatever else runs must not go short of it.
    """
    free, _ = torch.cuda.mem_get_info(device)
    return free >= torch.cuda.max_memory_reserved(device)


class _StepGraph:
    """The recorded passes of batches of one shape."""

    def __init__(self, loss_of: Loss, images: Tensor, labels: Tensor, parameters: list[nn.Parameter]) -> None:
        self.images, self.labels = images.clone(), labels.clone()

        def passes() -> tuple[Tensor, list[Tensor]]:
            loss = loss_of(self.images, self.labels)
            return loss.detach(), list(torch.autograd.grad(loss, parameters))

        # Of its own device, which need not be the current one, and its own stream: the default one is kept
        # from the first recording of the process, whatever device that was on.
        with torch.cuda.device(images.device):
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(WARM_UPS):
                    passes()
            here.wait_stream(aside)
            self.graph = torch.cuda.CUDAGraph()
            # Of this thread alone: another one may be copying images to the GPU meanwhile.
            with torch.cuda.graph(self.graph, stream=aside, capture_error_mode="thread_local"):
                self.loss, self.gradients = passes()

    def replay(self, images: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
        self.images.copy_(images)
        self.labels.copy_(labels)
        with torch.cuda.device(images.device):
            self.graph.replay()
        return self.loss, list(self.gradients)
