"""Features in the metric networks: each library's own numbers, whatever the batches."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_fidelity
import torchvision
from PIL import Image
from torch import nn
from torch_fidelity.feature_extractor_clip import CLIPVisual
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from pipeline.data.archive import ArchiveWriter, ImageArchive, content_digest
from pipeline.errors import InputError
from pipeline.evaluation.feature_files import FeatureSet, read_features
from pipeline.evaluation.features import ClipFeatures, EfficientNetFeatures, extract, load_feature_network
from pipeline.evaluation.fetching import _torchscript_tensors
from pipeline.evaluation.metrics import generation_metrics
from pipeline.evaluation.network_files import read_network, write_network
from pipeline.extract_features import extract_features

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


def folder_of(path: Path, images: np.ndarray) -> Path:
    path.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(path / f"{index:08d}.png")
    return path


def test_efficientnet_logits_equal_the_packages_forward(networks_folder: Path) -> None:
    weights, _ = read_network("efficientnet_lite0", networks_folder / "efficientnet_lite0.safetensors")
    network = EfficientNetFeatures(weights).eval()
    images = torch.from_numpy(pictures(3, 0, size=112)).permute(0, 3, 1, 2)  # no resize at 112
    with torch.no_grad():
        features, logits = network(images)
        expected = network.network((images.float() - 127) / 128)
    assert features.shape == (3, 1280)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_efficientnet_knows_what_an_image_shows(networks_folder: Path) -> None:
    """A trained classifier is sure of a picture's kind far above chance, and not of every picture's alike."""
    weights, _ = read_network("efficientnet_lite0", networks_folder / "efficientnet_lite0.safetensors")
    network = EfficientNetFeatures(weights).eval()
    images = torch.from_numpy(pictures(8, 0)).permute(0, 3, 1, 2)
    with torch.no_grad():
        probabilities = network(images)[1].softmax(dim=1)
    assert (probabilities.max(dim=1).values > 0.02).all()
    assert len(set(probabilities.argmax(dim=1).tolist())) > 1


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
    with pytest.raises(InputError, match="space 'lpips_alex': use inception, inception_clean"):
        load_feature_network("lpips_alex", networks_folder / "lpips_alex.safetensors")
    with pytest.raises(InputError, match=r"network clip: .* weights of another network"):
        load_feature_network("clip", weights)


def small_clip() -> CLIPVisual:
    """CLIP's architecture, small: width 64, two layers, 224 px."""
    torch.manual_seed(0)
    return CLIPVisual(16, 224, 2, 64, 32)


def test_clip_features_are_those_of_clean_fids_preprocessing() -> None:
    """clean-fid: torchvision's Resize and CenterCrop of 8-bit images, then CLIP's normalisation."""
    model = small_clip()
    weights = {f"{name}": value for name, value in model.state_dict().items()}
    network = ClipFeatures({**weights, "text_projection": torch.zeros(8, 16)}).eval()
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
        expected = network.network.visual(batch)
        found, logits = network(torch.from_numpy(images).permute(0, 3, 1, 2))
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


class RandomInception(FeatureExtractorInceptionV3):
    """InceptionV3 with random weights: it keeps those that it was built with."""

    def load_state_dict(self, *_: object, **__: object) -> None:  # type: ignore[override]
        return None


@pytest.fixture(scope="session")
def random_inception(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The true architecture, random weights: as torch-fidelity's file, and as ours."""
    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "empty.pth")
    torch.manual_seed(0)
    network = RandomInception("random", ["2048"], feature_extractor_weights_path=str(folder / "empty.pth"))
    for module in network.modules():  # so that the signal survives forty layers of random weights
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.from_numpy(pictures(6, 9)).permute(0, 3, 1, 2))
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    torch.save(weights, folder / "weights.pth")
    write_network("inception", weights, folder / "inception.safetensors")
    return folder / "weights.pth", folder / "inception.safetensors"


def both(tmp_path: Path, name: str, weights: Path) -> tuple[FeatureSet, FeatureSet]:
    made = extract(archive(tmp_path / "made.zip", pictures(12, 5)), name, weights, 0, None, 8, CPU)
    real = extract(archive(tmp_path / "real.zip", pictures(11, 6)), name, weights, 0, None, 8, CPU)
    return made, real


def judged_by_torch_fidelity(tmp_path: Path, weights: Path, **metrics: bool) -> dict[str, float]:
    return torch_fidelity.calculate_metrics(
        input1=str(folder_of(tmp_path / "made", pictures(12, 5))),
        input2=str(folder_of(tmp_path / "real", pictures(11, 6))),
        feature_extractor_weights_path=str(weights),
        cuda=False,
        cache=False,
        verbose=False,
        batch_size=8,
        save_cpu_ram=True,
        **metrics,
    )


@pytest.mark.slow
def test_fid_and_inception_score_equal_torch_fidelitys(random_inception: tuple[Path, Path], tmp_path: Path) -> None:
    expected = judged_by_torch_fidelity(tmp_path, random_inception[0], fid=True, isc=True)
    found = generation_metrics(*both(tmp_path, "inception", random_inception[1]), 1.0).metrics
    assert expected["frechet_inception_distance"] > 0.01
    assert found["frechet_distance"] == pytest.approx(expected["frechet_inception_distance"], rel=1e-4)
    assert found["score_mean"] == pytest.approx(expected["inception_score_mean"], rel=1e-4)
    assert found["score_std"] == pytest.approx(expected["inception_score_std"], rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_precision_and_recall_equal_torch_fidelitys(tmp_path: Path) -> None:
    torch.manual_seed(1)
    weights = torchvision.models.vgg16().state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    write_network("vgg16", weights, tmp_path / "vgg16.safetensors")
    expected = judged_by_torch_fidelity(tmp_path, tmp_path / "weights.pth", prc=True)
    found = generation_metrics(*both(tmp_path, "vgg16", tmp_path / "vgg16.safetensors"), 1.0).metrics
    assert 0 < expected["precision"] < 1 or 0 < expected["recall"] < 1
    assert found["precision"] == pytest.approx(expected["precision"], rel=1e-4)
    assert found["recall"] == pytest.approx(expected["recall"], rel=1e-4)
    assert found["f1"] == pytest.approx(expected["f_score"], rel=1e-4)
