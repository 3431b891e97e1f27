"""Operations of a derived cell by the compiled kernels against the same modules by PyTorch."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from snt_zoo.networks import kernels
from snt_zoo.networks.kernels import build
from snt_zoo.networks.spaces.darts.layout import OPERATIONS
from snt_zoo.networks.spaces.darts.operations import Convolutions, ReLUConvNorm, build_operation

needs_compiler = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler, no kernels")

FUSED = [name for name in OPERATIONS if "conv" in name]
CASES = [(name, stride, True) for name in FUSED for stride in (1, 2)]
CASES += [("before", 1, affine) for affine in (True, False)]
"""Names of operations, strides, and whether their norms have weights."""


def make(name: str, stride: int, affine: bool, channels: int = 5) -> nn.Module:
    """The operation with weights and statistics of its own, float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "before":
            built: nn.Module = ReLUConvNorm(channels, 7, affine)
        else:
            built = build_operation(name, channels, stride, affine)
        for module in built.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean):
                    if tensor is not None:
                        nn.init.normal_(tensor)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
    return built.double()


def images(channels: int = 5, **kwargs: bool) -> Tensor:
    """``3 x channels x 9 x 10``: a slice of the channels of a larger image in channels_last."""
    generator = torch.Generator().manual_seed(1)
    larger = torch.randn(3, channels + 2, 9, 10, generator=generator, dtype=torch.float64)
    return larger.to(memory_format=torch.channels_last)[:, 1:-1].requires_grad_(**kwargs)


def by_pytorch(operation: nn.Module, x: Tensor) -> Tensor:
    with kernels.without():
        out: Tensor = operation(x)
    return out


@needs_compiler
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "stride", "affine"), CASES)
def test_outputs_gradients_and_statistics_equal_pytorch(
    name: str, stride: int, affine: bool, training: bool
) -> None:
    fused = make(name, stride, affine).train(training)
    plain = copy.deepcopy(fused)
    x = images()
    out, expected = fused(x), by_pytorch(plain, x)
    assert type(out.grad_fn).__name__ == "_FusedOperationBackward"
    torch.testing.assert_close(out, expected)
    for found, right in zip(fused.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(found, right)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    of_fused = torch.autograd.grad(out, [x, *fused.parameters()], grad)
    of_plain = torch.autograd.grad(expected, [x, *plain.parameters()], grad)
    for found, right in zip(of_fused, of_plain, strict=True):
        torch.testing.assert_close(found, right)
    with torch.no_grad():
        torch.testing.assert_close(fused(x), expected if not training else out)


@needs_compiler
@pytest.mark.parametrize("shape", [(1, 5, 1, 1), (2, 5, 1, 7), (1, 5, 4, 1)])
@pytest.mark.parametrize("name", FUSED)
def test_sides_of_one_pixel(name: str, shape: tuple[int, ...]) -> None:
    operation = make(name, 1, True).eval()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(operation(x), by_pytorch(operation, x))


@needs_compiler
def test_frozen_weights_get_no_gradients_and_a_graph_can_be_used_twice() -> None:
    operation = make("sep_conv_3x3", 1, True).train()
    operation.requires_grad_(False)
    x = images()
    loss = operation(x).square().sum()
    (first,) = torch.autograd.grad(loss, x, retain_graph=True)
    (second,) = torch.autograd.grad(loss, x)
    assert torch.equal(first, second) and all(p.grad is None for p in operation.parameters())


@needs_compiler
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_follows_a_program_sees_pytorchs_operations() -> None:
    operation = make("dil_conv_3x3", 1, True).float().eval()
    x = images().float().detach()
    traced = torch.jit.trace(operation, x)
    exported = torch.export.export(operation, (x,)).module()
    other = x.flip(0)
    for program in (traced, exported):
        torch.testing.assert_close(program(other), by_pytorch(operation, other))


def test_to_evaluate_a_few_images_no_compiler_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With nothing compiled, an evaluation compiles nothing, and a training asks for the kernels."""
    asked: list[str] = []
    monkeypatch.setattr(build, "_is_compiled", lambda: False)
    monkeypatch.setattr(build, "library", lambda: asked.append("library"))
    operation = make("sep_conv_3x3", 1, True)
    assert isinstance(operation, Convolutions)
    operation.eval()(images())
    assert asked == []
    operation.train()(images())
    assert asked == ["library"]


@needs_compiler
def test_what_was_compiled_before_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build.platformdirs, "user_cache_dir", lambda *_: str(tmp_path))
    monkeypatch.setattr(build.library, "cache_info", lambda: type("Nothing", (), {"currsize": 0}))
    assert not build._is_compiled()
    compiler = build._compiler()
    assert compiler is not None
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / f"{build._fingerprint(compiler)}-0.so").touch()
    assert build._is_compiled()
