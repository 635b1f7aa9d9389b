"""LDM's UNet predicts the same noise in our module as in its own structure."""

from pathlib import Path

import pytest
import torch
from original_first_stage import Random
from original_unet import FFHQ, random_unet, unet

from pipeline.base.errors import InputError
from pipeline.foreign.unets import import_ldm_unet, scale_factor
from pipeline.models.diffusion import build_unet
from pipeline.settings.diffusion import UNet
from pipeline.settings.fields import CodeSize

torch.set_num_threads(1)

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


def check(model, config, own, side):
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn(2, config["in_channels"], side, side, generator=generator)
    timesteps = torch.tensor([3, 721])
    found = model(noisy, timesteps).sample
    torch.testing.assert_close(found, unet(own, config, noisy, timesteps), atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_ldms_ffhq_unet_of_true_shapes_predicts_the_same_noise():
    own = weights(FFHQ)
    assert own["input_blocks.4.1.qkv.weight"].shape == (3 * 448, 448, 1)
    assert sum(tensor.numel() for tensor in own.values()) == 274_056_163  # LDM's paper prints 274M (table 12)
    model = made(FFHQ)
    import_ldm_unet(model, settings(FFHQ), prefixed(own), FILE)
    check(model, FFHQ, own, side=16)


@pytest.mark.parametrize("has_ema", [False, True])
def test_a_narrow_unet_predicts_the_same_noise(has_ema):
    """With the EMA weights if the file has them."""
    own = weights(NARROW)
    tensors = prefixed(own)
    if has_ema:
        tensors = prefixed({name: tensor + 1 for name, tensor in own.items()})
        tensors |= {f"model_ema.diffusion_model{name.replace('.', '')}": tensor for name, tensor in own.items()}
    model = made(NARROW, size=16)
    import_ldm_unet(model, settings(NARROW, size=16), tensors, FILE)
    check(model, NARROW, own, side=16)


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
