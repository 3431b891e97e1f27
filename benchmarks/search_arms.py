"""The arms of `benchmarks.search`: a search, and the two controls that search nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import benchmarks.methods  # noqa: F401  # for the names that it registers
from benchmarks.search import CHANNELS, STEM_STRIDE, WATCHED
from snt_zoo.data import ImageDataset
from snt_zoo.errors import InfeasibleError
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import count_macs, count_parameters, evaluate
from snt_zoo.networks.initialise import initialise
from snt_zoo.networks.supernet import IN_CHANNELS, NetworkConfig
from snt_zoo.search.adapting.candidates import SCRATCH, Candidate
from snt_zoo.search.adapting.finetune import finetune
from snt_zoo.search.budget import Budget
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.run import Run, RunOptions
from snt_zoo.search.stage import fit

IDLE = ("none", "skip_connect")


def network(num_classes: int) -> NetworkConfig:
    """The starter zoo's network."""
    return NetworkConfig("nas_bench_201", {"channels": CHANNELS, "stem_stride": STEM_STRIDE}, num_classes)


def searched(
    data: ImageDataset,
    seconds: float,
    seed: int,
    options: Mapping[str, Any],
    *,
    max_macs: int | None = None,
) -> dict[str, Any]:
    """A search from scratch; without accuracy if nothing is within the bound."""
    # Spelled out, so that an arm is what it was whatever the defaults become.
    plain: dict[str, Any] = {"regularisers": WATCHED, "selection": "alpha", "search_share": 0.4}
    recipe = Recipe(**(plain | dict(options)))
    try:
        result = finetune(
            data,
            [Candidate(SCRATCH, network(data.num_classes), recipe)],
            RunOptions(
                Budget(seconds=seconds),
                limits=Limits(max_macs=max_macs),
                seed=seed,
                device="cpu",
                timer=time.process_time,
            ),
        )
    except InfeasibleError as error:
        return {"max_macs": max_macs, "infeasible": str(error), "test_accuracy": None, "genotype": None}
    return {
        "val_accuracy": result.accuracy["val"],
        "test_accuracy": result.accuracy["test"],
        "seconds": round(result.seconds, 2),
        "training_steps": {"search": result.search["steps"], "derived": result.search["derived_steps"]},
        "genotype": result.genotype.to_json()["cells"],
        "skip_share": result.genotype.share(*IDLE),
        "params": result.params,
        "macs": result.macs,
        "max_macs": max_macs,
        "alpha_entropy": round(result.search["entropy"], 4),
        "steps": {name: round(accuracy, 4) for name, accuracy in result.steps.items()},
        "guards": dict(result.search["regularisers"]),
        "selection": dict(result.search["selection"]),
        "warnings": list(result.warnings),
        "epochs": [
            [record.stage, round(record.seconds, 2), round(record.val_accuracy, 4)]
            for record in result.history
        ],
    }


def random_architecture(data: ImageDataset, seconds: float, seed: int) -> dict[str, Any]:
    """A genotype of the space, drawn uniformly and bounded like any other, trained for the whole budget."""
    config = network(data.num_classes)
    space = config.build_space()
    generator = torch.Generator().manual_seed(seed)
    weights = {
        kind: torch.rand(len(edges), len(space.operations), generator=generator)
        for kind, edges in space.edges.items()
    }
    genotype = space.discretise(weights)
    model = DerivedModel.create(config, genotype, generator=generator)
    return _trained(model, data, seconds, seed) | {
        "genotype": genotype.to_json()["cells"],
        "skip_share": genotype.share(*IDLE),
        "params": count_parameters(model),
        "macs": count_macs(model),
    }


def residual(data: ImageDataset, seconds: float, seed: int, *, params: int) -> dict[str, Any]:
    """A residual network whose width is chosen so that it has as many weights, for the whole budget."""
    config = network(data.num_classes)

    def size(width: int) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in ResidualNetwork(config, width).parameters())

    width = min(range(2, 128), key=lambda width: abs(size(width) - params))
    model = ResidualNetwork(config, width)
    initialise(model, generator=torch.Generator().manual_seed(seed))
    model.to(memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, IN_CHANNELS, config.input_size, config.input_size))
    return _trained(model, data, seconds, seed) | {
        "genotype": None,
        "skip_share": None,
        "width": width,
        "size_ratio": round(size(width) / params, 4),
        "params": size(width),
        "macs": int(counter.get_total_flops()) // 2,
    }


class ResidualNetwork(DerivedModel):
    """A stem of stride 2 and a basic block in each of three stages (He et al. 2016); it has no genotype."""

    def __init__(self, config: NetworkConfig, width: int) -> None:
        nn.Module.__init__(self)
        self.config = config
        self.trunk = nn.Sequential(
            nn.Conv2d(IN_CHANNELS, width, 3, stride=STEM_STRIDE, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _BasicBlock(width, width, 1),
            _BasicBlock(width, 2 * width, 2),
            _BasicBlock(2 * width, 4 * width, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(4 * width, config.num_classes)


class _BasicBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(c_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            conv = nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _trained(model: DerivedModel, data: ImageDataset, seconds: float, seed: int) -> dict[str, Any]:
    """Train a network as the derived ones are; what every row says of it."""
    recipe = Recipe()
    options = RunOptions(Budget(seconds=seconds), seed=seed, timer=time.process_time)
    run = Run(options, settings={}, val=data.val)
    learner = WeightLearner(
        model, data.train, recipe=recipe, generator=run.generator, peak_lr=recipe.derived_lr
    )
    accuracy = fit(run, "derived", learner, share=1.0)
    spent = run.clock.seconds()
    return {
        "val_accuracy": accuracy,
        "test_accuracy": evaluate(model.eval(), data.test),
        "seconds": round(spent, 2),
        "training_steps": {"search": 0, "derived": learner.steps},
        "max_macs": None,
        "alpha_entropy": None,
        "steps": {"finetuned": round(accuracy, 4)},
        "epochs": [
            [record.stage, round(record.seconds, 2), round(record.val_accuracy, 4)] for record in run.history
        ],
    }
