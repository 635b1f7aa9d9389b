"""Pictures of key codes (section 3.4): between two images, at fewer resolutions, without a group; and the explorer."""

import base64
import json
import re
from pathlib import Path

import pytest
import torch
from bright_pipeline.data.archive import ImageArchive, to_model, to_uint8
from bright_pipeline.evaluation.codes import code_statistics
from bright_pipeline.explore_codes import explore_codes
from bright_pipeline.generation import explorer
from bright_pipeline.generation.exploration import groups, interpolation, resolutions
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import save_autoencoder
from bright_pipeline.settings.autoencoder import Autoencoder


def shown_model(settings) -> Bright:
    """A model whose tables hold more than their initial 1e-4, so that they show."""
    torch.manual_seed(0)
    model = Bright(Autoencoder.model_validate(settings), 32, 1).eval()
    torch.nn.init.normal_(model.tables.tables)
    return model


@pytest.fixture
def model(tiny_autoencoder) -> Bright:
    return shown_model(tiny_autoencoder())


@pytest.fixture
def codes(model: Bright) -> torch.Tensor:
    return torch.rand(4, model.settings.code_size.channels, 4, 4, generator=torch.Generator().manual_seed(1))


def decoded(model: Bright, codes: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.decode(codes)


def test_interpolation_begins_and_ends_with_the_two_images_and_has_their_mean_code_between(model, codes) -> None:
    captions, images = zip(*interpolation(model, codes[:2], codes[2:], 3), strict=True)
    assert captions == ("t = 0.00", "t = 0.50", "t = 1.00")
    for column, expected in zip(images, (codes[:2], (codes[:2] + codes[2:]) / 2, codes[2:]), strict=True):
        assert torch.equal(to_uint8(column), to_uint8(decoded(model, expected)))


def test_all_resolutions_are_the_whole_image_and_fewer_ignore_the_finer_tables(model, codes) -> None:
    images = [column for _, column in resolutions(model, codes)]
    assert [len(column) for column in images] == [4] * len(model.tables.levels)
    assert torch.equal(images[-1], decoded(model, codes))
    assert not torch.equal(images[0], images[-1])
    entries = [level.entries for level in model.tables.levels]
    with torch.no_grad():
        model.tables.tables[:, entries[0] :] = 7.0  # all tables but the coarsest
    again = [column for _, column in resolutions(model, codes)]
    assert torch.equal(again[0], images[0])
    assert not torch.equal(again[1], images[1])


@pytest.mark.parametrize(("code_size", "key_length"), [("4x4x2", 1), ("4x4x4", 2)])
def test_without_a_group_each_of_its_channels_has_its_mean_over_images_and_pixels(
    tiny_autoencoder, code_size: str, key_length: int
) -> None:
    model = shown_model(tiny_autoencoder(code_size=code_size, tables={"key_length": key_length}))
    codes = torch.rand(3, 2 * key_length, 4, 4)
    captions, images = zip(*groups(model, codes), strict=True)
    assert captions == ("all groups", "without 1", "without 2")
    assert torch.equal(images[0], decoded(model, codes))
    for group in range(2):
        changed = codes.clone()
        for channel in range(group * key_length, (group + 1) * key_length):
            changed[:, channel] = codes[:, channel].mean()
        assert torch.equal(to_uint8(images[1 + group]), to_uint8(decoded(model, changed)))


def test_the_stage_writes_three_sheets_and_what_their_columns_are(model, tiny_images: Path, tmp_path: Path) -> None:
    weights = tmp_path / "autoencoder.safetensors"
    save_autoencoder(weights, model, model.settings, 32, 1)
    names = ("interpolation", "resolutions", "groups")
    sheets = [tmp_path / f"{name}.zip" for name in names]
    written = (*sheets, tmp_path / "columns.json", tmp_path / "explorer.json")
    explore_codes(json.dumps({"rows": 2, "steps": 4}), tiny_images, weights, *written)
    columns = json.loads((tmp_path / "columns.json").read_text())
    assert [len(columns[name]) for name in names] == [4, len(model.tables.levels), 1 + model.tables.groups]
    for name, sheet in zip(names, sheets, strict=True):
        archive = ImageArchive(sheet)
        assert len(archive) == 2 * len(columns[name])
        assert archive.resolution == 32
    explore_codes('{"rows": 1000, "steps": 4, "codes": 0}', tiny_images, weights, *written)
    assert len(ImageArchive(sheets[0])) == len(ImageArchive(tiny_images)) // 2 * 4, "as many pairs as there are"
    assert json.loads(written[-1].read_text()) == {}, "the config turned the explorer off"


def test_the_explorer_has_the_decoder_of_the_samples_and_the_keys_that_training_codes_use(
    tiny_autoencoder, model, tiny_images: Path, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("main", *"abcd", "explorer.json")]
    save_autoencoder(files[0], model, model.settings, 32, 1)
    other = shown_model(tiny_autoencoder())
    torch.nn.init.uniform_(other.tables.tables)
    save_autoencoder(tmp_path / "stage", other, other.settings, 32, 1)
    training = code_statistics(torch.tensor([0.2, 0.5, 0.5, 0.5, 0.5, 0.8, 0.4, 0.6]).view(1, 2, 2, 2))
    (tmp_path / "statistics.json").write_text(json.dumps({"codes": training}))
    models = {"decoder": tmp_path / "stage", "statistics": tmp_path / "statistics.json"}
    explore_codes('{"rows": 1}', tiny_images, *files, **models)
    written = json.loads(files[-1].read_text())
    assert written["decoder"] == json.loads(json.dumps(explorer.explorer_decoder(other)))
    codes = model.encode(to_model(ImageArchive(tiny_images).tensor(range(10)))).detach()
    assert torch.tensor(written["codes"]).numpy() == pytest.approx(codes.flatten(1).numpy(), abs=1e-4)
    assert written["ranges"] == [[0.2, 0.5], [0.4, 0.8]], "three standard deviations reach further"


def test_a_few_far_keys_do_not_widen_the_range_and_equal_keys_have_the_whole_one() -> None:
    keys = torch.tensor([0.49, 0.51] * 500 + [0.9]).view(1, 1, 7, 143)
    ((low, high),) = explorer.key_ranges(code_statistics(keys)["channels"])
    assert low == pytest.approx(0.49) and high == pytest.approx(0.5004 + 3 * 0.01612, abs=1e-3)
    assert explorer.key_ranges(code_statistics(torch.full((1, 1, 2, 2), 0.5))["channels"]) == [(0.0, 1.0)]


def test_numbers_are_packed_in_16_bits_by_the_largest_of_either_sign() -> None:
    packed = explorer.packed(torch.tensor([-2.0, 1.0]))
    assert base64.b64decode(packed["data"]) == (-32767).to_bytes(2, "little", signed=True) + (16384).to_bytes(
        2, "little"
    )
    assert packed["scale"] * 32767 == 2


def test_the_explorer_leaves_large_models_out_and_states_their_size(model, tiny_images, tmp_path, monkeypatch) -> None:
    save_autoencoder(tmp_path / "autoencoder.safetensors", model, model.settings, 32, 1)
    files = [tmp_path / name for name in ("autoencoder.safetensors", *"abcd", "explorer.json")]
    explore_codes('{"rows": 1}', tiny_images, *files)
    decoder = json.dumps(json.loads(files[-1].read_text())["decoder"])
    size = sum(len(base64.b64decode(data)) for data in re.findall(r'"data": "([^"]*)"', decoder))
    monkeypatch.setattr(explorer, "MOST_BYTES", 1000)
    explore_codes('{"rows": 1}', tiny_images, *files)
    (line,) = json.loads(files[-1].read_text()).values()
    shown, unit = line.removeprefix("its decoder takes ").removesuffix(", more than 1 kB").split()
    assert unit == "kB" and float(shown) == pytest.approx(size / 1000, rel=0.1)
