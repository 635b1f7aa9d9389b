"""Floating-point operations of training steps, counted on the models themselves.

Networks are built and run on the meta device: shapes without numbers, so that the paper's sizes take seconds and no
memory. Convolutions and matrix products count, two operations a multiply-accumulate; what is done element by element
(activations, optimizers, averages) does not, nor do the search for codebook entries and moving data: the share of a
device's peak that is reckoned with (`devices.py`) stands for all of it.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.estimation.devices import Work
from pipeline.families import autoencoder_family, load
from pipeline.models.bright import groups, make_group_mlps, make_synthesis, retrieved_shape
from pipeline.models.complexity import retrieval_count
from pipeline.models.decoder import StyleMLP
from pipeline.models.diffusion import build_unet
from pipeline.models.discriminator import make_discriminator
from pipeline.models.encoder import KeyCodeEncoder
from pipeline.models.perceptual import VGG16_LAYERS
from pipeline.settings.autoencoder import Autoencoder, AutoencoderSettings
from pipeline.settings.diffusion import UNet
from pipeline.settings.fields import CodeSize
from pipeline.training import losses

Phase = Literal["off", "critic only", "on"]
Shape = tuple[int, int, int, int]
RECOMPUTED = 4 / 3
"""With `execution.checkpointing` a model runs forward twice and backward once: four thirds of the work, at most."""


def counted(call: Callable[[], object]) -> Work:
    """The operations that `call` does on meta tensors, forward and backward."""
    with torch.device("meta"), torch.enable_grad(), FlopCounterMode(display=False) as counter:
        call()
    found = {str(operator): count for operator, count in counter.get_flop_counts()["Global"].items()}
    convolutions = sum(count for operator, count in found.items() if "convolution" in operator)
    return Work(convolutions, sum(found.values()) - convolutions)


_known: dict[str, Work] = {}


def counted_once(what: str, call: Callable[[], object]) -> Work:
    """The operations of `call`, by a name that says all that they depend on: models share many parts."""
    if what not in _known:
        _known[what] = counted(call)
    return _known[what]


def autoencoder_training(settings: AutoencoderSettings, resolution: int, channels: int, phase: Phase) -> Work:
    """One image's share of a training step, as `pipeline.training.autoencoder` does it."""
    shape = (1, channels, resolution, resolution)
    work = _bright(settings, shape) if isinstance(settings, Autoencoder) else _other_family(settings, shape)
    work *= RECOMPUTED if settings.execution.checkpointing else 1
    work += _perceptual(settings, resolution)
    adversarial = settings.losses.adversarial.kind
    if adversarial != "none" and phase != "off":
        critic = f"{settings.discriminator} {shape}"
        work += counted_once(
            f"{adversarial} {critic}", lambda: _critic_step(adversarial, _critic(settings, shape), shape)
        )
        if phase == "on":
            work += counted_once(critic, lambda: _pull(_critic(settings, shape), shape))
    return work


def _bright(settings: Autoencoder, shape: Shape) -> Work:
    """BRIGHT's encoder and decoder; reading its tables by the paper's rule, once forward and twice as much backward."""
    size, resolution = settings.feature_size, shape[-1]

    def encode() -> None:
        encoder = KeyCodeEncoder(settings.encoder, settings.code_size, resolution, shape[1])
        encoder(torch.empty(shape)).sum().backward()

    def decode() -> None:
        # What the tables give has a gradient: their entries are learned.
        retrieved = torch.empty(1, *retrieved_shape(settings), requires_grad=True)
        block = make_group_mlps(settings)(retrieved)
        style = StyleMLP(settings.feature_channels, settings.decoder.style_width)(block)
        make_synthesis(settings, resolution, shape[1])(block, style, torch.empty).sum().backward()

    block = f"{size} {settings.feature_channels} {groups(settings)} {settings.features} {settings.tables}"
    work = counted_once(f"{settings.encoder} {settings.code_size} {shape}", encode)
    work += counted_once(f"{settings.decoder} {block} {shape}", decode)
    return work + Work(products=2 * retrieval_count(settings)) * 3


def _other_family(settings: AutoencoderSettings, shape: Shape) -> Work:
    """Encoder and decoder of another family's model."""

    def both() -> None:
        height, width, channels = settings.code_size
        model: Any = load(autoencoder_family(settings.family).model)(settings, shape[-1], shape[1])
        model.encode(torch.empty(shape)).sum().backward()
        decode = getattr(model, "decoder", model.decode)
        decode(torch.empty(1, channels, height, width)).sum().backward()

    return counted_once(f"{settings.architecture()} {shape}", both)


def _critic(settings: AutoencoderSettings, shape: Shape) -> nn.Module:
    return make_discriminator(settings.discriminator, shape[-1], shape[1])


def _critic_step(kind: Any, critic: nn.Module, shape: Shape) -> None:
    def of_leaf(images: Tensor) -> Tensor:
        return critic(images * 1)  # a product: the counter's hooks can't take a leaf

    images = torch.empty(shape)
    loss = losses.discriminator_loss(kind, critic(images), critic(images))
    if kind == "wgan_gp":
        loss = loss + losses.gradient_penalty(of_leaf, images, images, torch.empty(1, 1, 1, 1))
    else:
        loss = loss + losses.r1_penalty(of_leaf, images)
    loss.backward()


def _perceptual(settings: AutoencoderSettings, resolution: int) -> Work:
    """Both images forward, and the reconstruction's way back."""
    network = settings.losses.perceptual.network
    if network == "none":
        return Work()
    side = resolution * settings.losses.perceptual.upsample
    shape = (1, 3, side, side)
    forward = counted_once(f"{network} {side} forward", lambda: _perceptual_layers(network)(torch.empty(shape)))
    return forward + counted_once(f"{network} {side}", lambda: _pull(_perceptual_layers(network), shape))


def _perceptual_layers(network: str) -> nn.Module:
    """The layers of a perceptual network that are used: to relu4_3 in Johnson's loss, else all but the last pooling."""
    whole = torchvision.models.alexnet() if network == "lpips_alex" else torchvision.models.vgg16()
    last = VGG16_LAYERS[-1] + 1 if network == "vgg16" else -1
    return whole.features[:last].requires_grad_(False).eval()


def _pull(network: nn.Module, shape: Shape) -> None:
    """Forward, and back to the image alone."""
    leaf = torch.empty(shape, requires_grad=True)
    torch.autograd.grad(network(leaf * 1).sum(), leaf)


def unet_training(settings: UNet, size: CodeSize) -> Work:
    """One code's or image's share of a diffusion model's training step."""
    shape = (1, size.channels, size.height, size.width)

    def step() -> None:
        build_unet(settings, size)(torch.empty(shape), torch.empty(1, dtype=torch.long)).sample.sum().backward()

    return counted_once(f"{settings} {size}", step)
