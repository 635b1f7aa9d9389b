"""torch-fidelity's and clean-fid's metrics of two folders, on the true architectures with random weights.

The networks are saved as those libraries read them and as this package does, from the same tensors.
"""

import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import torch
import torch_fidelity
import torchvision
from bright_pipeline.models.metric_networks.files import read_network, write_network
from bright_pipeline.models.metric_networks.manifest import network_path
from cleanfid.fid import compute_fid
from PIL import Image
from torch import Tensor, nn
from torch_fidelity.feature_extractor_clip import CLIPVisual
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

CPU = torch.device("cpu")
BATCH = 50
SIZE = 64  # of the images


def pictures(folder: Path, count: int, seed: int, contrast: float = 1.0) -> Path:
    """A folder of smooth random pictures."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for index in range(count):
        coarse = 127.5 + contrast * (rng.integers(0, 256, (4, 4, 3)) - 127.5)
        picture = Image.fromarray(coarse.round().astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{index:05d}.png")
    return folder


def save_networks(folder: Path) -> Path:
    """InceptionV3, VGG16 and CLIP's ViT-B/32 with random weights; VGG16 and InceptionV3 also as .pth."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    networks = {
        "inception": _random_inception(folder).state_dict(),
        "vgg16": torchvision.models.vgg16().state_dict(),
        "clip": CLIPVisual(512, 224, 12, 768, 32).state_dict() | {"text_projection": torch.zeros(512, 512)},
    }
    for name, weights in networks.items():
        copied = {key: value.clone() for key, value in weights.items()}
        torch.save(copied, folder / f"{name}.pth")
        write_network(name, copied, network_path(name, folder))
    return folder


class _RandomInception(FeatureExtractorInceptionV3):
    """Keeps the weights that it was built with."""

    def load_state_dict(self, *_: object, **__: object) -> None:  # type: ignore[override]
        return None


def _random_inception(folder: Path) -> nn.Module:
    torch.save({}, folder / "empty.pth")
    network = _RandomInception("random", ["2048"], feature_extractor_weights_path=str(folder / "empty.pth"))
    for module in network.modules():  # so that the signal survives forty layers of random weights
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    noise = torch.randint(0, 256, (6, 3, 4, 4), dtype=torch.uint8).repeat_interleave(8, 2).repeat_interleave(8, 3)
    with torch.no_grad():
        network.train()(noise)
    return network.eval()


def reference_metrics(generated: Path, reference: Path, networks: Path) -> dict[str, float]:
    """All generation metrics of a folder against another, from both libraries."""
    found = _by_torch_fidelity(generated, reference, networks / "inception.pth", fid=True, isc=True)
    found |= _by_torch_fidelity(generated, reference, networks / "vgg16.pth", prc=True)
    found["inception_clean.frechet_distance"] = clean_fid(generated, reference, networks)
    found["clip.frechet_distance"] = clip_fid(generated, reference, networks)
    return found


NAMES = {
    "frechet_inception_distance": "inception.frechet_distance",
    "inception_score_mean": "inception.score_mean",
    "inception_score_std": "inception.score_std",
    "precision": "vgg16.precision",
    "recall": "vgg16.recall",
    "f_score": "vgg16.f1",
}


def _by_torch_fidelity(generated: Path, reference: Path, weights: Path, **metrics: bool) -> dict[str, float]:
    how = {"cuda": False, "cache": False, "verbose": False, "batch_size": BATCH, "save_cpu_ram": True}
    images = {"input1": str(generated), "input2": str(reference)}
    found = torch_fidelity.calculate_metrics(feature_extractor_weights_path=str(weights), **images, **how, **metrics)
    return {NAMES[key]: value for key, value in found.items()}


class _FloatInception(FeatureExtractorInceptionV3):
    """torch-fidelity's graph on the 299 px float images of clean-fid, which it does not resize again."""

    def forward(self, images: Tensor) -> Tensor:
        with patch("torch_fidelity.feature_extractor_inceptionv3.vassert"):  # it wants 8 bits
            return super().forward(images)[0]


def clean_fid(generated: Path, reference: Path, networks: Path) -> float:
    """clean-fid's FID, with its own resize and its own distance."""
    network = _FloatInception("float", ["2048"], feature_extractor_weights_path=str(networks / "inception.pth"))
    return _compute_fid(generated, reference, custom_feat_extractor=network)


class _Clip(nn.Module):
    """The image part of CLIP, as OpenAI's package has it."""

    def __init__(self, weights: dict[str, Tensor]):
        super().__init__()
        self.network = CLIPVisual(512, 224, 12, 768, 32)
        self.network.load_state_dict({key: value for key, value in weights.items() if key.startswith("visual.")})

    def encode_image(self, images: Tensor) -> Tensor:
        return self.network.visual(images)


def clip_fid(generated: Path, reference: Path, networks: Path) -> float:
    """clean-fid's CLIP-FID whole; OpenAI's package, which it loads CLIP with, is stood in for by our file."""
    package = ModuleType("clip")
    weights, _ = read_network("clip", network_path("clip", networks))
    package.load = lambda *_, **__: (_Clip(weights), None)  # type: ignore[attr-defined]
    with patch.dict(sys.modules, {"clip": package}):
        return _compute_fid(generated, reference, model_name="clip_vit_b_32")


def _compute_fid(generated: Path, reference: Path, **network: object) -> float:
    how = {"num_workers": 0, "batch_size": BATCH, "device": CPU, "use_dataparallel": False, "verbose": False}
    return float(compute_fid(str(generated), str(reference), mode="clean", **how, **network))
