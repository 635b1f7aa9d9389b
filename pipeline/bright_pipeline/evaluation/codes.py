"""Codes of a collection: encoding, statistics, use of entries, bytes (section 3.4, figure 5b; section 5)."""

from math import ceil, log, log2
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bright_pipeline.base.progress import Progress
from bright_pipeline.data.archive import ImageArchive, to_model
from bright_pipeline.engine.atomic import atomic_path
from bright_pipeline.models.autoencoder import ImageAutoencoder, pad
from bright_pipeline.models.code_bits import FLOAT_BITS

FILLED = 0.05  # deviations: a direction with less is empty
SMALLEST = 1e-6  # deviation, below which all are treated alike
MOST_NUMBERS = 4096  # of a code, for its spectrum: the time grows with the third power
ROWS = 4096  # codes at once
SIZES = {"table": "tables", "decoding": "decoding", "collection": "codes"}  # name in a summary -> key of `storage`


@torch.no_grad()
def encode_archive(model: ImageAutoencoder, images: ImageArchive, micro_batch: int) -> Tensor:
    """Codes (count, C_z, H_z, W_z) of all images, in order, on the CPU; key codes are in [0, 1]."""
    device = next(model.parameters()).device
    codes = []
    with Progress("encode", len(images), "images") as progress:
        for first in range(0, len(images), micro_batch):
            pixels = images.tensor(range(first, min(first + micro_batch, len(images))))
            batch = pad(to_model(pixels).to(device), micro_batch)
            codes.append(model.encode(batch)[: len(pixels)].float().cpu())
            progress.advance(len(pixels))
    return torch.cat(codes)


def code_statistics(codes: Tensor) -> dict[str, Any]:
    """Range, mean and variance of codes (count, C_z, H_z, W_z), over all numbers and per channel."""
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


def principal_deviations(codes: Tensor) -> list[float]:
    """Standard deviations of codes (count, C_z, H_z, W_z) along their principal directions, largest first; D numbers.

    Each channel is standardized first. They show how many directions of the D = C_z H_z W_z numbers the codes fill:
    what a diffusion model has to learn. Empty where D is above 4,096, or where there are fewer codes than numbers.
    """
    numbers = codes[0].numel()
    if not MOST_NUMBERS >= numbers < len(codes):
        return []
    scatter = torch.zeros(numbers, numbers, dtype=torch.float64)
    mean, deviation = codes.mean((0, 2, 3), dtype=torch.float64), codes.double().std((0, 2, 3))
    standardized = (codes - mean[:, None, None]) / deviation.clamp(min=SMALLEST)[:, None, None]
    centre = standardized.mean(0)
    for part in (standardized - centre).split(ROWS):
        flat = part.flatten(1)
        scatter += flat.T @ flat
    return torch.linalg.eigvalsh(scatter / (len(codes) - 1)).clamp(min=SMALLEST**2).sqrt().flip(0).tolist()


def spectrum_numbers(deviations: list[float]) -> dict[str, float]:
    """`directions`, the principal deviations above 0.05, and `mean_log_deviation`, the mean of their logarithms.

    The latter is the Gaussian entropy per number up to a constant.
    """
    if not deviations:
        return {}
    return {
        "directions": sum(deviation > FILLED for deviation in deviations),
        "mean_log_deviation": fmean(map(log, deviations)),
    }


@torch.no_grad()
def count_hits(model: ImageAutoencoder, codes: Tensor, micro_batch: int) -> tuple[Tensor, Tensor]:
    """Hits (groups, entries) by all codes, and which entries (entries,) a code can reach; empty without entries."""
    device = next(model.parameters()).device
    hits = torch.zeros(0)
    with Progress("count hits", len(codes), "codes") as progress:
        for batch in codes.split(micro_batch):
            counted = model.count_hits(batch.to(device)).cpu()
            hits = counted if not len(hits) else hits + counted
            progress.advance(len(batch))
    return hits, model.reachable_entries().cpu()


def write_hits(path: Path, hits: Tensor, reachable: Tensor) -> None:
    """Save as npz without pickle."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, hits=hits.numpy(), reachable=reachable.numpy())


def usage(hits: np.ndarray, reachable: np.ndarray) -> dict[str, Any] | None:
    """Use of reachable entries (entries,) by hits (groups, entries): shares, perplexities, variation; None without any.

    `hit_variation` is the coefficient of variation of the hits, standard deviation over mean, in the median group.
    """
    among = hits[:, reachable.astype(bool)] if hits.size else hits
    if not among.size:
        return None
    shares, perplexities = (among > 0).mean(axis=1), [perplexity(group) for group in among]
    entries = among.shape[1]
    return {
        "groups": len(among),
        "entries": entries,
        "used_share": float(shares.mean()),
        "least_used_share": float(shares.min()),
        "perplexity": float(np.mean(perplexities)),
        "evenness": float(np.mean(perplexities) / entries),
        "hit_variation": float(np.median([group.std() / max(group.mean(), SMALLEST) for group in among])),
    }


def perplexity(hits: np.ndarray) -> float:
    """exp of the entropy of hits (entries,); 0 without hits."""
    shares = hits[hits > 0] / max(hits.sum(), 1)
    return float(np.exp(-(shares * np.log(shares)).sum())) if len(shares) else 0.0


def storage(model: nn.Module, codes: Tensor) -> dict[str, Any]:
    """Whole bytes of an autoencoder, of all but its encoder (`decoding`), and of codes (count, C_z, H_z, W_z)."""
    tables, encoder = getattr(model, "tables", None), getattr(model, "encoder", None)
    bits, numbers = FLOAT_BITS, codes[0].numel()
    if entries := getattr(model, "codebook_size", None):
        bits = max(1, ceil(log2(entries)))
        numbers = model.indices(codes[:1].to(next(model.parameters()).device))[0].numel()
    return {
        "tables": weight_bytes(tables) if isinstance(tables, nn.Module) else 0,
        "decoding": weight_bytes(model) - (weight_bytes(encoder) if isinstance(encoder, nn.Module) else 0),
        "code_bits": numbers * bits,
        "images": len(codes),
        "codes": len(codes) * ceil(numbers * bits / 8),
    }


def code_numbers(statistics: dict[str, Any], used: dict[str, Any] | None, stored: dict[str, int]) -> dict[str, float]:
    """The tables' numbers: ranges, use of entries (in %; `used`: None without any), sizes in 10^6 bytes."""
    numbers = {f"code_{key}": statistics[key] for key in ("minimum", "maximum", "mean", "variance")}
    if used is not None:
        numbers |= {key: used[key] for key in ("entries", "perplexity", "evenness", "hit_variation")}
        numbers["used_share"] = 100 * used["used_share"]
    numbers |= {f"{name}_megabytes": stored[key] / 1e6 for name, key in SIZES.items()}
    numbers |= {"code_bytes": stored["code_bits"] / 8, "kept_megabytes": (stored["decoding"] + stored["codes"]) / 1e6}
    return numbers


def weight_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers, as in its weights file."""
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
