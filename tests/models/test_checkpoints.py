"""Trained models as files that carry their own config; of a downloaded one no code runs."""

import copy
import json
import math
import re
import sys
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from bright_pipeline import load_autoencoder as load_image_model
from bright_pipeline import load_generator
from bright_pipeline.base.errors import InputError
from bright_pipeline.engine import code
from bright_pipeline.families import check_family
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import load_autoencoder, save_autoencoder
from bright_pipeline.models.diffusion import build_unet, load_diffusion, save_diffusion
from bright_pipeline.models.rescaling import Rescaling
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.settings.diffusion import Diffusion
from bright_pipeline.settings.fields import CodeSize
from safetensors import safe_open
from safetensors.torch import load_file, save_file

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


def test_the_bytes_of_a_file_depend_neither_on_names_nor_on_initial_weights(
    autoencoder, diffusion, tmp_path, tiny_autoencoder
):
    renamed = Autoencoder.model_validate(tiny_autoencoder(dataset="renamed", initial_weights="large"))
    save_autoencoder(tmp_path / "renamed", autoencoder, renamed, 32, 3)
    assert (tmp_path / "renamed").read_bytes() == (tmp_path / "autoencoder.safetensors").read_bytes()
    settings, model = diffusion
    renamed = settings.model_copy(update={"autoencoder": "renamed"})
    save_diffusion(tmp_path / "renamed", model, renamed, CodeSize(4, 4, 2), RESCALING)
    assert (tmp_path / "renamed").read_bytes() == (tmp_path / "diffusion.safetensors").read_bytes()


def told(load, path):
    with pytest.raises(InputError) as error:
        load(path)
    line = str(error.value)
    assert str(path) in line and "\n" not in line and len(line) < 2000
    return line


def parts(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The config and the weights of a model's file."""
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["config"]), load_file(path)


@pytest.mark.parametrize("load", [load_autoencoder, load_diffusion])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"not safetensors at all"])
def test_a_wrong_file_is_one_line_that_names_it(load, content, tmp_path):
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert "not a trained" in told(load, path)
    for config in ("", "[]", "3", "{", "{}", '{"autoencoder": NaN}', '"autoencoder"', "null", "[" * 100_000):
        save_file({"a": torch.zeros(1)}, path, metadata={"config": config})
        told(load, path)


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("autoencoder", lambda w: w.pop("tables.tables"), "1 missing: tables.tables"),
        ("diffusion", lambda w: w.update(surplus=torch.zeros(1)), "1 unexpected: surplus"),
        ("autoencoder", lambda w: w["tables.tables"].view(-1)[3].fill_(math.nan), "NaN or infinite: tables.tables$"),
        (
            "autoencoder",
            lambda w: w.update({"tables.tables": w["tables.tables"][:-1].contiguous()}),
            r"1 of another shape: tables.tables: [\dx]+ in the file, [\dx]+ by",
        ),
        ("autoencoder", {"autoencoder": {"novelty": 1}}, "novelty"),
        ("diffusion", {"diffusion": {"timesteps": 0}}, "timesteps"),
        ("autoencoder", {"channels": 2}, "channels"),
        ("autoencoder", {"more": 1}, "more"),
        ("diffusion", {"code_size": [4, 4]}, "code_size"),
        ("diffusion", {"rescaling": {"a": 1}}, "rescaling"),
    ],
)
def test_wrong_weights_and_keys_are_named(autoencoder, diffusion, tmp_path, name, change, named):
    path = tmp_path / f"{name}.safetensors"
    config, weights = parts(path)
    if callable(change):
        change(weights)
    else:
        (key,) = change
        config |= {key: config[key] | change[key]} if key == name else change
    save_file(weights, path, metadata={"config": json.dumps(config)})
    load, other = (load_autoencoder, load_diffusion)[:: 1 if name == "autoencoder" else -1]
    assert re.search(named, told(load, path))
    assert f"a trained {'diffusion' if name == 'autoencoder' else 'autoencoder'} is needed" in told(other, path)


