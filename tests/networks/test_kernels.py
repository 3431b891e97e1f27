"""The compiled kernels against PyTorch's operations and their gradients."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from snt_zoo.networks import kernels
from snt_zoo.networks.kernels import Convolution, Geometry, Gradient, Workspace, build

needs_compiler = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler, no kernels")

geometries = st.builds(
    Geometry,
    images=st.integers(1, 3),
    height=st.integers(1, 11),
    width=st.integers(1, 18),
    channels=st.integers(1, 35),
    stride=st.sampled_from([1, 2]),
)
windows = st.tuples(st.sampled_from([3, 5]), st.sampled_from([1, 2]))  # kernel and dilation


def draw(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


@needs_compiler
@given(geometries, st.lists(windows, min_size=1, max_size=4), st.booleans(), st.sampled_from([32, 64]))
@settings(max_examples=80, deadline=None)
def test_blocks_and_their_gradients_equal_pytorch(
    g: Geometry, shapes: list[tuple[int, int]], scaled: bool, bits: int
) -> None:
    """Several blocks of one input, whose gradient is the sum over them."""
    dtype = torch.float32 if bits == 32 else torch.float64
    tolerance = {"rtol": 1e-3, "atol": 3e-3} if bits == 32 else {"rtol": 1e-9, "atol": 1e-10}
    c = g.channels
    # A slice of the channels of a larger image: pixels lie further apart than their channels.
    x = draw(g.images, g.height, g.width, c + 3, seed=0, dtype=dtype)[..., 2 : 2 + c].requires_grad_()
    scale, shift = (draw(c, seed=s, dtype=dtype) for s in (3, 4)) if scaled else (None, None)
    plain = x if scale is None else x * scale + shift
    plain.retain_grad()
    weights, expected, blocks = [], [], []
    for index, (kernel, dilation) in enumerate(shapes):
        depthwise = draw(c, 1, kernel, kernel, seed=10 * index + 1, dtype=dtype).requires_grad_()
        pointwise = draw(c, c, 1, 1, seed=10 * index + 2, dtype=dtype).requires_grad_()
        weights += [depthwise, pointwise]
        middle = functional.conv2d(
            torch.relu(nchw(plain)),
            depthwise,
            stride=g.stride,
            padding=dilation * (kernel - 1) // 2,
            dilation=dilation,
            groups=c,
        )
        expected.append(functional.conv2d(middle, pointwise))
        blocks.append(
            Convolution(
                x.detach(),
                depthwise.detach(),
                pointwise.detach(),
                torch.empty(g.out_shape, dtype=dtype),
                dilation,
                scale,
                shift,
                torch.empty(2, c, dtype=torch.float64),
            )
        )
    kernels.blocks_forward(g, blocks)
    for block, wanted in zip(blocks, expected, strict=True):
        torch.testing.assert_close(nchw(block.z), wanted.detach(), **tolerance)
        sums = torch.stack([wanted.sum((0, 2, 3)), (wanted * wanted).sum((0, 2, 3))]).detach()
        torch.testing.assert_close(block.moments, sums.double(), **tolerance)

    coefficients = [[draw(c, seed=s + i, dtype=dtype) for s in (60, 70, 80)] for i in range(len(blocks))]
    grads = [draw(*g.out_shape, seed=50 + i, dtype=dtype) for i in range(len(blocks))]
    dz = [
        nchw(grad * from_grad + block.z * from_z + constant)
        for grad, block, (from_grad, from_z, constant) in zip(grads, blocks, coefficients, strict=True)
    ]
    of_input, *of_weights = torch.autograd.grad(expected, [plain, *weights], dz)
    before = draw(g.images, g.height, g.width, c, seed=9, dtype=dtype)
    for accumulate in (True, False):
        grad_x = before.clone()
        moments = torch.empty(2, c, dtype=torch.float64)
        gradients = [
            Gradient(
                grad,
                from_grad,
                grad_x,
                accumulate,
                from_z,
                constant,
                moments,
                *(torch.empty(w.shape, dtype=torch.float64) for w in weights[2 * i : 2 * i + 2]),
            )
            for i, (grad, (from_grad, from_z, constant)) in enumerate(zip(grads, coefficients, strict=True))
        ]
        kernels.blocks_backward(g, blocks, gradients)
        torch.testing.assert_close(grad_x - before if accumulate else grad_x, of_input, **tolerance)
        found = [part for made in gradients for part in (made.grad_depthwise, made.grad_pointwise)]
        for part, right in zip(found, of_weights, strict=True):
            torch.testing.assert_close(part, right.double(), **tolerance)
        both = torch.stack([of_input.sum((0, 1, 2)), (of_input * plain.detach()).sum((0, 1, 2))])
        torch.testing.assert_close(moments, both.double(), **tolerance)


@needs_compiler
@given(geometries, windows)
@settings(max_examples=20, deadline=None)
def test_the_gradient_of_an_input_may_lie_where_the_output_lay(g: Geometry, window: tuple[int, int]) -> None:
    """Neighbours of one call that share nothing, and no gradients of weights."""
    g = Geometry(g.images, g.height, g.width, g.channels)
    kernel, dilation = window
    c = g.channels
    results = []
    for apart in (True, False):
        blocks, gradients = [], []
        for seed in (0, 10):
            z = torch.empty(g.out_shape, dtype=torch.float64)
            x = draw(*g.out_shape, seed=seed)
            weights = draw(c, 1, kernel, kernel, seed=seed + 1), draw(c, c, 1, 1, seed=seed + 2)
            blocks.append(Convolution(x, *weights, z, dilation))
            of_grad, of_z, constant = (draw(c, seed=seed + s) for s in (3, 4, 5))
            into = torch.empty_like(z) if apart else z
            grad = draw(*g.out_shape, seed=seed + 6)
            gradients.append(Gradient(grad, of_grad, into, False, of_z, constant))
        kernels.blocks_forward(g, blocks)
        kernels.blocks_backward(g, blocks, gradients)
        results.append(torch.stack([gradient.grad_x for gradient in gradients]))
    assert torch.equal(*results)


@needs_compiler
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_a_projection_and_its_gradients_equal_pytorch(c: int, d: int, height: int, width: int) -> None:
    x = draw(2, height, width, c + 3, seed=0)[..., 2 : 2 + c].requires_grad_()
    weight = draw(d, c, 1, 1, seed=1).requires_grad_()
    expected = functional.conv2d(torch.relu(nchw(x)), weight)
    z = torch.empty(2, height, width, d, dtype=x.dtype)
    moments = torch.empty(2, d, dtype=x.dtype)
    kernels.project_forward(x.detach(), weight.detach(), z, moments)
    torch.testing.assert_close(nchw(z), expected.detach())
    sums = torch.stack([expected.sum((0, 2, 3)), (expected * expected).sum((0, 2, 3))]).detach()
    torch.testing.assert_close(moments, sums)
    grad = draw(*z.shape, seed=2)
    from_grad, from_z, constant = (draw(d, seed=s) for s in (3, 4, 5))
    of_input, of_weight = torch.autograd.grad(
        expected, [x, weight], nchw(grad * from_grad + z * from_z + constant)
    )
    grad_x, grad_weight = torch.empty(2, height, width, c, dtype=x.dtype), torch.empty_like(weight)
    gradient = Gradient(grad, from_grad, grad_x, False, from_z, constant, grad_pointwise=grad_weight.detach())
    kernels.project_backward(x.detach(), weight.detach(), z, gradient)
    torch.testing.assert_close(grad_x, of_input)
    torch.testing.assert_close(grad_weight.detach(), of_weight)


@needs_compiler
@given(geometries)
@settings(max_examples=40, deadline=None)
def test_pools_and_their_gradients_equal_pytorch(g: Geometry) -> None:
    # Few different values: windows have ties, and the first of equals gets the gradient.
    x = draw(g.images, g.height, g.width, g.channels, seed=0).round().requires_grad_()
    g = Geometry(g.images, g.height, g.width, g.channels, stride=g.stride)
    expected = (
        functional.max_pool2d(nchw(x), 3, g.stride, 1),
        functional.avg_pool2d(nchw(x), 3, g.stride, 1, count_include_pad=False),
    )
    highest, average, which = torch.empty(3, *g.out_shape, dtype=x.dtype)
    moments = torch.empty(4, g.channels, dtype=torch.float64)
    kernels.pool_forward(g, x.detach(), highest=highest, average=average, which=which, moments=moments)
    torch.testing.assert_close(nchw(highest), expected[0].detach())
    torch.testing.assert_close(nchw(average), expected[1].detach())
    sums = [s.sum((0, 2, 3)).detach() for e in expected for s in (e, e * e)]
    torch.testing.assert_close(moments, torch.stack(sums))
    grads = draw(2, *g.out_shape, seed=1)
    (wanted,) = torch.autograd.grad(expected, x, [nchw(grad) for grad in grads])
    grad_x = torch.zeros(x.shape, dtype=x.dtype)
    kernels.pool_backward(g, grads[0], grads[1], which, grad_x=grad_x)
    torch.testing.assert_close(grad_x, wanted)


@needs_compiler
@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 21), st.integers(1, 90))
@settings(max_examples=40, deadline=None)
def test_sums_of_images_and_their_gradients(count: int, height: int, channels: int, width: int) -> None:
    images = [draw(2, height, width, channels, seed=s) for s in range(count)]
    factors, shifts = draw(count, channels, seed=10), draw(count, channels, seed=11)
    out = draw(2, height, width, channels, seed=12)
    expected = out + sum(f * x for f, x in zip(factors, images, strict=True)) + shifts[0]
    kernels.combine(images, factors, out=out, shift=shifts[0].contiguous(), accumulate=True)
    torch.testing.assert_close(out, expected)
    grads = [draw(2, height, width, channels, seed=s) for s in (13, 14)]
    sums = torch.empty(count + 2, channels, dtype=torch.float64)
    of = [i % 2 for i in range(count)]
    kernels.combine_backward(images, factors, shifts, grads=grads, of=of, sums=sums)
    rows = [
        (grads[j] * (f * x + s)).sum((0, 1, 2))
        for f, x, s, j in zip(factors, images, shifts, of, strict=True)
    ]
    torch.testing.assert_close(sums, torch.stack([*rows, *(grad.sum((0, 1, 2)) for grad in grads)]))


@needs_compiler
def test_a_value_that_is_no_number_stays_visible() -> None:
    g = Geometry(1, 4, 4, 8)
    x = torch.zeros(1, 4, 4, 8)
    x[0, 2, 2, 3] = float("nan")
    z = torch.empty(g.out_shape)
    kernels.blocks_forward(g, [Convolution(x, torch.ones(8, 1, 3, 3), torch.ones(8, 8, 1, 1), z)])
    assert z[0, 2, 2].isnan().all()


def test_a_workspace_gives_what_came_back_and_only_that() -> None:
    workspace = Workspace()
    first = workspace.take((2, 3), torch.float32)
    assert workspace.take((2, 3), torch.float32) is not first
    workspace.give_back([first])
    assert workspace.take((2, 3), torch.float64) is not first
    assert workspace.take((2, 3), torch.float32) is first


Fresh = Callable[[], Any]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fresh:
    """`library` as a new process with an empty cache has it; compiled without optimisation, in a second."""
    monkeypatch.setattr(build.platformdirs, "user_cache_dir", lambda *_: str(tmp_path / "cache"))
    monkeypatch.setattr(build, "FLAGS", ("-std=c++17", "-O0", "-fPIC", "-shared"))
    monkeypatch.delenv("CXX", raising=False)
    return build.library.__wrapped__


def libraries(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "kernels").iterdir())


def test_no_compiler_is_no_news(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    for value in (None, "", "  "):
        if value is not None:
            monkeypatch.setenv("CXX", value)
        assert fresh() is None
    assert not recwarn.list


@pytest.mark.parametrize("compiler", ["/nowhere/c++", "/nowhere/c++ -O2", "false", "'unclosed", "true"])
def test_a_compiler_that_fails_is_told(
    compiler: str, fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", compiler)
    with pytest.warns(UserWarning, match="PyTorch's operations are used instead"):
        assert fresh() is None
    cache = tmp_path / "cache"
    assert not cache.exists() or libraries(tmp_path) == []


@needs_compiler
def test_a_compiler_may_have_options(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setenv("CXX", "c++ -g0 '-DA=1 2'")
    assert fresh() is not None and not recwarn.list
    (path,) = libraries(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o700
    assert path.stem.rpartition("-")[2] == hashlib.sha256(path.read_bytes()).hexdigest()


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 3])
    path.chmod(0o700)


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    path.chmod(0o700)


def empty(path: Path) -> None:
    path.unlink()
    path.touch(0o700)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def open_to_all(path: Path) -> None:
    path.chmod(0o777)


@needs_compiler
@pytest.mark.parametrize("spoil", [cut, change_a_byte, empty, link, open_to_all])
def test_a_library_that_is_not_as_it_was_put_there_is_made_anew(
    spoil: Callable[[Path], None], fresh: Fresh, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    compiler = build._compiler()
    assert compiler is not None
    path = build._built(compiler)  # not loaded: what is in memory would be changed with the file
    content = path.read_bytes()
    spoil(path)
    assert not build._is_sound(path)
    again = build._built(compiler)
    assert build._is_sound(again) and len(again.read_bytes()) == len(content)
    assert fresh() is not None and not recwarn.list


def test_what_belongs_to_others_is_not_loaded(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "kernels"
    folder.mkdir(parents=True)
    monkeypatch.setenv("CXX", "true")
    folder.chmod(0o777)
    with pytest.warns(UserWarning, match="others may write to it: remove it"):
        assert fresh() is None
    folder.chmod(0o700)
    monkeypatch.setattr(build.os, "geteuid", lambda: 12345)
    with pytest.warns(UserWarning, match="belongs to somebody else"):
        assert fresh() is None


def test_what_does_not_compute_gets_no_name(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A compiler that makes what ends the process that loads it."""
    script = tmp_path / "compiler"
    script.write_text('#!/bin/sh\nfor last; do :; done\nprintf "\\177ELF no library" > "$last"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    with pytest.warns(UserWarning, match="PyTorch's operations are used instead"):
        assert fresh() is None
    assert libraries(tmp_path) == []


def test_they_can_be_left_alone_for_a_while() -> None:
    x = torch.zeros(1, 2, 2, 3)
    before = kernels.usable(x)
    with kernels.without():
        assert not kernels.usable(x) and not kernels.available()
    assert kernels.usable(x) == before


def test_the_switch_turns_the_kernels_off_without_a_word() -> None:
    code = "from snt_zoo.networks import kernels; print(kernels.available())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"SNT_ZOO_KERNELS": "0", "PATH": "", "PYTHONPATH": str(Path(__file__).parents[4])},
    )
    assert done.stdout.strip() == "False"
