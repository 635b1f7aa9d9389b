"""Counts of parameters and multiply-accumulates of VQGAN, RQ-VAE and the KL autoencoder (Table 3)."""

import csv

import pytest

from pipeline.complexity import PUBLISHED
from pipeline.families import autoencoder_family, load


def found(family, code_size, **changes):
    values = {"dataset": "paper", "family": family, "code_size": code_size, **changes}
    of = autoencoder_family(family)
    return load(of.counts)(of.settings.model_validate(values), 256, 3)


def published(method, code_size):
    with (PUBLISHED / "table3.csv").open(encoding="utf-8", newline="") as file:
        return next(row for row in csv.DictReader(file) if (row["method"], row["code_size"]) == (method, code_size))


@pytest.mark.parametrize(("family", "method", "code_size", "printed", "parameters", "operations"), [
    ("vqgan", "VQGAN", "16x16x256", "16x16", 42.4498, 126.7886),
    ("vqgan", "VQGAN", "32x32x256", "32x32", 13.5894, 119.7712),
    ("rqvae", "RQ-VAE", "16x16x256", "16x16x4", 42.4498, 126.7886),
])  # fmt: skip
def test_decoders_have_the_published_counts(family, method, code_size, printed, parameters, operations):
    counted, row = found(family, code_size), published(method, printed)
    assert round(counted["decoder_params"] / 1e6, 4) == parameters
    assert round(counted["gmacs"]["paper_rule"], 4) == operations
    assert abs(parameters - float(row["decoder_params_millions"])) < 0.051  # 42.4498 is printed as 42.5
    assert round(operations, 2) == float(row["decoder_gflops"])


def test_the_true_count_has_every_matrix_product_and_nothing_else():
    """Of a decoder small enough to write out: one level of one convolution's width, attention in the middle."""
    network = {"channels": 32, "multipliers": [1], "blocks": 1, "attention_resolutions": []}
    counted = found("vqgan", "256x256x4", network=network)["true_gmacs"]
    pixels = 256**2
    convolutions = 9 * pixels * (4 * 32 + 2 * 2 * 32**2 + 2 * 2 * 32**2 + 32 * 3)
    attention = pixels * 4 * 32**2 + 2 * pixels**2 * 32
    assert round(counted["decoder"] * 1e9) == convolutions + attention
    assert round(counted["post_quant_conv"] * 1e9) == pixels * 4 * 4
    assert round(counted["nearest_entry"] * 1e9) == pixels * 4 * 1024


def test_codebooks_are_counted_once_and_searched_at_every_depth():
    vqgan, rqvae = found("vqgan", "16x16x256"), found("rqvae", "16x16x256")
    assert vqgan["codebook_params"] == 1024 * 256
    assert rqvae["codebook_params"] == 2048 * 256
    assert round(rqvae["true_gmacs"]["nearest_entry"] * 1e9) == 4 * 256 * 2048 * 256
    assert found("kl", "32x32x4")["codebook_params"] == 0
    assert found("kl", "32x32x4")["true_gmacs"]["nearest_entry"] == 0


def test_the_kl_autoencoder_is_stable_diffusions():
    """KL-f8 at 256 x 256 has 83.65M parameters, as diffusers' AutoencoderKL of Stable Diffusion 1 has."""
    counted = found("kl", "32x32x4")
    assert counted["decoder_params"] + counted["encoder_params"] + 4 * 4 + 4 == 83_653_863
