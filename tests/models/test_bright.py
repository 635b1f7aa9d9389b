"""The whole autoencoder, and with a part left out or changed by keys of a config: its outputs and its counts."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.explore_codes import explore_codes
from bright_pipeline.models.bright import Bright, KeyCodeEncoder
from bright_pipeline.models.checkpoints import save_autoencoder
from bright_pipeline.models.complexity import counts, parameters
from bright_pipeline.models.group_mlps import GroupMLPs, StyledGroupMLPs
from bright_pipeline.models.key_noise import NOISES, deviation, fine_change, perturb, tile
from bright_pipeline.models.traits import architecture_traits, hash_tables, traits
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.settings.autoencoder import Encoder as EncoderSettings
from bright_pipeline.settings.fields import CodeSize
from bright_pipeline.training.batches import StepRandom
from first_stages import small_settings
from pydantic import ValidationError

NO_TABLES = {"features": "mlp"}
NO_COORDINATES = {"tables": {"coordinates": False}}
NEITHER = {"features": "mlp", "tables": {"coordinates": False}}
ONE_RESOLUTION = {"tables": {"resolutions": 1, "coarsest_resolution": 8}}
NO_MODULATION = {"decoder": {"style_width": 0}}
EACH_NOISE = [{"code_noise": name} for name in NOISES]
ALL = [NO_TABLES, NO_COORDINATES, NEITHER, ONE_RESOLUTION, NO_MODULATION, *EACH_NOISE]


def settings(**changes: Any) -> Any:
    return small_settings("bright", **changes)


def make(**changes: Any) -> Bright:
    torch.manual_seed(0)
    model = Bright(settings(**changes), 16, 1)
    for name, parameter in model.named_parameters():
        if name == "tables.tables":
            torch.nn.init.uniform_(parameter, -1, 1)
    return model


class Given:
    """Draws of numbers that are given, of the shape that they must have; of none for None."""

    def __init__(self, numbers: torch.Tensor | None):
        self.numbers = numbers

    def normal(self, shape: tuple[int, ...]) -> torch.Tensor:
        assert self.numbers is not None and shape == self.numbers.shape
        return self.numbers


def keys_and_widths(model: Bright, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    keys, predicted = model.encoded(images)
    return keys, model.noise.log_widths(keys, predicted, model.settings)


def test_each_value_of_code_noise_has_a_rule_with_words_of_its_own() -> None:
    assert {*NOISES} == {*get_args(Autoencoder.model_fields["code_noise"].annotation)}
    assert all(rule.name == name for name, rule in NOISES.items())
    assert len({rule.words for rule in NOISES.values()}) == len(NOISES)


@pytest.mark.parametrize("changes", EACH_NOISE)
def test_noise_leaves_a_code_at_most_the_bits_of_its_numbers(changes: dict[str, Any]) -> None:
    images = torch.rand(8, 1, 16, 16) * 2 - 1
    for losses in ({}, {"key_penalty": 1.0}):
        model = make(**changes, losses=losses)
        with torch.no_grad():
            bits = model.code_bits([model.code_moments(images, 8)]).per_image
        assert (0 < bits < 32 * 64) if changes["code_noise"] != "none" else bits == 32 * 64


def test_penalties_on_keys_and_widths_equal_their_formulas() -> None:
    images = torch.rand(3, 1, 16, 16) * 2 - 1
    model = make(code_noise="learned", losses={"key_penalty": 3.0, "width_penalty": 0.5})
    with torch.no_grad():
        keys, log_widths = keys_and_widths(model, images)
        assert torch.equal(keys, model.encode(images)) and keys.shape == log_widths.shape == (3, 4, 4, 4)
        _, own = model.training_pass(images, StepRandom(0, 0, 3, torch.device("cpu")))
    assert float(own["key_penalty"]) == pytest.approx(3 * float(((keys - 0.5) ** 2).mean()))
    assert float(own["width_penalty"]) == pytest.approx(-0.5 * float(log_widths.mean()))
    assert make().training_pass(images, StepRandom(0, 0, 3, torch.device("cpu")))[1] == {}


def test_the_smoothness_penalty_is_of_the_finer_levels_alone() -> None:
    model = make(losses={"smoothness_penalty": 2.0})
    codes = torch.rand(3, 4, 4, 4)
    levels, features = model.settings.tables.resolutions, model.settings.tables.features_per_entry
    cell = 1 / model.settings.tables.finest_resolution
    moved = codes + cell * torch.where(codes < 0.5, 1.0, -1.0)
    size = model.settings.feature_size // 4
    with torch.no_grad():
        model.tables.tables.normal_()
        read = [
            model.tables.retrieve(keys.repeat_interleave(size, 2).repeat_interleave(size, 3)) for keys in (codes, moved)
        ]
        per_level = (read[1] - read[0]).square().unflatten(2, (levels, features)).mean((0, 1, 3, 4, 5))
        found, expected = fine_change(model.settings, model.tables.retrieve, codes), per_level[levels // 2 :].mean()
        assert float(found) == pytest.approx(float(expected))
        _, own = model.training_pass(torch.rand(3, 1, 16, 16) * 2 - 1, StepRandom(0, 0, 3, torch.device("cpu")))
    assert own.keys() == {"smoothness_penalty"} and float(own["smoothness_penalty"]) > 0
    with torch.no_grad():  # keys that are no numbers read no entry out of range
        made, _ = model.training_pass(torch.full((1, 1, 16, 16), torch.nan), StepRandom(0, 0, 1, torch.device("cpu")))
    assert made.isnan().any()


def test_learned_noise_has_the_predicted_width_before_tiling(monkeypatch: pytest.MonkeyPatch) -> None:
    model, images, tiled = make(code_noise="learned"), torch.rand(64, 1, 16, 16) * 2 - 1, []
    retrieve = model.tables.retrieve
    monkeypatch.setattr(model.tables, "retrieve", lambda code: tiled.append(code) or retrieve(code))
    with torch.no_grad():
        keys, log_widths = keys_and_widths(model, images)
        model.training_pass(images, StepRandom(0, 0, 64, torch.device("cpu")))
    noise = (tiled[0][..., ::2, ::2] - keys) / log_widths.exp()
    assert torch.equal(tiled[0][..., ::2, ::2], tiled[0][..., 1::2, 1::2])  # one noise for all copies of a key
    assert (float(noise.mean()), float(noise.std())) == pytest.approx((0, 1), abs=0.05)
    first = float(log_widths.exp().mean())
    assert first == pytest.approx(deviation(model.settings), rel=0.5), "learned widths start near the fixed one"


@pytest.mark.parametrize("changes", ALL)
def test_each_reconstructs_all_its_parameters_learn_and_are_counted(changes: dict[str, Any]) -> None:
    model, images = make(**changes), torch.rand(2, 1, 16, 16) * 2 - 1
    found, tables = counts(settings(**changes), 16, 1), parameters(model.tables)
    assert found["hash_table_params"]["tcnn"] == tables
    assert found["decoder_params"] + found["encoder_params"] + tables == parameters(model)
    for name, parameter in model.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.ones_(parameter)
    made, _ = model.training_pass(images, StepRandom(0, 0, 2, torch.device("cpu")))
    assert made.shape == images.shape
    (made - images).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_without_tables_there_are_no_entries_to_hit_nor_sheets_to_draw(tmp_path: Path, tiny_images: Path) -> None:
    model = make(**NO_TABLES)
    assert model.count_hits(torch.rand(2, 4, 4, 4)).shape == (0, 0)
    assert len(model.reachable_entries()) == 0
    assert hash_tables(model.settings) is None
    save_autoencoder(tmp_path / "model.safetensors", model, model.settings, 16, 1)
    written = [tmp_path / name for name in ("interpolation", "resolutions", "groups", "columns", "explorer")]
    with pytest.raises(InputError, match="without hash tables"):
        explore_codes('{"rows": 1}', tiny_images, tmp_path / "model.safetensors", *written)


def test_without_tables_one_mlp_of_three_layers_reads_the_tiled_key_and_its_place() -> None:
    model, code = make(**NO_TABLES), torch.rand(2, 4, 4, 4)
    block = model.group_mlps(model.tables.retrieve(tile(code, 8)))
    weights = [weight[0].detach() for weight in model.group_mlps.weights]
    biases = [bias[0, :, 0].detach() for bias in model.group_mlps.biases]
    assert [tuple(weight.shape) for weight in weights] == [(32, 6), (32, 32), (16, 32)], "4 groups of 8 hidden units"
    features = torch.cat([tile(code, 8)[1, :, 2, 5], torch.tensor([2.5 / 8, 5.5 / 8])])
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        features = weight @ features + bias
        features = features.relu() if number < 2 else features
    torch.testing.assert_close(block[1, :, 2, 5], features)
    found = counts(settings(**NO_TABLES), 16, 1)
    rule = 8**2 * (6 * 32 + 32 * 32 + 32 * 16)
    assert found["true_gmacs"]["group_mlps"] * 1e9 == pytest.approx(rule)
    assert found["true_gmacs"]["retrieval"] == 0


def test_without_coordinates_a_key_reads_the_same_everywhere_by_linear_interpolation() -> None:
    model = make(**NO_COORDINATES)
    code = torch.rand(1, 4, 1, 1).expand(1, 4, 4, 4)
    retrieved = model.tables.retrieve(tile(code, 8))
    assert torch.equal(retrieved, retrieved[..., :1, :1].expand_as(retrieved))
    level, group, key = model.tables.levels[-1], 2, float(code[0, 2, 0, 0])
    table = level.part(model.tables.tables)[group].detach().numpy()
    assert level.entries == 8, "a table of one dimension"
    place = key * (8 - 1) + 0.5
    expected = [np.interp(place, range(9), [*column, column[0]]) for column in table.T]
    np.testing.assert_allclose(retrieved[0, group, -4:, 0, 0].detach(), expected, rtol=1e-4)
    larger = make(**NO_COORDINATES, code_size="8x8x4")
    keys = torch.linspace(0, 1, 8 * 8 * 40).view(40, 1, 8, 8).expand(-1, 4, -1, -1)
    assert torch.equal(larger.count_hits(keys).sum(0) > 0, larger.reachable_entries())


def test_without_modulation_an_image_depends_on_no_pooled_features() -> None:
    plain, modulated = make(**NO_MODULATION), make()
    block, other = torch.randn(2, 1, 16, 8, 8)
    assert plain.style_mlp(block).shape == (1, 0)
    for model, same in ((plain, True), (modulated, False)):
        images = [model.synthesis(block, model.style_mlp(pooled)) for pooled in (block, other)]
        assert torch.equal(*images) == same


def test_one_resolution_is_the_finest_and_strategies_may_need_coordinates() -> None:
    (level,) = make(**ONE_RESOLUTION).tables.levels
    assert level.resolution == 8
    with pytest.raises(ValidationError, match="a single resolution needs coarsest_resolution = finest_resolution"):
        settings(tables={"resolutions": 1})
    for retrieval in ("separable", "triton", "tinycudann"):
        with pytest.raises(ValidationError, match=f"retrieval: {retrieval} needs coordinates"):
            settings(tables={"coordinates": False, "retrieval": retrieval})


@pytest.mark.parametrize("cells", [0.25, 1.0])
def test_the_noise_has_the_deviation_that_is_asked_for(cells: float) -> None:
    torch.manual_seed(0)
    model, code = make(code_noise_cells=cells), torch.full((64, 4, 4, 4), 0.5)
    moved = model.noise.tiled(code, code[:, 4:], model.settings, Given(torch.randn(64, 4, 8, 8))) - 0.5
    assert float(moved.std()) == pytest.approx(cells / 8, rel=0.02)
    noise = torch.randn(1, 4, 8, 8)
    assert torch.equal(perturb(tile(code[:1], 8), 8, noise), (tile(code[:1], 8) + noise / 32).clamp(0, 1))


def test_a_row_says_what_was_left_out() -> None:
    ours, changed = settings(), settings(**NEITHER, **NO_MODULATION, code_noise_cells=0.5)
    assert "ablation" not in traits(ours)
    told = traits(changed)
    assert told["ablation"] == "no tables, queries without (x, y), no modulation"
    assert told["code_noise"] == "after_tiling, 0.5 cells"
    assert architecture_traits(settings(**NO_TABLES))["ablation"] == "no tables"
    # Penalties and a decoder stage do not change the counts, which several rows share.
    trained = {"losses": {"key_penalty": 30}, "initial_weights": "first", "decoder_stage": {"noise": 0.2}}
    assert traits(settings(**trained))["ablation"] == "key penalty 30, decoder stage"
    assert architecture_traits(settings(**trained)) == architecture_traits(settings())
    values = ours.numerical()  # the paper's model has the digest that it had without these keys
    assert not {"features", "code_noise_cells"} & values.keys() and "coordinates" not in values["tables"]
    values = changed.numerical()
    assert (values["features"], values["code_noise_cells"], values["tables"]["coordinates"]) == ("mlp", 0.5, False)


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


def test_styled_group_mlps_are_modulated_by_their_own_mean_features() -> None:
    """Against one image and one group at a time, with the weights of StyleGAN2's modulated layers (float64)."""
    torch.manual_seed(0)
    mlps, retrieved = StyledGroupMLPs(3, 6, 12, 9), torch.randn(2, 3, 6, 4, 4)
    for layer in (*mlps.to_modulation, *mlps.to_style, *mlps.scales):
        if hasattr(layer, "bias"):
            torch.nn.init.normal_(layer.bias)
    block, style = mlps(retrieved)
    assert (block.shape, style.shape) == ((2, 12, 4, 4), (2, 9))

    def normalized(x: torch.Tensor) -> torch.Tensor:
        return x / (x.square().mean() + 1e-8).sqrt()

    def linear(layer: Any, group: int, x: torch.Tensor, rate: float) -> torch.Tensor:
        weight, bias = layer.weight[group].double(), layer.bias[group].double()
        return weight @ x * rate / len(x) ** 0.5 + rate * bias

    def mapped(layers: Any, group: int, x: torch.Tensor) -> torch.Tensor:
        for layer in list(layers)[::2]:
            x = linear(layer, group, x, 0.01)
            x = 2**0.5 * torch.where(x > 0, x, 0.2 * x)
        return x

    for image, group in ((0, 0), (1, 2)):
        pixels = retrieved[image, group].double().flatten(1)  # (6, 16)
        mean = normalized(pixels.mean(1))
        modulation = mapped(mlps.to_modulation, group, mean)
        of_group = style[image, 3 * group : 3 * group + 3].double()
        torch.testing.assert_close(of_group, mapped(mlps.to_style, group, mean), rtol=1e-5, atol=1e-6)
        for number, layer in enumerate(mlps.scales):
            scale = linear(layer, group, modulation, 1.0)
            weight, bias = mlps.weights[number][group].double(), mlps.biases[number][group].double()
            norm = ((weight * scale) ** 2).sum(1, keepdim=True).sqrt()
            pixels = (weight * scale @ pixels + bias) / norm
            pixels = torch.where((pixels > 0) | (number == 2), pixels, 0.01 * pixels)
        expected = pixels.view(4, 4, 4)
        torch.testing.assert_close(block[image, 4 * group : 4 * group + 4].double(), expected, rtol=1e-4, atol=1e-5)


