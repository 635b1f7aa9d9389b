"""UNets of LDM and of diffusers predict the same noise in our module as in their own structure."""

import json
from pathlib import Path

import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.foreign.unets import import_ldm_unet, import_unet_folder, scale_factor
from bright_pipeline.models.diffusion import build_unet
from bright_pipeline.settings.diffusion import UNet
from bright_pipeline.settings.fields import CodeSize
from diffusers import UNet2DModel
from original_first_stage import Random
from original_unet import FFHQ, random_unet, unet
from safetensors.torch import load_file, save_file

FILE = Path("model.ckpt")
PREFIX = "model.diffusion_model."
NARROW = FFHQ | {"model_channels": 32, "channel_mult": [1, 2], "attention_resolutions": [2], "num_head_channels": 16}


def settings(config, size=64):
    return UNet(
        channels=config["model_channels"],
        multipliers=config["channel_mult"],
        blocks=config["num_res_blocks"],
        attention_resolutions=[size // factor for factor in config["attention_resolutions"]],
        head_width=config["num_head_channels"],
    )


def made(config, size=64):
    return build_unet(settings(config, size), CodeSize(size, size, config["in_channels"])).eval().requires_grad_(False)


def weights(config):
    random = Random()
    random_unet(random, config)
    return random.weights


def prefixed(own):
    return {PREFIX + name: tensor for name, tensor in own.items()}


def check(config, tensors, own, side, size=64):
    """Our network with the imported tensors predicts the noise of the original structure with its `own`."""
    model = made(config, size)
    import_ldm_unet(model, settings(config, size), tensors, FILE)
    noisy = torch.randn(2, config["in_channels"], side, side, generator=torch.Generator().manual_seed(1))
    timesteps = torch.tensor([3, 721])
    expected = unet(own, config, noisy, timesteps)
    torch.testing.assert_close(model(noisy, timesteps).sample, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_ldms_ffhq_unet_of_true_shapes_predicts_the_same_noise():
    own = weights(FFHQ)
    assert own["input_blocks.4.1.qkv.weight"].shape == (3 * 448, 448, 1)
    assert sum(tensor.numel() for tensor in own.values()) == 274_056_163  # LDM's paper prints 274M (table 12)
    check(FFHQ, prefixed(own), own, side=16)


@pytest.mark.parametrize("has_ema", [False, True])
def test_a_narrow_unet_predicts_the_same_noise(has_ema):
    """With the EMA weights if the file has them."""
    own = weights(NARROW)
    tensors = prefixed(own)
    if has_ema:
        tensors = prefixed({name: tensor + 1 for name, tensor in own.items()})
        tensors |= {f"model_ema.diffusion_model{name.replace('.', '')}": tensor for name, tensor in own.items()}
    check(NARROW, tensors, own, side=16, size=16)


def test_what_does_not_fit_is_told():
    own = prefixed(weights(NARROW))
    narrower = settings(NARROW | {"num_res_blocks": 1}, size=16)
    with pytest.raises(InputError, match=r"does not fit the settings: .* unexpected"):
        import_ldm_unet(made(NARROW | {"num_res_blocks": 1}, size=16), narrower, own, FILE)
    with pytest.raises(InputError, match=r"no key begins with model\.diffusion_model\."):
        import_ldm_unet(made(NARROW, size=16), settings(NARROW, size=16), {"a": torch.zeros(1)}, FILE)


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ({"input_blocks.1.0.emb_layers.1.bias": torch.zeros(64)}, "use_scale_shift_norm"),
        ({"input_blocks.4.1.transformer_blocks.0.norm1.bias": torch.zeros(64)}, "cross attention"),
    ],
)
def test_unets_with_other_parts_are_refused(part, line):
    with pytest.raises(InputError, match=line):
        import_ldm_unet(made(NARROW, size=16), settings(NARROW, size=16), prefixed(weights(NARROW) | part), FILE)


def test_the_scale_of_codes_is_the_files():
    assert scale_factor({}) == 1.0
    assert scale_factor({"scale_factor": torch.tensor(0.22765929)}) == pytest.approx(0.22765929)


# The architecture of google/ddpm-church-256, narrow and shallow; its other keys are diffusers' defaults.
CHURCH = json.loads(Path(__file__).with_name("ddpm_church.json").read_text())
CHURCH_SETTINGS = UNet(
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


def network(**changes: object) -> UNet2DModel:
    return build_unet(CHURCH_SETTINGS.model_copy(update=changes), CodeSize(16, 16, 3)).eval()


def check_folder(theirs: UNet2DModel, folder: Path) -> None:
    ours = network()
    import_unet_folder(ours, folder)
    noisy, timesteps = torch.randn(2, 3, 16, 16), torch.tensor([5, 900])
    with torch.no_grad():
        assert torch.equal(ours(noisy, timesteps).sample, theirs(noisy, timesteps).sample)


@pytest.mark.parametrize("place", ["", "unet"])
def test_a_saved_unet_predicts_the_same_noise(tmp_path, place):
    """Alone, or under `unet/` of a pipeline."""
    check_folder(saved(tmp_path / place), tmp_path)


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
    check_folder(theirs, tmp_path)


def test_an_architecture_that_differs_is_told_key_by_key(tmp_path):
    saved(tmp_path)
    with pytest.raises(InputError) as told:
        import_unet_folder(network(variant="ldm", blocks=2), tmp_path)
    assert str(tmp_path / "config.json") in str(told.value)
    for part in ("layers_per_block is 1 there, 2 by the settings", "freq_shift is 1 there, 0 by", "norm_eps is 1e-06"):
        assert part in str(told.value)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    del config["freq_shift"]  # a key that a config leaves out has diffusers' default
    file.write_text(json.dumps(config))
    with pytest.raises(InputError, match="freq_shift is 0 there, 1 by the settings"):
        import_unet_folder(network(), tmp_path)


def test_other_folders_are_refused(tmp_path):
    unet = {"_class_name": "UNet2DModel", **CHURCH}
    for config, told in (
        (None, r"config\.json: not a readable config"),
        ({"_class_name": "VQModel"}, "of VQModel, where a UNet2DModel is needed"),
        (unet, "none of diffusion_pytorch_model"),
        (unet, "unexpected: a"),
    ):
        if config:
            (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match=told):
            import_unet_folder(network(), tmp_path)
        if config == unet:
            save_file({"a": torch.zeros(1)}, tmp_path / "diffusion_pytorch_model.safetensors")
