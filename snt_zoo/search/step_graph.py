"""The passes of a training step as CUDA graphs: launched at once, and not kernel by kernel from Python.

A network of this package is small: of a step the GPU works for a quarter, and waits for Python in between
(docs/decisions.md, 68). A graph (Nguyen et al. 2021, "Accelerating PyTorch with CUDA Graphs", the PyTorch
blog) is recorded once for each shape of a batch and then replayed with that batch's images. What a step of a
search draws or mixes is computed before, and given to the graph as the images are.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from snt_zoo.networks.memory import accumulated, release

Loss = Callable[..., Tensor]
"""Of images, labels and what else is given."""

Found = tuple[Tensor, list[Tensor | None]]
"""A loss and its gradients; None for what took no part."""

WARM_UPS = 3
"""Passes before the recording, in which libraries choose their kernels and take their memory."""

RECORDED_AT = 8
"""How often a shape has come when it is recorded, which takes as long as some dozen steps."""

MOST_GRAPHS = 4
"""Each holds the memory of its passes. A stream has whole batches and at most one other size, and a search
that settles passes otherwise from then on."""

_log = logging.getLogger(__name__)


class StepGraphs:
    """Loss and gradients of a network in which nothing varies from step to step but the numbers.

    Args:
        network: on a CUDA GPU; its parameters and buffers stay where they are in memory.
        loss_of: the mean loss of some images with their labels and other tensors. It draws nothing, reads no
            number from the device, and does the same for everything of these shapes.
        parameters: what to differentiate by.
        copies: hand out copies, for steps that need the gradients of several batches at once.
    """

    def __init__(
        self, network: nn.Module, loss_of: Loss, parameters: Sequence[Tensor], *, copies: bool = False
    ) -> None:
        self.network = network
        self.loss_of = loss_of
        self.parameters = parameters
        self.copies = copies
        self.broken = False
        """Whether a recording failed, or had no room; there are none from then on."""
        self._graphs: dict[tuple[torch.Size, ...], _StepGraph] = {}
        self._seen: Counter[tuple[torch.Size, ...]] = Counter()

    @property
    def recorded(self) -> int:
        """For how many shapes of what is given there is a graph."""
        return len(self._graphs)

    def gradients(self, images: Tensor, labels: Tensor, inputs: Sequence[Tensor] = ()) -> Found | None:
        """The loss of a batch and its gradients; None if there is no graph.

        The next call overwrites them, unless they are `copies`.

        Args:
            images: ``batch x 3 x size x size``.
            labels: ``batch``.
            inputs: what else the loss takes, as a mixture.

        Returns:
            The gradients by the parameters, and then by those inputs that require one.
        """
        given = (images, labels, *inputs)
        shapes = tuple(each.shape for each in given)
        graph = self._graphs.get(shapes)
        if graph is None:
            graph = self._record(shapes, given)
            if graph is None:
                return None
            self._graphs[shapes] = graph
        found = graph.replay(given)
        return _copied(*found) if self.copies else found

    def _record(self, shapes: tuple[torch.Size, ...], given: Sequence[Tensor]) -> _StepGraph | None:
        self._seen[shapes] += 1
        if self.broken or self._seen[shapes] < RECORDED_AT or len(self._graphs) == MOST_GRAPHS:
            return None
        device = given[0].device
        if not has_room(device):
            self.broken = True
            _log.info("steps are not recorded as a CUDA graph: too little memory is free")
            return None
        kept = [buffer.clone() for buffer in self.network.buffers()]
        try:
            with only(self.parameters, of=self.network):
                return _StepGraph(self.loss_of, given, self.parameters)
        except RuntimeError as error:  # no memory for it, or an operation that cannot be recorded
            self.broken = True
            _log.info("steps are not recorded as a CUDA graph: %s", str(error).splitlines()[0])
        finally:
            with torch.no_grad():
                for buffer, value in zip(self.network.buffers(), kept, strict=True):
                    buffer.copy_(value)  # the warm-ups are no steps
        release(device)
        return None


def recordable(device: torch.device) -> bool:
    """Whether there are graphs on that kind of device."""
    return device.type == "cuda"


def has_room(device: torch.device) -> bool:
    """Whether all that this process has taken of the device so far would fit once more.

    A graph keeps what its passes take, and whatever else runs must not go short of it.
    """
    free, _ = torch.cuda.mem_get_info(device)
    return free >= torch.cuda.max_memory_reserved(device)


class _StepGraph:
    """The recorded passes of what has certain shapes."""

    def __init__(self, loss_of: Loss, given: Sequence[Tensor], parameters: Sequence[Tensor]) -> None:
        self.given = [each.detach().clone().requires_grad_(each.requires_grad) for each in given]
        self.again, self.found = record(lambda: passes(loss_of, self.given, parameters), given[0].device)

    def replay(self, given: Sequence[Tensor]) -> Found:
        with torch.no_grad():
            for mine, theirs in zip(self.given, given, strict=True):
                mine.copy_(theirs)
        self.again()
        loss, gradients = self.found
        return loss, list(gradients)


def passes(loss_of: Loss, given: Sequence[Tensor], parameters: Sequence[Tensor]) -> Found:
    """A loss and its gradients, by the parameters and then by those of the given that require one."""
    images, labels, *inputs = given
    wanted = [*parameters, *(each for each in inputs if each.requires_grad)]
    return accumulated(lambda *batch: loss_of(*batch, *inputs), images, labels, wanted, parts=1)


def record(function: Callable[[], Found], device: torch.device) -> tuple[Callable[[], None], Found]:
    """Record what a function launches on a GPU; returns what launches it again, and where its results lie."""
    # Of its own device, which need not be the current one, and its own stream: the default one is kept
    # from the first recording of the process, whatever device that was on.
    with torch.cuda.device(device):
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                function()
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Of this thread alone: another one may be copying images to the GPU meanwhile.
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            found = function()

    def again() -> None:
        with torch.cuda.device(device):
            graph.replay()

    return again, found


@contextlib.contextmanager
def only(wanted: Sequence[Tensor], *, of: nn.Module) -> Iterator[None]:
    """Let no other parameter of a network have a gradient, so that none is computed."""
    known = {id(parameter) for parameter in wanted}
    others = [p for p in of.parameters() if p.requires_grad and id(p) not in known]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


def _copied(loss: Tensor, gradients: Sequence[Tensor | None]) -> Found:
    present = [each for each in gradients if each is not None]
    copies = [torch.empty_like(each) for each in present]
    torch._foreach_copy_(copies, present)
    following = iter(copies)
    return loss.clone(), [None if each is None else next(following) for each in gradients]
