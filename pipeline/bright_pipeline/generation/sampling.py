"""Sampling (section 4) in batches, for stages, notebooks and exported models. Image i depends on (seed, i) alone."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress
from bright_pipeline.data.archive import to_uint8
from bright_pipeline.models.autoencoder import ImageAutoencoder, inference_precision
from bright_pipeline.models.checkpoints import pick_device
from bright_pipeline.models.generator import noise_generators

# Draws the images (N, C, R, R) in [-1, 1] with these indices, or their codes (N, C_z, H_z, W_z).
Draw = Callable[[list[int]], Tensor]


def decode_finite(decoder: ImageAutoencoder, codes: Tensor) -> Tensor:
    """The images of codes; InputError for NaN or infinite ones, which are no positions in a hash table."""
    if not codes.isfinite().all():
        raise InputError("codes with NaN or infinite values: their model is damaged, or its training diverged")
    return decoder.decode(codes).float()


@torch.no_grad()
def sample(
    draw: Draw,
    decoder: ImageAutoencoder | None,  # of what `draw` returns; None where these are images
    indices: range,  # of the images, such as range(first, last)
    micro_batch: int,  # images that the networks see at once
    precision: str = "fp32",  # of the networks: fp32, tf32, bf16 or fp16
) -> Iterator[Tensor]:
    """Yield the images with these indices in order: uint8 (N, C, R, R) on the CPU, N at most `micro_batch`.

    The networks always see `micro_batch` images, so that neither the range nor the number of shards changes a bit of
    an image: the surplus images of the last batch are dropped.
    """
    with decoder.frozen() if decoder else nullcontext(), Progress("generate", len(indices), "images") as progress:
        for start in indices[::micro_batch]:
            with inference_precision(precision, pick_device()):
                images = draw(list(range(start, start + micro_batch)))
                if decoder is not None:
                    codes = images.to(next(decoder.parameters()).device)
                    # Not every sampler keeps codes within the bounds that the decoder was trained on.
                    bounded = codes if decoder.code_range is None else codes.clamp(*decoder.code_range)
                    images = decode_finite(decoder, bounded)
            wanted = min(micro_batch, indices.stop - start)
            yield to_uint8(images)[:wanted].cpu()
            progress.advance(wanted)


def gaussian_draw(training_codes: Tensor, seed: int) -> Draw:
    """Draw codes from a full-covariance Gaussian fit to training codes (N, C_z, H_z, W_z); it has no bounds."""
    mean, root = fit_gaussian(training_codes)

    def draw(indices: list[int]) -> Tensor:
        generators = noise_generators(seed, indices)
        noise = torch.stack([torch.randn(len(mean), generator=g, dtype=torch.float64) for g in generators])
        return (mean + noise @ root.T).reshape(len(indices), *training_codes.shape[1:]).float()

    return draw


def fit_gaussian(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and a root (D, D) of the covariance of flattened codes, float64: root root^T is the covariance."""
    if len(codes) < 2:
        raise InputError("a Gaussian of codes takes two training images or more, and there is one")
    flat = codes.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    return flat.mean(0), vectors * values.clamp(min=0).sqrt()
