"""VQGAN's network, codebook and distribution have the numbers of diffusers' to the bit."""

from typing import Any

import pytest
import torch
from bright_pipeline.models.kl import DiagonalGaussian
from bright_pipeline.models.vqgan import Quantizer
from bright_pipeline.models.vqgan_network import Decoder, Encoder, Shape
from diffusers.models.autoencoders import vae
from torch import Tensor, nn

SHAPES = {
    "no attention": Shape((8, 8, 16), (False, False, False), blocks=1, groups=8, middle_attends=False),
    "attention in the middle alone": Shape((8, 16), (False, False), blocks=2, groups=4),
    "attention at the last resolution": Shape((8, 8, 16), (False, False, True), blocks=2, groups=8),
    "attention everywhere": Shape((8, 16), (True, True), blocks=1, groups=2),
    "attention above, none in the middle": Shape((16, 8), (True, False), blocks=1, groups=8, middle_attends=False),
    "one resolution": Shape((8,), (False,), blocks=1, groups=8),
}
RESOLUTION, CHANNELS, LATENT = 16, 3, 4


def theirs(half: str, shape: Shape) -> nn.Module:
    """diffusers' network of this shape, with two numbers for each of a code's."""
    kinds = {True: f"Attn{half}coderBlock2D", False: f"{half}coderBlock2D"}
    common = {
        "block_out_channels": shape.widths,
        "layers_per_block": shape.blocks,
        "norm_num_groups": shape.groups,
        "mid_block_add_attention": shape.middle_attends,
    }
    if half == "DownEn":
        types = tuple(kinds[attend] for attend in shape.attends)
        return vae.Encoder(CHANNELS, LATENT, types, double_z=True, **common)
    types = tuple(kinds[attend] for attend in reversed(shape.attends))
    return vae.Decoder(LATENT, CHANNELS, types, **common)


def ours(half: str, shape: Shape) -> nn.Module:
    return Encoder(CHANNELS, 2 * LATENT, shape) if half == "DownEn" else Decoder(LATENT, CHANNELS, shape)


def inputs(half: str, shape: Shape, count: int = 3) -> Tensor:
    side = RESOLUTION if half == "DownEn" else RESOLUTION >> (len(shape.widths) - 1)
    random = torch.Generator().manual_seed(1)
    return torch.randn(count, CHANNELS if half == "DownEn" else LATENT, side, side, generator=random)


def both(half: str, shape: Shape) -> tuple[Any, Any]:
    networks = []
    for make in (ours, theirs):
        torch.manual_seed(7)
        networks.append(make(half, shape))
    return networks[0], networks[1]


@pytest.mark.parametrize("half", ["DownEn", "UpDe"])
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("autocast", [True, False])
def test_values_and_gradients_are_the_same_to_the_bit(half: str, name: str, training: bool, autocast: bool) -> None:
    networks, found = both(half, SHAPES[name]), []
    own, other = (network.state_dict() for network in networks)
    assert list(own) == list(other) and all(torch.equal(own[key], other[key]) for key in own), "the weights of a seed"
    for network in networks:
        network.train(training)
        start = inputs(half, SHAPES[name]).requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            end = network(start)
        weights = torch.randn(end.shape, generator=torch.Generator().manual_seed(2))
        (end * weights).sum().backward()
        found.append([end, start.grad, *(parameter.grad for parameter in network.parameters())])
    assert len(found[0]) > 20
    assert all(torch.equal(own, other) and own.abs().max() > 0 for own, other in zip(*found, strict=True))


def test_a_large_batch_gives_the_same_bits() -> None:
    """From 64 images on memory is laid out otherwise."""
    shape = SHAPES["attention everywhere"]
    own, other = both("UpDe", shape)
    code = inputs("UpDe", shape, 64)
    assert torch.equal(own(code), other(code))


def test_the_codebook_has_the_same_entries_and_chooses_the_same() -> None:
    torch.manual_seed(0)
    own = Quantizer(64, LATENT)
    torch.manual_seed(0)
    other = vae.VectorQuantizer(64, LATENT, beta=0.0, sane_index_shape=True)
    assert list(own.state_dict()) == list(other.state_dict())
    assert torch.equal(own.embedding.weight, other.embedding.weight)
    for codes in (torch.randn(1, LATENT, 5, 6) / 64, torch.randn(3, LATENT, 5, 6) / 64):
        assert torch.equal(own(codes), other(codes)[2][2]) and own(codes).unique().numel() > 10


def test_the_distribution_has_the_same_mean_deviation_and_divergence() -> None:
    """Also where variances are out of bounds."""
    found = []
    for distribution in (DiagonalGaussian, vae.DiagonalGaussianDistribution):
        moments = torch.randn(3, 2 * LATENT, 5, 5, generator=torch.Generator().manual_seed(0)) * 20
        made = distribution(moments.requires_grad_(True))
        (made.kl().sum() + (made.mean * made.std).sum()).backward()
        found.append((made.mean, made.std, made.var, made.kl(), moments.grad))
    assert all(torch.equal(own, other) for own, other in zip(*found, strict=True))
