"""The networks of the feature spaces (appendix B), each with its own library's preprocessing.

A network takes images (N, 3, S, S), uint8 or float32 in 0..255 as its library's resizer returns them. Its outputs are
float32 features (N, D) and, for classifiers, logits (N, classes). `resize` describes the resizing for the protocol:
images are resized one by one on the CPU by `resizer` if the library does so, otherwise by the network. A library is
imported by the space that needs it.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bright_pipeline.base.errors import InputError
from bright_pipeline.models.metric_networks.files import read_network
from bright_pipeline.models.metric_networks.preprocessing import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from bright_pipeline.settings.spaces import space_of

Resizer = Callable[[np.ndarray], np.ndarray]
Weights = dict[str, Tensor]


class FeatureNetwork(nn.Module):
    """A frozen metric network: images (N, 3, S, S) to (features, logits or None).

    resizer: uint8 (R, R, 3) to (S, S, 3); None: the network takes images of any size.
    prepare: converts images to the input of `network`.
    """

    def __init__(
        self, network: nn.Module, prepare: Callable[[Tensor], Tensor], resize: str, resizer: Resizer | None = None
    ):
        super().__init__()
        self.network, self.prepare, self.resize, self.resizer = network, prepare, resize, resizer

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs = self.network(self.prepare(images))
        features, *logits = outputs if isinstance(outputs, tuple) else (outputs,)
        return features, logits[0] if logits else None


class EfficientNetFeatures(FeatureNetwork):
    """EfficientNet-Lite0: 1,280 pooled features, 1,000 logits, at 112 px."""

    def __init__(self, weights: Weights):
        from efficientnet_lite_pytorch import EfficientNet

        resize = "bicubic with antialiasing to 112, clipped to 0..255, (x - 127) / 128; padding of 224"
        # Convolutions padded for 224 px, as in its package: padding for 112 px would change the scale of the distances.
        super().__init__(EfficientNet.from_name("efficientnet-lite0"), self._scaled, resize)
        self.network.load_state_dict(weights)

    def _scaled(self, images: Tensor) -> Tensor:
        scaled = F.interpolate(images.float(), size=(112, 112), mode="bicubic", antialias=True, align_corners=False)
        return (scaled.clamp(0, 255) - 127) / 128

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.extract_features(self.prepare(images)).mean(dim=(2, 3))
        return features, self.network._fc(features)


efficientnet_lite0 = EfficientNetFeatures


def inception(weights: Weights) -> FeatureNetwork:
    """torch-fidelity's InceptionV3: 2,048 features, 1,008 unbiased logits."""
    return resized_by_torch_fidelity("inception-v3-compat", ["2048", "logits_unbiased"], 299, weights)


def vgg16(weights: Weights) -> FeatureNetwork:
    """torch-fidelity's VGG16: 4,096 features of fc2 after its ReLU."""
    return resized_by_torch_fidelity("vgg16", ["fc2_relu"], 224, weights)


def resized_by_torch_fidelity(name: str, outputs: list[str], size: int, weights: Weights) -> FeatureNetwork:
    """A network of torch-fidelity with its resizing."""
    resize = f"torch-fidelity {name}: bilinear as in TensorFlow 1 to {size}"
    return FeatureNetwork(torch_fidelity_network(name, outputs, weights), nn.Identity(), resize)


def torch_fidelity_network(name: str, outputs: list[str], weights: Weights) -> nn.Module:
    """An extractor of torch-fidelity with these weights: uint8 images (N, 3, R, R) to a tuple of outputs."""
    from torch_fidelity.utils import create_feature_extractor

    # Its loader needs a path and unpickles the file, so it gets a file made here from checked tensors.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(weights, path)
        how = {"cuda": False, "verbose": False, "feature_extractor_weights_path": str(path)}
        return create_feature_extractor(name, outputs, **how)


def inception_clean(weights: Weights) -> FeatureNetwork:
    """InceptionV3's 2,048 features of images resized by clean-fid: torch-fidelity's, without its resizing."""
    from cleanfid.resize import build_resizer

    # Its modules are in the order of the forward pass.
    *layers, _classifier = torch_fidelity_network("inception-v3-compat", ["2048"], weights).children()
    resizer, resize = build_resizer("clean"), "Pillow bicubic to 299 in 32 bits, clipped to 0..255; (x - 128) / 128"
    network = nn.Sequential(*layers, nn.Flatten())
    return FeatureNetwork(network, lambda images: (images - 128) / 128, f"clean-fid clean: {resize}", resizer)


def vgg16_paper(weights: Weights) -> FeatureNetwork:
    """torchvision's VGG16, 4,096 features of fc2 before its ReLU, as in the repository that the paper names."""
    import torchvision

    whole = torchvision.models.vgg16()
    whole.load_state_dict(weights)
    network = nn.Sequential(whole.features, nn.Flatten(), whole.classifier[:4])
    return resized_by_pillow(network, "torchvision vgg16", 224, "bilinear")


def clip(weights: Weights) -> FeatureNetwork:
    """CLIP ViT-B/32's 512 image features with clean-fid's preprocessing: Pillow's bicubic on 8-bit images."""
    return resized_by_pillow(clip_image_network(weights), "clean-fid clip", 224, of_clip=True)


