"""Upper bounds of the disk that a plan's missing results take, without small ones: tables, figures, summaries."""

from collections import Counter
from typing import Any

import torch
from torch import nn

from bright_pipeline.config.root import Config
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.shards import Shard, shards
from bright_pipeline.estimation.devices import trainings
from bright_pipeline.models.checkpoints import make_autoencoder, make_generator
from bright_pipeline.models.diffusion import build_unet
from bright_pipeline.models.discriminator import make_discriminator
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.settings.diffusion import Diffusion
from bright_pipeline.stages.common import FLOAT32, Jobs

# A state has weights and Adam's two moments, of the model the EMA too. The last state stays until the next is complete.
OF_MODEL, OF_DISCRIMINATOR, STATES = 4, 3, 2


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
    trained, discriminator = parameters(job.jobs.config, trainings(job.jobs.config)[job.entry])
    return FLOAT32 * (trained + STATES * (OF_MODEL * trained + OF_DISCRIMINATOR * discriminator))


def parameters(config: Config, settings: Any) -> tuple[int, int]:
    """Numbers in the model of a training, and in its discriminator; nothing is allocated."""
    dataset = config.datasets[config.dataset_of(settings)]
    resolution, channels = dataset.resolution, dataset.channels
    adversary = getattr(settings, "discriminator", None)
    with torch.device("meta"):
        if isinstance(settings, AutoencoderSettings):
            model = make_autoencoder(settings, resolution, channels)
            adversary = None if settings.losses.adversarial.kind == "none" else adversary
        elif isinstance(settings, Diffusion):
            model = build_unet(settings.unet, config.autoencoders[settings.autoencoder].code_size)
        elif settings.autoencoder is not None:
            height, width, depth = config.autoencoders[settings.autoencoder].code_size
            model = make_generator(settings, (depth, height, width))
        else:
            model = make_generator(settings, (channels, resolution, resolution))
        discriminator = None if adversary is None else make_discriminator(adversary, resolution, channels)
        return _size(model), 0 if discriminator is None else _size(discriminator)


def _size(model: nn.Module) -> int:
    return sum(tensor.numel() for tensor in model.state_dict().values())
