"""Upper bounds of the disk that a plan's missing results take, without small ones: tables, figures, summaries."""

from collections import Counter
from typing import Any

import torch

from bright_pipeline.config.root import Config
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.shards import shards
from bright_pipeline.estimation.costs import untrained
from bright_pipeline.estimation.devices import trainings
from bright_pipeline.models.discriminator import make_discriminator
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.stages.common import FLOAT32, Jobs

# A state has weights, Adam's two moments and the EMA; the last one stays until the next is complete, then the weights.
COPIES = 2 * 4 + 1


def missing_space(jobs: Jobs) -> dict[str, int]:
    """Upper bounds, in bytes, of the missing results of a plan, by stage."""
    sizes: Counter[str] = Counter()
    for job in jobs(planned).values():
        for shard in (shard for shard in shards(job) if not shard.complete):
            if job.is_training:
                size = FLOAT32 * COPIES * parameters(jobs.config, trainings(jobs.config)[job.entry])
            else:
                size = job.stage.size(job, shard.images)
            sizes[job.stage.name] += size
    return {stage: size for stage, size in sizes.items() if size}


def parameters(config: Config, settings: Any) -> int:
    """Numbers in the model of a training and in its discriminator; nothing is allocated."""
    adversary = getattr(settings, "discriminator", None)
    if isinstance(settings, AutoencoderSettings) and settings.losses.adversarial.kind == "none":
        adversary = None
    data = config.datasets[config.dataset_of(settings)]
    with torch.device("meta"):
        networks = [untrained(config, settings)]
        networks += [] if adversary is None else [make_discriminator(adversary, data.resolution, data.channels)]
        return sum(tensor.numel() for one in networks for tensor in one.state_dict().values())
