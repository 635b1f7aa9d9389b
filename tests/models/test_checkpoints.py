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
    for config in ("", "[]", "3", "{", "{}", '{"autoencoder": NaN}', '"autoencoder"', "null", "[" * 100_000):
        save_file({"a": torch.zeros(1)}, path, metadata={"config": config})
        told(load, path)


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("autoencoder", lambda w: w.pop("tables.tables"), "1 missing: tables.tables"),
        ("diffusion", lambda w: w.update(surplus=torch.zeros(1)), "1 unexpected: surplus"),
        ("autoencoder", lambda w: w["tables.tables"].view(-1)[3].fill_(math.nan), "NaN or infinite: tables.tables$"),
        ("autoencoder", lambda w: w["tables.tables"].view(-1)[3].fill_(math.inf), "NaN or infinite: tables.tables$"),
        (
            "autoencoder",
            lambda w: w.update({"tables.tables": w["tables.tables"][:-1].contiguous()}),
            r"1 of another shape: tables.tables: [\dx]+ in the file, [\dx]+ by",
        ),
        ("autoencoder", {"autoencoder": {"novelty": 1}}, "novelty"),
        ("diffusion", {"diffusion": {"timesteps": 0}}, "timesteps"),
        ("autoencoder", {"resolution": None}, "resolution"),
        ("autoencoder", {"resolution": "big"}, "resolution"),
        ("autoencoder", {"channels": 2}, "channels"),
        ("autoencoder", {"more": 1}, "more"),
        ("diffusion", {"code_size": [4, 4]}, "code_size"),
        ("diffusion", {"rescaling": {"scale": "x"}}, "rescaling"),
        ("diffusion", {"rescaling": {"a": 1}}, "rescaling"),
    ],
)
def test_wrong_weights_and_keys_are_named(autoencoder, diffusion, tmp_path, name, change, named):
    path = tmp_path / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
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


@pytest.mark.parametrize(
    "family", ["theirs.family", "os.path", "theirs", "../theirs", ".theirs", "bright_pipeline.families.x"]
)
@pytest.mark.parametrize("kind", ["autoencoder", "generator"])
@pytest.mark.parametrize("given", ["folder", "file", "link"])
def test_a_family_that_only_the_file_names_is_never_imported(
    kind: str, given: str, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, size = (
        tmp_path / "out",
        {"resolution": 32, "channels": 1} if kind == "autoencoder" else {"shape": [1, 8, 8]},
    )
    folder.mkdir()
    told = json.dumps({kind: {"family": family}, **size})
    save_file({"x": torch.zeros(1)}, folder / f"{kind}.safetensors", {"config": told})
    for place in (folder, tmp_path):
        (place / "theirs").mkdir()
        for name in ("__init__", "family"):
            (place / "theirs" / f"{name}.py").write_text("FAMILY = open('ran', 'w')")
    (tmp_path / "link.safetensors").symlink_to(folder / f"{kind}.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    monkeypatch.syspath_prepend(str(folder))
    loader = load_image_model if kind == "autoencoder" else load_generator
    with pytest.raises(InputError, match=r"is not built in, and a file's word|no such family"):
        loader({"folder": folder, "file": folder / f"{kind}.safetensors", "link": Path("link.safetensors")}[given])
    assert not Path("ran").exists() and "theirs" not in sys.modules
    if family == "theirs.family":
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


@pytest.fixture
def model(tmp_path: Path, tiny_autoencoder: Any) -> tuple[Path, dict[str, Any], dict[str, torch.Tensor]]:
    """The path, the config and the weights of a model's file."""
    settings, path = Autoencoder.model_validate(tiny_autoencoder()), tmp_path / "model.safetensors"
    save_autoencoder(path, Bright(settings, 32, 1), settings, 32, 1)
    with safe_open(path, "pt") as file:
        return path, json.loads(file.metadata()["config"]), load_file(path)


def refused(path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_image_model(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 2000


@pytest.mark.parametrize("key", KEYS)
def test_a_config_that_fits_no_network_is_one_line(key: str, model: Any) -> None:
    path, config, weights = model
    *sections, last = key.split(".")
    for value in WRONG:
        changed = copy.deepcopy(config)
        reduce(dict.__getitem__, sections, changed)[last] = value
        by_default = value is None and last in ("multipliers", "channels") and sections
        if changed != config and not by_default:
            save_file(weights, path, {"config": json.dumps(changed)})
            refused(path)


@pytest.mark.parametrize("change", ["int8", "complex64", "bool", "none", "cut", "header"])
def test_weights_that_are_not_those_of_the_config_are_one_line(change: str, model: Any) -> None:
    path, config, weights = model
    if (dtype := getattr(torch, change, None)) in (torch.int8, torch.complex64, torch.bool):
        weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
    save_file({} if change == "none" else weights, path, {"config": json.dumps(config)})
    raw = path.read_bytes()
    path.write_bytes({"cut": raw[: len(raw) // 2], "header": b"\xff" * 8 + raw[8:]}.get(change, raw))
    refused(path)
