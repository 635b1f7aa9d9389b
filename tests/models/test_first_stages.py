"""Facts of autoencoders of every family, and of those with VQGAN's network."""

import copy

import pytest
import torch
from bright_pipeline.families import autoencoder_family, load
from bright_pipeline.models.traits import traits
from first_stages import ALL_FAMILIES, CODE, RESOLUTION, draws, images, small_model, small_settings


@pytest.mark.parametrize("family", ALL_FAMILIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_encoding_and_decoding_keep_the_shape_change_nothing_and_draw_nothing(family, channels):
    model, pictures = small_model(family, channels), images(2, channels)
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    codes = model.encode(pictures)
    assert codes.shape == (2, *CODE)
    assert model.code_range == ((0, 1) if family == "bright" else None)
    assert family != "bright" or 0 <= codes.min() <= codes.max() <= 1
    first, second = model(pictures), model(pictures)
    assert first.shape == (2, channels, RESOLUTION, RESOLUTION)
    assert torch.equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_a_training_pass_draws_from_the_step_alone(family):
    first, second = small_model(family), small_model(family)
    one = first.training_pass(images(), draws(3))
    torch.manual_seed(99)
    other = second.training_pass(images(), draws(3))
    assert torch.equal(one[0], other[0])
    assert one[1].keys() == other[1].keys()
    assert all(torch.equal(first.state_dict()[name], second.state_dict()[name]) for name in first.state_dict())


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_gradients_reach_every_parameter(family):
    model = small_model(family)
    for name, parameter in model.named_parameters():
        if name.endswith("noise_strength"):  # of BRIGHT's decoder, which starts at zero
            torch.nn.init.ones_(parameter)
    reconstructions, own = model.training_pass(images(), draws())
    ((reconstructions - images()).square().mean() + sum(own.values())).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert still == []
    last = "synthesis.blocks.1.to_image.weight" if family == "bright" else "decoder.network.conv_out.weight"
    assert model.last_layer is dict(model.named_parameters())[last]


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_an_image_does_not_depend_on_the_others_of_its_batch(family):
    model, pictures = small_model(family), images()
    alone = torch.cat([model(picture[None]) for picture in pictures])
    torch.testing.assert_close(model(pictures), alone, atol=1e-5, rtol=1e-5)


def test_the_published_architectures_have_the_published_levels():
    """VQGAN's 16 x 16 has attention at 16; its 32 x 32 in the middle alone; KL-f8 is 1, 2, 4, 4."""
    for family, code, widths, attends in (
        ("vqgan", "16x16x256", [128, 128, 256, 256, 512], [False, False, False, False, True]),
        ("vqgan", "32x32x256", [128, 128, 256, 256], [False] * 4),
        ("rqvae", "16x16x256", [128, 128, 256, 256, 512], [False, False, False, False, True]),
        ("kl", "32x32x4", [128, 256, 512, 512], [False] * 4),
    ):
        found = autoencoder_family(family)
        settings = found.settings.model_validate({"dataset": "d", "family": family, "code_size": code})
        with torch.device("meta"):
            network = load(found.model)(settings, 256, 3).encoder.network
        assert [block.resnets[0].conv1.weight.shape[0] for block in network.down_blocks] == widths
        assert [len(block.attentions) == len(block.resnets) for block in network.down_blocks] == attends
        assert len(network.mid_block.attentions) == 1


@pytest.mark.parametrize(("family", "printed"), [("vqgan", "4x4"), ("rqvae", "4x4x3"), ("kl", "4x4x4")])
def test_code_sizes_are_printed_as_in_the_tables(family, printed):
    assert traits(small_settings(family))["code_size"] == printed


def test_multipliers_that_do_not_fit_the_resolution_are_refused():
    with pytest.raises(ValueError, match=r"network.multipliers: must have 4 numbers, from 32 down to H_z = 4, not 3"):
        small_settings("vqgan").check_resolution(32)
    with pytest.raises(ValueError, match=r"network.multipliers: 7 levels need"):
        small_settings("vqgan", network={"multipliers": None}).check_resolution(256)
    with pytest.raises(ValueError, match=r"code_size: H_z must be at most the dataset's resolution 2"):
        small_settings("vqgan").check_resolution(2)


def test_the_kl_code_is_the_mean_and_training_draws_around_it():
    model, pictures = small_model("kl"), images()
    distribution = model.distribution(pictures)
    assert torch.equal(model.encode(pictures), distribution.mean)
    sampled = distribution.mean + distribution.std * draws(5).normal((4, *CODE))
    reconstructions, own = model.training_pass(pictures, draws(5))
    torch.testing.assert_close(reconstructions, model.decode(sampled))
    mean, variance = distribution.mean.double(), distribution.var.double()
    divergence = (mean**2 + variance - 1 - variance.log()).sum((1, 2, 3)).mean() / 2
    torch.testing.assert_close(own["kl"].double(), 1e-6 * divergence / RESOLUTION**2)
