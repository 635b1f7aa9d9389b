"""The whole autoencoder."""

import pytest
import torch
from first_stages import small_settings

from pipeline.models.bright import Bright, GroupMLPs, KeyCodeEncoder, perturb, tile
from pipeline.settings.autoencoder import Encoder as EncoderSettings
from pipeline.settings.fields import CodeSize

torch.set_num_threads(1)


def make(resolution=16, channels=1, **changes):
    torch.manual_seed(0)
    model = Bright(small_settings("bright", **changes), resolution, channels)
    torch.nn.init.uniform_(model.tables.tables, -1, 1)
    return model


@pytest.mark.parametrize("key_length", [1, 2])
def test_decoding_without_noise_is_deterministic(key_length):
    model, code = make(tables={"key_length": key_length}), torch.rand(2, 4, 4, 4)
    assert model.decode(code).shape == (2, 1, 16, 16)
    assert torch.equal(model.decode(code), model.decode(code))


@pytest.mark.parametrize(
    ("code_noise", "shape"), [("after_tiling", (5, 4, 8, 8)), ("before_tiling", (5, 4, 4, 4)), ("none", None)]
)
def test_the_perturbation_has_the_shape_of_what_it_perturbs(code_noise, shape):
    assert make(code_noise=code_noise).perturbation_shape(5) == shape


def test_the_code_is_perturbed_after_tiling_or_before():
    code = torch.rand(2, 4, 4, 4)
    after, before = make(), make(code_noise="before_tiling")
    noise = torch.randn(2, 4, 8, 8)
    assert torch.equal(after.tiled(code, noise), perturb(tile(code, 8), 8, noise))
    assert torch.equal(before.tiled(code, noise[..., :4, :4]), tile(perturb(code, 8, noise[..., :4, :4]), 8))
    assert torch.equal(after.tiled(code), tile(code, 8))


def test_the_state_dict_moves_between_strategies():
    gather, separable = make(tables={"retrieval": "gather"}), make(tables={"retrieval": "separable"})
    assert list(gather.state_dict()) == list(separable.state_dict())
    torch.nn.init.normal_(gather.tables.tables)
    separable.load_state_dict(gather.state_dict())
    code = torch.rand(2, 4, 4, 4)
    torch.testing.assert_close(gather.decode(code), separable.decode(code), atol=1e-4, rtol=1e-4)


def test_group_mlps_equal_one_mlp_per_group():
    torch.manual_seed(0)
    mlps, retrieved = GroupMLPs(3, 6, 5, 12), torch.randn(2, 3, 6, 4, 4)
    block = mlps(retrieved)
    assert block.shape == (2, 12, 4, 4)
    for group in range(3):
        features = retrieved[:, group].movedim(1, -1)
        for number, (weight, bias) in enumerate(zip(mlps.weights, mlps.biases, strict=True)):
            features = features @ weight[group].T + bias[group, :, 0]
            features = features.relu() if number < 2 else features
        torch.testing.assert_close(block[:, 4 * group : 4 * group + 4], features.movedim(-1, 1))


@pytest.mark.parametrize(("size", "attention", "widths"), [
    (64, [False, False, True], [32, 32, 64]),
    (16, [False, False, True, True, True], [32, 32, 64, 64, 128]),
])  # fmt: skip
def test_the_encoder_has_the_papers_levels_with_attention_from_64_down(size, attention, widths):
    with torch.device("meta"):
        network = KeyCodeEncoder(EncoderSettings(), CodeSize(size, size, 4), 256, 3).network
    assert [len(block.attentions) == 2 for block in network.down_blocks] == attention
    assert [block.resnets[0].conv1.weight.shape[0] for block in network.down_blocks] == widths
    assert all(len(block.resnets) == 2 for block in network.down_blocks)
    assert len(network.mid_block.attentions) == 1


@pytest.mark.parametrize(("settings", "groups"), [({}, 32), ({"norm_groups": 8}, 8), ({"norm_groups": 64}, 32)])
def test_the_encoder_has_as_many_normalization_groups_as_the_config_says(settings, groups):
    encoder = EncoderSettings(multipliers=[1, 1, 1], **settings)
    network = KeyCodeEncoder(encoder, CodeSize(4, 4, 2), 16, 1).network
    found = {module.num_groups for module in network.modules() if isinstance(module, torch.nn.GroupNorm)}
    assert found == {groups}


def test_widths_that_32_does_not_divide_have_fewer_normalization_groups():
    network = KeyCodeEncoder(EncoderSettings(channels=12), CodeSize(4, 4, 2), 8, 1)
    assert network.network.conv_norm_out.num_groups == 4
    assert network(torch.randn(1, 1, 8, 8)).shape == (1, 2, 4, 4)
