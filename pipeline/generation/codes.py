"""Codes of a whole split: encode, keep, measure (section 3.4)."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.base.atomic import atomic_path
from pipeline.base.errors import InputError
from pipeline.base.progress import Progress
from pipeline.data.archive import ImageArchive, to_model
from pipeline.models.autoencoder import ImageAutoencoder


@torch.no_grad()
def encode_archive(model: ImageAutoencoder, images: ImageArchive, micro_batch: int) -> Tensor:
    """Codes (count, C_z, H_z, W_z) of all images, in order, on the CPU; key codes are in [0, 1]."""
    device = next(model.parameters()).device
    codes = []
    with Progress("encode", len(images), "images") as progress:
        for first in range(0, len(images), micro_batch):
            indices = range(first, min(first + micro_batch, len(images)))
            batch = to_model(images.tensor(indices)).to(device)
            codes.append(model.encode(pad(batch, micro_batch))[: len(batch)].float().cpu())
            progress.advance(len(batch))
    return torch.cat(codes)


def pad(batch: Tensor, size: int) -> Tensor:
    """The batch filled up with its last row: networks see one size only, so that batching changes no bit."""
    return torch.cat([batch, batch[-1:].expand(size - len(batch), *batch.shape[1:])])


def code_statistics(codes: Tensor) -> dict[str, Any]:
    """Range, mean and variance of the codes, over all and per channel: strictly bounded (section 3.4)."""
    per_channel = codes.transpose(0, 1).flatten(1).double()
    return {
        "count": len(codes),
        "minimum": float(codes.min()),
        "maximum": float(codes.max()),
        "mean": float(per_channel.mean()),
        "variance": float(per_channel.var(correction=0)),
        "channels": {
            "minimum": per_channel.amin(1).tolist(),
            "maximum": per_channel.amax(1).tolist(),
            "mean": per_channel.mean(1).tolist(),
            "variance": per_channel.var(1, correction=0).tolist(),
        },
    }


def write_codes(path: Path, codes: Tensor) -> None:
    """Save codes (count, C_z, H_z, W_z)."""
    with atomic_path(path) as temporary:
        save_file({"codes": codes.contiguous()}, temporary, metadata={"shape": json.dumps(list(codes.shape))})


def read_codes(path: Path) -> Tensor:
    """The codes that `write_codes` wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("codes")
    except Exception as error:
        raise InputError(f"{path}: not a file of key codes ({error}); dump them again") from None


def fit_gaussian(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and a root of the full covariance of flattened codes: (D,), (D, D), float64."""
    flat = codes.flatten(1).double()
    values, vectors = torch.linalg.eigh(torch.cov(flat.T))
    return flat.mean(0), vectors * values.clamp(min=0).sqrt()


def gaussian_codes(mean: Tensor, root: Tensor, generators: list[torch.Generator], shape: tuple[int, ...]) -> Tensor:
    """Codes (len(generators), *shape) drawn from the fitted Gaussian, which knows no bounds."""
    noise = torch.stack([torch.randn(len(mean), generator=g, dtype=torch.float64) for g in generators])
    return (mean + noise @ root.T).reshape(len(generators), *shape).float()
