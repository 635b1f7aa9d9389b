"""Floating-point operations of training steps and of inference, counted on the models themselves.

Networks are built and run on the meta device: shapes without numbers, so that the paper's sizes take a
second and no memory. Convolutions and matrix products count, two operations a multiply-accumulate; what is
done element by element (activations, optimizers, averages) does not, nor does moving data: the share of a
device's peak that is reckoned with (`devices.py`) stands for both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.config.autoencoder import AutoencoderSettings
from pipeline.config.diffusion import UNet
from pipeline.config.fields import CodeSize
from pipeline.models.bright import groups, make_group_mlps, make_synthesis
from pipeline.models.complexity import hash_table_parameters, parameters, retrieval_count
from pipeline.models.decoder import StyleMLP
from pipeline.models.discriminator import Discriminator
from pipeline.models.encoder import KeyCodeEncoder
from pipeline.models.metric_networks.spaces import network_of
from pipeline.models.patch_discriminator import PatchDiscriminator
from pipeline.models.perceptual import VGG16_LAYERS
from pipeline.models.unet import build_unet
from pipeline.training import losses

Phase = Literal["off", "critic only", "on"]


@dataclass(frozen=True)
class Work:
    """Floating-point operations, apart because devices do them at different rates."""

    convolutions: float = 0.0
    products: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.convolutions + other.convolutions, self.products + other.products)

    def __mul__(self, times: float) -> "Work":
        return Work(self.convolutions * times, self.products * times)

    @property
    def total(self) -> float:
        return self.convolutions + self.products


def counted(call: Callable[[], object]) -> Work:
    """The operations that `call` does on meta tensors."""
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        call()
    found = {str(operator): count for operator, count in counter.get_flop_counts()["Global"].items()}
    convolutions = sum(count for operator, count in found.items() if "convolution" in operator)
    return Work(convolutions, sum(found.values()) - convolutions)


_known: dict[str, Work] = {}


def counted_once(what: str, call: Callable[[], object], gradients: bool = False) -> Work:
    """The operations of `call`, by a name that says all that they depend on: models share many parts."""
    key = f"{what} {gradients}"
    if key not in _known:
        with torch.set_grad_enabled(gradients):
            _known[key] = counted(call)
    return _known[key]


class AutoencoderWork:
    """What one image costs in an autoencoder's training, encoding and decoding; this one is BRIGHT's."""

    settings: Any

    def __init__(self, settings: Any, resolution: int, channels: int):
        self.settings = settings
        self.image_shape = (1, channels, resolution, resolution)
        with torch.device("meta"):
            self.encoder = KeyCodeEncoder(settings.encoder, settings.code_size, resolution, channels)
            self.synthesis = make_synthesis(settings, resolution, channels)
            self.style_mlp = StyleMLP(settings.feature_channels, settings.decoder.style_width)
            self.group_mlps = make_group_mlps(settings)
            self.critic = make_critic(settings, resolution, channels)

    @property
    def trainable(self) -> int:
        """Parameters, the hash tables' too."""
        networks = sum(parameters(part) for part in (self.encoder, self.synthesis, self.style_mlp, self.group_mlps))
        return networks + hash_table_parameters(self.settings, self.settings.tables.convention)

    @property
    def trainable_critic(self) -> int:
        """Parameters of the discriminator, if the losses have one."""
        return parameters(self.critic) if self.settings.losses.adversarial.kind != "none" else 0

    def encoding(self) -> Work:
        """One image to its key code."""
        return counted_once(self._encoder, self._encode)

    def decoding(self) -> Work:
        """One key code to its image."""
        return counted_once(self._decoder, self._decode) + self._retrieval()

    def training(self, phase: Phase) -> Work:
        """One image's share of a training step, as `pipeline.training.autoencoder` does it."""
        work = counted_once(self._encoder, lambda: self._encode().sum().backward(), gradients=True)
        work += counted_once(self._decoder, lambda: self._decode().sum().backward(), gradients=True)
        work += self._retrieval() * 3
        work += self._perceptual()
        adversarial = self.settings.losses.adversarial.kind
        if adversarial != "none" and phase != "off":
            critic = f"{self.settings.discriminator} {self.image_shape}"
            work += counted_once(f"{adversarial} {critic}", self._critic_step, gradients=True)
            if phase == "on":
                work += counted_once(critic, lambda: _pull(self.critic, self.image_shape), gradients=True)
        return work

    @property
    def _encoder(self) -> str:
        return f"{self.settings.encoder} {self.settings.code_size} {self.image_shape}"

    @property
    def _decoder(self) -> str:
        settings = self.settings
        block = f"{settings.feature_size} {settings.feature_channels} {groups(settings)} {settings.tables}"
        return f"{settings.decoder} {block} {self.image_shape}"

    def _encode(self) -> Tensor:
        return self.encoder(torch.empty(self.image_shape))

    def _decode(self) -> Tensor:
        tables, size = self.settings.tables, self.settings.feature_size
        width = tables.resolutions * tables.features_per_entry
        # What the tables give has a gradient while training: their entries are learned.
        retrieved = torch.empty(1, groups(self.settings), width, size, size, requires_grad=torch.is_grad_enabled())
        block = self.group_mlps(retrieved)
        return self.synthesis(block, self.style_mlp(block), torch.empty)

    def _critic_step(self) -> None:
        kind: Any = self.settings.losses.adversarial.kind
        images = torch.empty(self.image_shape)
        loss = losses.critic_loss(kind, self.critic(images), self.critic(images))
        if kind == "wgan_gp":
            loss = loss + losses.gradient_penalty(self._critic, images, images, torch.empty(1, 1, 1, 1))
        else:
            loss = loss + losses.r1_penalty(self._critic, images)
        loss.backward()

    def _critic(self, images: Tensor) -> Tensor:
        return self.critic(images * 1)  # a product: the counter's hooks can't take a leaf

    def _retrieval(self) -> Work:
        """Reading the hash tables, forward."""
        return Work(products=2 * retrieval_count(self.settings))

    def _perceptual(self) -> Work:
        """Both images forward, and the reconstruction's way back."""
        perceptual = self.settings.losses.perceptual
        if perceptual.network == "none":
            return Work()
        layers = perceptual_layers(perceptual.network)
        side = self.image_shape[-1] * perceptual.upsample
        forward = lpips_work(perceptual.network, side)
        return forward + counted_once(
            f"{perceptual.network} {side}", lambda: _pull(layers, (1, 3, side, side)), gradients=True
        )


