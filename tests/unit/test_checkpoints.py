"""Trained models as files that carry their own config."""

import json
import math
import re

import pytest
import torch
from safetensors.torch import save_file

from pipeline.base.errors import InputError
from pipeline.models.bright import Bright
from pipeline.models.checkpoints import load_autoencoder, save_autoencoder
from pipeline.models.diffusion import build_unet, load_diffusion, save_diffusion
from pipeline.models.rescaling import Rescaling
from pipeline.settings.autoencoder import Autoencoder
from pipeline.settings.diffusion import Diffusion
from pipeline.settings.fields import CodeSize

RESCALING = Rescaling((0.25, 0.5), (3.0, 2.0), (0.0, 1.0))


@pytest.fixture
def autoencoder(tiny_autoencoder, tmp_path):
    settings = Autoencoder.model_validate(tiny_autoencoder())
    model = Bright(settings, 32, 3).eval()
    torch.nn.init.uniform_(model.tables.tables, -1, 1)
    save_autoencoder(tmp_path / "autoencoder.safetensors", model, settings, 32, 3)
    return model


@pytest.fixture
def diffusion(tiny_diffusion, tmp_path):
    settings = Diffusion.model_validate(tiny_diffusion())
    model = build_unet(settings.unet, CodeSize(4, 4, 2)).eval()
    save_diffusion(tmp_path / "diffusion.safetensors", model, settings, CodeSize(4, 4, 2), RESCALING)
    return settings, model


def test_a_loaded_autoencoder_encodes_and_decodes_the_same_bits(autoencoder, tmp_path):
    loaded = load_autoencoder(tmp_path / "autoencoder.safetensors", torch.device("cpu"))
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        code = autoencoder.encode(images)
        assert torch.equal(loaded.encode(images), code)
        assert torch.equal(loaded.decode(code), autoencoder.decode(code))
    settings = autoencoder.settings.model_copy(update={"dataset": ""})
    assert (loaded.settings, loaded.resolution, loaded.channels) == (settings, 32, 3)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


def test_a_loaded_diffusion_model_predicts_the_same_bits(diffusion, tmp_path):
    settings, model = diffusion
    settings = settings.model_copy(update={"autoencoder": ""})
    loaded = load_diffusion(tmp_path / "diffusion.safetensors", torch.device("cpu"))
    assert (loaded.settings, loaded.code_size, loaded.rescaling) == (settings, CodeSize(4, 4, 2), RESCALING)
    noisy = torch.randn(2, 2, 4, 4)
    model.requires_grad_(False)  # weights that want no gradient take another path through torch's linear layers
    with torch.no_grad():
        assert torch.equal(loaded.unet(noisy, 5).sample, model(noisy, 5).sample)


def test_the_bytes_of_a_file_do_not_depend_on_what_the_config_calls_things(autoencoder, diffusion, tmp_path):
    renamed = autoencoder.settings.model_copy(update={"dataset": "renamed"})
    save_autoencoder(tmp_path / "renamed", autoencoder, renamed, 32, 3)
    assert (tmp_path / "renamed").read_bytes() == (tmp_path / "autoencoder.safetensors").read_bytes()
    settings, model = diffusion
    renamed = settings.model_copy(update={"autoencoder": "renamed"})
    save_diffusion(tmp_path / "renamed", model, renamed, CodeSize(4, 4, 2), RESCALING)
    assert (tmp_path / "renamed").read_bytes() == (tmp_path / "diffusion.safetensors").read_bytes()


def told(load, path):
    with pytest.raises(InputError) as error:
        load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("load", [load_autoencoder, load_diffusion])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"not safetensors at all"])
def test_a_wrong_file_is_one_line_that_names_it(load, content, tmp_path):
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert "not a trained" in told(load, path)


def test_the_other_kind_of_model_is_named(autoencoder, diffusion, tmp_path):
    assert "a trained diffusion is needed" in told(load_diffusion, tmp_path / "autoencoder.safetensors")
    assert "a trained autoencoder is needed" in told(load_autoencoder, tmp_path / "diffusion.safetensors")


def rewritten(path, change_config=lambda config: None, change_weights=lambda weights: None):
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    change_config(config)
    change_weights(weights)
    save_file(weights, path, metadata={"config": json.dumps(config)})
    return path


AUTOENCODER, DIFFUSION = ("autoencoder", load_autoencoder), ("diffusion", load_diffusion)


@pytest.mark.parametrize(
    ("model", "change", "named"),
    [
        (AUTOENCODER, lambda w: w.pop("tables.tables"), "1 missing: tables.tables"),
        (DIFFUSION, lambda w: w.update(surplus=torch.zeros(1)), "1 unexpected: surplus"),
        (AUTOENCODER, lambda w: w["tables.tables"].view(-1)[3].fill_(math.nan), "NaN or infinite: tables.tables$"),
        (AUTOENCODER, lambda w: w["tables.tables"].view(-1)[3].fill_(math.inf), "NaN or infinite: tables.tables$"),
        (
            AUTOENCODER,
            lambda w: w.update({"tables.tables": w["tables.tables"][:-1].contiguous()}),
            r"1 of another shape: tables.tables: [\dx]+ in the file, [\dx]+ by",
        ),
    ],
)
def test_wrong_weights_are_named(autoencoder, diffusion, tmp_path, model, change, named):
    name, load = model
    path = rewritten(tmp_path / f"{name}.safetensors", change_weights=change)
    assert re.search(named, told(load, path))


@pytest.mark.parametrize(
    ("model", "change", "key"),
    [
        (AUTOENCODER, lambda config: config["autoencoder"].update(novelty=1), "novelty"),
        (DIFFUSION, lambda config: config["diffusion"].update(timesteps=0), "timesteps"),
        (AUTOENCODER, {"resolution": None}, "resolution"),
        (AUTOENCODER, {"resolution": "big"}, "resolution"),
        (AUTOENCODER, {"channels": 2}, "channels"),
        (AUTOENCODER, {"more": 1}, "more"),
        (DIFFUSION, {"code_size": [4, 4]}, "code_size"),
        (DIFFUSION, {"rescaling": {"scale": "x"}}, "rescaling"),
        (DIFFUSION, {"rescaling": {"a": 1}}, "rescaling"),
    ],
)
def test_a_wrong_config_is_named_with_its_key(autoencoder, diffusion, tmp_path, model, change, key):
    name, load = model
    change_config = change if callable(change) else lambda config: config.update(change)
    assert key in told(load, rewritten(tmp_path / f"{name}.safetensors", change_config))


@pytest.mark.parametrize("config", ["[]", "3", "{", '"autoencoder"', "null"])
def test_metadata_that_is_no_mapping_is_one_line(autoencoder, diffusion, tmp_path, config):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"config": config})
    told(load_autoencoder, path)
    told(load_diffusion, path)
