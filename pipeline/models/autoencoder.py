"""What a network of any family of autoencoders does (`pipeline/families`)."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pipeline.models import code_bits
from pipeline.models.code_bits import CodeBits


class Draws(Protocol):
    """Random numbers of one training step (`pipeline.training.batches`); shape[0] is the local batch."""

    batch: int
    """Images of the step, over all processes."""
    rows: slice
    """This process's images among them."""

    def normal(self, shape: tuple[int, ...]) -> Tensor: ...
    def uniform(self, shape: tuple[int, ...]) -> Tensor: ...
    def integers(self, below: int, shape: tuple[int, ...]) -> Tensor: ...
    def shared_integers(self, below: int, count: int) -> Tensor: ...


class ImageAutoencoder(nn.Module):
    """Images (N, C, R, R) in [-1, 1] to codes (N, C_z, H_z, W_z) and back."""

    settings: Any
    resolution: int
    channels: int
    encoder: nn.Module
    """Its parameters have a learning rate of their own in training."""
    code_range: tuple[float, float] | None = None
    """Bounds of the codes; None where they have none."""

    @property
    def compiled_parts(self) -> list[nn.Module]:
        """Networks that torch.compile may take, each for itself; what lies between them stays as it is."""
        return [self.encoder]

    def encode(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> codes (N, C_z, H_z, W_z), as diffusion models learn them, of the image alone."""
        return self.encoder(images)

    def decode(self, code: Tensor) -> Tensor:
        """Images of codes, with quantization first where the family has any."""
        raise NotImplementedError(f"{type(self).__name__}.decode")

    def training_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions with their graph, and the family's own losses by name, weighted: scalars to be added."""
        raise NotImplementedError(f"{type(self).__name__}.training_pass")

    @property
    def last_layer(self) -> nn.Parameter:
        """The weights of the last layer, where VQGAN's adaptive weight compares gradients."""
        raise NotImplementedError(f"{type(self).__name__}.last_layer")

    def frozen(self) -> AbstractContextManager[None]:
        """While no weight changes, inference may keep what depends on weights alone."""
        return nullcontext()

    def count_hits(self, codes: Tensor) -> Tensor:
        """How often the codes use each entry (tables or codebooks, entries); (0, 0) where there is none."""
        return torch.zeros(0, 0)

    def reachable_entries(self) -> Tensor:
        """Which entries (entries,) any code can use."""
        return torch.zeros(0, dtype=torch.bool)

    def code_moments(self, images: Tensor, count: int) -> Tensor | None:
        """What `code_bits` needs from the first `count` of images (N, C, R, R); None if settings are enough."""
        return None

    def code_bits(self, moments: Sequence[Tensor | None] = ()) -> CodeBits:
        """How many bits of an image its code carries; `moments`: `code_moments` of all images, batch by batch."""
        return code_bits.of_floats(prod(self.settings.code_size))

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructions of images."""
        return self.decode(self.encode(images))


def pad(batch: Tensor, size: int) -> Tensor:
    """The batch filled up with its last row: networks see one size only, so that batching changes no bit."""
    return torch.cat([batch, batch[-1:].expand(size - len(batch), *batch.shape[1:])])


HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


def of_precision(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Inference in 16 bits where `precision` says so, as a training's autocast has it; tf32 changes matrix products."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    if precision not in HALF:
        return nullcontext()
    return torch.autocast(device.type, HALF[precision])


@contextmanager
def without_tf32() -> Iterator[None]:
    """All bits of 32 in convolutions and matrix products: torch lets convolutions on CUDA have fewer by default."""
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [one.allow_tf32 for one in backends]
    for one in backends:
        one.allow_tf32 = False
    try:
        yield
    finally:
        for one, allowed in zip(backends, before, strict=True):
            one.allow_tf32 = allowed


def full_precision(tensor: Tensor) -> AbstractContextManager[None]:
    """No autocast on the tensor's device (the meta device has none), where half would lose too much."""
    if tensor.device.type == "meta":
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)
