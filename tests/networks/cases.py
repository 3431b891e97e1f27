"""One generic test case for search spaces: a new space gets all of it by subclassing.

Example:
    class TestMySpace(SpaceTestCase):
        config = NetworkConfig("my_space", {"channels": 4}, 10, 16)
        reference = staticmethod(my_features)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import snt_zoo
from snt_zoo.data import ImageDataset
from snt_zoo.errors import InfeasibleError
from snt_zoo.networks.bounds import Limits, derived_size
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import count_macs, count_parameters, evaluate, predict, recalibrate
from snt_zoo.networks.latency.table import random_genotypes
from snt_zoo.networks.spaces import SearchSpace, list_spaces
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.budget import Budget
from tests.conftest import MakeSupernet
from tests.networks.latency.making import made_up
from tests.search.runs import finetune


def random_mixture(space: SearchSpace, seed: int) -> dict[str, Tensor]:
    """Weights of every operation of every edge, as a softmax gives them."""
    generator = torch.Generator().manual_seed(seed)
    return {
        kind: torch.randn(len(edges), len(space.operations), generator=generator).softmax(1)
        for kind, edges in space.edges.items()
    }


class SpaceTestCase:
    """What holds for every search space."""

    config: ClassVar[NetworkConfig]
    """A network of a few thousand weights."""
    others: ClassVar[tuple[NetworkConfig, ...]] = ()
    """More shapes and sizes, to which the costs are held as well."""
    reference: ClassVar[Callable[[nn.Module, Tensor, Mapping[str, Tensor]], Tensor]]
    """Slow and obvious: the features of a supernet's trunk, for images and a mixture."""

    @pytest.fixture
    def net(self, make_supernet: MakeSupernet) -> Supernet:
        return make_supernet(self.config).double()

    @pytest.fixture
    def images(self) -> Tensor:
        size = self.config.input_size
        return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def test_is_listed(self, net: Supernet) -> None:
        assert self.config.space in list_spaces()
        assert net.space.added_later <= set(net.space.hyperparameters())

    @pytest.mark.parametrize("training", [True, False])
    @pytest.mark.parametrize("size", [16, 15])  # an odd side halves to a rounded one
    def test_mixed_features_and_gradients_equal_the_reference(
        self, net: Supernet, training: bool, size: int
    ) -> None:
        net.train(training)
        with torch.no_grad():
            for buffer in net.buffers():
                if buffer.is_floating_point():
                    buffer.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(2))
        x = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        parameters = [*net.trunk.parameters(), *net.alphas.values()]

        def gradients(features: Tensor) -> list[Tensor]:
            probe = torch.randn(features.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
            return list(torch.autograd.grad((features * probe).sum(), parameters))

        expected = self.reference(net.trunk, x, net.mixture())
        found = net.features(x, net.mixture())
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
        for left, right in zip(gradients(found), gradients(expected), strict=True):
            torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-8)

    @pytest.mark.parametrize("training", [True, False])
    def test_a_path_equals_the_mixture_that_is_one_on_it(
        self, net: Supernet, images: Tensor, training: bool
    ) -> None:
        net.train(training)
        choice = net.choice()
        one_hot = {
            kind: torch.nn.functional.one_hot(torch.tensor(path), len(net.space.operations)).double()
            for kind, path in choice.items()
        }
        torch.testing.assert_close(net.features(images, choice=choice), net.features(images, one_hot))
        weighted = {kind: rows * 0.5 for kind, rows in one_hot.items()}
        torch.testing.assert_close(net.features(images, weighted, choice), net.features(images, weighted))

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("training", [True, False])
    def test_a_derived_model_equals_the_supernet_on_its_path(
        self, make_supernet: MakeSupernet, images: Tensor, seed: int, training: bool
    ) -> None:
        net = make_supernet(self.config, seed=seed).double()
        with torch.no_grad():
            net.train()(images, net.mixture())  # running statistics that are not the initial ones
        derived = DerivedModel.inherit(net)
        torch.testing.assert_close(derived.train(training)(images), net.train(training)(images))

    def test_every_parameter_of_a_derived_model_takes_part(self, net: Supernet, images: Tensor) -> None:
        derived = DerivedModel.inherit(net)
        gradients = torch.autograd.grad(derived(images).sum(), list(derived.parameters()), allow_unused=True)
        assert all(gradient is not None for gradient in gradients)

    def test_the_operations_own_all_weights_of_their_edges(self, net: Supernet, images: Tensor) -> None:
        owned = net.trunk.operation_parameters()
        marks = {id(weight): torch.zeros_like(weight) for rows in owned.values() for weight, _ in rows}
        for rows in owned.values():
            for weight, part in rows:
                (marks[id(weight)] if part is None else marks[id(weight)][part]).add_(1)
        shared = {id(w) for w in net.trunk.parameters()} - set(marks)
        assert all(bool((mark >= 1).all()) for mark in marks.values())
        # The weights that an operation is said to own are those that a path with it uses beyond the rest.
        choice = net.choice()
        used = torch.autograd.grad(
            net.features(images, choice=choice).sum(), list(net.trunk.parameters()), allow_unused=True
        )
        pairs = zip(net.trunk.parameters(), used, strict=True)
        used_by_id = {id(w): g != 0 for w, g in pairs if g is not None}
        pruned = net.space.pruned(choice)
        mine: dict[int, Tensor] = {}
        for (kind, row, column), rows in owned.items():
            if pruned[kind][row] == column:
                for weight, part in rows:
                    mask = mine.setdefault(id(weight), torch.zeros_like(weight, dtype=torch.bool))
                    (mask if part is None else mask[part]).fill_(True)
        for key, mask in used_by_id.items():
            if key not in shared:
                assert bool((mask <= mine.get(key, torch.zeros_like(mask))).all())

    def test_costs_are_what_derived_networks_have(self) -> None:
        for config in (self.config, *self.others):
            space = config.build_space()
            seen = set()
            for seed in range(4):
                genotype = space.discretise(random_mixture(space, seed))
                with torch.device("meta"):
                    model = DerivedModel(config, genotype)
                found = derived_size(config, genotype)
                assert found == (count_parameters(model), count_macs(model))
                seen.add(found)
            assert len(seen) > 1

    def test_parts_have_the_weights_that_operations_cost(self) -> None:
        for config in (self.config, *self.others):
            space = config.build_space()
            costs, parts = space.costs(config.input_size), space.parts(config.input_size)
            assert set(parts) == set(costs.params)
            for kind, rows in parts.items():
                found = [
                    [sum(p.numel() for part in each for p in part.build().parameters()) for each in row]
                    for row in rows
                ]
                assert found == costs.params[kind].tolist()
            one = next(part for row in parts[kind] for each in row for part in each if part.chains)
            x = torch.zeros(1, one.channels, one.side, one.side)
            assert one.build().eval()(x).shape == x.shape

    def test_latency_is_a_bound_like_others(self) -> None:
        table = made_up(self.config)
        space = self.config.build_space()
        genotypes = random_genotypes(space, 20)
        middle = sorted(table.predict(self.config, one) for one in genotypes)[10]
        limits = Limits(max_latency=middle, table=table)
        bound = limits.bound(self.config)
        assert bound is not None
        for one in genotypes:
            quick = table.predict(self.config, one) <= middle
            assert bound.allows(space.pruned(space.choice(one))) == quick
            assert limits.allow([(self.config, one)]) == quick
        for seed in range(5):
            best = space.derive(random_mixture(space, seed), bound)
            assert table.predict(self.config, best) <= middle
        with pytest.raises(InfeasibleError, match="the quickest takes"):
            Limits(max_latency=1e-6, table=table).bound(self.config)

    def test_an_infeasible_bound_names_the_smallest_that_is_feasible(self) -> None:
        with pytest.raises(InfeasibleError, match="has at most 10 MACs: the smallest") as error:
            Limits(max_macs=10).bound(self.config)
        words = str(error.value).replace(",", "").split()
        fewest = int(words[words.index("parameters") - 1])
        cheapest = int(words[len(words) - 1 - words[::-1].index("MACs;") - 1])
        for field, number in (("max_params", fewest), ("max_macs", cheapest)):
            assert replace(Limits(), **{field: number}).bound(self.config) is not None
            with pytest.raises(InfeasibleError, match="raise the limit"):
                replace(Limits(), **{field: number - 1}).bound(self.config)

    def test_a_committed_genotype_is_what_the_alphas_stand_for(self, make_supernet: MakeSupernet) -> None:
        net = make_supernet(self.config, seed=1)
        other = make_supernet(self.config, seed=2).genotype()
        assert net.genotype() != other
        before = {kind: alpha.clone() for kind, alpha in net.alphas.items()}
        net.commit(net.genotype())
        assert all(torch.equal(net.alphas[kind], alpha) for kind, alpha in before.items())
        net.commit(other)
        assert net.genotype() == other
        net.half()  # as a bundle may store it
        assert net.float().genotype() == other

    def test_accuracy_is_the_share_of_right_answers(
        self, make_supernet: MakeSupernet, digits: ImageDataset
    ) -> None:
        net = make_supernet(self.config).eval()
        # With the norms of a fresh network all logits of a deep chain are alike to the last digit.
        recalibrate(net, digits.val)
        right = 0
        split = digits.test.subset(torch.arange(40))
        for index in range(len(split)):
            one = split.subset(torch.tensor([index]))
            answer = int(predict(net, one.tensor(self.config.input_size)).argmax())
            right += answer == int(split.labels[index])
        assert evaluate(net, split) == right / 40
        assert not net.training

    def test_depthwise_convolutions_are_not_planned_in_channels_last_on_a_gpu(self, net: Supernet) -> None:
        depthwise = any(isinstance(part, nn.Conv2d) and part.groups > 1 for part in net.modules())
        on_gpu = torch.contiguous_format if depthwise else torch.channels_last
        assert net.space.memory_format(torch.device("cuda")) is on_gpu
        assert net.space.memory_format(torch.device("cpu")) is torch.channels_last

    def test_the_memory_format_changes_no_prediction(
        self, make_supernet: MakeSupernet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        size = self.config.input_size
        pixels = torch.randint(0, 256, (5, 3, size, size), dtype=torch.uint8)
        supernet = make_supernet(self.config)
        model = DerivedModel.inherit(supernet)
        before = [predict(network, pixels) for network in (supernet, model)]
        assert formats_of(model) <= {True}
        monkeypatch.setattr(SearchSpace, "memory_format", lambda *_: torch.contiguous_format)
        after = [predict(network.placed("cpu"), pixels) for network in (supernet, model)]
        assert formats_of(model) <= {False}
        for old, new in zip(before, after, strict=True):
            torch.testing.assert_close(old, new)

    def test_a_finetuned_model_loads_as_it_was(
        self, make_supernet: MakeSupernet, few_digits: ImageDataset, tmp_path: Path
    ) -> None:
        result = finetune(few_digits, make_supernet(self.config), budget=Budget(epochs=1))
        loaded = snt_zoo.load_model(result.save(tmp_path / "model"))
        assert evaluate(loaded.model, few_digits.test) == result.accuracy["test"] == loaded.accuracy["test"]
        assert loaded.class_names == few_digits.class_names
        assert loaded.model.genotype == result.genotype
        stored, state = result.model.state_dict(), loaded.model.state_dict()
        assert stored.keys() == state.keys() and all(torch.equal(stored[k], state[k]) for k in stored)
        assert not loaded.model.training


def formats_of(network: nn.Module) -> set[bool]:
    """Whether the 3 × 3 convolutions of many channels are in channels_last."""
    return {
        conv.weight.is_contiguous(memory_format=torch.channels_last)
        for conv in network.modules()
        if isinstance(conv, nn.Conv2d) and conv.groups == 1 and min(conv.weight.shape) > 1
    }
