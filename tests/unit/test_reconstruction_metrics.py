"""Metrics of reconstruction: equal to torchmetrics and the lpips package, image by image."""

from pathlib import Path

import lpips
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from pipeline.base.errors import InputError
from pipeline.data.archive import ArchiveWriter, ImageArchive
from pipeline.evaluation.protocol import reconstruction_protocol
from pipeline.evaluation.reconstruction import METRICS, reconstruction_metrics, reconstruction_summary
from pipeline.evaluation.similarity import psnr, ssim


def archive(path: Path, images: np.ndarray) -> ImageArchive:
    """(N, H, W, C) uint8 as an archive."""
    with ArchiveWriter(path, images.shape[-1]) as writer:
        for index, image in enumerate(images):
            writer.add(f"00000/img{index:08d}.png", image)
    return ImageArchive(path)


def pairs(channels: int, count: int = 5, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    originals = rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    noise = rng.normal(0, 25, originals.shape)
    return originals, np.clip(originals + noise, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 32, 33])
def test_ssim_and_psnr_equal_torchmetrics_to_the_bit(channels: int, size: int) -> None:
    real, made = (torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255 for x in pairs(channels, size=size))
    real[0] = made[0]
    how = {"data_range": 1.0, "reduction": "none"}
    assert torch.equal(psnr(real, made), peak_signal_noise_ratio(made, real, dim=(1, 2, 3), **how))
    assert torch.equal(ssim(real, made), structural_similarity_index_measure(made, real, **how))
    assert psnr(real, made)[0] == torch.inf


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 255), st.integers(1, 4))
def test_psnr_of_a_constant_error_is_its_formula(error: int, count: int) -> None:
    real = torch.zeros(count, 3, 8, 8)
    expected = 20 * np.log10(255 / error)
    # Near 0 dB the squared error in 32 bits is what limits the number: 2e-6 dB.
    np.testing.assert_allclose(psnr(real, real + error / 255).numpy(), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("kind", "net"), [("lpips_alex", "alex"), ("lpips_vgg", "vgg")])
def test_the_table_has_the_lpips_packages_numbers(networks_folder: Path, tmp_path: Path, kind: str, net: str) -> None:
    originals, made = pairs(3)
    weights_file = networks_folder / f"{kind}.safetensors"
    frame = reconstruction_metrics(
        archive(tmp_path / "a.zip", originals), archive(tmp_path / "b.zip", made), {kind: weights_file}
    )
    reference = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    weights = load_file(weights_file)
    reference.net.load_state_dict(
        {slot: weights["features." + slot.split(".", 1)[1]] for slot in reference.net.state_dict()}
    )
    as_tensors = [torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255 for x in (originals, made)]
    with torch.no_grad():
        expected = reference(*as_tensors, normalize=True).flatten()
    np.testing.assert_allclose(frame[kind], expected, rtol=1e-4)
    assert list(frame.columns) == ["image", kind, "ssim", "psnr"]
    assert list(frame["image"]) == [f"00000/img{index:08d}.png" for index in range(5)]


def test_a_metric_of_ones_own_is_told_the_originals_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSIM and PSNR are the same either way."""
    monkeypatch.setitem(METRICS, "darker", lambda originals, made: (originals - made).flatten(1).mean(1))
    originals, made = np.full((2, 16, 16, 1), 204, np.uint8), np.full((2, 16, 16, 1), 153, np.uint8)
    frame = reconstruction_metrics(archive(tmp_path / "a.zip", originals), archive(tmp_path / "b.zip", made), {})
    assert list(frame["darker"]) == pytest.approx([0.2, 0.2])


def test_gray_images_are_measured_and_the_protocol_names_the_network(networks_folder: Path, tmp_path: Path) -> None:
    originals, made = pairs(1)
    networks = {name: networks_folder / f"{name}.safetensors" for name in ("lpips_alex", "lpips_vgg")}
    first = archive(tmp_path / "a.zip", originals)
    frame = reconstruction_metrics(first, archive(tmp_path / "b.zip", made), networks)
    assert (frame[["lpips_alex", "lpips_vgg", "psnr"]] > 0).all(axis=None)
    protocol = reconstruction_protocol(first, networks)
    assert (protocol["count"], protocol["reference"], protocol["resize"]) == (5, "validation", "none")
    assert {"lpips_alex_sha256", "lpips_vgg_sha256", "versions"} <= set(protocol)


def test_the_summary_is_the_mean_over_images_with_its_deviation() -> None:
    frame = pd.DataFrame({"image": ["a", "b", "c"], "psnr": [20.0, 22.0, 27.0], "ssim": [0.5, 0.5, 0.5]})
    summary = reconstruction_summary(frame)
    assert summary["psnr"]["mean"] == pytest.approx(23.0)
    assert summary["psnr"]["std"] == pytest.approx(np.sqrt((9 + 1 + 16) / 2))
    assert summary["ssim"] == {"mean": 0.5, "std": 0.0}


def test_exact_copies_are_counted_and_left_out_of_the_mean_psnr() -> None:
    frame = pd.DataFrame({"image": ["a", "b", "c"], "psnr": [20.0, np.inf, 22.0]})
    assert reconstruction_summary(frame)["psnr"] == pytest.approx(
        {"mean": 21.0, "std": np.sqrt(2.0), "exact_images": 1}
    )
    with pytest.raises(InputError, match="psnr: infinite for every image"):
        reconstruction_summary(pd.DataFrame({"image": ["a"], "psnr": [np.inf]}))


def test_as_many_reconstructions_as_originals_are_needed(tmp_path: Path) -> None:
    originals, made = pairs(1)
    with pytest.raises(InputError, match="reconstructions: 4 images, should be 5"):
        reconstruction_metrics(archive(tmp_path / "a.zip", originals), archive(tmp_path / "b.zip", made[:4]), {})
