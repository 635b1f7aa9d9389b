"""Features of images in the metric networks (appendix B): each with its own library's preprocessing.

An extractor takes uint8 images (N, 3, R, R) and returns float32 features (N, D), and for classifiers
logits (N, classes). `resize` says how images get to the network's size, for the protocol.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import Tensor, nn
from torch_fidelity.feature_extractor_clip import build_model as build_clip
from torch_fidelity.utils import create_feature_extractor

from pipeline.data.archive import ContentDigest, ImageArchive, pixel_digest
from pipeline.errors import InputError
from pipeline.evaluation.batches import rgb_batches
from pipeline.evaluation.feature_files import FeatureSet
from pipeline.evaluation.network_files import read_network
from pipeline.progress import Progress

EFFICIENTNET_SIZE = 112
CLIP_SIZE = 224
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class FeatureNetwork(nn.Module):
    """A frozen metric network: uint8 images (N, 3, R, R) to (features, logits or None)."""

    resize: str

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError


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
        size = (EFFICIENTNET_SIZE, EFFICIENTNET_SIZE)
        scaled = F.interpolate(images.float(), size=size, mode="bicubic", antialias=True, align_corners=False)
        maps = self.network.extract_features((scaled.clamp(0, 255) - 127) / 128)
        features = maps.mean(dim=(2, 3))
        return features, self.network._fc(features)


class TorchFidelityFeatures(FeatureNetwork):
    """InceptionV3 (2,048 features, 1,008 unbiased logits) or VGG16 (4,096 of fc2 after its ReLU).

    torch-fidelity's own extractors, which resize as TensorFlow 1 does, bilinearly.
    """

    def __init__(self, name: str, outputs: list[str], size: int, weights: dict[str, Tensor]):
        super().__init__()
        self.resize = f"torch-fidelity {name}: bilinear as in TensorFlow 1 to {size}"
        # Its loader wants a path, and unpickles: it gets a file that we made from checked tensors.
        with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
            path = Path(folder) / "weights.pth"
            torch.save(weights, path)
            self.network = create_feature_extractor(
                name, outputs, cuda=False, feature_extractor_weights_path=str(path), verbose=False
            )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        found = self.network(images)
        return found[0], found[1] if len(found) > 1 else None


class ClipFeatures(FeatureNetwork):
    """CLIP ViT-B/32's 512 image features with clean-fid's preprocessing: Pillow's bicubic on 8-bit images."""

    resize = "clean-fid clip: Pillow bicubic to 224, 8 bits"

    def __init__(self, weights: dict[str, Tensor]):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.network = build_clip({name: weight.float() for name, weight in weights.items()}, torch.float32)
        self.register_buffer("mean", torch.tensor(CLIP_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(CLIP_STD).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        scaled = torch.stack([_pillow_bicubic(image, CLIP_SIZE) for image in images.cpu()]).to(images.device)
        return self.network.visual((scaled.float() / 255 - self.mean) / self.std).float(), None


def _pillow_bicubic(image: Tensor, size: int) -> Tensor:
    """uint8 (3, R, R) to uint8 (3, size, size)."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    resized = picture.resize((size, size), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


BUILDERS: dict[str, Callable[[dict[str, Tensor]], FeatureNetwork]] = {
    "efficientnet_lite0": EfficientNetFeatures,
    "inception": lambda weights: TorchFidelityFeatures(
        "inception-v3-compat", ["2048", "logits_unbiased"], 299, weights
    ),
    "vgg16": lambda weights: TorchFidelityFeatures("vgg16", ["fc2_relu"], 224, weights),
    "clip": ClipFeatures,
}


def load_feature_network(name: str, weights: Path) -> tuple[FeatureNetwork, str]:
    """A metric network from its file, in evaluation mode, and the sha256 of its weights."""
    if name not in BUILDERS:
        raise InputError(f"network {name!r}: has no features for sets of images; use {', '.join(BUILDERS)}")
    tensors, digest = read_network(name, weights)
    try:
        network = BUILDERS[name](tensors)
    except (RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"network {name}: {weights} holds the weights of another network ({reason})") from None
    return network.requires_grad_(False).eval(), digest


@torch.no_grad()
def extract(
    images: ImageArchive,
    name: str,
    weights: Path,
    count: int | None,
    micro_batch: int,
    device: torch.device,
) -> FeatureSet:
    """The features of the first `count` images, in order, with the facts for the protocol."""
    total = len(images) if count is None else count
    if total > len(images):
        raise InputError(f"count: {total} images are asked for, there are {len(images)}")
    network, digest = load_feature_network(name, weights)
    network.to(device)
    features: list[Tensor] = []
    logits: list[Tensor] = []
    content = ContentDigest()
    with Progress(f"features {name}", total, "images") as progress:
        for batch, used in rgb_batches(images, total, micro_batch):
            for image in batch[:used, : images.channels]:
                content.add(pixel_digest(image.permute(1, 2, 0).numpy()))
            found, found_logits = network(batch.to(device))
            features.append(found[:used].float().cpu())
            if found_logits is not None:
                logits.append(found_logits[:used].float().cpu())
            progress.advance(used)
    facts = {
        "count": total,
        "images_sha256": content.hexdigest(),
        "network": name,
        "network_sha256": digest,
        "resize": network.resize,
    }
    return FeatureSet(torch.cat(features).numpy(), torch.cat(logits).numpy() if logits else None, facts)
