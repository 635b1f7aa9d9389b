"""A downloaded model: none of its code runs unless the caller, or the config of a run, names its family."""

import copy
import json
import sys
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pipeline import load_autoencoder, load_generator
from pipeline.base import code
from pipeline.base.errors import InputError
from pipeline.families import check_family
from pipeline.models.bright import Bright
from pipeline.models.checkpoints import save_autoencoder
from pipeline.settings.autoencoder import Autoencoder


@pytest.mark.parametrize(
    "family", ["theirs.family", "os.path", "theirs", "../theirs", ".theirs", "pipeline.families.x"]
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
    loader = load_autoencoder if kind == "autoencoder" else load_generator
    with pytest.raises(InputError, match=r"is not built in, and a file's word|no such family"):
        loader({"folder": folder, "file": folder / f"{kind}.safetensors", "link": Path("link.safetensors")}[given])
    assert not Path("ran").exists() and "theirs" not in sys.modules
    if family == "theirs.family":
        with pytest.raises(InputError, match="FAMILY must be"):
            loader(folder / f"{kind}.safetensors", families=["theirs.family"])
        del sys.modules["theirs"], sys.modules["theirs.family"]


def test_the_families_of_a_stages_config_are_those_of_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "_running", (["pipeline.reconstruct", "mine.network"], []))
    check_family("mine.family", "model", ())
    for other in ("theirs.family", "pipeline.families.x", "mine2.family"):
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
        load_autoencoder(path)
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


@pytest.mark.parametrize("config", ["", "5", "null", "[]", "{", "{}", '{"autoencoder": NaN}', "[" * 100_000], ids=len)
def test_metadata_that_is_no_config_is_one_line(config: str, model: Any) -> None:
    save_file(model[2], model[0], {"config": config})
    refused(model[0])


@pytest.mark.parametrize("change", ["int8", "complex64", "bool", "none", "one more", "nan", "cut", "header", "empty"])
def test_weights_that_are_not_those_of_the_config_are_one_line(change: str, model: Any) -> None:
    path, config, weights = model
    if (dtype := getattr(torch, change, None)) in (torch.int8, torch.complex64, torch.bool):
        weights = {name: tensor.to(dtype) for name, tensor in weights.items()}
    first = min(weights)
    weights |= {"one more": {"more": torch.zeros(2)}, "nan": {first: weights[first] * torch.nan}}.get(change, {})
    save_file({} if change == "none" else weights, path, {"config": json.dumps(config)})
    raw = path.read_bytes()
    path.write_bytes({"cut": raw[: len(raw) // 2], "header": b"\xff" * 8 + raw[8:], "empty": b""}.get(change, raw))
    refused(path)
