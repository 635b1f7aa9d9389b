"""Features in the metric networks: each library's own numbers, whatever the batches."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torch_fidelity.feature_extractor_clip import CLIPVisual

from pipeline.base.errors import InputError
from pipeline.data.archive import ArchiveWriter, ImageArchive, content_digest
from pipeline.evaluation.feature_files import read_features
from pipeline.evaluation.features import extract
from pipeline.extract_features import extract_features
from pipeline.models.metric_networks.fetching import _torchscript_tensors
from pipeline.models.metric_networks.files import read_network
from pipeline.models.metric_networks.networks import EfficientNetFeatures, clip, load_feature_network

CPU = torch.device("cpu")


def pictures(count: int, seed: int, channels: int = 3, size: int = 32) -> np.ndarray:
    """Smooth random pictures (N, size, size, channels), uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, channels), dtype=np.uint8)
    return coarse.repeat(size // 4, 1).repeat(size // 4, 2)


def archive(path: Path, images: np.ndarray, first: int = 0) -> ImageArchive:
    with ArchiveWriter(path, images.shape[-1]) as writer:
        for index, image in enumerate(images):
            writer.add(f"00000/img{first + index:08d}.png", image)
    return ImageArchive(path)


def test_efficientnet_logits_equal_the_packages_forward(networks_folder: Path) -> None:
    weights, _ = read_network("efficientnet_lite0", networks_folder / "efficientnet_lite0.safetensors")
    network = EfficientNetFeatures(weights).eval()
    images = torch.from_numpy(pictures(3, 0, size=112)).permute(0, 3, 1, 2)  # no resize at 112
    with torch.no_grad():
        features, logits = network(images)
        expected = network.network((images.float() - 127) / 128)
    assert features.shape == (3, 1280)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_features_do_not_depend_on_shards_or_on_how_many_images_follow(networks_folder: Path, tmp_path: Path) -> None:
    images = pictures(7, 1, channels=1)
    weights = networks_folder / "efficientnet_lite0.safetensors"
    whole = archive(tmp_path / "whole.zip", images)
    archive(tmp_path / "a.zip", images[:3])
    archive(tmp_path / "b.zip", images[3:], first=3)
    shards = ImageArchive([tmp_path / "a.zip", tmp_path / "b.zip"])
    one = extract(whole, "efficientnet_lite0", weights, 0, None, 4, CPU)
    two = extract(shards, "efficientnet_lite0", weights, 0, 100, 4, CPU)
    assert len(one) == 7 and one.facts == two.facts
    assert one.images_sha256 == two.images_sha256 == content_digest(whole)
    np.testing.assert_array_equal(one.features, two.features)
    for first, last in ((0, 5), (3, 6), (5, 7), (4, 5), (7, 9)):  # ranges that begin and end inside a batch of four
        part = extract(whole, "efficientnet_lite0", weights, first, last, 4, CPU)
        assert part.features.tobytes() == one.features[first:last].tobytes()
        np.testing.assert_array_equal(part.image_digests, one.image_digests[first:last])


def test_the_stage_writes_features_with_their_facts(networks_folder: Path, tmp_path: Path) -> None:
    archive(tmp_path / "images.zip", pictures(5, 2))
    for first, last in ((0, 2), (2, 4)):
        extract_features(
            json.dumps({"space": "efficientnet_lite0", "micro_batch": 3}),
            [tmp_path / "images.zip"],
            networks_folder / "efficientnet_lite0.safetensors",
            tmp_path / f"features-{first}.npz",
            first,
            last,
        )
    found = read_features([tmp_path / "features-0.npz", tmp_path / "features-2.npz"])
    assert found.features.shape == (4, 1280) and found.features.dtype == np.float32
    assert found.logits is not None and found.logits.shape == (4, 1000)
    assert found.facts["network"] == "efficientnet_lite0" and "112" in found.facts["resize"]


def test_bad_requests_are_one_line(networks_folder: Path) -> None:
    weights = networks_folder / "efficientnet_lite0.safetensors"
    with pytest.raises(InputError, match="space 'lpips_alex': should be one of inception, inception_clean"):
        load_feature_network("lpips_alex", networks_folder / "lpips_alex.safetensors")
    with pytest.raises(InputError, match=r"network clip: .* names and shapes of its tensors .* are not those of CLIP"):
        load_feature_network("clip", weights)


def test_clip_features_are_those_of_clean_fids_preprocessing() -> None:
    """clean-fid: torchvision's Resize and CenterCrop of 8-bit images, then CLIP's normalisation."""
    torch.manual_seed(0)
    small = CLIPVisual(16, 224, 2, 64, 32)  # CLIP's architecture: width 64, two layers
    network = clip({**small.state_dict(), "text_projection": torch.zeros(8, 16)}).eval()
    images = pictures(3, 4, size=64)
    transforms = torchvision.transforms
    preprocess = transforms.Compose(
        [
            transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ]
    )
    batch = torch.stack([preprocess(Image.fromarray(image)) for image in images])
    with torch.no_grad():
        expected = network.network(batch)
        found, logits = network(torch.from_numpy(np.stack(list(map(network.resizer, images)))).permute(0, 3, 1, 2))
    assert logits is None
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_of_a_torchscript_archive_the_image_part_is_kept(tmp_path: Path) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual = nn.Linear(3, 2)
            self.transformer = nn.Linear(3, 2)
            self.text_projection = nn.Parameter(torch.zeros(2, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.visual(x) @ self.text_projection + self.transformer(x)

    torch.jit.save(torch.jit.trace(Both(), torch.zeros(1, 3)), tmp_path / "clip.pt")
    kept = _torchscript_tensors(tmp_path / "clip.pt")
    assert set(kept) == {"visual.weight", "visual.bias", "text_projection"}