# A downloaded model: none of its code runs unless the caller, or the config of a run, names its family.


@pytest.mark.parametrize("kind", ["autoencoder", "generator"])
def test_a_family_that_only_the_file_names_is_never_imported(kind, tmp_path, monkeypatch) -> None:
    folder, loader = tmp_path / "out", load_image_model if kind == "autoencoder" else load_generator
    size = {"resolution": 32, "channels": 1} if kind == "autoencoder" else {"shape": [1, 8, 8]}
    for place in (folder, tmp_path):
        (place / "theirs").mkdir(parents=True)
        for name in ("__init__", "family"):
            (place / "theirs" / f"{name}.py").write_text("FAMILY = open('ran', 'w')")
    (tmp_path / "link.safetensors").symlink_to(folder / f"{kind}.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(folder))
    for family in ("os.path", "theirs", "../theirs", ".theirs", "bright_pipeline.families.x", "theirs.family"):
        config = json.dumps({kind: {"family": family}, **size})
        save_file({"x": torch.zeros(1)}, folder / f"{kind}.safetensors", {"config": config})
        for given in (folder, folder / f"{kind}.safetensors", Path("link.safetensors")):
            with pytest.raises(InputError, match=r"is not built in, and a file's word|no such family"):
                loader(given)
            assert not Path("ran").exists() and "theirs" not in sys.modules
    with pytest.raises(InputError, match="FAMILY must be"):
        loader(folder / f"{kind}.safetensors", families=["theirs.family"])
    del sys.modules["theirs"], sys.modules["theirs.family"]


def test_the_families_of_a_stages_config_are_those_of_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "_running", (["bright_pipeline.reconstruct", "mine.network"], []))
    check_family("mine.family", "model", ())
    for other in ("theirs.family", "bright_pipeline.families.x", "mine2.family"):
        with pytest.raises(InputError, match=f"model: its family '{other}' is not built in"):
            check_family(other, "model", ())


WRONG = [-1, 0, 2**40, "x", [1, 2], None, 1.5, {"a": 1}, "4x4x٠", 10**30]
KEYS = [
    *("resolution", "channels", "autoencoder", "autoencoder.code_size", "autoencoder.encoder.blocks"),
    *("autoencoder.encoder.multipliers", "autoencoder.encoder.channels", "autoencoder.decoder.channels"),
    *("autoencoder.decoder.style_width", "autoencoder.tables.resolutions", "autoencoder.tables.finest_resolution"),
    *("autoencoder.feature_size", "autoencoder.feature_channels", "autoencoder.tables"),
]


@pytest.mark.parametrize("key", KEYS)
def test_a_config_that_fits_no_network_is_one_line(key: str, autoencoder: Bright, tmp_path: Path) -> None:
    path = tmp_path / "autoencoder.safetensors"
    config, weights = parts(path)
    *sections, last = key.split(".")
    for value in WRONG:
        changed = copy.deepcopy(config)
        reduce(dict.__getitem__, sections, changed)[last] = value
        by_default = value is None and last in ("multipliers", "channels") and sections
        if changed != config and not by_default:
            save_file(weights, path, {"config": json.dumps(changed)})
            told(load_image_model, path)


def test_weights_that_are_not_those_of_the_config_are_one_line(autoencoder: Bright, tmp_path: Path) -> None:
    path = tmp_path / "autoencoder.safetensors"
    (config, weights), raw = parts(path), path.read_bytes()
    for dtype in (torch.int8, torch.complex64, torch.bool, None):
        changed = {} if dtype is None else {name: tensor.to(dtype) for name, tensor in weights.items()}
        save_file(changed, path, {"config": json.dumps(config)})
        told(load_image_model, path)
    for content in (raw[: len(raw) // 2], b"\xff" * 8 + raw[8:]):
        path.write_bytes(content)
        told(load_image_model, path)
