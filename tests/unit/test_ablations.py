"""BRIGHT with a part left out or made otherwise, as keys of a config: what is computed then, and what is counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from first_stages import small_settings
from pydantic import ValidationError

from pipeline.models.bright import Bright, perturb, tile
from pipeline.models.complexity import counts, parameters
from pipeline.models.traits import architecture_traits, hash_tables, traits

torch.set_num_threads(1)

NO_TABLES = {"features": "mlp"}
NO_COORDINATES = {"tables": {"coordinates": False}}
NEITHER = {"features": "mlp", "tables": {"coordinates": False}}
ONE_RESOLUTION = {"tables": {"resolutions": 1, "coarsest_resolution": 8}}
NO_MODULATION = {"decoder": {"style_width": 0}}
ALL = [NO_TABLES, NO_COORDINATES, NEITHER, ONE_RESOLUTION, NO_MODULATION]


def settings(**changes: Any) -> Any:
    return small_settings("bright", **changes)


def make(**changes: Any) -> Bright:
    torch.manual_seed(0)
    model = Bright(settings(**changes), 16, 1)
    for name, parameter in model.named_parameters():
        if name == "tables.tables":
            torch.nn.init.uniform_(parameter, -1, 1)
    return model


@pytest.mark.parametrize("changes", ALL)
def test_each_reconstructs_and_all_its_parameters_learn(changes: dict[str, Any]) -> None:
    model, images = make(**changes), torch.rand(2, 1, 16, 16) * 2 - 1
    for name, parameter in model.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.ones_(parameter)
    made = model.decode(model.encode(images), torch.randn(2, 4, 8, 8), torch.randn)
    assert made.shape == images.shape
    (made - images).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


@pytest.mark.parametrize("changes", ALL)
def test_the_counts_are_those_of_the_network_itself(changes: dict[str, Any]) -> None:
    model, found = make(**changes), counts(settings(**changes), 16, 1)
    tables = parameters(model.tables)
    assert found["hash_table_params"]["tcnn"] == tables
    assert found["decoder_params"] + found["encoder_params"] + tables == parameters(model)


def test_without_tables_one_mlp_of_three_layers_reads_the_tiled_key_and_its_place() -> None:
    model, code = make(**NO_TABLES), torch.rand(2, 4, 4, 4)
    block = model.group_mlps(model.tables.retrieve(model.tiled(code)))
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


def test_without_tables_there_are_no_entries_to_hit() -> None:
    model = make(**NO_TABLES)
    assert model.count_hits(torch.rand(2, 4, 4, 4)).shape == (0, 0)
    assert len(model.reachable_entries()) == 0
    assert hash_tables(model.settings) is None


def test_without_coordinates_a_key_reads_the_same_everywhere_by_linear_interpolation() -> None:
    model = make(**NO_COORDINATES)
    code = torch.rand(1, 4, 1, 1).expand(1, 4, 4, 4)
    retrieved = model.tables.retrieve(tile(code, 8))
    assert torch.equal(retrieved, retrieved[..., :1, :1].expand_as(retrieved))
    level, group, key = model.tables.levels[-1], 2, float(code[0, 2, 0, 0])
    table = level.of(model.tables.tables)[group].detach().numpy()
    assert level.entries == 8, "a table of one dimension"
    place = key * (8 - 1) + 0.5
    expected = [np.interp(place, range(9), [*column, column[0]]) for column in table.T]
    np.testing.assert_allclose(retrieved[0, group, -4:, 0, 0].detach(), expected, rtol=1e-4)


def test_without_coordinates_reachable_entries_are_those_that_a_sweep_of_keys_hits() -> None:
    model = make(**NO_COORDINATES, code_size="8x8x4")
    keys = torch.linspace(0, 1, 8 * 8 * 40).view(40, 1, 8, 8).expand(-1, 4, -1, -1)
    assert torch.equal(model.count_hits(keys).sum(0) > 0, model.reachable_entries())


def test_without_modulation_an_image_depends_on_no_pooled_features() -> None:
    plain, modulated = make(**NO_MODULATION), make()
    block, other = torch.randn(2, 1, 16, 8, 8)
    assert plain.style_mlp(block).shape == (1, 0)
    assert torch.equal(plain.synthesis(block, plain.style_mlp(other)), plain.synthesis(block, plain.style_mlp(block)))
    assert not torch.equal(
        modulated.synthesis(block, modulated.style_mlp(other)), modulated.synthesis(block, modulated.style_mlp(block))
    )


def test_one_resolution_is_the_finest() -> None:
    (level,) = make(**ONE_RESOLUTION).tables.levels
    assert level.resolution == 8
    with pytest.raises(ValidationError, match="a single resolution needs coarsest_resolution = finest_resolution"):
        settings(tables={"resolutions": 1})


@pytest.mark.parametrize("cells", [0.25, 1.0])
def test_the_noise_has_the_deviation_that_is_asked_for(cells: float) -> None:
    torch.manual_seed(0)
    model, code = make(code_noise_cells=cells), torch.full((64, 4, 4, 4), 0.5)
    moved = model.tiled(code, torch.randn(64, 4, 8, 8)) - 0.5
    assert float(moved.std()) == pytest.approx(cells / 8, rel=0.02)
    noise = torch.randn(1, 4, 8, 8)
    assert torch.equal(perturb(tile(code[:1], 8), 8, noise), (tile(code[:1], 8) + noise / 32).clamp(0, 1))


def test_the_papers_model_has_the_digests_that_it_had() -> None:
    told = settings().numerical()
    assert not {"features", "code_noise_cells"} & told.keys() and "coordinates" not in told["tables"]
    changed = settings(features="mlp", code_noise_cells=0.5, tables={"coordinates": False}).numerical()
    assert (changed["features"], changed["code_noise_cells"], changed["tables"]["coordinates"]) == ("mlp", 0.5, False)


def test_a_row_says_what_was_left_out() -> None:
    assert "ablation" not in traits(settings())
    told = traits(settings(**NEITHER, **NO_MODULATION, code_noise_cells=0.5))
    assert told["ablation"] == "no tables, queries without (x, y), no modulation"
    assert told["code_noise"] == "after_tiling, 0.5 cells"
    assert architecture_traits(settings(**NO_TABLES))["ablation"] == "no tables"


@pytest.mark.parametrize("retrieval", ["separable", "triton", "tinycudann"])
def test_strategies_that_need_coordinates_say_so(retrieval: str) -> None:
    with pytest.raises(ValidationError, match=f"retrieval: {retrieval} needs coordinates"):
        settings(tables={"coordinates": False, "retrieval": retrieval})


def test_exploring_a_model_without_tables_gets_one_line(tmp_path: Path, tiny_images: Path) -> None:
    from pipeline.base.errors import InputError
    from pipeline.explore_codes import explore_codes
    from pipeline.models.checkpoints import save_autoencoder

    save_autoencoder(tmp_path / "model.safetensors", make(**NO_TABLES), settings(**NO_TABLES), 16, 1)
    sheets = [tmp_path / f"{name}.zip" for name in ("interpolation", "resolutions", "groups")]
    with pytest.raises(InputError, match="without hash tables"):
        explore_codes('{"rows": 1}', tiny_images, tmp_path / "model.safetensors", *sheets, tmp_path / "columns.json")


def test_a_published_row_is_never_compared_with_an_ablation() -> None:
    from pipeline.tables.pairing import fixed_traits

    row = {"method": "BRIGHT", "code_size": "64x64x4", "dataset": "ffhq256"}
    for kind in ("reconstruction", "complexity"):
        allowed = fixed_traits(row, kind)["ablation"]
        assert traits(settings()).get("ablation") in allowed
        assert all(traits(settings(**one)).get("ablation") not in allowed for one in ALL if one is not ONE_RESOLUTION)
