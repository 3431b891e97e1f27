"""One generic test case for searchers: a new searcher gets all of it by subclassing.

Example:
    class TestMySearcher(SearcherTestCase):
        name = "mine"
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from benchmarks.methods import early_stopping  # the arms of a benchmark go through the same tests
from snt_zoo.data import ImageDataset
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.budget import Budget
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.regularisers import list_regularisers
from snt_zoo.search.searchers import Searcher, get_searcher, list_searchers
from snt_zoo.search.selection import select
from tests.conftest import TINY
from tests.search.runs import finetune

Batch = tuple[torch.Tensor, torch.Tensor]


def make_searcher(name: str, config: NetworkConfig, data: ImageDataset, **recipe: Any) -> Searcher:
    """A searcher with a fresh supernet; in batches of 32, with a warm-up of half."""
    generator = torch.Generator().manual_seed(0)
    net = Supernet.create(get_searcher(name).prepared(config), generator=generator)
    made = Recipe(**{"batch_size": 32, "warmup_share": 0.5, "searcher": name, **recipe})
    return get_searcher(name)(net, data.train, data.val, recipe=made, generator=generator, peak_lr=0.05)


def batch(data: ImageDataset, count: int = 16, *, size: int = 16) -> Batch:
    """Normalised images of the validation part, and their labels."""
    return data.val.tensor(size)[:count].float() / 255 - 0.5, data.val.labels[:count]


class SearcherTestCase:
    """What holds for every searcher."""

    name: ClassVar[str]
    config: ClassVar[NetworkConfig] = TINY["nas_bench_201"]

    def make(self, data: ImageDataset, **recipe: Any) -> Searcher:
        return make_searcher(self.name, self.config, data, **recipe)

    def test_is_listed(self) -> None:
        assert self.name in list_searchers()

    def test_alphas_move_as_often_as_the_recipe_says(self, few_digits: ImageDataset) -> None:
        searcher = self.make(few_digits, warmup_share=0.0, alpha_every=3)
        moved = []
        for _ in range(6):
            before = [alpha.detach().clone() for alpha in searcher.alphas]
            searcher.step(*batch(few_digits), 0.5)
            searcher.steps += 1
            moved.append(any(not torch.equal(a, b) for a, b in zip(before, searcher.alphas, strict=True)))
        assert moved == [True, False, False, True, False, False]

    def test_alphas_move_only_after_the_warm_up_and_weights_always(self, few_digits: ImageDataset) -> None:
        searcher = self.make(few_digits, warmup_share=0.3)
        alphas = [alpha.detach().clone() for alpha in searcher.alphas]
        weights = [weight.detach().clone() for weight in searcher.parameters]
        searcher.epoch(lambda: 0.0)
        assert all(torch.equal(a, b) for a, b in zip(alphas, searcher.alphas, strict=True))
        assert any(not torch.equal(a, b) for a, b in zip(weights, searcher.parameters, strict=True))
        searcher.epoch(lambda: 0.9)
        moved = [not torch.equal(a, b) for a, b in zip(alphas, searcher.alphas, strict=True)]
        assert all(moved[: len(searcher.supernet.alphas)])

    def test_settled_it_trains_the_path_of_the_selected_genotype_alone(
        self, few_digits: ImageDataset
    ) -> None:
        how = {"selection": "handicap", "selection_ratio": 0.1, "regularisers": ()}
        searcher = self.make(few_digits, warmup_share=0.0, settle_share=0.4, **how)
        searcher.epoch(lambda: 0.55)
        assert not searcher.settled and not searcher.decided
        selected = select(searcher)[0]
        searcher.step(*batch(few_digits), 0.6)
        assert searcher.decided and searcher.supernet.genotype() == selected
        again = self.make(few_digits, settle_share=0.4, regularisers=())
        again.load_state(searcher.state())
        assert again.decided  # and is not selected a second time
        alphas = [alpha.detach().clone() for alpha in searcher.alphas]
        weights = [weight.detach().clone() for weight in searcher.parameters]
        searcher.epoch(lambda: 0.65)
        assert searcher.settled
        assert all(torch.equal(a, b) for a, b in zip(alphas, searcher.alphas, strict=True))
        path = searcher.supernet(batch(few_digits)[0]).square().sum()
        gradients = torch.autograd.grad(path, searcher.parameters, allow_unused=True)
        moved = [not torch.equal(a, b) for a, b in zip(weights, searcher.parameters, strict=True)]
        assert moved == [gradient is not None for gradient in gradients] and not all(moved)
        assert searcher.evaluation() == {}  # what is kept is what the path knows
        impatient = self.make(few_digits, settle_share=0.4, patience=1)
        assert impatient.patience == 0 and self.make(few_digits, patience=1).patience == 1

    def test_an_alpha_step_leaves_weights_and_their_optimizer_alone(self, few_digits: ImageDataset) -> None:
        searcher = self.make(few_digits, regularisers=tuple(list_regularisers()))
        searcher.epoch(lambda: 0.9)  # momentum that a step could spoil
        weights = [weight.detach().clone() for weight in searcher.parameters]
        optimizer = {k: v.clone() for k, v in searcher.state().items() if k.startswith("weights.")}
        searcher._alpha_step(*batch(few_digits), training=batch(few_digits))
        assert all(torch.equal(a, b) for a, b in zip(weights, searcher.parameters, strict=True))
        assert all(torch.equal(v, searcher.state()[k]) for k, v in optimizer.items())
        assert all(weight.grad is None for weight in searcher.parameters)

    def test_training_lowers_the_loss(self, few_digits: ImageDataset) -> None:
        searcher = self.make(few_digits, regularisers=())
        with torch.no_grad():
            searcher.alphas[0][:, 3] = 3.0  # mostly one path: else the noise of sampling hides the progress
        losses = [searcher.epoch(lambda: 0.2) for _ in range(8)]
        assert losses[-1] < 0.9 * losses[0]

    def test_goes_on_from_its_state_to_the_same_bits(
        self, few_digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(early_stopping, "WINDOW", 2)
        monkeypatch.setattr(early_stopping, "THRESHOLD", 0.9)
        regularisers = tuple(list_regularisers())

        def two_epochs(*, interrupted: bool) -> tuple[dict[str, torch.Tensor], float]:
            searcher = self.make(few_digits, regularisers=regularisers)
            searcher.epoch(lambda: 0.9)
            if interrupted:
                network = {k: v.clone() for k, v in searcher.supernet.state_dict().items()}
                state = {k: v.clone() for k, v in searcher.state().items()}
                noise = searcher.generator.get_state()
                searcher = self.make(few_digits, regularisers=regularisers)
                searcher.supernet.load_state_dict(network)
                searcher.load_state(state)
                searcher.generator.set_state(noise)
            loss = searcher.epoch(lambda: 0.95)
            return searcher.supernet.state_dict() | searcher.state(), loss

        whole, loss = two_epochs(interrupted=False)
        resumed, same = two_epochs(interrupted=True)
        assert loss == same and whole.keys() == resumed.keys()
        assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())

    def test_a_run_reports_what_its_recipe_asked_for(self, few_digits: ImageDataset) -> None:
        result = finetune(
            few_digits,
            self.config,
            budget=Budget(epochs=1),
            recipe=Recipe(
                searcher=self.name, batch_size=64, regularisers=tuple(list_regularisers()), warmup_share=0.0
            ),
        )
        assert result.search["searcher"] == self.name
        assert set(result.search["regularisers"]) == set(list_regularisers())
        assert result.supernet.genotype() == result.genotype
        sizes = result.search["constraints"]
        assert (sizes["params"], sizes["macs"]) == (result.params, result.macs)

    def test_a_bound_is_obeyed_from_search_to_model(self, few_digits: ImageDataset) -> None:
        config = get_searcher(self.name).prepared(self.config)
        low = Limits(max_macs=10**9).bound(config)
        assert low is not None
        limit = low.costs.fixed_macs + 2_000
        result = finetune(
            few_digits,
            self.config,
            budget=Budget(epochs=1),
            recipe=Recipe(searcher=self.name, batch_size=64, warmup_share=0.0),
            limits=Limits(max_macs=limit),
        )
        assert result.macs <= limit
        result.supernet.bound = None
        assert result.supernet.genotype() == result.genotype  # it stays so when the supernet is stored
