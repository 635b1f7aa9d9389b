"""F_mlp, the demodulation and the losses keep 32 bits in both passes, whatever the precision of a training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bright_pipeline.models.autoencoder import inference_precision
from bright_pipeline.models.decoder import ModulatedConv
from bright_pipeline.models.group_mlps import GroupMLPs
from bright_pipeline.models.perceptual import LpipsDistance, Vgg16Distance
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "matmul", "convolution", "convolution_backward"}
FULL, TF32 = (torch.float32, False, False), (torch.float32, True, True)


class Products(TorchDispatchMode):
    """Records the types and the TF32 flags with which products and convolutions are called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[torch.dtype, bool, bool]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.partition(".")[0] in PRODUCTS:
            flags = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
            self.calls.append((args[0].dtype, *flags))
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def calls(module: torch.nn.Module, *inputs: torch.Tensor | None, precision: str) -> tuple[list[Any], list[Any]]:
    """What the module does in its forward and its backward pass, between two other products."""
    first, *rest = inputs
    assert first is not None
    weight = torch.eye(first.shape[-1], requires_grad=True)
    with Products() as forward, inference_precision(precision, torch.device("cpu")):
        found = module(first @ weight, *rest)
        found = found.flatten()[None] @ torch.ones(found.numel(), 1)
    with Products() as backward:
        found.float().sum().backward()
    assert torch.backends.cuda.matmul.allow_tf32 == (precision == "tf32") or precision == "bf16"
    assert weight.grad is not None and weight.grad.abs().sum() > 0
    return forward.calls, backward.calls


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_f_mlp_is_computed_in_32_bits_between_products_that_are_not(precision: str) -> None:
    forward, backward = calls(GroupMLPs(2, 6, 8, 4), torch.rand(2, 2, 6, 4, 4), precision=precision)
    outside = TF32 if precision == "tf32" else (torch.bfloat16, True, False)
    assert forward == [outside, *[FULL] * 3, outside]
    assert backward[0][0] == outside[0] and backward[-1][0] == outside[0]
    assert [call for call in backward if call == FULL] == [FULL] * 6, "three layers: of weights and of features"
    if precision == "tf32":
        assert backward[0] == backward[-1] == TF32


@pytest.mark.parametrize("styled", [True, False])
def test_the_demodulation_is_computed_in_32_bits_with_and_without_a_style(styled: bool) -> None:
    layer = ModulatedConv(4, 4, 8, 8 if styled else 0, seed=0)
    style = torch.rand(2, 8 if styled else 0)
    forward, backward = calls(layer, torch.rand(2, 4, 8, 8), style, None, precision="tf32")
    assert forward.count(FULL) == 1 and forward[-2] == FULL, "its product alone"
    assert backward.count(FULL) == 1 + styled and backward[0] == backward[-1] == TF32


@pytest.mark.parametrize("kind", ["lpips", "vgg16"])
def test_perceptual_losses_are_computed_in_32_bits_in_both_passes(kind: str, networks_folder: Path) -> None:
    weights = networks_folder / "lpips_vgg.safetensors"
    module = LpipsDistance("lpips_vgg", weights) if kind == "lpips" else Vgg16Distance(weights)
    forward, backward = calls(module, torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32), precision="tf32")
    assert set(forward[1:-1]) == {FULL} and set(backward[2:-1]) == {FULL}
    assert forward[0] == forward[-1] == backward[0] == backward[-1] == TF32