def test_the_authors_variant_is_a_model_of_its_own_and_the_default_keeps_its_digest() -> None:
    own = {"style": "groups", "encoder": {"activation": "leaky_relu"}, "code_noise": "before_tiling"}
    model, plain = make(**own), make(code_noise="before_tiling")
    assert traits(model.settings)["ablation"] == "style from groups"
    values = plain.settings.numerical()
    assert "style" not in values and "activation" not in values["encoder"]
    images = torch.rand(2, 1, 16, 16) * 2 - 1
    keys, _ = model.encoded(images)
    noise = torch.randn(2, 4, 4, 4)
    noisy = (keys + noise / 32).clamp(0, 1)  # a quarter of a cell of r_max = 8
    torch.testing.assert_close(model.reconstruct_noisy(images, Given(noise)), model.decode(noisy))
    assert not torch.equal(model.decode(noisy), model.decode(keys))
    # The encoder is VQGAN's with leaky ReLU of slope 0.01 in place of silu.
    assert plain.encoder.state_dict().keys() == model.encoder.state_dict().keys()
    block = model.encoder.network.down_blocks[0].resnets[0]
    features = torch.randn(1, block.conv1.weight.shape[1], 4, 4)
    hidden = block.norm1(features)
    hidden = block.norm2(block.conv1(torch.where(hidden > 0, hidden, 0.01 * hidden)))
    expected = features + block.conv2(torch.where(hidden > 0, hidden, 0.01 * hidden))
    torch.testing.assert_close(block(features), expected)
    with pytest.raises(ValidationError, match="style_width: must be divisible by the number of groups"):
        settings(style="groups", decoder={"style_width": 6})
    with pytest.raises(ValidationError, match="style: groups needs features: hash_tables"):
        settings(style="groups", features="mlp")


