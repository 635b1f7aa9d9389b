"""A folder of diffusers' becomes our DDPM's network."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file

from pipeline.base.errors import InputError
from pipeline.foreign.unets import import_unet_folder
from pipeline.models.diffusion import build_unet
from pipeline.settings.diffusion import UNet
from pipeline.settings.fields import CodeSize

torch.set_num_threads(1)

# The architecture of google/ddpm-church-256, narrow and shallow: its config's other keys as they are there.
CHURCH = {
    "act_fn": "silu",
    "attention_head_dim": None,
    "block_out_channels": [32, 64],
    "center_input_sample": False,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 3,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-06,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 16,
    "time_embedding_type": "positional",
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
}
SETTINGS = UNet(
    channels=32,
    multipliers=[1, 2],
    blocks=1,
    attention_resolutions=[8],
    head_width=None,
    norm_groups=32,
    variant="ddpm",
)


def saved(folder: Path) -> UNet2DModel:
    torch.manual_seed(0)
    theirs = UNet2DModel(**CHURCH).eval()
    theirs.save_pretrained(folder)
    return theirs


def check(theirs: UNet2DModel, folder: Path) -> None:
    ours = build_unet(SETTINGS, CodeSize(16, 16, 3)).eval()
    import_unet_folder(ours, folder)
    noisy, timesteps = torch.randn(2, 3, 16, 16), torch.tensor([5, 900])
    with torch.no_grad():
        assert torch.equal(ours(noisy, timesteps).sample, theirs(noisy, timesteps).sample)


@pytest.mark.parametrize("place", ["", "unet"])
def test_a_saved_unet_predicts_the_same_noise(tmp_path, place):
    """Alone, or under `unet/` of a pipeline."""
    check(saved(tmp_path / place), tmp_path)


def test_old_files_with_attentions_old_names_are_read(tmp_path):
    theirs = saved(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = load_file(file)
    for new, was in old.items():
        weights = {name.replace(f".{new}.", f".{was}."): tensor for name, tensor in weights.items()}
    assert any("proj_attn" in name for name in weights)
    file.unlink()
    torch.save(weights, tmp_path / "diffusion_pytorch_model.bin")
    check(theirs, tmp_path)


def test_an_architecture_that_differs_is_told_key_by_key(tmp_path):
    saved(tmp_path)
    other = SETTINGS.model_copy(update={"variant": "ldm", "blocks": 2})
    with pytest.raises(InputError) as told:
        import_unet_folder(build_unet(other, CodeSize(16, 16, 3)), tmp_path)
    assert str(tmp_path / "config.json") in str(told.value)
    for part in ("layers_per_block is 1 there, 2 by the settings", "freq_shift is 1 there, 0 by", "norm_eps is 1e-06"):
        assert part in str(told.value)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    del config["freq_shift"]  # a key that a config leaves out has diffusers' default
    file.write_text(json.dumps(config))
    with pytest.raises(InputError, match="freq_shift is 0 there, 1 by the settings"):
        import_unet_folder(build_unet(SETTINGS, CodeSize(16, 16, 3)), tmp_path)


def test_other_folders_are_refused(tmp_path):
    unet = build_unet(SETTINGS, CodeSize(16, 16, 3))
    with pytest.raises(InputError, match=r"config\.json: not a readable config"):
        import_unet_folder(unet, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "VQModel"}))
    with pytest.raises(InputError, match="of VQModel, where a UNet2DModel is needed"):
        import_unet_folder(unet, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel", **CHURCH}))
    with pytest.raises(InputError, match="none of diffusion_pytorch_model"):
        import_unet_folder(unet, tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(InputError, match="unexpected: a"):
        import_unet_folder(unet, tmp_path)
