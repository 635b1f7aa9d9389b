"""Nearest training images by LPIPS (Fig. 9), and the check for memorised images that follows from them.

LPIPS is a squared Euclidean distance. With f_l the unit-normalised features of layer l at H_l x W_l
positions and w_l >= 0 the weights of its head,

    LPIPS(a, b) = sum_l 1/(H_l W_l) sum_positions sum_channels w_l (f_l(a) - f_l(b))^2 = |e(a) - e(b)|^2,
    e = concatenation over l of sqrt(w_l / (H_l W_l)) f_l.

So the neighbours are exact, and come from matrix products of embeddings, block by block. Images are
compared at their own resolution; an embedding has 5,760 numbers at 32 px, 640,128 at 256 px (AlexNet), so
that training embeddings are made block by block and not kept.
"""

from dataclasses import dataclass
from pathlib import Path

import lpips
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress
from pipeline.data.archive import ImageArchive, to_model, to_rgb
from pipeline.data.pictures import contact_sheet
from pipeline.evaluation.batches import rgb_batches
from pipeline.models.perceptual import FrozenModule, LpipsDistance

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
COPIES_BELOW = 0.05  # of the validation images' distances


class LpipsEmbedding(FrozenModule):
    """uint8 images (N, 3, R, R) to e, (N, D): the squared distance of two is LPIPS on AlexNet."""

    def __init__(self, weights: Path):
        super().__init__()
        self.network = LpipsDistance("lpips_alex", weights).network
        self.freeze()

    def forward(self, images: Tensor) -> Tensor:
        network = self.network
        parts = []
        for layer, head in zip(network.net(network.scaling_layer(to_model(images))), network.lins, strict=True):
            scale = (head.model[-1].weight / layer[0, 0].numel()).sqrt()
            parts.append((lpips.normalize_tensor(layer) * scale).flatten(1))
        return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class Neighbours:
    """distances (N, k), LPIPS, ascending; indices (N, k) of the training images."""

    distances: Tensor
    indices: Tensor


@torch.no_grad()
def nearest(
    embedding: LpipsEmbedding,
    queries: ImageArchive,
    count: int,
    train: ImageArchive,
    neighbours: int,
    micro_batch: int,
    memory_gb: float,
) -> Neighbours:
    """The nearest training images of the first `count` queries, exactly.

    Half of the memory holds queries' embeddings; if they don't fit, the training images are
    embedded again for each part of the queries.
    """
    if count > len(queries):
        raise InputError(f"count: {count} images are asked for, there are {len(queries)}")
    if neighbours > len(train):
        raise InputError(f"neighbours: {neighbours} are asked for, there are {len(train)} training images")
    device = next(embedding.parameters()).device
    width = embedding(to_rgb(train.tensor([0])).to(device)).shape[1]
    part = max(1, int(memory_gb * 1e9 / 2 / (4 * width)))
    found = []
    for first in range(0, count, part):
        indices = range(first, min(first + part, count))
        blocks = [
            embedding(to_rgb(queries.tensor(indices[i : i + micro_batch])).to(device))
            for i in range(0, len(indices), micro_batch)
        ]
        found.append(_nearest_of(embedding, torch.cat(blocks), train, neighbours, micro_batch))
    return Neighbours(torch.cat([one.distances for one in found]), torch.cat([one.indices for one in found]))


def _nearest_of(
    embedding: LpipsEmbedding, queries: Tensor, train: ImageArchive, neighbours: int, micro_batch: int
) -> Neighbours:
    """The nearest training images of embedded queries (N, D): a running best, merged block by block."""
    best = queries.new_full((len(queries), neighbours), torch.inf)
    index = torch.zeros(best.shape, dtype=torch.long, device=best.device)
    norms = queries.square().sum(dim=1, keepdim=True)
    first = 0
    with (
        rgb_batches(train, 0, len(train), micro_batch) as batches,
        Progress("nearest neighbours", len(train), "training images") as progress,
    ):
        for batch in batches:
            block = embedding(batch.images.to(queries.device))[batch.used]
            distances = (norms + block.square().sum(dim=1) - 2 * queries @ block.T).clamp(min=0)
            numbers = torch.arange(first, first + len(block), device=best.device).expand(len(queries), -1)
            best, order = torch.cat([best, distances], dim=1).topk(neighbours, largest=False, sorted=True)
            index = torch.cat([index, numbers], dim=1).gather(1, order)
            first += len(block)
            progress.advance(len(block))
    return Neighbours(best.cpu(), index.cpu())


def neighbours_table(found: dict[str, tuple[list[str], Neighbours]], train_names: list[str]) -> pd.DataFrame:
    """One row per neighbour: set, image, rank (from 1), train_image, lpips."""
    frames = []
    for name, (images, neighbours) in found.items():
        rows, columns = neighbours.indices.shape
        facts = {
            "set": name,
            "image": np.repeat(images[:rows], columns),
            "rank": np.tile(np.arange(1, columns + 1), rows),
            "train_image": [train_names[i] for i in neighbours.indices.flatten().tolist()],
            "lpips": neighbours.distances.flatten().double().numpy(),
        }
        frames.append(pd.DataFrame(facts))
    return pd.concat(frames, ignore_index=True)


def memorisation(generated: Neighbours, validation: Neighbours) -> dict[str, float]:
    """Median LPIPS to the nearest training image, and the generated images' over the validation images'.

    Validation images were never seen, so a model that copies training images has a ratio well below 1.
    """
    medians = [float(one.distances[:, 0].median()) for one in (generated, validation)]
    if medians[1] == 0:
        raise InputError("validation images: most are exact copies of training images; the split is wrong")
    return {"median_generated": medians[0], "median_validation": medians[1], "ratio": medians[0] / medians[1]}


def distance_quantiles(neighbours: Neighbours) -> dict[str, float]:
    """The distribution of LPIPS to the nearest training image: 5% of the images are nearer than that of `0.05`."""
    nearest_ones = neighbours.distances[:, 0].double()
    return {f"{level}": float(nearest_ones.quantile(level)) for level in QUANTILES}


def share_nearer(generated: Neighbours, validation: Neighbours) -> float:
    """The share of generated images that are nearer to a training image than 95% of the validation images are.

    About 0.05 where the two distributions are alike; a model that copies some training images has more,
    also where the medians agree.
    """
    bound = validation.distances[:, 0].double().quantile(COPIES_BELOW)
    return float((generated.distances[:, 0].double() < bound).double().mean())


def neighbours_picture(queries: ImageArchive, train: ImageArchive, found: Neighbours, rows: int) -> Image.Image:
    """Fig. 9: each row a generated image and, to its right, its nearest training images; RGB."""
    sheet = [
        to_model(torch.cat([to_rgb(queries.tensor([row])), to_rgb(train.tensor(found.indices[row].tolist()))]))
        for row in range(min(rows, len(found.indices)))
    ]
    return contact_sheet(sheet)
