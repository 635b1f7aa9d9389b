"""Nearest training images by LPIPS (Fig. 9), and the check for memorized images.

LPIPS is a squared Euclidean distance. With f_l the unit-normalised features of layer l at H_l x W_l positions and
w_l >= 0 the weights of its head,

    LPIPS(a, b) = sum_l 1/(H_l W_l) sum_positions sum_channels w_l (f_l(a) - f_l(b))^2 = |e(a) - e(b)|^2,
    e = concatenation over l of sqrt(w_l / (H_l W_l)) f_l.

So the neighbours are exact, and come from matrix products of embeddings, block by block. Images are compared at their
own resolution. An embedding has 5,760 numbers at 32 px and 640,128 at 256 px (AlexNet): those of training images are
computed block by block and not stored.
"""

from pathlib import Path
from typing import NamedTuple

import lpips
import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress
from bright_pipeline.data.archive import ImageArchive, to_model, to_rgb
from bright_pipeline.data.pictures import contact_sheet
from bright_pipeline.evaluation.batches import rgb_batches
from bright_pipeline.models.perceptual import FrozenModule, LpipsDistance

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
COPIES_BELOW = 0.05  # quantile of the validation images' distances


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


class Neighbours(NamedTuple):
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
    """The nearest training images of the first `count` queries, exactly."""
    if count > len(queries):
        raise InputError(f"count: must be at most {len(queries)}, the number of images, not {count}")
    if neighbours > len(train):
        raise InputError(f"neighbours: must be at most {len(train)}, the number of training images, not {neighbours}")
    device = next(embedding.parameters()).device
    width = embedding(to_rgb(train.tensor([0])).to(device)).shape[1]
    # Half of the memory holds embeddings of queries; each part of the queries embeds the training images again.
    part = max(1, int(memory_gb * 1e9 / 2 / (4 * width)))
    parts = []
    for start in range(0, count, part):
        rows = torch.arange(start, min(start + part, count)).split(micro_batch)
        embedded = torch.cat([embedding(to_rgb(queries.tensor(some.tolist())).to(device)) for some in rows])
        norms = embedded.square().sum(dim=1, keepdim=True)
        # The best so far, merged block by block.
        best = embedded.new_full((len(embedded), neighbours), torch.inf)
        index = torch.zeros(best.shape, dtype=torch.long, device=device)
        first = 0
        with Progress("nearest neighbours", len(train), "training images") as progress:
            for batch in rgb_batches(train, 0, len(train), micro_batch):
                block = embedding(batch.images.to(device))[batch.used]
                distances = (norms + block.square().sum(dim=1) - 2 * embedded @ block.T).clamp(min=0)
                numbers = torch.arange(first, first + len(block), device=device).expand(len(embedded), -1)
                best, order = torch.cat([best, distances], dim=1).topk(neighbours, largest=False, sorted=True)
                index = torch.cat([index, numbers], dim=1).gather(1, order)
                first += len(block)
                progress.advance(len(block))
        parts.append((best.cpu(), index.cpu()))
    return Neighbours(*map(torch.cat, zip(*parts, strict=True)))


def neighbours_table(sets: dict[str, tuple[list[str], Neighbours]], train_names: list[str]) -> pd.DataFrame:
    """One row per neighbour: set, image, rank (from 1), train_image, lpips."""
    frames = []
    for name, (images, neighbours) in sets.items():
        rows, columns = neighbours.indices.shape
        table = {
            "set": name,
            "image": np.repeat(images[:rows], columns),
            "rank": np.tile(np.arange(1, columns + 1), rows),
            "train_image": [train_names[i] for i in neighbours.indices.flatten().tolist()],
            "lpips": neighbours.distances.flatten().double().numpy(),
        }
        frames.append(pd.DataFrame(table))
    return pd.concat(frames, ignore_index=True)


def memorization(generated: Neighbours, validation: Neighbours) -> dict[str, float]:
    """Median LPIPS to the nearest training image of generated and of validation images, and how many are too near.

    ratio: of the medians. Validation images were never seen, so that it is well below 1 for a model that copies.
    share_nearer: the share of generated images that are nearer to a training image than 95% of the validation images.
    It is about 0.05 if the two distributions are alike, and larger if some images are copies, also with equal medians.
    """
    near, near_validation = generated.distances[:, 0], validation.distances[:, 0]
    medians = [float(distances.median()) for distances in (near, near_validation)]
    if medians[1] == 0:
        raise InputError("validation images: most are exact copies of training images; the split is wrong")
    return {
        "median_generated": medians[0],
        "median_validation": medians[1],
        "ratio": medians[0] / medians[1],
        "share_nearer": float((near.double() < near_validation.double().quantile(COPIES_BELOW)).double().mean()),
    }


def distance_quantiles(neighbours: Neighbours) -> dict[str, float]:
    """Quantiles of LPIPS to the nearest training image, by level: 5% of the images are nearer than that of `0.05`."""
    distances = neighbours.distances[:, 0].double()
    return {f"{level}": float(distances.quantile(level)) for level in QUANTILES}


def neighbours_picture(queries: ImageArchive, train: ImageArchive, nearest: Neighbours, rows: int) -> Image.Image:
    """Fig. 9: each row is a generated image and, to its right, its nearest training images; RGB."""
    sheet = [
        to_model(torch.cat([to_rgb(queries.tensor([row])), to_rgb(train.tensor(nearest.indices[row].tolist()))]))
        for row in range(min(rows, len(nearest.indices)))
    ]
    return contact_sheet(sheet)
