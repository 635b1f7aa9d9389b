"""Features in the metric networks: each library's own numbers, whatever the batches; dgm-eval's FD-DINOv2."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import ImageArchive, content_digest
from bright_pipeline.data.sources import RawSequence
from bright_pipeline.evaluation.feature_files import FeatureSet, read_features
from bright_pipeline.evaluation.features import extract
from bright_pipeline.evaluation.frechet import frechet_distance
from bright_pipeline.evaluation.metrics import generation_metrics
from bright_pipeline.extract_features import extract_features
from bright_pipeline.models.metric_networks.fetching import _torchscript_tensors
from bright_pipeline.models.metric_networks.files import layout, read_network, write_network
from bright_pipeline.models.metric_networks.manifest import manifest, network, network_path
from bright_pipeline.models.metric_networks.networks import (
    EfficientNetFeatures,
    clip,
    clip_l14_336,
    load_feature_network,
)
from feature_sets import archive, pictures
from PIL import Image
from reference_dinov2 import DinoV2
from torch import nn
from torch_fidelity.feature_extractor_clip import CLIPVisual
from torchvision import transforms

CPU = torch.device("cpu")


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


@pytest.mark.parametrize(("make", "size", "patch"), [(clip, 224, 32), (clip_l14_336, 336, 14)])
def test_clip_features_are_those_of_the_authors_preprocessing(make: Any, size: int, patch: int) -> None:
    """Bicubic resize of 8-bit images, then CLIP's normalisation; the embeddings of CMMD have length 1."""
    torch.manual_seed(0)
    small = CLIPVisual(16, size, 2, 64, patch)  # CLIP's architecture: width 64, two layers
    network = make({**small.state_dict(), "text_projection": torch.zeros(8, 16)}).eval()
    images = pictures(3, 4, size=64)
    resize = transforms.Resize(size, interpolation=transforms.InterpolationMode.BICUBIC)
    normalize = transforms.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    preprocess = transforms.Compose([resize, transforms.CenterCrop(size), transforms.ToTensor(), normalize])
    batch = torch.stack([preprocess(Image.fromarray(image)) for image in images])
    with torch.no_grad():
        expected = network.network(batch) if make is clip else nn.functional.normalize(network.network.forward(batch))
        found, logits = network(torch.from_numpy(np.stack(list(map(network.resizer, images)))).permute(0, 3, 1, 2))
    assert logits is None and found.shape == (3, 16)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_of_a_torchscript_archive_the_image_part_is_kept(tmp_path: Path) -> None:
    both = nn.ModuleDict({"visual": nn.Linear(3, 2), "transformer": nn.Linear(3, 2)})
    both.register_parameter("text_projection", nn.Parameter(torch.zeros(2, 2)))
    both.forward = lambda x: both["visual"](x) @ both.text_projection + both["transformer"](x)
    torch.jit.save(torch.jit.trace(both, torch.zeros(1, 3)), tmp_path / "clip.pt")
    kept = _torchscript_tensors(tmp_path / "clip.pt")
    assert set(kept) == {"visual.weight", "visual.bias", "text_projection"}


IMAGES = 3  # of each set


@torch.no_grad()
def reference_features(folder: Path, reference: DinoV2) -> np.ndarray:
    """dgm-eval's features: Pillow's bicubic to 224, 8 bits; ImageNet's mean and deviation; class tokens."""
    found = []
    for path in sorted(folder.iterdir()):
        pixels = np.asarray(Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
        scaled = (pixels / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        found.append(reference(torch.from_numpy(scaled.astype(np.float32)).permute(2, 0, 1)[None])[0].numpy())
    return np.stack(found).astype(np.float64)


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> DinoV2:
    """A narrow DINOv2 with random weights, that the manifest is told of; test_networks.py has the true one's shapes."""
    torch.manual_seed(0)
    made = DinoV2(128, 2).eval()
    shapes = {name: tensor.shape for name, tensor in made.state_dict().items()}
    monkeypatch.setitem(manifest(), "dinov2", network("dinov2").model_copy(update={"layout": layout(shapes)}))
    return made


def test_the_distance_is_dgm_evals_on_random_weights(reference: DinoV2, tmp_path: Path) -> None:
    weights = network_path("dinov2", tmp_path)
    write_network("dinov2", dict(reference.state_dict()), weights)
    folders = tmp_path / "made", tmp_path / "real"
    for seed, folder in enumerate(folders):
        folder.mkdir()
        for index, picture in enumerate(pictures(IMAGES, seed, size=8)):
            smooth = Image.fromarray(picture).resize((256, 256), Image.Resampling.BICUBIC)
            smooth.save(folder / f"{index}.png")
    ours: list[FeatureSet] = [
        extract(RawSequence(folder), "dinov2", weights, 0, None, IMAGES, torch.device("cpu")) for folder in folders
    ]
    theirs = [reference_features(folder, reference) for folder in folders]
    for one, other in zip(ours, theirs, strict=True):
        assert one.features.shape == other.shape
        np.testing.assert_allclose(one.features, other, atol=1e-4 * np.abs(other).max())
    found = generation_metrics(*ours)
    assert found.keys() == {"frechet_distance"}
    expected = frechet_distance(*theirs, "dgm-eval")  # which test_frechet compares with its formula
    assert found["frechet_distance"].number == pytest.approx(expected, rel=1e-5) and expected > 1e-3
    assert ours[0].facts["resize"].startswith("dgm-eval DINOv2: Pillow bicubic to 224, 8 bits")
