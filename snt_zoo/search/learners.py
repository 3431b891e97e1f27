"""What one epoch of training weights is: SGD on a cosine, cut short when the budget is spent.

No step waits for the device: losses are summed there and read every `CHECK_STEPS`. Searchers, which train
alphas too, build on it (`snt_zoo.search.searchers`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from snt_zoo.data import BalancedStream, Split, Stream
from snt_zoo.data.seeding import derive_seed
from snt_zoo.errors import DivergenceError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.device import mixed_precision
from snt_zoo.networks.distributed import Team
from snt_zoo.networks.evaluate import evaluate, evaluate_heads, mean_over_heads
from snt_zoo.networks.heads import cross_entropy
from snt_zoo.networks.memory import added, fitting_gradients
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.averaging import WeightAverage
from snt_zoo.search.checkpoint import nest, optimizer_tensors, restore_optimizer, unnest
from snt_zoo.search.conflict import combined
from snt_zoo.search.optimizers import SGD
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.step_graph import Found, Loss, StepGraphs, only, recordable
from snt_zoo.search.streams import Streams
from snt_zoo.search.tally import Tally

Progress = Callable[[], float]
"""How far the stage has come, from 0 to 1; 1 ends it."""

# Reading a number from a GPU waits for all that it has been given to do.
CHECK_STEPS = 50

AT_ONCE = 32 * 128**2
"""Pixels that go through a network with fixed norms together on a CPU: caches hold what they become
(`python -m benchmarks.photo_step`)."""

AHEAD = 3
"""Epochs in a row in which the average was no worse than the weights themselves; from then on these are
evaluated only every so many epochs."""

_log = logging.getLogger(__name__)


class WeightLearner:
    """Trains the weights of a network by SGD with momentum on a cosine.

    All that is random depends on the seed and on counters, so that a learner which loads the state of
    another goes on as that one would have, from any step.

    Args:
        network: a derived model, or a supernet (whose alphas then stay as they are).
        split: training images.
        recipe: hyperparameters.
        generator: on the CPU; its seed decides order, augmentation and sampled paths. It is not drawn from.
        peak_lr: the rate at progress 0.
        keep_norms: leave the batch-norm statistics as they are, in the average too.
    """

    def __init__(
        self,
        network: Supernet | DerivedModel,
        split: Split,
        *,
        recipe: Recipe,
        generator: torch.Generator,
        peak_lr: float,
        keep_norms: bool = False,
    ) -> None:
        self.network = network
        self.keep_norms = keep_norms
        self.split = split
        self.recipe = recipe
        self.seed = generator.initial_seed()
        self.generator = torch.Generator().manual_seed(self.seed)
        """For what a step draws; set anew before each part of a batch that goes through the network."""
        self.peak_lr = peak_lr
        self.device = next(network.parameters()).device
        self.team = Team.current()
        self.heads = network.config.heads
        self.streams = Streams(network.config, recipe, device=self.device, seed=self.seed)
        self.batches = self.streams.open("weights", split)
        self.parameters: list[nn.Parameter] = [
            *network.trunk.parameters(),
            *network.head.parameters(),
        ]
        self.optimizer = SGD(
            self.parameters,
            lr=peak_lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=True,
        )
        self.average = WeightAverage(network, recipe.average) if recipe.average else None
        self.steps = 0
        """Made so far, in all epochs."""
        self.epoch_length = 0
        """Steps of the epoch that runs."""
        self.tally = Tally(network.config.num_classes, device=self.device)
        """Of the epoch that runs."""
        self.micro_batch: int | None = None
        """Most images that go through the network at once; None for a whole batch."""
        self._calls = 0  # of `gradients` in the step that runs
        self._candidate = network
        self._ahead = 0  # evaluations in a row in which the average was no worse
        self.graphs = self._step_graphs(self.loss, self.parameters)

    def epoch(self, progress: Progress, *, steps: int | None = None) -> float:
        """One pass over the training images, or so many steps, cut short when `progress` reaches 1.

        Goes on with the epoch that `load_state` brought, if it was one in the middle.

        Args:
            progress: asked before every step.
            steps: of the epoch; by default those of one pass.

        Returns:
            The mean loss.

        Raises:
            DivergenceError: the loss or the weights are not finite, or the loss is hopeless.
            OutOfMemoryError: not even two images fit into memory.
        """
        self.network.train()
        if self.keep_norms:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        if self.tally.steps == 0:
            self.epoch_length = self.batches.pass_length if steps is None else steps
        while self.tally.steps < self.epoch_length:
            done = progress()
            if done >= 1 and self.tally.steps:
                break
            self._calls = 0
            self.tally.add(self.step(*next(self.batches), done))
            if self.team.size > 1:
                self.team.average_(self._statistics())
            self.steps += 1
            if self.steps % CHECK_STEPS == 0:
                self._mean_loss()
        mean = self.check()
        self.tally.clear()
        return mean

    def step(self, images: Tensor, labels: Tensor, progress: float) -> Tensor:
        """One step; returns the loss, still on the device."""
        self.set_rate(progress)
        loss, gradients = self.weight_gradients(images, labels)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self.update()
        return loss

    def weight_gradients(self, images: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """The loss of a weight step and its gradients; those of several datasets by the recipe's rule."""
        graphs = self.graphs if self.repeats else None
        parts = self.parts(self.batches) or [len(labels)]
        found = [
            self.gradients(self.loss, *pair, self.parameters, inputs=self.inputs, graphs=graphs)
            for pair in zip(torch.split(images, parts), torch.split(labels, parts), strict=True)
        ]
        if len(found) == 1:
            return found[0]
        self.generator.manual_seed(derive_seed(self.seed, "conflict", self.steps))
        gradients = combined(
            [each for _, each in found],
            self.recipe.conflict,
            clip=self.recipe.clip,
            generator=self.generator,
        )
        return torch.stack([loss for loss, _ in found]).mean(), gradients

    def parts(self, stream: Stream | BalancedStream) -> list[int]:
        """Images of the last batch that go through the network together; nothing if all do."""
        return [] if self.recipe.mixed_batches else list(stream.parts)

    def set_rate(self, progress: float) -> None:
        """The learning rate at some progress: half a cosine from the peak to zero, after a linear rise.

        The rise (Goyal et al. 2017, arXiv 1706.02677, section 2.2) spares weights that know something the
        first steps behind a head that is new to them.
        """
        rate = self.peak_lr * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        if progress < self.recipe.rate_warmup:
            rate *= progress / self.recipe.rate_warmup
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def update(self) -> None:
        """Clip the gradients that lie at the parameters and move the weights by them."""
        nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.network)

    def gradients(
        self,
        loss_of: Loss,
        images: Tensor,
        labels: Tensor,
        parameters: Sequence[Tensor],
        *,
        inputs: Callable[[], Sequence[Tensor]] = tuple,
        graphs: StepGraphs | None = None,
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The loss of a batch and its gradients: every step, of weights or of alphas, has them from here.

        A batch that does not fit into memory is tried again in halves, which from then on is the rule.
        Of several processes each gives its share of the batch, and all get the mean.

        Args:
            loss_of: the **mean** loss of some images with their labels and the inputs. It may be called for
                parts of the batch, whose losses are then averaged by their numbers of images; a penalty that
                does not depend on the images may be added to it. What it draws from `self.generator` is the
                same for every part.
            images: ``batch x 3 x size x size``.
            labels: ``batch``.
            parameters: what to differentiate by; nothing else gets gradients.
            inputs: computes what the loss takes besides and does not depend on the images, as a mixture; it
                may draw. Gradients go through it to the parameters.
            graphs: of the same loss and parameters, where it can be recorded.

        Returns:
            The loss, detached and still on the device, and a gradient for each parameter; None for those
            that took no part.

        Raises:
            OutOfMemoryError: not even two images fit.
        """
        self._calls += 1
        seed = derive_seed(self.seed, "step", self.steps, self._calls)
        self.generator.manual_seed(seed)
        sources = inputs()
        given = [each.detach().requires_grad_(each.requires_grad) for each in sources]
        found = None
        if graphs is not None and self.micro_batch is None:
            found = graphs.gradients(images, labels, given)
        loss, gradients = found or self._fitting_gradients(loss_of, images, labels, parameters, given, seed)
        if sources:
            gradients = _through(sources, gradients, parameters)
        present = [gradient for gradient in gradients if gradient is not None]
        loss, *present = self.team.average([loss, *present], weight=len(images))
        means = iter(present)
        return loss, [None if gradient is None else next(means) for gradient in gradients]

    def _fitting_gradients(
        self,
        loss_of: Loss,
        images: Tensor,
        labels: Tensor,
        parameters: Sequence[Tensor],
        given: Sequence[Tensor],
        seed: int,
    ) -> Found:
        def loss_of_part(part: Tensor, targets: Tensor) -> Tensor:
            self.generator.manual_seed(seed)
            with mixed_precision(self.device):
                return loss_of(part, targets, *given)

        wanted = [*parameters, *(each for each in given if each.requires_grad)]
        most = self.micro_batch or self._at_once(images)
        with only(parameters, of=self.network):
            loss, gradients, micro_batch = fitting_gradients(
                loss_of_part, images, labels, wanted, micro_batch=most
            )
        if micro_batch != most:
            self.micro_batch = micro_batch
            _log.warning(
                "out of memory on %s: going on with %d images at a time (a batch stays %d)",
                self.device,
                micro_batch,
                self.recipe.batch_size,
            )
        return loss, gradients

    def _at_once(self, images: Tensor) -> int | None:
        """Most images that go through the network at once; norms that are measured need the whole batch."""
        if not self.keep_norms or self.device.type != "cpu":
            return None
        return max(AT_ONCE // (images.shape[2] * images.shape[3]), 1)

    @property
    def patience(self) -> int:
        """Epochs without a better one after which a stage ends; 0 for never."""
        return self.recipe.patience

    @property
    def repeats(self) -> bool:
        """Whether weight steps differ by numbers alone, so that one can be recorded for all."""
        return isinstance(self.network, DerivedModel)

    def inputs(self) -> Sequence[Tensor]:
        """What a weight step takes besides its images, as a mixture; see `gradients`."""
        return ()

    def loss(self, images: Tensor, labels: Tensor, *inputs: Tensor) -> Tensor:
        """Mean loss of a weight step over some images; see `gradients`."""
        outputs = self.outputs(images, *inputs)
        return cross_entropy(outputs, labels, self.heads, label_smoothing=self.recipe.label_smoothing)

    def _step_graphs(self, loss_of: Loss, parameters: Sequence[Tensor]) -> StepGraphs | None:
        """Of some passes, for one process."""
        if not recordable(self.device) or self.team.size > 1:
            return None

        def loss(images: Tensor, labels: Tensor, *inputs: Tensor) -> Tensor:
            with mixed_precision(self.device):
                return loss_of(images, labels, *inputs)

        parted = bool(self.heads) and not self.recipe.mixed_batches
        return StepGraphs(self.network, loss, parameters, copies=parted)

    def outputs(self, images: Tensor, *inputs: Tensor) -> Tensor:
        """Logits of a weight step, ``batch x num_classes``."""
        out: Tensor = self.network(images)
        return out

    def evaluate(self, split: Split) -> float:
        """Accuracy of the `candidate`, from 0 to 1; of several heads the mean over them.

        The candidate is the network or its average with batch norms measured for it, whichever is better
        here: at first a training leaves its average behind. Later that is what is better as a rule, and the
        network itself is looked at less often (`AHEAD`).

        Args:
            split: this process's share of the images; the accuracy is that of all shares.
        """
        if self.average is None or not self.average.steps:
            self._candidate = self.network
            return self._accuracy(self.network, split)
        images = None if self.keep_norms else self.split
        average = self.average.measured(self.network, images, **self.evaluation())
        averaged = self._accuracy(average, split)
        skipped = self._ahead > AHEAD and self._ahead % AHEAD
        accuracy = -1.0 if skipped else self._accuracy(self.network, split)
        ahead = averaged >= accuracy
        self._ahead = self._ahead + 1 if ahead else 0
        self._candidate = average if ahead else self.network
        return max(averaged, accuracy)

    def _accuracy(self, network: Supernet | DerivedModel, split: Split) -> float:
        options = self.evaluation()
        if not self.heads:
            found = evaluate(network, split, **options)
        else:
            splits, train = (self.streams.divided(each) for each in (split, self.split))
            found = mean_over_heads(evaluate_heads(network, splits, train, **options))
        return self.team.accuracy(found, len(split))

    def candidate(self) -> Supernet | DerivedModel:
        """What the last epoch that was evaluated ended with."""
        return self._candidate

    def evaluation(self) -> dict[str, Mapping[str, Tensor]]:
        """How `evaluate` runs the network, where it is not by its path."""
        return {}

    def check(self) -> float:
        """Make sure that nothing has diverged; waits for the device.

        Returns:
            The mean loss of the epoch so far.

        Raises:
            DivergenceError: the loss, the weights or the optimizer's state are not finite, or the loss is
                hopeless.
        """
        mean = self._mean_loss()
        tensors = [*self.network.state_dict().values(), *optimizer_tensors(self.optimizer).values()]
        finite = [t.isfinite().all() for t in tensors if t.is_floating_point() and t.device == self.device]
        if not torch.stack(finite).all():
            raise DivergenceError(
                f"the weights are no longer numbers after step {self.tally.steps} {self._advice()}"
            )
        return mean

    def _mean_loss(self) -> float:
        try:
            return self.tally.mean()
        except DivergenceError as error:
            raise DivergenceError(f"{error} {self._advice()}") from None

    def _advice(self) -> str:
        rate = self.optimizer.param_groups[0]["lr"]
        return (
            f"of the epoch (found after step {self.tally.steps} of {self.epoch_length}, learning rate "
            f"{rate:.3g}): lower the learning rate (its peak is {self.peak_lr:g}) or check the images and "
            "labels"
        )

    def _statistics(self) -> list[Tensor]:
        """Batch-norm statistics, which each process measures on its share."""
        return [buffer for buffer in self.network.buffers() if buffer.is_floating_point()]

    def reseed(self, seed: int) -> None:
        """Let all that is random depend on another seed."""
        self.seed = seed
        self.generator.manual_seed(seed)
        self.streams.reseed(seed)

    def close(self) -> None:
        """End the processes that read images."""
        self.streams.close()

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, but the network."""
        return {
            **nest("weights", optimizer_tensors(self.optimizer)),
            **nest("streams", self.streams.positions()),
            **nest("tally", self.tally.state()),
            **({} if self.average is None else nest("average", self.average.state())),
            "ahead": torch.tensor(self._ahead),
            "counts": torch.tensor((self.steps, self.epoch_length, self.micro_batch or 0)),
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        restore_optimizer(self.optimizer, unnest("weights", tensors))
        self.streams.seek(unnest("streams", tensors))
        self.tally.load_state(unnest("tally", tensors))
        if self.average is not None:
            self.average.load_state(unnest("average", tensors))
        self._ahead = int(tensors.get("ahead", 0))  # checkpoints of earlier versions do not have it
        self.steps, self.epoch_length, micro_batch = tensors["counts"].tolist()
        self.micro_batch = micro_batch or None


def _through(
    sources: Sequence[Tensor], gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]
) -> list[Tensor | None]:
    """Gradients by the parameters, where those by the sources that were computed from them come last."""
    direct, last = gradients[: len(parameters)], gradients[len(parameters) :]
    moving = (source for source in sources if source.requires_grad)
    pairs = [pair for pair in zip(moving, last, strict=True) if pair[1] is not None]
    if not pairs:
        return [*direct]
    outputs, slopes = zip(*pairs, strict=True)
    through = torch.autograd.grad(outputs, [*parameters], slopes, allow_unused=True)
    return [added(left, right) for left, right in zip(direct, through, strict=True)]
