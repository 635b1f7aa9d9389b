"""Features of images in the feature spaces (appendix B)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bright_pipeline.base.progress import Progress
from bright_pipeline.data.archive import Images
from bright_pipeline.evaluation.batches import rgb_batches
from bright_pipeline.evaluation.feature_files import FeatureSet
from bright_pipeline.models.metric_networks.networks import load_feature_network
from bright_pipeline.settings.spaces import space_of


@torch.no_grad()
def extract(
    images: Images,
    space: str,
    weights: Path,
    first: int,
    last: int | None,
    micro_batch: int,
    device: torch.device,
    starts_at: int = 0,
) -> FeatureSet:
    """The features of those images of [first, last) that exist (None: to the end); `images` begin at `starts_at`."""
    end = starts_at + len(images)
    last = end if last is None else min(last, end)
    first = min(first, last)
    network, digest = load_feature_network(space, weights)
    network.to(device)
    features, logits, digests = list[Tensor](), list[Tensor](), list[bytes]()
    with Progress(f"features {space}", last - first, "images") as progress:
        for batch in rgb_batches(images, first, last, micro_batch, starts_at, network.resizer):
            batch_features, batch_logits = network(batch.images.to(device))
            features.append(batch_features[batch.used].float().cpu())
            if batch_logits is not None:
                logits.append(batch_logits[batch.used].float().cpu())
            digests += batch.digests
            progress.advance(len(batch.digests))
    return FeatureSet(
        torch.cat(features).numpy() if features else np.zeros((0, 0), np.float32),
        torch.cat(logits).numpy() if logits else None,
        np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        {"space": space, "network": space_of(space).network, "network_sha256": digest, "resize": network.resize},
    )
