"""Codes of a whole split and their Gaussian fit; the bits of a code, against mutual information on grids."""

import itertools
from math import e, log, log2, pi, sqrt

import numpy as np
import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import ImageArchive, to_model
from bright_pipeline.evaluation import codes as measures
from bright_pipeline.generation.sampling import fit_gaussian, gaussian_draw
from bright_pipeline.models.autoencoder import pad
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import read_codes, write_codes
from bright_pipeline.models.code_bits import noise_bits, posterior_bits, posterior_moments
from bright_pipeline.models.generator import noise_generators
from bright_pipeline.settings.autoencoder import Autoencoder
from first_stages import images, small_model
from hypothesis import given
from hypothesis import strategies as st
from reference_hash_grid import corners, geometry


def density(points: np.ndarray, means: np.ndarray, deviation: float) -> np.ndarray:
    """Normal densities (means, points), each row summing to one over the points."""
    rows = np.exp(-((points - means[:, None]) ** 2) / (2 * deviation**2))
    return np.asarray(rows / rows.sum(1, keepdims=True))


def capacity(channel: np.ndarray, rounds: int = 300) -> float:
    """The largest mutual information in bits between a channel's input and output, reached from below.

    By Blahut and Arimoto's algorithm.
    """
    inputs = np.full(len(channel), 1 / len(channel))
    for _ in range(rounds):
        output = inputs @ channel
        logarithms = np.log(channel / output, out=np.zeros_like(channel), where=channel > 0)
        divergences = (channel * logarithms).sum(1)
        reached = float(inputs @ divergences) / log(2)
        inputs = inputs * np.exp(divergences)
        inputs /= inputs.sum()
    return reached


@pytest.mark.parametrize("deviation", [2.0, 0.5, 1 / 8, 1 / 32, 1 / 128])
def test_no_key_in_0_to_1_carries_more_than_the_bound_and_some_carry_nearly_as_much(deviation: float) -> None:
    keys = np.linspace(0, 1, 193)
    outputs = np.linspace(-5 * deviation, 1 + 5 * deviation, 800)
    reached = capacity(density(outputs, keys, deviation))
    bound = noise_bits(1, deviation).per_image
    assert reached <= bound + 1e-6
    assert bound - reached < 0.2, f"{reached} of {bound} bits"
    # Of a small deviation that of uniform noise of the same entropy, within ± d: the output lies in an interval of
    # length 1 + 2 d, the noise in one of 2 d. Of a large one Shannon's, for a variance of at most 1/4.
    uniform, shannon = log2(1 + 1 / (deviation * sqrt(2 * pi * e))), log2(1 + 1 / (4 * deviation**2)) / 2
    assert bound == pytest.approx(uniform if deviation < 0.5 else shannon)
    assert noise_bits(7, deviation, copies=4).per_image == 7 * noise_bits(1, deviation / 2).per_image


def test_a_code_has_the_bits_of_its_indices_or_those_that_its_noise_leaves_and_32_a_number_without() -> None:
    assert small_model("vqgan").code_bits() == (4 * 4 * 4, "indices")
    assert small_model("rqvae").code_bits() == (4 * 4 * 3 * 4, "indices")
    deviation = 1 / (4 * 8)
    assert small_model("bright", code_noise="before_tiling").code_bits() == noise_bits(64, deviation)
    bits = small_model("bright").code_bits()
    assert bits == noise_bits(64, deviation / 2), "four tiles, each with noise of its own"
    assert small_model("bright", code_noise_cells=0.5).code_bits() == noise_bits(64, deviation)
    assert small_model("bright", code_noise="none").code_bits() == (64 * 32, "float32")


def test_a_padded_batch_counts_its_own_images_alone_with_less_bits_than_their_divergence() -> None:
    model, batch = small_model("kl").requires_grad_(False), images(5)
    whole = model.code_bits([model.code_moments(batch, 5)])
    parts = [model.code_moments(pad(part, 4), len(part)) for part in batch.split(4)]
    assert model.code_bits(parts).per_image == pytest.approx(whole.per_image, rel=1e-5)
    assert 0 <= whole.per_image <= float(model.distribution(batch).kl().mean()) * log2(e)


