"""What each process does in `test_distributed`: started by torchrun, or called by the test for one alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import benchmarks.methods  # noqa: F401  # for the names that it registers
from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.networks.distributed import Team, joined
from snt_zoo.networks.evaluate import evaluate
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search import stage
from snt_zoo.search.adapting.result import FinetuneResult
from snt_zoo.search.budget import Budget
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers import get_searcher, list_searchers
from tests.conftest import TINY
from tests.search.runs import KilledError, finetune, kill_after

CONFIG = TINY["nas_bench_201"]


def few_digits() -> ImageDataset:
    digits = open_dataset("sklearn:digits")
    parts = [s.subset(torch.arange(n)) for s, n in ((digits.train, 203), (digits.val, 61), (digits.test, 60))]
    return ImageDataset("few-digits", digits.class_names, *parts)


def trained(searcher: str, data: ImageDataset, *, refuse: int | None = None) -> dict[str, Tensor]:
    """Weights, alphas and losses after two epochs of batches of 33, in float64 and with batch norms in eval
    mode, so that an image's gradient does not depend on its process's other images.

    Args:
        searcher: name.
        data: what to train on.
        refuse: let the network refuse more images at once.
    """
    config = get_searcher(searcher).prepared(CONFIG)
    net = Supernet.create(config, generator=torch.Generator().manual_seed(0)).double().eval()
    net.train = lambda mode=True: net  # type: ignore[method-assign, assignment, misc]

    def prepare(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if refuse is not None and len(args[0]) > refuse:
            raise RuntimeError("CUDA out of memory.")
        return (args[0].double(), *args[1:])

    net.trunk.register_forward_pre_hook(prepare)
    learner = get_searcher(searcher)(
        net,
        data.train,
        data.val,
        recipe=Recipe(searcher=searcher, batch_size=33, warmup_share=0.0),
        generator=torch.Generator().manual_seed(1),
        peak_lr=0.05,
    )
    losses = [learner.epoch(lambda: 0.2) for _ in range(2)]
    return packed(dict(net.named_parameters()) | {"losses": torch.tensor(losses)})


def packed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As safetensors takes them."""
    return {name: t.detach().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}


def run(data: ImageDataset, **options: Any) -> FinetuneResult:
    recipe = Recipe(batch_size=50, warmup_share=0.2)
    return finetune(data, CONFIG, budget=Budget(epochs=2), recipe=recipe, **options)


def interrupted(data: ImageDataset, folder: Path, steps: int) -> FinetuneResult:
    """A run that dies in all processes after so many steps, and goes on."""
    with pytest.MonkeyPatch.context() as patch:
        kill_after(steps, patch)
        with pytest.raises(KilledError):
            run(data, folder=folder)
    return run(data, folder=folder, resume=True)


def flat(result: FinetuneResult) -> dict[str, Tensor]:
    tensors = {
        **{f"model.{name}": tensor for name, tensor in result.model.state_dict().items()},
        **{f"supernet.{name}": tensor for name, tensor in result.supernet.state_dict().items()},
        "losses": torch.tensor([record.loss or 0.0 for record in result.history], dtype=torch.float64),
        "accuracies": torch.tensor([r.val_accuracy for r in result.history], dtype=torch.float64),
    }
    return packed(tensors)


def work(team: Team, out: Path) -> None:
    data = few_digits()
    for searcher in list_searchers():
        save_file(trained(searcher, data), out / f"{searcher}-{team.rank}.safetensors")
    limited = trained("gdas", data, refuse=6 if team.rank else None)
    save_file(limited, out / f"limited-{team.rank}.safetensors")
    result = run(data, folder=out / "whole")
    assert evaluate(result.model, data.val) == result.accuracy["val"]
    save_file(flat(result), out / f"whole-{team.rank}.safetensors")
    save_file(flat(interrupted(data, out / "cut", 5)), out / f"cut-{team.rank}.safetensors")


def fail(team: Team, out: Path) -> None:
    """The second process dies in its third step; the first waits for it."""
    original = WeightLearner.step

    def step(self: WeightLearner, *args: Any) -> Tensor:
        if team.rank == 1 and self.steps == 2:
            raise RuntimeError("the second process fails")
        return original(self, *args)

    WeightLearner.step = step  # type: ignore[method-assign]
    run(few_digits())
    (out / f"survived-{team.rank}").touch()


if __name__ == "__main__":
    torch.set_num_threads(1)
    stage.LEAST_STEPS = 1
    with joined() as processes:
        {"work": work, "fail": fail}[sys.argv[1]](processes, Path(sys.argv[2]))
