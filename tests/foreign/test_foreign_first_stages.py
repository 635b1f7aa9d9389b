"""First stages of other programs give the same codes and images in our modules as in their own structure."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.families import autoencoder_family, load
from bright_pipeline.foreign.files import read_tensors
from bright_pipeline.foreign.first_stages import import_first_stage
from original_first_stage import KL_F8, VQGAN_F16, Random, decode, encode, nearest, random_network
from safetensors.torch import save_file

NARROW = {"ch": 32, "in_channels": 3}
CODEBOOK = "quantize.embedding.weight"
FILE = Path("model.ckpt")
# What a Lightning checkpoint holds beside the model.
LIGHTNING = {"loss.discriminator.main.0.weight": torch.zeros(64, 3, 4, 4), "loss.logvar": torch.tensor(0.0)}


def made(family: str, ddconfig: dict[str, Any], embed_dim: int, **codebook: int) -> Any:
    size = ddconfig["resolution"] >> len(ddconfig["ch_mult"]) - 1
    values = {
        "dataset": "d",
        "family": family,
        "code_size": f"{size}x{size}x{embed_dim}",
        "network": {
            "channels": ddconfig["ch"],
            "multipliers": ddconfig["ch_mult"],
            "blocks": ddconfig["num_res_blocks"],
            "attention_resolutions": ddconfig["attn_resolutions"],
            "latent_channels": ddconfig["z_channels"],
        },
    }
    found = autoencoder_family(family)
    chosen = found.settings.model_validate(values | ({"codebook": codebook} if codebook else {}))
    model = load(found.model)(chosen, ddconfig["resolution"], ddconfig["in_channels"])
    return model.eval().requires_grad_(False)


def random_weights(ddconfig: dict[str, Any], embed_dim: int, **codebooks: int) -> dict[str, torch.Tensor]:
    """Of encoder and decoder, and a codebook of so many entries for each name."""
    random = Random()
    random_network(random, ddconfig, embed_dim)
    return random.weights | {name: random.normal(entries, embed_dim) for name, entries in codebooks.items()}


def check(
    model: Any, ddconfig: dict[str, Any], weights: dict[str, torch.Tensor], side: int, quantize: Any
) -> torch.Tensor:
    """Import the weights; the codes, decoded as `quantize` rounds them, are the original structure's."""
    import_first_stage(model, weights | LIGHTNING, FILE)
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(5)) * 2 - 1
    codes, *logvar = encode(weights, ddconfig, images).split(model.settings.code_size.channels, dim=1)
    torch.testing.assert_close(model.encode(images), codes, atol=2e-4, rtol=1e-3)
    expected = decode(weights, ddconfig, quantize(codes))
    torch.testing.assert_close(model.decode(codes), expected, atol=2e-4, rtol=1e-3)
    if logvar:
        torch.testing.assert_close(model.distribution(images).logvar, *logvar, atol=2e-4, rtol=1e-3)
    return codes


@pytest.mark.slow
def test_tamings_vqgan_of_true_shapes_gives_its_codes_and_images():
    weights = random_weights(VQGAN_F16, 256, **{CODEBOOK: 1024})
    assert weights["encoder.down.4.attn.1.proj_out.weight"].shape == (512, 512, 1, 1)
    assert sum(tensor.numel() for name, tensor in weights.items() if name.startswith("decoder.")) == 42_449_795
    model = made("vqgan", VQGAN_F16, 256, entries=1024)
    codes = check(model, VQGAN_F16, weights, 64, lambda codes: nearest(weights[CODEBOOK], codes))
    assert torch.equal(model.codes_of(model.indices(codes)), nearest(weights[CODEBOOK], codes))


def test_ldms_kl_first_stage_gives_its_means_and_images():
    config = KL_F8 | NARROW | {"resolution": 32}
    check(made("kl", config, 4), config, random_weights(config, 4), 32, lambda codes: codes)


RQ_CONFIG = VQGAN_F16 | NARROW | {"ch_mult": [1, 2, 2], "resolution": 32, "attn_resolutions": [16], "z_channels": 16}


@pytest.fixture
def rqvae_weights() -> dict[str, torch.Tensor]:
    weights = random_weights(RQ_CONFIG, 16, **{"quantizer.codebooks.0.weight": 25})  # the last row is a padding
    table = weights["quantizer.codebooks.0.weight"]
    for depth in range(4):
        own = {"weight": table, "cluster_size_ema": torch.ones(24), "embed_ema": table[:-1].clone()}
        weights |= {f"quantizer.codebooks.{depth}.{name}": tensor for name, tensor in own.items()}
    return weights