def test_posteriors_of_normal_means_have_the_bits_of_a_gaussian_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(4000, 2, 3, 3, generator=generator) * torch.tensor([1.0, 4.0])[:, None, None] + 7
    logarithms = torch.full_like(means, 0.25).log()
    parts = zip(means.split(1500), logarithms.split(1500), strict=True)
    found = posterior_bits([posterior_moments(*part) for part in parts], 9)
    expected = 9 * (log2(1 + 1 / 0.25) / 2 + log2(1 + 16 / 0.25) / 2)
    assert found.per_image == pytest.approx(expected, rel=0.01)
    assert found.counted_by == "posterior"


def some_codes(count=50, shape=(2, 3, 3), seed=0):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed)) ** 2


@pytest.fixture(scope="module")
def model(tiny_autoencoder):
    torch.manual_seed(0)
    return Bright(Autoencoder.model_validate(tiny_autoencoder()), 32, 1).eval()


@pytest.mark.parametrize("micro_batch", [1, 4, 14, 64])
def test_codes_come_in_the_images_order_whatever_the_micro_batch(model, tiny_images, micro_batch):
    images = ImageArchive(tiny_images)
    codes = measures.encode_archive(model, images, micro_batch)
    with torch.no_grad():
        expected = torch.cat([model.encode(to_model(images.tensor([i]))) for i in range(14)])
    assert codes.shape == (14, 2, 4, 4)
    torch.testing.assert_close(codes, expected, atol=1e-5, rtol=0)
    assert codes.min() >= 0
    assert codes.max() <= 1


def test_statistics_are_numpys():
    codes = some_codes()
    found, array = measures.code_statistics(codes), codes.numpy().astype(np.float64)
    assert found["count"] == 50
    assert (found["minimum"], found["maximum"]) == (array.min(), array.max())
    assert found["mean"] == pytest.approx(array.mean())
    assert found["variance"] == pytest.approx(array.var())
    axes = (0, 2, 3)
    assert found["channels"]["mean"] == pytest.approx(array.mean(axes).tolist())
    assert found["channels"]["variance"] == pytest.approx(array.var(axes).tolist())
    assert found["channels"]["minimum"] == array.min(axes).tolist()
    assert found["channels"]["maximum"] == array.max(axes).tolist()


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4))
def test_codes_come_back_from_their_file(tmp_path, count, channels, side):
    codes = some_codes(count, (channels, side, side))
    write_codes(tmp_path / "codes.safetensors", codes.transpose(2, 3))
    assert torch.equal(read_codes(tmp_path / "codes.safetensors"), codes.transpose(2, 3))
    (tmp_path / "wrong").write_bytes(b"something else entirely")
    for path in (tmp_path / "wrong", tmp_path / "absent"):
        with pytest.raises(InputError, match=f"^.*{path}.*not a file of key codes[^\n]*$"):
            read_codes(path)


@pytest.mark.parametrize("count", [200, 3])
def test_draws_are_the_mean_and_a_root_of_the_covariance_times_each_images_own_noise(count):
    """Also of fewer codes than dimensions, whose covariance is singular."""
    codes = some_codes(count, (2, 2, 2))
    mean, root = (part.numpy() for part in fit_gaussian(codes))
    flat = codes.flatten(1).numpy().astype(np.float64)
    np.testing.assert_allclose(mean, flat.mean(0))
    np.testing.assert_allclose(root @ root.T, np.cov(flat.T), atol=1e-12)
    drawn = gaussian_draw(codes, 0)([7, 8])
    for code, generator in zip(drawn.flatten(1).double().numpy(), noise_generators(0, [7, 8]), strict=True):
        noise = torch.randn(len(mean), generator=generator, dtype=torch.float64).numpy()
        np.testing.assert_allclose(code, mean + root @ noise, atol=1e-6)
    (again,) = gaussian_draw(codes, 0)([8])
    torch.testing.assert_close(drawn[1], again, atol=1e-6, rtol=0)


