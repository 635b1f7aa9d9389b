"""The interface of autoencoders of any family (`bright_pipeline/families`), and the precision of inference."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import prod
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from bright_pipeline.models.code_bits import FLOAT_BITS, CodeBits


class Draws(Protocol):
    """Random numbers of one training step (`bright_pipeline.training.batches`); shape[0] is the number of rows."""

    batch: int  # images in the step, over all processes
    rows: slice  # the rows of these that are drawn for

    def normal(self, shape: tuple[int, ...]) -> Tensor: ...
    def uniform(self, shape: tuple[int, ...]) -> Tensor: ...
    def integers(self, below: int, shape: tuple[int, ...]) -> Tensor: ...
    def shared_integers(self, below: int, count: int) -> Tensor: ...


class ImageAutoencoder(nn.Module):
    """Images (N, C, R, R) in [-1, 1] to codes (N, C_z, H_z, W_z) and back."""

    settings: Any
    resolution: int
    channels: int
    encoder: nn.Module  # its parameters have their own learning rate in training
    code_range: tuple[float, float] | None = None  # bounds of the codes; None: unbounded
    # The networks, or lists of them, that torch.compile compiles one by one; the code between stays uncompiled.
    compiled_parts: tuple[str, ...] = ("encoder",)

    def encode(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> codes (N, C_z, H_z, W_z), for diffusion; each code depends on its image alone."""
        return self.encoder(images)

    def decode(self, code: Tensor) -> Tensor:
        """Codes -> images (N, C, R, R); a family with a codebook quantizes first."""
        raise NotImplementedError(f"{type(self).__name__}.decode")

    def training_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions with their graph, and the family's own losses by name: weighted scalars, which are added."""
        raise NotImplementedError(f"{type(self).__name__}.training_pass")

    def decode_noisy(self, codes: Tensor, random: Draws) -> Tensor:
        """Images of noisy codes in the training of the decoder alone (`decoder_stage`)."""
        return self.decode(codes)

    def reconstruct_noisy(self, images: Tensor, random: Draws) -> Tensor:
        """Reconstructions with the noise on codes that the decoder has in training, if any; without gradients."""
        return self.decode(self.encode(images))

    @property
    def last_layer(self) -> nn.Parameter:
        """The weights of the last layer, at which VQGAN's adaptive weight compares gradients."""
        raise NotImplementedError(f"{type(self).__name__}.last_layer")

    def frozen(self) -> AbstractContextManager[None]:
        """A context without weight changes: inference may cache whatever depends on weights alone."""
        return nullcontext()

    def count_hits(self, codes: Tensor) -> Tensor:
        """How often the codes use each entry: (tables or codebooks, entries), or (0, 0) without entries."""
        return torch.zeros(0, 0)

    def reachable_entries(self) -> Tensor:
        """The entries (entries,) that any code can use, as booleans."""
        return torch.zeros(0, dtype=torch.bool)

    def code_moments(self, images: Tensor, count: int) -> Tensor | None:
        """The statistics that `code_bits` needs of the first `count` images (N, C, R, R); None: settings are enough."""
        return None

    def code_bits(self, moments: Sequence[Tensor | None] = ()) -> CodeBits:
        """The bits of an image that its code carries; moments: `code_moments` of all images, batch by batch."""
        return CodeBits(float(FLOAT_BITS * prod(self.settings.code_size)), "float32")

    def forward(self, images: Tensor) -> Tensor:
        return self.decode(self.encode(images))


def pad(batch: Tensor, size: int) -> Tensor:
    """The batch, padded with its last row: networks see batches of one size, so that batching changes no bit."""
    return torch.cat([batch, batch[-1:].expand(size - len(batch), *batch.shape[1:])])


HALF = {"fp16": torch.float16, "bf16": torch.bfloat16}


def inference_precision(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Inference at this precision: autocast to 16 bits as in training; tf32 for matrix products."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    return torch.autocast(device.type, HALF[precision]) if precision in HALF else nullcontext()


@contextmanager
def without_tf32() -> Iterator[None]:
    """Convolutions and matrix products in full float32: by default PyTorch uses TF32 in convolutions on CUDA."""
    allowed = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    _allow_tf32(False, False)
    try:
        yield
    finally:
        _allow_tf32(*allowed)


class _AllowTf32(torch.autograd.Function):
    """The identity, which sets in the backward pass whether convolutions and matrix products may use TF32."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, *allowed: bool) -> Tensor:
        ctx.allowed = allowed
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        _allow_tf32(*ctx.allowed)
        return gradient, None, None


def _allow_tf32(convolutions: bool, products: bool) -> None:
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products


def in_float32(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """A function of float32 tensors, without autocast and TF32 in the forward and in the backward pass.

    tensors: all that the function differentiates, its weights too.

    PyTorch has no such setting for the backward pass of one function. Its engine runs nodes in the reverse order of
    their creation: the node behind the function turns TF32 off, and those before it restore what was allowed.
    """
    return (_uncompiled if torch.compiler.is_compiling() else _in_float32)(function, *tensors)


def _in_float32(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    allowed = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    inputs = [_AllowTf32.apply(tensor, *allowed).float() for tensor in tensors]
    with full_precision(inputs[0]), without_tf32():
        return cast(Tensor, _AllowTf32.apply(function(*inputs), False, False))


# torch.compiler.disable imports the compiler at once, which takes seconds and sets an environment variable.
_uncompiled = _disable_dynamo(_in_float32)


def full_precision(tensor: Tensor) -> AbstractContextManager[None]:
    """No autocast on the tensor's device (the meta device has none), where 16 bits would lose too much."""
    return nullcontext() if tensor.device.type == "meta" else torch.autocast(tensor.device.type, enabled=False)