def test_rqvae_gives_its_sums_of_entries_and_images(rqvae_weights):
    def quantize(codes):
        residual, entries = codes, rqvae_weights["quantizer.codebooks.0.weight"][:-1]
        for _ in range(4):
            residual = residual - nearest(entries, residual)
        return codes - residual

    model = made("rqvae", RQ_CONFIG, 16, entries=24, depth=4)
    codes = check(model, RQ_CONFIG, rqvae_weights, 32, quantize)
    torch.testing.assert_close(model.codes_of(model.indices(codes)), quantize(codes), atol=1e-4, rtol=1e-4)


def test_rqvae_with_a_codebook_for_each_depth_is_refused(rqvae_weights):
    with pytest.raises(InputError, match=r"4 depths, where codebook\.depth is 2"):
        import_first_stage(made("rqvae", RQ_CONFIG, 16, entries=24, depth=2), rqvae_weights, FILE)
    rqvae_weights["quantizer.codebooks.2.weight"] = rqvae_weights["quantizer.codebooks.2.weight"] + 1
    with pytest.raises(InputError, match=r"quantizer\.codebooks\.2\.weight differs from the first depth's"):
        import_first_stage(made("rqvae", RQ_CONFIG, 16, entries=24, depth=4), rqvae_weights, FILE)


SMALL = VQGAN_F16 | NARROW | {"ch_mult": [1, 1], "resolution": 16, "z_channels": 4, "attn_resolutions": []}


def test_what_does_not_fit_is_told_in_one_line_with_the_first_names_and_how_many():
    weights = random_weights(SMALL, 4, **{CODEBOOK: 8})
    del weights["decoder.conv_out.bias"]
    weights["decoder.extra.weight"] = torch.zeros(1)
    with pytest.raises(InputError) as told:
        import_first_stage(made("vqgan", SMALL, 4, entries=16), weights, FILE)
    assert str(told.value) == (
        "model.ckpt: does not fit the settings: 1 missing: decoder.network.conv_out.bias;"
        " 1 unexpected: decoder.network.extra.weight;"
        " 1 of another shape: quantize.embedding.weight: 8x4 in the file, 16x4 by the settings"
    )
    with pytest.raises(InputError, match=r"152 missing: [^;]*, and 148 more"):
        import_first_stage(made("vqgan", SMALL, 4, entries=8), {"encoder.conv_in.bias": torch.zeros(32)}, FILE)
    with pytest.raises(InputError, match="no first stage"):
        import_first_stage(made("vqgan", SMALL, 4, entries=8), {"anything": torch.zeros(1)}, FILE)


def test_files_are_read_bare_under_state_dict_and_as_safetensors(tmp_path):
    weights = {"a": torch.arange(3.0), "b.c": torch.ones(2, 2)}
    torch.save(weights, tmp_path / "bare.ckpt")
    torch.save({"state_dict": weights, "epoch": 3, "callbacks": {"best": None}}, tmp_path / "lightning.ckpt")
    save_file(weights, tmp_path / "weights.safetensors")
    for name in ("bare.ckpt", "lightning.ckpt", "weights.safetensors"):
        found = read_tensors(tmp_path / name)
        assert found.keys() == weights.keys()
        assert all(torch.equal(found[key], weights[key]) for key in weights)


def test_a_lightning_checkpoint_that_names_its_callbacks_class_is_read(tmp_path, monkeypatch):
    """Lightning keeps callbacks' states under their classes, which need not be installed here."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    callback = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = callback
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    torch.save({"state_dict": {"a": torch.ones(1)}, "callbacks": {callback: {"best": 1}}}, tmp_path / "model.ckpt")
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
        monkeypatch.delitem(sys.modules, name)
    assert read_tensors(tmp_path / "model.ckpt").keys() == {"a"}


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    class Harmful:
        def __reduce__(self) -> Any:
            return (print, ("this ran",))

    torch.save({"state_dict": {"a": torch.ones(1)}, "other": Harmful()}, tmp_path / "model.ckpt")
    with pytest.raises(InputError, match=r"loading it could run code \(it names \w*\.?print\)"):
        read_tensors(tmp_path / "model.ckpt")
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    with pytest.raises(InputError, match=r"text.ckpt: "):
        read_tensors(tmp_path / "text.ckpt")
    torch.save({"epoch": 3}, tmp_path / "empty.ckpt")
    with pytest.raises(InputError, match="no state dict"):
        read_tensors(tmp_path / "empty.ckpt")
    assert "this ran" not in capsys.readouterr().out