def test_the_spectrum_is_that_of_singular_values_and_counts_filled_directions() -> None:
    """Of 500 codes of 24 numbers that fill ten directions alone."""
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(500, 10, generator=generator) @ torch.randn(10, 24, generator=generator)
    codes = flat.view(500, 6, 2, 2) * torch.arange(1.0, 7.0)[:, None, None] + 3
    found = measures.spectrum_numbers(ours := measures.principal_deviations(codes))
    numbers = codes.numpy().astype(np.float64)
    standardized = (numbers - numbers.mean((0, 2, 3), keepdims=True)) / numbers.std((0, 2, 3), ddof=1, keepdims=True)
    rows = standardized.reshape(500, 24)
    deviations = np.linalg.svd(rows - rows.mean(0), compute_uv=False) / np.sqrt(499)
    np.testing.assert_allclose(ours[:10], deviations[:10])
    assert found["directions"] == 10 == (deviations > 0.05).sum()
    assert found["mean_log_deviation"] == pytest.approx(np.log(np.maximum(deviations, 1e-6)).mean(), abs=1e-2)
    assert measures.spectrum_numbers(measures.principal_deviations(codes[:24])) == {}, (
        "fewer codes than numbers have empty directions of their own"
    )


# Hits of hash table entries at the finest resolution (figure 5b).

SIDE = 4  # H_d


def tiny_model(tiny_autoencoder, key_length, entries_log2):
    settings = tiny_autoencoder(
        code_size=f"2x2x{2 * key_length}",
        feature_size=SIDE,
        tables={"finest_resolution": 6, "key_length": key_length, "entries_log2": entries_log2},
        encoder={"multipliers": [1] * 5},
        decoder={"channels": [16, 8, 8, 8]},
    )
    return Bright(Autoencoder.model_validate(settings), 32, 1)


def count_by_hand(codes, key_length, level):
    """Each key of each pixel reads the corners of its cell whose weights are above zero (tcnn's convention)."""
    groups = codes.shape[1] // key_length
    hits = torch.zeros(groups, level[-1], dtype=torch.long)
    for code, group, row, column in itertools.product(codes, range(groups), range(SIDE), range(SIDE)):
        key = code[group * key_length : (group + 1) * key_length, row * 2 // SIDE, column * 2 // SIDE]
        query = torch.cat([key, torch.tensor([(row + 0.5) / SIDE, (column + 0.5) / SIDE])])
        for index, weight in corners(query, level):
            hits[group, index] += weight > 0
    return hits


@pytest.mark.parametrize(("key_length", "entries_log2"), [(1, 18), (2, 18), (1, 5)])
def test_hits_are_those_counted_by_hand(tiny_autoencoder, key_length, entries_log2):
    model = tiny_model(tiny_autoencoder, key_length, entries_log2)
    codes = torch.randint(0, 65, (7, 2 * key_length, 2, 2), generator=torch.Generator().manual_seed(0)) / 64
    expected = count_by_hand(codes, key_length, geometry(1, 6, 6, key_length + 2, entries_log2, "tcnn")[0])
    for micro_batch in (1, 3, 64):
        hits, reachable = measures.count_hits(model, codes, micro_batch)
        assert torch.equal(hits, expected)
    assert torch.equal(reachable, model.tables.reachable_entries(len(model.tables.levels) - 1))
    assert not expected[:, ~reachable].any()


def test_hits_are_written_without_pickle(tmp_path):
    hits, reachable = torch.tensor([[4, 0, 2, 99], [1, 1, 1, 0]]), torch.tensor([True, True, True, False])
    measures.write_hits(tmp_path / "hits.npz", hits, reachable)
    with np.load(tmp_path / "hits.npz", allow_pickle=False) as file:
        assert file["hits"].tolist() == hits.tolist() and file["reachable"].tolist() == reachable.tolist()