def clip_l14_336(weights: Weights) -> FeatureNetwork:
    """CLIP ViT-L/14's 768 image embeddings, of length 1, at 336 px, as CMMD's authors prepare images for it."""
    network = clip_image_network(weights)
    network.register_forward_hook(lambda module, images, embeddings: F.normalize(embeddings, dim=1))
    return resized_by_pillow(network, "google-research/cmmd", 336, of_clip=True)


def clip_image_network(weights: Weights) -> nn.Module:
    """CLIP's image encoder from torch-fidelity, sized by the weights: normalized images to embeddings (N, D)."""
    from torch_fidelity.feature_extractor_clip import build_model as build_clip

    return build_clip({name: weight.float() for name, weight in weights.items()}, torch.float32).visual


def dinov2(weights: Weights) -> FeatureNetwork:
    """DINOv2 ViT-L/14's 1,024 features of the class token with dgm-eval's preprocessing: Pillow's bicubic, 8 bits.

    torchvision's VisionTransformer differs from the authors' (Oquab et al. 2023; FD-DINOv2: Stein et al. 2023) in its
    names and in two parts, which are folded into the weights:

    - LayerScale multiplies each channel of a branch: gamma (W x + b) = (gamma W) x + gamma b for its last linear map.
    - Positions were learned at 518 px (37 x 37 patches of 14). For the 16 x 16 patches of 224 px the authors' code
      interpolates them bicubically with a scale of 16.1 / 37.

    timm and transformers include DINOv2, but interpolate positions in other ways.
    """
    from torchvision.models import VisionTransformer

    def scaled(linear: Tensor, gamma: Tensor) -> Tensor:
        """Multiply the output of a linear map, given its weight (D, E) or bias (D), by gamma (D)."""
        return linear * gamma.view(-1, *[1] * (linear.ndim - 1))

    size, patch, head = 224, 14, 64  # head: channels of an attention head, in all sizes of DINOv2
    width = weights["cls_token"].shape[-1]
    depth = sum(name.endswith(".ls1.gamma") for name in weights)
    with torch.device("meta"):
        network = VisionTransformer(size, patch, depth, width // head, width, 4 * width)
    network.heads = nn.Identity()

    # The positions (1, 1 + 37 * 37, D) of class token and patches, interpolated from 518 px to 224 px.
    of_class, of_patches = weights["pos_embed"][:, :1], weights["pos_embed"][:, 1:]
    before, after = round(of_patches.shape[1] ** 0.5), size // patch
    square = of_patches.unflatten(1, (before, before)).permute(0, 3, 1, 2)
    # The authors' code adds 0.1 patches before interpolating, against rounding.
    scale = (after + 0.1) / before
    resized = F.interpolate(square, scale_factor=(scale, scale), mode="bicubic", align_corners=False)
    positions = torch.cat([of_class, resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)

    # By torchvision's names, without the mask token: only training uses it.
    renamed = {"class_token": weights["cls_token"], "encoder.pos_embedding": positions}
    for kind in ("weight", "bias"):
        renamed[f"conv_proj.{kind}"] = weights[f"patch_embed.proj.{kind}"]
        renamed[f"encoder.ln.{kind}"] = weights[f"norm.{kind}"]
        for number in range(depth):
            old, new = f"blocks.{number}.", f"encoder.layers.encoder_layer_{number}."
            attention, perceptron = weights[f"{old}ls1.gamma"], weights[f"{old}ls2.gamma"]
            renamed |= {
                f"{new}ln_1.{kind}": weights[f"{old}norm1.{kind}"],
                f"{new}self_attention.in_proj_{kind}": weights[f"{old}attn.qkv.{kind}"],
                f"{new}self_attention.out_proj.{kind}": scaled(weights[f"{old}attn.proj.{kind}"], attention),
                f"{new}ln_2.{kind}": weights[f"{old}norm2.{kind}"],
                f"{new}mlp.0.{kind}": weights[f"{old}mlp.fc1.{kind}"],
                f"{new}mlp.3.{kind}": scaled(weights[f"{old}mlp.fc2.{kind}"], perceptron),
            }
    network.load_state_dict(renamed, assign=True)
    return resized_by_pillow(network, "dgm-eval DINOv2", size)


def resized_by_pillow(
    network: nn.Module, whose: str, size: int, method: str = "bicubic", of_clip: bool = False
) -> FeatureNetwork:
    """A network of images that Pillow resizes in 8 bits, normalized by ImageNet's or CLIP's mean and deviation."""
    from cleanfid.resize import make_resizer
    from torchvision.transforms.functional import normalize

    mean, std = map(list, (CLIP_MEAN, CLIP_STD) if of_clip else (IMAGENET_MEAN, IMAGENET_STD))
    resize = f"{whose}: Pillow {method} to {size}, 8 bits{'' if of_clip else '; ImageNet mean and deviation'}"
    resizer = make_resizer("PIL", True, method, (size, size))
    return FeatureNetwork(network, lambda images: normalize(images.float() / 255, mean, std), resize, resizer)


def load_feature_network(space: str, weights: Path) -> tuple[FeatureNetwork, str]:
    """Load the network of a feature space in evaluation mode; returns it with the sha256 of its weights."""
    name = space_of(space).network
    tensors, digest = read_network(name, weights)
    try:
        with torch.random.fork_rng(devices=[]):
            network: FeatureNetwork = globals()[space](tensors)
    except (RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"network {name}: {weights} has the weights of another network ({reason})") from None
    return network.requires_grad_(False).eval(), digest
