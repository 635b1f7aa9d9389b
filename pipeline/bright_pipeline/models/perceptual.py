"""The perceptual loss of equation 5 (section 3.3), and LPIPS, which is a variant of it and a metric.

- `vgg16`: Johnson's feature reconstruction loss (the paper's reference [15]): squared distances between VGG16
  (ImageNet) features, or absolute ones as in the authors' code, averaged over channels and positions, and summed over
  layers. The paper names no layers; relu1_2, relu2_2, relu3_3 and relu4_3 are the four of Johnson's paper.
- `lpips_alex`, `lpips_vgg`: LPIPS of the lpips package, with the package's heads and our copy of the backbone.

Images are (N, 1 or 3, H, W) in [-1, 1]; gray ones are repeated to three channels. The result is (N,).
"""

import warnings
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import to_rgb
from bright_pipeline.models.autoencoder import in_float32
from bright_pipeline.models.metric_networks.files import read_network
from bright_pipeline.models.metric_networks.manifest import PERCEPTUAL_NETWORKS
from bright_pipeline.models.metric_networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD

Weights = Path | str | dict[str, Tensor]  # a network's file, or its tensors by torchvision's names
SMALLEST_IMAGE = {"lpips_alex": 31, "lpips_vgg": 16}  # in smaller images the last layers have no positions left

# Indices in torchvision's `vgg16().features` of relu1_2, relu2_2, relu3_3, relu4_3.
VGG16_LAYERS = (3, 8, 15, 22)


def _tensors(name: str, weights: Weights) -> dict[str, Tensor]:
    return weights if isinstance(weights, dict) else read_network(name, weights)[0]


class FrozenModule(nn.Module):
    """A pretrained network: no gradients for its weights, and always in evaluation mode."""

    def freeze(self) -> None:
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "FrozenModule":
        return super().train(False)


class PerceptualLoss(FrozenModule):
    """One number per image, differentiable in `images`; both are first enlarged or resized, bilinearly."""

    def __init__(
        self, kind: str, weights: Weights | None, upsample: int = 1, distance: str = "squared", resize: int = 0
    ):
        """resize: the side to which images are resized; 0: they are enlarged by `upsample`."""
        super().__init__()
        if weights is None:
            raise InputError(f"perceptual loss {kind}: needs the network {PERCEPTUAL_NETWORKS[kind]}")
        self.resize = resize
        self.upsample = upsample  # networks trained on 224 x 224 images are poor judges of 32 x 32
        self.distance = Vgg16Distance(weights, distance) if kind == "vgg16" else LpipsDistance(kind, weights)
        self.freeze()

    def forward(self, images: Tensor, reference: Tensor) -> Tensor:
        """images, reference: (N, 1 or 3, H, W) in [-1, 1]; returns (N,)."""
        if self.upsample > 1 or self.resize:
            side = self.resize or self.upsample * images.shape[-1]
            resized = partial(F.interpolate, size=(side, side), mode="bilinear", align_corners=False)
            images, reference = resized(images), resized(reference)
        return self.distance(images, reference)


class LpipsDistance(FrozenModule):
    """LPIPS 0.1 of two batches of images in [-1, 1], (N,): the loss, the metric and the nearest neighbours."""

    def __init__(self, kind: str, weights: Weights):
        super().__init__()
        import lpips

        self.kind, tensors = kind, _tensors(kind, weights)
        # The package's module, without a download and without a change of random generators.
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")  # it calls torchvision with a deprecated argument
            self.network = lpips.LPIPS(net=kind.removeprefix("lpips_"), pnet_rand=True, pretrained=True, verbose=False)
        # The package's slices keep torchvision's indices: features.3.weight is sliceK.3.weight for some K.
        names = self.network.net.state_dict()
        self.network.net.load_state_dict({name: tensors[f"features.{name.split('.', 1)[1]}"] for name in names})
        self.freeze()

    def forward(self, images: Tensor, reference: Tensor) -> Tensor:
        side, smallest = min(images.shape[-2:]), SMALLEST_IMAGE[self.kind]
        if side < smallest:
            raise InputError(f"{self.kind}: needs {smallest} x {smallest} pixels (upsampled) or more, not {side}")
        # The package's epsilon of 1e-10 is zero in 16 bits.
        return in_float32(lambda images: self.network(to_rgb(images), to_rgb(reference).float()).flatten(), images)


class Vgg16Distance(FrozenModule):
    """Johnson's feature reconstruction loss between two batches of images in [-1, 1]: (N,)."""

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Weights, distance: str = "squared"):
        """distance: of features, squared (Johnson's) or absolute (the authors' code's)."""
        super().__init__()
        import torchvision

        self.apart = torch.abs if distance == "absolute" else torch.square
        tensors = _tensors("lpips_vgg", weights)
        with torch.device("meta"):  # no time and no random numbers for weights that are replaced below
            features = torchvision.models.vgg16().features[: VGG16_LAYERS[-1] + 1]
        features.load_state_dict({name: tensors[f"features.{name}"] for name in features.state_dict()}, assign=True)
        for layer in features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # the gradient may need the layer before
        self.features = features
        # For images in [-1, 1], so that one step normalizes them.
        self.register_buffer("mean", 2 * torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) - 1)
        self.register_buffer("std", 2 * torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))
        self.freeze()

    def layers(self, images: Tensor) -> list[Tensor]:
        """The features of the four layers, of images (N, 1 or 3, H, W)."""
        chosen = []
        hidden = (to_rgb(images).float() - self.mean) / self.std
        for index, layer in enumerate(self.features):
            hidden = layer(hidden)
            if index in VGG16_LAYERS:
                chosen.append(hidden)
        return chosen

    def forward(self, images: Tensor, reference: Tensor) -> Tensor:
        def distance(images: Tensor) -> Tensor:
            pairs = zip(self.layers(images), self.layers(reference), strict=True)
            return torch.stack([self.apart(left - right).mean(dim=(1, 2, 3)) for left, right in pairs]).sum(dim=0)

        return in_float32(distance, images)
