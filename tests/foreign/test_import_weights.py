"""The stage that imports other programs' checkpoints writes what trainings write."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import load_config
from bright_pipeline.import_weights import import_weights
from bright_pipeline.models.checkpoints import load_autoencoder, load_generator
from bright_pipeline.models.diffusion import load_diffusion, make_scheduler
from bright_pipeline.models.rescaling import Rescaling
from bright_pipeline.settings.diffusion import Sampler
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.evaluation import method
from diffusers import UNet2DModel
from original_first_stage import VQ_F4, Random, decode, encode, nearest, random_network
from original_unet import FFHQ, random_unet
from snakemake.utils import update_config

CPU = torch.device("cpu")
SHIPPED = yaml.safe_load((Path(__file__).parents[2] / "config" / "paper-ldm-checkpoint.yaml").read_text())
ENTRY = "ffhq-ldm-checkpoint"
# The shipped entries of LDM*, with narrow networks.
AUTOENCODER = SHIPPED["autoencoders"][ENTRY] | {"code_size": "8x8x3", "codebook": {"entries": 40}}
AUTOENCODER["network"] |= {"channels": 32, "latent_channels": 3}
UNET = {"channels": 32, "multipliers": [1, 2], "attention_resolutions": [4], "head_width": 16}
TRAINED = {key: value for key, value in AUTOENCODER.items() if key != "weights"}
LDM = SHIPPED["diffusions"][ENTRY] | {"unet": UNET}


def of(kind, checkpoint, entry):
    """An entry of the config whose weights are another program's."""
    return entry | {"weights": {"kind": kind, "path": str(checkpoint)}}


def whole_ldm(path):
    """A checkpoint of a whole LDM: first stage, UNet, and the scale of its codes."""
    first, network = Random(0), Random(1)
    random_network(first, VQ_F4 | {"ch": 32, "resolution": 32}, 3)
    first.weights["quantize.embedding.weight"] = first.normal(40, 3)
    narrow = {"model_channels": 32, "channel_mult": [1, 2], "attention_resolutions": [2], "num_head_channels": 16}
    random_unet(network, FFHQ | narrow)
    tensors = {f"first_stage_model.{name}": tensor for name, tensor in first.weights.items()}
    tensors |= {f"model.diffusion_model.{name}": tensor for name, tensor in network.weights.items()}
    tensors |= {"scale_factor": torch.tensor(0.5), "betas": torch.zeros(1000)}
    torch.save({"state_dict": tensors, "global_step": 1}, path)
    return first.weights


def test_a_whole_ldm_becomes_an_autoencoder_and_a_diffusion_model(tmp_path):
    checkpoint, config = tmp_path / "model.ckpt", VQ_F4 | {"ch": 32, "resolution": 32}
    originals = whole_ldm(checkpoint)
    job = {"autoencoder": of("ldm_vq", checkpoint, AUTOENCODER), "resolution": 32}
    import_weights(json.dumps(job), tmp_path / "autoencoder.safetensors")
    job = {"diffusion": of("ldm", checkpoint, LDM), "code_size": "8x8x3"}
    import_weights(json.dumps(job), tmp_path / "diffusion.safetensors")
    model = load_autoencoder(tmp_path / "autoencoder.safetensors", CPU)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    codes = encode(originals, config, images)
    torch.testing.assert_close(model.encode(images), codes, atol=2e-4, rtol=1e-3)
    expected = decode(originals, config, nearest(originals["quantize.embedding.weight"], codes))
    torch.testing.assert_close(model.decode(codes), expected, atol=2e-4, rtol=1e-3)
    diffusion = load_diffusion(tmp_path / "diffusion.safetensors", CPU)
    assert diffusion.rescaling == Rescaling(scale=(0.5,))
    betas = torch.linspace(0.0015**0.5, 0.0195**0.5, 1000).square()  # LDM's make_beta_schedule("linear")
    scheduler = make_scheduler(diffusion.settings, Sampler())
    torch.testing.assert_close(scheduler.betas, betas)


def test_the_shipped_config_adds_the_row_of_the_checkpoint_to_table_5():
    values = yaml.safe_load((Path(__file__).parents[2] / "config" / "paper.yaml").read_text())
    before = values["tables"]["table5"]["rows"]
    update_config(values, SHIPPED)
    config = load_config(values)
    assert [name for name in config.tables.table5.rows if name not in before] == [ENTRY]
    assert method(Jobs(config), config.samples[ENTRY]) == "LDM*"


def test_a_diffusers_folder_becomes_a_generator(tmp_path):
    torch.manual_seed(0)
    theirs = UNet2DModel(
        sample_size=16, block_out_channels=(32, 64), layers_per_block=1, attention_head_dim=None, flip_sin_to_cos=False,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        freq_shift=1, norm_eps=1e-6, downsample_padding=0,
    )  # fmt: skip
    theirs.save_pretrained(tmp_path / "ddpm")
    unet = {"channels": 32, "multipliers": [1, 2], "blocks": 1, "attention_resolutions": [8], "head_width": None}
    generator = {"family": "ddpm", "dataset": "d", "unet": unet | {"variant": "ddpm"}}
    job = {"generator": of("diffusers_ddpm", tmp_path / "ddpm", generator), "resolution": 16}
    import_weights(json.dumps(job), tmp_path / "generator.safetensors")
    model = load_generator(tmp_path / "generator.safetensors", CPU)
    noisy, timesteps = torch.randn(1, 3, 16, 16), torch.tensor([10])
    with torch.no_grad():
        assert torch.equal(model.unet(noisy, timesteps).sample, theirs.eval()(noisy, timesteps).sample)


@pytest.mark.parametrize(
    ("job", "told"),
    [
        ({"autoencoder": of("ldm_kl", "model.ckpt", AUTOENCODER), "resolution": 32}, "is for the family kl, not vqgan"),
        ({"autoencoder": of("ldm", "model.ckpt", AUTOENCODER), "resolution": 32}, "is for entries of diffusions"),
        ({}, "one of autoencoder, diffusion, generator is needed; given: none"),
        ({"autoencoder": TRAINED, "resolution": 32}, "autoencoder.weights: this key is missing"),
        ({"autoencoder": of("ldm_vq", "model.ckpt", AUTOENCODER)}, "resolution: this key is missing"),
        (
            {"autoencoder": of("ldm_vq", "model.ckpt", AUTOENCODER), "resolution": 64},
            "network.multipliers: must have 4 numbers",
        ),
        (
            {"autoencoder": of("ldm_vq", "model.ckpt", AUTOENCODER | {"codebook": {"entries": 41}}), "resolution": 32},
            r"model\.ckpt: does not fit the settings: 1 of another shape: quantize",
        ),
        ({"autoencoder": of("ldm_vq", "none.ckpt", AUTOENCODER), "resolution": 32}, "none.ckpt does not exist"),
        ({"autoencoder": of("stylegan2", "model.ckpt", AUTOENCODER), "resolution": 32}, "weights.kind"),
    ],
)
def test_jobs_that_cannot_be_are_told_in_one_line(own_folder, job, told):
    whole_ldm(own_folder / "model.ckpt")
    with pytest.raises(InputError, match=told):
        import_weights(json.dumps(job), own_folder / "out.safetensors")
    assert not (own_folder / "out.safetensors").exists()
