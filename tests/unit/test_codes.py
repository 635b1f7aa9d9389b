"""Key codes of a whole split: order, statistics, files, the Gaussian fit."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.data.archive import ImageArchive, to_model
from pipeline.evaluation.codes import code_statistics, encode_archive
from pipeline.generation.sampling import fit_gaussian, gaussian_draw
from pipeline.models.bright import Bright
from pipeline.models.checkpoints import read_codes, write_codes
from pipeline.models.generator import noise_generators
from pipeline.settings.autoencoder import Autoencoder


def some_codes(count=50, shape=(2, 3, 3), seed=0):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed)) ** 2


@pytest.fixture(scope="module")
def model(tiny_autoencoder):
    torch.manual_seed(0)
    return Bright(Autoencoder.model_validate(tiny_autoencoder()), 32, 1).eval()


@pytest.mark.parametrize("micro_batch", [1, 4, 14, 64])
def test_codes_come_in_the_images_order_whatever_the_micro_batch(model, tiny_images, micro_batch):
    images = ImageArchive(tiny_images)
    codes = encode_archive(model, images, micro_batch)
    with torch.no_grad():
        expected = torch.cat([model.encode(to_model(images.tensor([i]))) for i in range(14)])
    assert codes.shape == (14, 2, 4, 4)
    torch.testing.assert_close(codes, expected, atol=1e-5, rtol=0)
    assert codes.min() >= 0
    assert codes.max() <= 1


def test_statistics_are_numpys():
    codes = some_codes()
    found, array = code_statistics(codes), codes.numpy().astype(np.float64)
    assert found["count"] == 50
    assert (found["minimum"], found["maximum"]) == (array.min(), array.max())
    assert found["mean"] == pytest.approx(array.mean())
    assert found["variance"] == pytest.approx(array.var())
    axes = (0, 2, 3)
    assert found["channels"]["mean"] == pytest.approx(array.mean(axes).tolist())
    assert found["channels"]["variance"] == pytest.approx(array.var(axes).tolist())
    assert found["channels"]["minimum"] == array.min(axes).tolist()
    assert found["channels"]["maximum"] == array.max(axes).tolist()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4))
def test_codes_come_back_from_their_file(tmp_path, count, channels, side):
    codes = some_codes(count, (channels, side, side))
    write_codes(tmp_path / "codes.safetensors", codes.transpose(2, 3))
    assert torch.equal(read_codes(tmp_path / "codes.safetensors"), codes.transpose(2, 3))


@pytest.mark.parametrize("content", [None, b"", b"something else entirely"])
def test_a_wrong_file_is_one_line_that_names_it(tmp_path, content):
    path = tmp_path / "codes.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="not a file of key codes") as error:
        read_codes(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("count", [200, 3])
def test_the_fit_has_the_codes_mean_and_covariance(count):
    """Also of fewer codes than dimensions, whose covariance is singular."""
    codes = some_codes(count, (2, 2, 2))
    mean, root = fit_gaussian(codes)
    flat = codes.flatten(1).numpy().astype(np.float64)
    np.testing.assert_allclose(mean.numpy(), flat.mean(0))
    np.testing.assert_allclose((root @ root.T).numpy(), np.cov(flat.T), atol=1e-12)
    assert torch.isfinite(gaussian_draw(codes, 0)([0])).all()


def test_many_draws_have_the_fitted_mean_and_covariance():
    """Tolerances of 5 standard errors."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, generator=generator)
    codes = (0.5 + 0.03 * torch.randn(500, 4, generator=generator) @ mixing).reshape(500, 1, 2, 2)
    mean, root = fit_gaussian(codes)
    draws = gaussian_draw(codes, 0)(list(range(5000))).flatten(1).double()
    covariance = root @ root.T
    deviations = covariance.diagonal().sqrt()
    assert ((draws.mean(0) - mean).abs() < 5 * deviations / 5000**0.5).all()
    errors = 5 * torch.outer(deviations, deviations) * (2 / 5000) ** 0.5
    assert ((torch.cov(draws.T) - covariance).abs() < errors).all()


def test_a_code_is_the_mean_and_the_root_times_its_own_images_noise():
    codes = some_codes()
    mean, root = fit_gaussian(codes)
    drawn = gaussian_draw(codes, 0)([7, 8])
    for code, generator in zip(drawn.flatten(1).double().numpy(), noise_generators(0, [7, 8]), strict=True):
        noise = torch.randn(len(mean), generator=generator, dtype=torch.float64).numpy()
        np.testing.assert_allclose(code, mean.numpy() + root.numpy() @ noise, atol=1e-6)
    (again,) = gaussian_draw(codes, 0)([8])
    torch.testing.assert_close(drawn[1], again, atol=1e-6, rtol=0)
