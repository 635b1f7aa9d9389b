"""The networks of the feature spaces (appendix B), each with its own library's preprocessing.

A network takes uint8 images (N, 3, R, R) and returns float32 features (N, D), and for classifiers
logits (N, classes). `resize` says how images get to the network's size, for the protocol.
"""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from cleanfid.resize import build_resizer, make_resizer
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch_fidelity.feature_extractor_clip import build_model as build_clip
from torch_fidelity.utils import create_feature_extractor

from pipeline.base.errors import InputError
from pipeline.models.metric_networks.files import read_network
from pipeline.models.metric_networks.spaces import network_of

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Resizer = Callable[[np.ndarray], np.ndarray]


class FeatureNetwork(nn.Module):
    """A frozen metric network: uint8 images (N, 3, R, R) to (features, logits or None)."""

    resize: str


class EfficientNetFeatures(FeatureNetwork):
    """EfficientNet-Lite0: 1,280 pooled features, 1,000 logits, at 112 px.

    The network is as its package builds it: its convolutions pad for 224 px. Padding made for 112 px
    gives distances of another size.
    """

    resize = "bicubic with antialiasing to 112, clipped to 0..255, (x - 127) / 128; padding of 224"

    def __init__(self, weights: dict[str, Tensor]):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.network = EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(weights)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        scaled = F.interpolate(images.float(), size=(112, 112), mode="bicubic", antialias=True, align_corners=False)
        features = self.network.extract_features((scaled.clamp(0, 255) - 127) / 128).mean(dim=(2, 3))
        return features, self.network._fc(features)


def torch_fidelity_network(name: str, outputs: list[str], weights: dict[str, Tensor]) -> nn.Module:
    """torch-fidelity's own extractor with these weights: uint8 images (N, 3, R, R) to a tuple of outputs."""
    # Its loader wants a path, and unpickles: it gets a file that we made from checked tensors.
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        path = Path(folder) / "weights.pth"
        torch.save(weights, path)
        how = {"cuda": False, "verbose": False, "feature_extractor_weights_path": str(path)}
        return create_feature_extractor(name, outputs, **how)


class TorchFidelityFeatures(FeatureNetwork):
    """InceptionV3 (2,048 features, 1,008 unbiased logits) or VGG16 (4,096 of fc2 after its ReLU).

    torch-fidelity's own extractors, which resize as TensorFlow 1 does, bilinearly.
    """

    def __init__(self, name: str, outputs: list[str], size: int, weights: dict[str, Tensor]):
        super().__init__()
        self.resize = f"torch-fidelity {name}: bilinear as in TensorFlow 1 to {size}"
        self.network = torch_fidelity_network(name, outputs, weights)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        found = self.network(images)
        return found[0], found[1] if len(found) > 1 else None


class CleanFidInception(FeatureNetwork):
    """InceptionV3's 2,048 features of images that clean-fid resized.

    The graph is torch-fidelity's, whose modules stand in the order of its forward pass, without its resize.
    """

    resize = "clean-fid clean: Pillow bicubic to 299 in 32 bits, clipped to 0..255; (x - 128) / 128"

    def __init__(self, weights: dict[str, Tensor]):
        super().__init__()
        *layers, _classifier = torch_fidelity_network("inception-v3-compat", ["2048"], weights).children()
        self.network = nn.Sequential(*layers, nn.Flatten())
        self.resizer: Resizer = build_resizer("clean")

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        return self.network((resized(images, self.resizer) - 128) / 128), None


class PaperVgg16(FeatureNetwork):
    """4,096 features of torchvision's VGG16, fc2 before its ReLU: the repository that the paper names."""

    resize = "torchvision vgg16: Pillow bilinear to 224, 8 bits; ImageNet mean and deviation"

    def __init__(self, weights: dict[str, Tensor]):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            network = torchvision.models.vgg16()
        network.load_state_dict(weights)
        self.network = nn.Sequential(network.features, nn.Flatten(), network.classifier[:4])
        self.resizer: Resizer = make_resizer("PIL", True, "bilinear", (224, 224))

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        return self.network(normalized(resized(images, self.resizer), IMAGENET_MEAN, IMAGENET_STD)), None


class ClipFeatures(FeatureNetwork):
    """CLIP ViT-B/32's 512 image features with clean-fid's preprocessing: Pillow's bicubic on 8-bit images."""

    resize = "clean-fid clip: Pillow bicubic to 224, 8 bits"

    def __init__(self, weights: dict[str, Tensor]):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.network = build_clip({name: weight.float() for name, weight in weights.items()}, torch.float32)
        self.resizer: Resizer = make_resizer("PIL", True, "bicubic", (224, 224))

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        return self.network.visual(normalized(resized(images, self.resizer), CLIP_MEAN, CLIP_STD)).float(), None


def resized(images: Tensor, resizer: Resizer) -> Tensor:
    """uint8 (N, 3, R, R) to float32 (N, 3, S, S) in 0..255, image by image on the CPU, by threads."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:  # Pillow leaves Python's lock
        pictures = list(threads.map(resizer, images.permute(0, 2, 3, 1).cpu().numpy()))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().to(images.device)


def normalized(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Images in 0..255 (N, 3, S, S) with mean and standard deviation of their channels in 0..1 taken out."""
    return torchvision.transforms.functional.normalize(images / 255, list(mean), list(std))


BUILDERS: dict[str, Callable[[dict[str, Tensor]], FeatureNetwork]] = {
    "efficientnet_lite0": EfficientNetFeatures,
    "inception": partial(TorchFidelityFeatures, "inception-v3-compat", ["2048", "logits_unbiased"], 299),
    "inception_clean": CleanFidInception,
    "vgg16": partial(TorchFidelityFeatures, "vgg16", ["fc2_relu"], 224),
    "vgg16_paper": PaperVgg16,
    "clip": ClipFeatures,
}


def load_feature_network(space: str, weights: Path) -> tuple[FeatureNetwork, str]:
    """The network of a feature space from its file, in evaluation mode, and the sha256 of its weights."""
    name = network_of(space)
    tensors, digest = read_network(name, weights)
    try:
        network = BUILDERS[space](tensors)
    except (RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"network {name}: {weights} holds the weights of another network ({reason})") from None
    return network.requires_grad_(False).eval(), digest
