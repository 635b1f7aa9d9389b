"""Upper bounds of the disk that a plan's missing results take, without small ones: tables, figures, summaries."""

from collections import Counter
from math import prod
from typing import Any

import torch
from torch import nn

from bright_pipeline.config.root import Config
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.shards import Shard, shards
from bright_pipeline.estimation.devices import trainings
from bright_pipeline.estimation.report import known_images
from bright_pipeline.models.checkpoints import make_autoencoder, make_generator
from bright_pipeline.models.diffusion import build_unet
from bright_pipeline.models.discriminator import make_discriminator
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.settings.diffusion import Diffusion
from bright_pipeline.stages.autoencoders import DUMP_CODES, RECONSTRUCT
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import PREPARE_DATASET, UNKNOWN
from bright_pipeline.stages.evaluation import EXTRACT_FEATURES
from bright_pipeline.stages.generation import GENERATE

FLOAT32 = 4  # bytes of each number in codes, features and weights
PNG = 0.75  # of the raw bytes; photographs take 0.5 to 0.7
WIDEST = 4096  # numbers in a feature: VGG16's
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
    config, name = job.jobs.config, job.entry.partition(".")[2]

    def images(dataset: str, split: str) -> int:
        return int(getattr(job.jobs(known_images)[dataset], split))

    if job.stage.is_training:
        trained, discriminator = parameters(config, trainings(config)[job.entry])
        return FLOAT32 * (trained + STATES * (OF_MODEL * trained + OF_DISCRIMINATOR * discriminator))
    match job.stage.name:
        case PREPARE_DATASET.name:
            return (images(name, "train") + images(name, "validation")) * _png(config, name)
        case RECONSTRUCT.name:
            data = config.autoencoders[name].dataset
            return images(data, "validation") * _png(config, data)
        case GENERATE.name:
            return shard.images * _png(config, config.dataset_of(config.samples[name.partition(" ")[0]]))
        case DUMP_CODES.name:
            model = config.autoencoders[name]
            return images(model.dataset, "train") * prod(model.code_size) * FLOAT32
        case EXTRACT_FEATURES.name:
            count = shard.images
            if count >= UNKNOWN:  # a single shard for the whole split, since the plan has no count of its images
                name, split, *_ = name.split()
                if not job.entry.startswith("datasets."):
                    name, split = config.autoencoders[name].dataset, "validation"
                count = images(name, split)
            return count * WIDEST * FLOAT32
    return 0


def _png(config: Config, name: str) -> int:
    images = config.datasets[name]
    return int(images.resolution**2 * images.channels * PNG)


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