def make_critic(settings: AutoencoderSettings, resolution: int, channels: int) -> nn.Module:
    """The discriminator that a training has."""
    kind = PatchDiscriminator if settings.discriminator.kind == "patch" else Discriminator
    return kind(settings.discriminator, resolution, channels)


def _pull(network: nn.Module, shape: tuple[int, ...]) -> None:
    """Forward, and back to the image alone."""
    leaf = torch.empty(shape, requires_grad=True)
    torch.autograd.grad(network(leaf * 1).sum(), leaf)


def perceptual_layers(network: str) -> nn.Module:
    """The layers of a perceptual network that are used: to relu4_3 in Johnson's loss, else all but the last pooling."""
    with torch.device("meta"):
        whole = torchvision.models.alexnet() if network == "lpips_alex" else torchvision.models.vgg16()
    last = VGG16_LAYERS[-1] + 1 if network == "vgg16" else -1
    return whole.features[:last].requires_grad_(False).eval()


def lpips_work(network: str, resolution: int) -> Work:
    """One image through the layers of a perceptual network."""
    layers = perceptual_layers(network)
    return counted_once(f"{network} {resolution}", lambda: layers(torch.empty(1, 3, resolution, resolution)))


@cache
def embedding_width(resolution: int) -> int:
    """Numbers in the embedding of `pipeline.evaluation.neighbours`: all of AlexNet's that LPIPS compares."""
    hidden, width = torch.empty(1, 3, resolution, resolution, device="meta"), 0
    with torch.no_grad():
        for layer in perceptual_layers("lpips_alex"):
            hidden = layer(hidden)
            if isinstance(layer, nn.ReLU):
                width += hidden.numel()
    return width


class UNetWork:
    """What one key code costs in a diffusion model's training and in one denoising step."""

    def __init__(self, settings: UNet, code_size: CodeSize):
        self.shape = (1, code_size.channels, code_size.height, code_size.width)
        self.name = f"{settings} {code_size}"
        with torch.device("meta"):
            self.unet = build_unet(settings, code_size)

    @property
    def trainable(self) -> int:
        return parameters(self.unet)

    def denoising(self) -> Work:
        """One denoising step."""
        return counted_once(self.name, self._predict)

    def training(self) -> Work:
        """Forward and backward."""
        return counted_once(self.name, lambda: self._predict().sum().backward(), gradients=True)

    def _predict(self) -> Tensor:
        return self.unet(torch.empty(self.shape), torch.empty(1, dtype=torch.long)).sample


@dataclass(frozen=True)
class FeatureNetwork:
    """A metric network's shape: torchvision's (the same layers), its input's side, what it gives of an image."""

    build: Callable[[], nn.Module]
    side: int
    features: int
    logits: int = 0


def _efficientnet() -> nn.Module:
    return EfficientNet.from_name("efficientnet-lite0")


FEATURE_NETWORKS = {
    "inception": FeatureNetwork(
        lambda: torchvision.models.inception_v3(init_weights=False, aux_logits=False), 299, 2048, 1008
    ),
    "clip": FeatureNetwork(torchvision.models.vit_b_32, 224, 512),
    "vgg16": FeatureNetwork(torchvision.models.vgg16, 224, 4096),
    "efficientnet_lite0": FeatureNetwork(_efficientnet, 112, 1280, 1000),
}


def feature_network(space: str) -> FeatureNetwork:
    """The network of a feature space."""
    return FEATURE_NETWORKS[network_of(space)]


def feature_work(space: str) -> Work:
    """One image through the network of a feature space."""
    network = feature_network(space)

    def features() -> None:
        network.build().eval()(torch.empty(1, 3, network.side, network.side))

    return counted_once(f"{network}", features)