@pytest.mark.parametrize(("size", "attention", "widths"), [
    (64, [False, False, True], [32, 32, 64]),
    (16, [False, False, True, True, True], [32, 32, 64, 64, 128])
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
    narrow = KeyCodeEncoder(EncoderSettings(channels=12), CodeSize(4, 4, 2), 8, 1)
    assert narrow.network.conv_norm_out.num_groups == 4, "32 does not divide the widths"
    assert narrow(torch.randn(1, 1, 8, 8)).shape == (1, 2, 4, 4)


@pytest.mark.parametrize("key_length", [1, 2])
def test_the_code_is_perturbed_after_tiling_or_before_and_else_decoding_is_deterministic(key_length):
    code, noise = torch.rand(2, 4, 4, 4), torch.randn(2, 4, 8, 8)

    def tiled(name: str, noise: torch.Tensor | None) -> torch.Tensor:
        return NOISES[name].tiled(code, code[:, 4:], settings(code_noise=name), Given(noise))

    assert torch.equal(tiled("after_tiling", noise), perturb(tile(code, 8), 8, noise))
    assert torch.equal(tiled("before_tiling", noise[..., :4, :4]), tile(perturb(code, 8, noise[..., :4, :4]), 8))
    assert torch.equal(tiled("none", None), tile(code, 8))
    model = make(tables={"key_length": key_length})
    assert model.decode(code).shape == (2, 1, 16, 16)
    assert torch.equal(model.decode(code), model.decode(code))
