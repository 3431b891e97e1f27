"""A derived network from a supernet's weights, as it is when its training begins, and its training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from snt_zoo.data import ImageDataset
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import NORM_IMAGES, accuracy, evaluate, logits, recalibrate
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.head import Norms, fit_head, preparation
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.race import affordable
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.run import Run
from snt_zoo.search.stage import OnBetter, fit


def looked_at(data: ImageDataset, head_images: int) -> int:
    """Images that a network looks at beside its training: until that begins, and in the last measurement.

    Args:
        data: the task.
        head_images: of the training part, to which its head is fitted, at most.
    """
    seen = min(NORM_IMAGES, len(data.train)) + min(head_images, len(data.train))
    return seen + 4 * len(data.val) + len(data.test)


@dataclass(eq=False)
class Inherited:
    """A network that is about to be trained.

    Args:
        model: with the supernet's weights, and with its norms or with measured ones, whichever is better.
        steps: validation accuracies on the way here, as of `FinetuneResult`.
        initial: validation accuracy as it is.
        norms: whose it has.
        kept: whether training leaves them as they are.
        pace: seconds for a forward pass of an image.
    """

    model: DerivedModel
    steps: dict[str, float]
    initial: float
    norms: Norms
    kept: bool
    pace: float

    @classmethod
    def of(
        cls,
        candidate: Candidate,
        supernet: Supernet,
        data: ImageDataset,
        run: Run,
        *,
        genotype: Genotype | None = None,
        input_size: int | None = None,
        before: Sequence[DerivedModel] = (),
    ) -> Inherited:
        """The network of a genotype, by default of the supernet's own.

        Args:
            candidate: whose recipe says what becomes of published norms.
            supernet: with a head for the task.
            data: the task.
            run: keeps time.
            genotype: of the network.
            input_size: side of its images, in pixels; by default the supernet's.
            before: networks that were trained already, from which it takes over what it has in common with
                them; the last one counts.
        """
        model = DerivedModel.inherit(supernet, genotype).at(input_size)
        for other in before:
            model.take_over(other)
        if data.test.fits(model.config.input_size):
            data.test.tensor(model.config.input_size)  # before training: nobody knows how long that takes
        began = run.seconds()
        steps = {"inherited": evaluate(model, data.val)}
        published = copy.deepcopy(model.state_dict())
        recalibrate(model, data.train)
        steps["recalibrated"] = evaluate(model, data.val)
        pace = (run.seconds() - began) / (2 * len(data.val) + min(NORM_IMAGES, len(data.train)))
        better = steps["inherited"] > steps["recalibrated"]
        if better:  # measured norms are not better as such: see `begin_on`
            model.load_state_dict(published)
        published_norms = better and supernet.space.may_be_pretrained
        return cls(
            model,
            steps,
            max(steps.values()),
            "published" if published_norms else "measured",
            published_norms and candidate.recipe.keep_norms,
            pace,
        )

    def fit_head(self, data: ImageDataset, images: int) -> None:
        """Give it a head of its own, where that is better on validation than the one that it inherited.

        Better by cross-entropy: a head that was made for other features can be right and yet so sure that the
        first steps behind it diverge.

        Args:
            data: the task.
            images: of the training part, at most.
        """
        heads, said = [], []
        for own in (False, True):
            if own:
                fit_head(self.model, data.train.thinned(images))
            heads.append(copy.deepcopy(self.model.head.state_dict()))
            said.append(logits(self.model, data.val))
        losses = [float(functional.cross_entropy(each, data.val.labels)) for each in said]
        better = losses.index(min(losses))
        self.model.head.load_state_dict(heads[better])
        self.initial = accuracy(said[better], data.val.labels)

    def train(
        self,
        candidate: Candidate,
        data: ImageDataset,
        run: Run,
        *,
        stage: str = "derived",
        share: float = 1.0,
        rest: float = 0.0,
        halfway: Callable[[float], float] | None = None,
        better: OnBetter | None = None,
    ) -> Trained:
        """Train it for its part of the budget, and measure it on the test part.

        Args:
            candidate: whose recipe it is trained by.
            data: the task.
            run: keeps time.
            stage: its name in the history.
            share: as of `fit`, as is the rest.
            rest: seconds of what must follow besides its last measurement.
            halfway: likewise.
            better: likewise.
        """
        recipe, model = candidate.recipe, self.model
        learner = WeightLearner(
            model,
            data.train,
            recipe=recipe,
            generator=run.generator,
            peak_lr=recipe.derived_lr,
            keep_norms=self.kept,
        )
        # The network as it is trained, its average, whose norms are measured before, and who looks on.
        seen = (2 * len(data.val) + NORM_IMAGES if recipe.average else len(data.val)) + len(data.val)
        images = data.train.thinned(affordable(run, self.pace, model))
        self.steps["finetuned"] = fit(
            run,
            stage,
            learner,
            share=share,
            rest=rest + self.pace * len(data.test),
            evaluation=self.pace * seen,
            initial=self.initial,
            prepare=None if self.kept else preparation(model, images, self.norms),
            halfway=halfway,
            better=better,
        )
        return self._measured(data, learner.steps)

    def untrained(self, data: ImageDataset) -> Trained:
        """As it is, measured on the test part."""
        self.steps["finetuned"] = self.initial
        return self._measured(data, 0)

    def _measured(self, data: ImageDataset, steps: int) -> Trained:
        test = logits(self.model, data.test)
        return Trained(self.model.placed("cpu").eval(), self.steps, steps, test)


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, in eval mode on the CPU, and what its training came to.

    Args:
        model: the network.
        steps: validation accuracies on the way, as of `FinetuneResult`.
        derived_steps: of the optimizer.
        test: its logits of the test part.
    """

    model: DerivedModel
    steps: dict[str, float]
    derived_steps: int
    test: Tensor
