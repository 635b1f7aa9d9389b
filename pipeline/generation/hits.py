"""Hits of hash-table entries at the finest resolution over a whole collection (section 3.4, Fig. 5b).

An entry is hit by a key where its interpolation weight is above zero. For families that quantize, the hits
are those of codebook entries; for others there are none.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.base.atomic import atomic_path
from pipeline.base.progress import Progress
from pipeline.models.autoencoder import ImageAutoencoder


@torch.no_grad()
def count_all_hits(model: ImageAutoencoder, codes: Tensor, micro_batch: int) -> tuple[Tensor, Tensor]:
    """Hits (N_h, entries) of the finest resolution's tables by all codes; which entries (entries,) any key can hit."""
    device = next(model.parameters()).device
    hits = torch.zeros(0)
    with Progress("count hits", len(codes), "codes") as progress:
        for part in codes.split(micro_batch):
            counted = model.count_hits(part.to(device)).cpu()
            hits = counted if not len(hits) else hits + counted
            progress.advance(len(part))
    return hits, model.reachable_entries().cpu()


def hit_statistics(hits: Tensor, reachable: Tensor) -> dict[str, Any]:
    """Per group: the share of reachable entries hit, and the coefficient of variation of their hits."""
    among = hits[:, reachable].double()
    variation = among.std(1, correction=0) / among.mean(1)
    return {
        "entries": hits.shape[1],
        "reachable": int(reachable.sum()),
        "share_hit": (among > 0).double().mean(1).tolist(),
        "coefficient_of_variation": variation.tolist(),
    }


def write_hits(path: Path, hits: Tensor, reachable: Tensor) -> None:
    """Save as npz without pickle."""
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, hits=hits.numpy(), reachable=reachable.numpy())
