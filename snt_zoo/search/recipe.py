"""The hyperparameters of training, in one place. Every choice names its source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How weights and alphas are trained.

    Args:
        searcher: name of the searcher (`snt_zoo.search.searchers`).
        batch_size: images in a step.
        weight_lr: peak rate of SGD on the weights; falls to zero on a cosine over the run.
        momentum: of SGD (Nesterov).
        weight_decay: L2 on the weights.
        clip: largest norm of the weights' gradient.
        label_smoothing: ε of the smoothed cross-entropy.
        alpha_lr: rate of Adam on the alphas.
        alpha_betas: of Adam.
        alpha_weight_decay: L2 on the alphas.
        alpha_share: share of the training split that trains the alphas.
        warmup_share: share of the search in which only weights are trained.
        search_share: share of the budget that goes to the supernet; the derived network has the rest.
        derived_lr: peak rate of SGD on the derived network.
        augmentation: name of a preset of `snt_zoo.data.Augmentation`.
    """

    searcher: str = "gdas"  # docs/decisions.md, 3: four times cheaper a step, no discretisation gap
    batch_size: int = 64  # Liu et al. 2019 (DARTS), section A.1.1
    weight_lr: float = 0.1  # docs/decisions.md, 4; DARTS has 0.025 for runs a hundred times longer
    momentum: float = 0.9  # DARTS
    weight_decay: float = 3e-4  # DARTS
    clip: float = 5.0  # DARTS, their code
    label_smoothing: float = 0.1  # Szegedy et al. 2016; docs/decisions.md, 4
    alpha_lr: float = 1e-2  # docs/decisions.md, 4; at DARTS's 3e-4 short runs leave alphas uniform
    alpha_betas: tuple[float, float] = (0.5, 0.999)  # DARTS
    alpha_weight_decay: float = 1e-3  # DARTS
    alpha_share: float = 0.5  # DARTS
    warmup_share: float = 0.15
    search_share: float = 0.4
    derived_lr: float = 0.1
    augmentation: str = "safe"  # no flips: letters and arrows are not what their mirror images are

    @classmethod
    def for_pretraining(cls) -> Recipe:
        """For the long runs of a zoo: alphas that are not saturated when they are transferred."""
        return cls(alpha_lr=5e-3)

    @classmethod
    def for_transfer(cls) -> Recipe:
        """For a supernet that comes with weights and alphas: small steps, and soon derived."""
        return cls(weight_lr=0.02, warmup_share=0.0, search_share=0.1)
