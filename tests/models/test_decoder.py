"""The StyleGAN2-type decoder, its discriminator, and VQGAN's."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from bright_pipeline.models.decoder import ModulatedConv, StyleMLP, Synthesis, synthesis_widths
from bright_pipeline.models.discriminator import Discriminator, PatchDiscriminator, with_minibatch_deviation
from bright_pipeline.models.equalized import Filter, transposed_fir
from bright_pipeline.settings.autoencoder import Discriminator as DiscriminatorSettings

UPSAMPLE = Filter(padding=1, gain=4.0, stride=2, transposed=True)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("widths", "size", "millions"), [([512, 256, 128], 64, 9.445521), ([1024, 512, 256, 128], 32, 35.145)]
)
def test_the_synthesis_has_the_papers_parameters(widths, size, millions):
    assert synthesis_widths(None, widths[0], size, 256) == widths
    assert synthesis_widths([64, 32], 64, 16, 32) == [64, 32]
    with torch.device("meta"):
        assert count(Synthesis(widths, size, 3, 512)) / 1e6 == pytest.approx(millions, abs=5e-4 if size == 32 else 1e-9)


def per_image_convolution(layer, features, style, up):
    """StyleGAN2 as published: weights modulated and demodulated per image, one grouped convolution."""
    images, inputs, side, _ = features.shape
    scale = F.linear(style, layer.affine.weight / math.sqrt(style.shape[1]), layer.affine.bias)
    weight = layer.weight[None] / math.sqrt(inputs * 9) * scale[:, None, :, None, None]
    weight = weight / weight.square().sum(dim=(2, 3, 4), keepdim=True).add(1e-8).sqrt()
    flat = features.reshape(1, images * inputs, side, side)
    if up:
        grouped = weight.transpose(1, 2).reshape(images * inputs, -1, 3, 3)
        result = F.conv_transpose2d(flat, grouped, stride=2, groups=images)
        kernel = torch.tensor([1.0, 3, 3, 1])[:, None] * torch.tensor([1.0, 3, 3, 1]) / 16
        result = F.conv2d(F.pad(result, (1, 1, 1, 1)).transpose(0, 1), kernel[None, None]).transpose(0, 1)
    else:
        result = F.conv2d(flat, weight.reshape(-1, inputs, 3, 3), padding=1, groups=images)
    result = result.view(images, -1, *result.shape[2:])
    result = result + layer.noise_strength * layer.noise_buffer + layer.bias[:, None, None]
    return F.leaky_relu(result, 0.2) * math.sqrt(2)


@pytest.mark.parametrize("up", [False, True])
def test_modulating_inputs_equals_modulating_weights(up):
    torch.manual_seed(0)
    layer = ModulatedConv(5, 7, 8, 6, seed=1, up=up)
    torch.nn.init.normal_(layer.bias)
    torch.nn.init.constant_(layer.noise_strength, 0.3)
    features, style = torch.randn(3, 5, 4 if up else 8, 4 if up else 8), torch.randn(3, 6)
    expected = per_image_convolution(layer, features, style, up)
    found = layer(features, style, None)
    assert found.shape == (3, 7, 8, 8)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_second_gradients_of_a_modulated_convolution_are_those_of_plain_operations():
    """In-place additions and activations must not disturb what the path-length penalty differentiates."""
    torch.manual_seed(0)
    layer = ModulatedConv(3, 4, 6, 5, seed=1)
    torch.nn.init.normal_(layer.bias)
    features, direction, found = torch.randn(2, 3, 6, 6), torch.randn(2, 4, 6, 6), []
    for used in (layer, copy.deepcopy(layer).double()):
        dtype = used.weight.dtype
        style = torch.linspace(-1, 1, 10).reshape(2, 5).to(dtype).requires_grad_()
        compute = per_image_convolution if dtype == torch.float64 else lambda layer, f, s, _: layer(f, s, None)
        output = compute(used, features.to(dtype), style, False)
        (gradient,) = torch.autograd.grad((output * direction.to(dtype)).sum(), style, create_graph=True)
        second = torch.autograd.grad(gradient.square().sum(), [style, used.weight, used.affine.weight])
        found.append([gradient, *second])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=2e-3, atol=1e-4)


def test_noise_has_no_part_at_the_start_and_buffers_are_fixed():
    one, other = (Synthesis([8, 4], 4, 1, 8) for _ in range(2))
    assert all(float(p) == 0 for name, p in one.named_parameters() if name.endswith("noise_strength"))
    for (name, buffer), (_, same) in zip(one.named_buffers(), other.named_buffers(), strict=True):
        assert torch.equal(buffer, same), name
    assert sum(name.endswith("noise_buffer") for name in one.state_dict()) == 5


@pytest.mark.parametrize(("convolutions", "layers"), [(2, 6), (1, 4)])
def test_one_style_for_all_layers_is_that_style_in_each(convolutions, layers):
    network = Synthesis([8, 4], 4, 1, 8, convolutions)
    assert network.layers == layers
    block, style = torch.randn(2, 8, 4, 4), torch.randn(2, 8)
    assert torch.equal(network(block, style), network(block, [style] * layers))


def test_given_noise_reaches_every_resolution():
    network = Synthesis([8, 4], 4, 1, 8)
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.ones_(parameter)
    shapes = []

    def noise(shape):
        shapes.append(shape)
        return torch.randn(shape)

    block, style = torch.randn(2, 8, 4, 4), torch.randn(2, 8)
    varied = network(block, style, noise)
    assert shapes == [(2, 1, 4, 4)] * 2 + [(2, 1, 8, 8)] * 3
    assert not torch.equal(varied, network(block, style, noise))
    assert torch.equal(network(block, style), network(block, style))


def test_filters_keep_constants_away_from_the_border():
    constant = torch.full((1, 2, 8, 8), 3.0)
    torch.testing.assert_close(UPSAMPLE(constant)[..., 2:-2, 2:-2], torch.full((1, 2, 12, 12), 3.0))
    torch.testing.assert_close(Filter(1, stride=2)(constant)[..., 1:-1, 1:-1], torch.full((1, 2, 2, 2), 3.0))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_a_gpus_transposed_filter_is_the_transposed_convolution(stride: int, padding: int) -> None:
    features, kernel = torch.rand(2, 3, 6, 8, dtype=torch.double), Filter(1, 4.0).kernel.double()
    transposed = torch.nn.functional.conv_transpose2d
    expected = transposed(features, kernel.expand(3, 1, 4, 4), stride=stride, padding=padding, groups=3)
    torch.testing.assert_close(transposed_fir(features, kernel, stride, padding), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("module", [Filter(2), Filter(1), Filter(1, stride=2), UPSAMPLE])
def test_filters_have_exact_first_and_second_gradients(module):
    features = torch.randn(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (features,))
    assert torch.autograd.gradgradcheck(module, (features,))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_gives_nearly_the_same_images(dtype):
    torch.manual_seed(0)
    network, mlp = Synthesis([16, 8], 8, 3, 16), StyleMLP(16, 16)
    block = torch.randn(2, 16, 8, 8)
    exact = network(block, mlp(block))
    with torch.autocast("cpu", dtype=dtype):
        mixed = network(block, mlp(block))
    assert mixed.dtype == torch.float32
    assert (mixed - exact).abs().max() < 0.1 * exact.std()


def test_the_minibatch_deviation_is_one_channel_of_its_group():
    features = torch.randn(4, 3, 2, 2)
    found = with_minibatch_deviation(features, 2)
    assert torch.equal(found[:, :3], features)
    for group in (slice(0, 2), slice(2, 4)):
        expected = (features[group].var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(found[group, 3], expected.expand(2, 2, 2))
    three = features[:3]  # a group is at most the batch
    torch.testing.assert_close(with_minibatch_deviation(three, 3), with_minibatch_deviation(three, 6))
    assert float(with_minibatch_deviation(three, 4)[:, 3].max()) == pytest.approx(1e-4)


def test_a_discriminator_with_the_deviation_compares_images_and_one_without_does_not():
    torch.manual_seed(0)
    images = torch.randn(4, 1, 8, 8)
    for group, compares in ((4, True), (0, False)):
        network = Discriminator(DiscriminatorSettings(channels=8, base=64, minibatch_deviation=group), 8, 1)
        apart = torch.cat([network(image[None]) for image in images])
        assert network(images).shape == (4,)
        assert torch.allclose(network(images), apart, atol=1e-5) != compares


def test_three_layers_of_64_channels_are_patchgans_2_8_million_parameters_and_30_x_30_patches():
    """taming-transformers' NLayerDiscriminator(input_nc=3, ndf=64, n_layers=3) of 256 x 256 images."""
    network = PatchDiscriminator(DiscriminatorSettings(kind="patch", channels=64), 256, 3)
    assert count(network) == 2_765_633
    assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 30 * 30)


def test_a_score_sees_its_patch_alone():
    network = PatchDiscriminator(DiscriminatorSettings(kind="patch", channels=8, layers=2), 64, 1).eval()
    image = torch.randn(1, 1, 64, 64).requires_grad_(True)
    scores = network(image)
    (gradient,) = torch.autograd.grad(scores[0, 0], image)
    rows = gradient[0, 0].abs().sum(1).nonzero()
    assert 0 < int(rows.max()) < 32
