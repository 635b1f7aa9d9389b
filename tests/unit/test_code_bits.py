"""Bits of an image's code: the bounds against mutual information computed on grids, and what each family's are."""

from math import e, log2, pi, sqrt
from typing import Any

import numpy as np
import pytest
import torch
from first_stages import images, small_model
from hypothesis import given
from hypothesis import strategies as st

from pipeline.models.autoencoder import pad
from pipeline.models.bright import Bright
from pipeline.models.code_bits import of_bounded_numbers, of_posteriors, posterior_moments
from pipeline.settings.autoencoder import Autoencoder


def density(points: np.ndarray, means: np.ndarray, deviation: float) -> np.ndarray:
    """Normal densities (means, points), each row summing to one over the points."""
    rows = np.exp(-((points - means[:, None]) ** 2) / (2 * deviation**2))
    return np.asarray(rows / rows.sum(1, keepdims=True))


def information(inputs: np.ndarray, channel: np.ndarray) -> float:
    """Mutual information in bits between an input with these probabilities and the channel's output."""
    output = inputs @ channel
    logarithms = np.log2(channel / output, out=np.zeros_like(channel), where=channel > 0)
    return float(inputs @ (channel * logarithms).sum(1))


def capacity(channel: np.ndarray, rounds: int = 300) -> float:
    """The largest information, by Blahut and Arimoto's algorithm; what it has reached is a lower bound."""
    inputs = np.full(len(channel), 1 / len(channel))
    for _ in range(rounds):
        output = inputs @ channel
        logarithms = np.log(channel / output, out=np.zeros_like(channel), where=channel > 0)
        inputs = inputs * np.exp((channel * logarithms).sum(1))
        inputs /= inputs.sum()
    return information(inputs, channel)


@pytest.mark.parametrize("deviation", [2.0, 0.5, 1 / 8, 1 / 32, 1 / 128])
def test_no_key_in_0_to_1_carries_more_than_the_bound_and_some_carry_nearly_as_much(deviation: float) -> None:
    keys = np.linspace(0, 1, 193)
    outputs = np.linspace(-5 * deviation, 1 + 5 * deviation, 800)
    reached = capacity(density(outputs, keys, deviation))
    bound = of_bounded_numbers(1, deviation).per_image
    assert reached <= bound + 1e-6
    assert bound - reached < 0.2, f"{reached} of {bound} bits"


def test_two_readings_with_noise_of_their_own_are_one_with_less() -> None:
    keys, weights = np.array([0.2, 0.5, 0.9]), np.array([0.3, 0.3, 0.4])
    grid = np.linspace(-1, 2, 200)
    once = density(grid, keys, 0.2)
    twice = np.stack([np.outer(row, row).ravel() for row in once])
    less = density(grid, keys, 0.2 / sqrt(2))
    assert information(weights, twice) == pytest.approx(information(weights, less), rel=1e-3)
    assert of_bounded_numbers(5, 0.02, copies=4) == of_bounded_numbers(5, 0.01)


def test_the_bound_is_that_of_uniform_noise_of_the_same_entropy() -> None:
    """Uniform noise within ± d: the output lies in an interval of length 1 + 2 d, the noise in one of 2 d."""
    deviation = 1 / 128
    half_width = deviation * sqrt(2 * pi * e) / 2
    assert of_bounded_numbers(1, deviation).per_image == pytest.approx(log2(1 + 1 / (2 * half_width)))


@given(st.floats(1e-4, 10), st.floats(1e-4, 10))
def test_more_noise_leaves_fewer_bits(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert of_bounded_numbers(7, more).per_image <= of_bounded_numbers(7, less).per_image
    assert of_bounded_numbers(7, more).per_image > 0


def test_posteriors_of_normal_means_have_the_bits_of_a_gaussian_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(4000, 2, 3, 3, generator=generator) * torch.tensor([1.0, 4.0])[:, None, None] + 7
    logarithms = torch.full_like(means, 0.25).log()
    parts = zip(means.split(1500), logarithms.split(1500), strict=True)
    found = of_posteriors([posterior_moments(*part) for part in parts], 9)
    expected = 9 * (log2(1 + 1 / 0.25) / 2 + log2(1 + 16 / 0.25) / 2)
    assert found.per_image == pytest.approx(expected, rel=0.01)
    assert found.counted_by == "posterior"


def test_posteriors_bits_are_no_more_than_their_divergence_from_a_standard_normal() -> None:
    model: Any = small_model("kl").requires_grad_(False)
    posterior = model.distribution(images(6))
    found = of_posteriors([posterior_moments(posterior.mean, posterior.logvar)], posterior.mean[0, 0].numel()).per_image
    assert 0 <= found <= float(posterior.kl().mean()) * log2(e)


@pytest.mark.parametrize(("family", "bits"), [("vqgan", 4 * 4 * 4), ("rqvae", 4 * 4 * 3 * 4)])
def test_indices_have_the_logarithm_of_the_entries(family: str, bits: int) -> None:
    assert small_model(family).code_bits() == (bits, "indices")


def bright(**changes: Any) -> Bright:
    small = {"encoder": {"channels": 8, "blocks": 1}, "tables": {"resolutions": 2, "finest_resolution": 8}}
    small |= {"code_size": "4x4x4", "feature_size": 8, "feature_channels": 16, "decoder": {"style_width": 0}}
    return Bright(Autoencoder.model_validate({"dataset": "any", **small, **changes}), 16, 1)


def test_a_key_code_has_the_bits_that_its_noise_leaves_and_32_a_number_without() -> None:
    deviation = 1 / (4 * 8)
    assert bright(code_noise="before_tiling").code_bits() == of_bounded_numbers(64, deviation)
    assert bright().code_bits() == of_bounded_numbers(64, deviation / 2), "four tiles, each with noise of its own"
    assert bright(code_noise_cells=0.5).code_bits() == of_bounded_numbers(64, deviation)
    assert bright(code_noise="none").code_bits() == (64 * 32, "float32")


def test_a_padded_batch_counts_its_own_images_alone() -> None:
    model, batch = small_model("kl").requires_grad_(False), images(5)
    whole = model.code_bits([model.code_moments(batch, 5)])
    parts = [model.code_moments(pad(part, 4), len(part)) for part in batch.split(4)]
    assert model.code_bits(parts).per_image == pytest.approx(whole.per_image, rel=1e-5)
