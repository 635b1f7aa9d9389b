"""FD-DINOv2 is dgm-eval's: its resize, DINOv2's class tokens, its distance, each written here from the papers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from PIL import Image
from reference_dinov2 import DinoV2

from pipeline.data.sources import RawSequence
from pipeline.evaluation.feature_files import FeatureSet
from pipeline.evaluation.features import extract
from pipeline.evaluation.metrics import generation_metrics
from pipeline.models.metric_networks.dinov2 import vision_transformer
from pipeline.models.metric_networks.files import layout, write_network
from pipeline.models.metric_networks.manifest import manifest, network, network_path

IMAGES = 3  # of each set: a network of the true size takes seconds for each


def pictures(folder: Path, seed: int) -> Path:
    """A folder of smooth pictures of 256 px."""
    folder.mkdir()
    for index in range(IMAGES):
        coarse = np.random.default_rng([seed, index]).integers(0, 256, (5, 5, 3), np.uint8)
        Image.fromarray(coarse).resize((256, 256), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder


@torch.no_grad()
def reference_features(folder: Path, reference: DinoV2) -> np.ndarray:
    """dgm-eval's features: Pillow's bicubic to 224, 8 bits; ImageNet's mean and deviation; class tokens."""
    found = []
    for path in sorted(folder.iterdir()):
        pixels = np.asarray(Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
        scaled = (pixels / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        found.append(reference(torch.from_numpy(scaled.astype(np.float32)).permute(2, 0, 1)[None])[0].numpy())
    return np.stack(found).astype(np.float64)


def reference_distance(generated: np.ndarray, reference: np.ndarray) -> float:
    """|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)), SciPy's root, in the few dimensions that the features span.

    A rotation changes no distance, and a root of 1,024 x 1,024 with rank two would be noise.
    """
    both = np.concatenate([generated, reference])
    _, _, axes = np.linalg.svd(both - both.mean(axis=0), full_matrices=False)
    one, other = ((features - both.mean(axis=0)) @ axes.T for features in (generated, reference))
    covariances = [np.cov(features, rowvar=False) for features in (one, other)]
    half = scipy.linalg.sqrtm(covariances[0]).real  # S S' has the eigenvalues of S^(1/2) S' S^(1/2)
    root = scipy.linalg.sqrtm(half @ covariances[1] @ half)
    shift = one.mean(axis=0) - other.mean(axis=0)
    return float(shift @ shift + sum(np.trace(one) for one in covariances) - 2 * np.trace(root).real)


@pytest.fixture(
    params=[pytest.param((128, 2), id="small"), pytest.param((1024, 24), id="true", marks=pytest.mark.slow)]
)
def reference(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[DinoV2]:
    """DINOv2 with random weights: of the true architecture, or a narrow one that the manifest is told of."""
    width, depth = request.param
    torch.manual_seed(0)
    made = DinoV2(width, depth).eval()
    if width < 1024:
        shapes = {name: tensor.shape for name, tensor in made.state_dict().items()}
        monkeypatch.setitem(manifest(), "dinov2", network("dinov2").model_copy(update={"layout": layout(shapes)}))
    return made


def test_the_distance_is_dgm_evals_on_random_weights(reference: DinoV2, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    weights = network_path("dinov2", tmp_path)
    write_network("dinov2", dict(reference.state_dict()), weights)
    folders = pictures(tmp_path / "made", 1), pictures(tmp_path / "real", 2)
    ours: list[FeatureSet] = [
        extract(RawSequence(folder), "dinov2", weights, 0, None, IMAGES, torch.device("cpu")) for folder in folders
    ]
    theirs = [reference_features(folder, reference) for folder in folders]
    for one, other in zip(ours, theirs, strict=True):
        assert one.features.shape == other.shape
        np.testing.assert_allclose(one.features, other, atol=1e-4 * np.abs(other).max())
    found = generation_metrics(*ours)
    expected = reference_distance(*theirs)
    assert expected > 1e-3
    assert found.keys() == {"frechet_distance"}
    assert found["frechet_distance"].number == pytest.approx(expected, rel=1e-5)
    assert ours[0].facts["resize"].startswith("dgm-eval DINOv2: Pillow bicubic to 224, 8 bits")


def test_positions_keep_their_order_when_they_are_interpolated() -> None:
    """A ramp over 37 x 37 patches is a ramp over 16 x 16; the class token's own position stays."""
    weights = DinoV2(64, 1).state_dict()
    ramp = torch.arange(37.0)[:, None].expand(37, 37) / 36
    weights["pos_embed"] = torch.cat([torch.full((1, 1, 64), 9.0), ramp.reshape(1, -1, 1).expand(1, -1, 64)], dim=1)
    positions = vision_transformer(weights).encoder.pos_embedding[0]
    assert positions.shape == (257, 64) and (positions[0] == 9).all()
    rows = positions[1:, 0].view(16, 16)
    assert (rows.diff(dim=0) > 0).all() and (rows.diff(dim=1).abs() < 1e-6).all()


def test_a_patch_is_one_token_and_attention_sees_the_others() -> None:
    """Other pixels in the last patch move the class token."""
    network_ = vision_transformer(DinoV2(64, 1).state_dict()).eval()
    images = torch.zeros(2, 3, 224, 224)
    images[1, :, -14:, -14:] = 1
    with torch.no_grad():
        one, other = network_(images)
    assert not torch.equal(one, other)
    assert F.mse_loss(one, other) < 1
