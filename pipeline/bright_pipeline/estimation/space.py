"""Upper bounds of the disk that a plan's missing results take, without small ones: tables, figures, summaries."""

from collections import Counter
from typing import Any

import torch

from bright_pipeline.config.root import Config
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.shards import Shard, shards
from bright_pipeline.estimation.costs import image_shape, untrained
from bright_pipeline.estimation.devices import trainings
from bright_pipeline.models.discriminator import make_discriminator
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.stages.common import FLOAT32, Jobs

# A state has weights, Adam's two moments and the EMA; the last one stays until the next is complete, then the weights.
COPIES = 2 * 4 + 1


def missing_space(jobs: Jobs) -> dict[str, int]:
    """Upper bounds, in bytes, of the missing results of a plan, by stage."""
    found: Counter[str] = Counter()
    for job in jobs(planned).values():
        found[job.stage.name] += sum(_bytes(shard) for shard in shards(job) if not shard.complete)
    return {stage: size for stage, size in found.items() if size}


def _bytes(shard: Shard) -> int:
    job = shard.job
    if not job.is_training:
        return job.stage.size(job, shard.images)
    return FLOAT32 * COPIES * parameters(job.jobs.config, trainings(job.jobs.config)[job.entry])


def parameters(config: Config, settings: Any) -> int:
    """Numbers in the model of a training and in its discriminator; nothing is allocated."""
    adversary = getattr(settings, "discriminator", None)
    if isinstance(settings, AutoencoderSettings) and settings.losses.adversarial.kind == "none":
        adversary = None
    channels, resolution, _ = image_shape(config, settings)
    with torch.device("meta"):
        networks = [untrained(config, settings)]
        networks += [] if adversary is None else [make_discriminator(adversary, resolution, channels)]
        return sum(tensor.numel() for one in networks for tensor in one.state_dict().values())
