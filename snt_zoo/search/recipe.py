"""The hyperparameters of training, in one place. Every choice names its source."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from snt_zoo.errors import ConfigError


@dataclass(frozen=True)
class Recipe:
    """How weights and alphas are trained, and how the architecture is chosen.

    Args:
        searcher: name of the searcher (`snt_zoo.search.searchers`, `docs/searchers.md`).
        batch_size: images in a step.
        weight_lr: peak rate of SGD on the weights; falls to zero on a cosine over the stage.
        rate_warmup: share of a stage over which the rate rises in a line from zero to the cosine.
        momentum: of SGD (Nesterov).
        weight_decay: L2 on the weights.
        clip: largest norm of the weights' gradient.
        label_smoothing: ε of the smoothed cross-entropy.
        alpha_lr: rate of Adam on the alphas.
        alpha_betas: of Adam.
        alpha_weight_decay: L2 on the alphas.
        alpha_share: share of the training split that trains the alphas.
        alpha_every: steps of the weights to one of the alphas.
        warmup_share: share of the search in which only weights are trained.
        settle_share: last share of the search in which alphas rest, and weights are trained along the path of
            the genotype, by which a derived network and a transfer begin; it is selected before.
        search_share: share of the budget that goes to the supernet; the derived network has the rest.
        search_passes: over the training images that a search after a transfer must be able to make in that
            share of a budget in seconds; else there is none.
        derived_lr: peak rate of SGD on the derived network.
        augmentation: name of a preset of `snt_zoo.data.Augmentation`; of several datasets one for all, or
            one for each with spaces between. Pretraining also takes `auto` (`snt_zoo.search.mirroring`).
        average: decay of an exponential average of the weights, by steps; what is kept is the average, or the
            weights themselves where they are better on validation. 0 for none.
        keep_norms: train the derived network with the batch-norm statistics that it came with, where these
            are better on validation than measured ones, as those of a network that has seen ImageNet.
        patience: epochs without a better one on validation after which a stage ends; 0 for never, as for a
            search with a `settle_share`.
        regularisers: names of those that are on (`snt_zoo.search.regularisers`).
        skip_alarm_share: share of a cell's edges above which `skip-alarm` warns.
        least_entropy: of transferred alphas, from 0 to 1; more decided ones are softened
            (`snt_zoo.search.softening`). 0 to leave them.
        dirichlet_kl: weight of `drnas`'s regulariser, the divergence from the uniform Dirichlet.
        selection: how the genotype is chosen: by `alpha`, by alpha with a `handicap` for operations without
            weights, or where alphas are close by `perturbation`.
        selection_ratio: an edge is close if its second weight is at least this share of its first; what the
            handicap multiplies by.
        selection_images: of the alphas' images, how many perturbation looks at.
        datasets_per_step: of several sources, how many a step draws a part of its batch from.
        mixed_batches: let those parts go through the network together, so that they share batch statistics;
            else one after the other, each by its own.
        dataset_temperature: T of the sampling of sources in proportion to n^(1/T); 1 goes by their images.
        conflict: how the gradients of a step's sources become one: `mean`, `clip` or `pcgrad`
            (`snt_zoo.search.conflict`); mixed batches have one gradient only.
        anchor: of `sandwich`, weight of the distance between the teacher's features and those that it came
            with; above 0 the teacher is the path of the genotype, for supernets that hold a pretrained one.
        macs_penalty: weight of the logarithm of the expected MACs in the alphas' loss; with `max_macs`
            only what they are above it counts.
    """

    searcher: str = "gdas"  # docs/decisions.md, 3: four times cheaper a step, no discretisation gap
    batch_size: int = 64  # Liu et al. 2019 (DARTS), section A.1.1
    weight_lr: float = 0.1  # docs/decisions.md, 4; DARTS has 0.025 for runs a hundred times longer
    rate_warmup: float = 0.0
    momentum: float = 0.9  # DARTS
    weight_decay: float = 3e-4  # DARTS
    clip: float = 5.0  # DARTS, their code
    label_smoothing: float = 0.1  # Szegedy et al. 2016; docs/decisions.md, 4
    alpha_lr: float = 1e-2  # docs/decisions.md, 4; at DARTS's 3e-4 short runs leave alphas uniform
    alpha_betas: tuple[float, float] = (0.5, 0.999)  # DARTS
    alpha_weight_decay: float = 1e-3  # DARTS
    alpha_share: float = 0.5  # DARTS
    alpha_every: int = 1  # DARTS
    warmup_share: float = 0.15
    settle_share: float = 0.0  # docs/decisions.md, 71: for cells of DARTS
    search_share: float = 0.15  # docs/decisions.md, 45, as is the selection
    search_passes: int = 5  # docs/decisions.md, 54
    derived_lr: float = 0.1
    augmentation: str = "safe"  # no flips: letters and arrows are not what their mirror images are
    average: float = 0.0
    keep_norms: bool = False
    patience: int = 0
    regularisers: tuple[str, ...] = ("skip-alarm",)  # docs/decisions.md, 45
    skip_alarm_share: float = 1 / 3  # P-DARTS and DARTS+ allow two of eight edges: three is alarming
    least_entropy: float = 0.3  # docs/decisions.md, 45
    dirichlet_kl: float = 0.0  # Chen et al. 2021 (DrNAS) by default regularise by weight decay, as here
    selection: str = "handicap"
    selection_ratio: float = 0.8
    selection_images: int = 512
    datasets_per_step: int = 4
    mixed_batches: bool = False
    dataset_temperature: float = 5.0  # Arivazhagan et al. 2019, section 4.1
    conflict: str = "pcgrad"
    anchor: float = 0.0
    macs_penalty: float = 0.2  # the exponent-like weight of FBNet (Wu et al. 2019, equation 3)

    @classmethod
    def for_pretraining(cls) -> Recipe:
        """For the long runs of a zoo. Images and steps are better spent on weights: docs/decisions.md, 47."""
        return cls(alpha_lr=2e-2, alpha_share=0.2, alpha_every=4, selection="alpha")

    @classmethod
    def for_transfer(cls) -> Recipe:
        """For a supernet that comes with weights and alphas: small steps, and soon derived."""
        # The last two: docs/decisions.md, 46; the rise of the rate: 54.
        return cls(
            weight_lr=0.02,
            rate_warmup=0.1,
            warmup_share=0.0,
            selection="alpha",
            search_share=0.02,
            average=0.99,
        )

    def override(self, changes: Mapping[str, Any]) -> Recipe:
        """A copy with other values for some fields.

        Args:
            changes: new values by the names of the fields; a text, as the command line gives it, is read as
                the type of its field (`"0.3"`, `"yes"`, `"skip-alarm,…"`).

        Raises:
            ConfigError: no field of that name, or a value of another type.

        Example:
            >>> Recipe.for_transfer().override({"searcher": "drnas"}).weight_lr
            0.02
        """
        if not isinstance(changes, Mapping):
            raise ConfigError(
                'a recipe is given as the fields to change, as {"searcher": "drnas"}: a whole one would drop '
                f"what is right for the source; got {type(changes).__name__}"
            )
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in changes:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(known)}"
                raise ConfigError(f"a recipe has no field {name!r}: {hint}")
        return replace(self, **{name: _read(name, changes[name], known[name]) for name in changes})


def _read(name: str, value: Any, like: Any) -> Any:
    """A new value of a field, of the type of the one that it takes the place of."""
    try:
        if isinstance(like, bool):
            return {"yes": True, "true": True, "no": False, "false": False}[str(value).lower()]
        if isinstance(like, tuple):
            parts = [part for part in value.split(",") if part] if isinstance(value, str) else value
            kind = type(like[0]) if like else str
            return tuple(kind(part) for part in parts)
        if isinstance(like, str) and not isinstance(value, str):
            raise TypeError
        if isinstance(like, int) and float(value) % 1:
            raise ValueError
        return type(like)(value)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"the recipe's {name} is of the type {type(like).__name__}, as {like!r}; got {value!r}"
        ) from error
