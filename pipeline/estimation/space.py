"""The disk that the missing results of a plan take: images, codes, features, models, and the states of trainings.

These are upper bounds. Tables, figures and summaries are not counted: they are small.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from pipeline.config.root import Config
from pipeline.estimation.memory import trainings
from pipeline.models.checkpoints import make_autoencoder, make_generator
from pipeline.models.diffusion import build_unet
from pipeline.models.discriminator import make_discriminator
from pipeline.plan.shards import Shard
from pipeline.settings.autoencoder import AutoencoderSettings
from pipeline.settings.diffusion import Diffusion
from pipeline.stages.autoencoders import DUMP_CODES, RECONSTRUCT
from pipeline.stages.common import Jobs
from pipeline.stages.datasets import PREPARE_DATASET, UNKNOWN
from pipeline.stages.evaluation import EXTRACT_FEATURES
from pipeline.stages.generation import GENERATE

FLOAT32 = 4  # bytes of each number in codes, features and weights
PNG = 0.75  # of the raw bytes; photographs take 0.5 to 0.7
WIDEST = 4096  # numbers in a feature: VGG16's
# A state has weights and Adam's two moments, of the model the EMA too. The last state stays until the next is complete.
OF_MODEL, OF_DISCRIMINATOR, STATES = 4, 3, 2

Count = Callable[[Jobs, str, str], int]
"""The images of a split: of a config's jobs, the dataset's name and the split."""


def space_needed(shards: Iterable[Shard], count: Count) -> dict[str, int]:
    """Upper bounds of the bytes that shards write, by stage."""
    found: Counter[str] = Counter()
    for shard in shards:
        found[shard.job.stage.name] += _bytes(shard, count)
    return {stage: size for stage, size in found.items() if size}


def _bytes(shard: Shard, count: Count) -> int:
    job = shard.job
    config, name = job.jobs.config, job.entry.partition(".")[2]
    if job.stage.is_training:
        trained, discriminator = parameters(config, trainings(config)[job.entry])
        return FLOAT32 * (trained + STATES * (OF_MODEL * trained + OF_DISCRIMINATOR * discriminator))
    match job.stage.name:
        case PREPARE_DATASET.name:
            return (count(job.jobs, name, "train") + count(job.jobs, name, "validation")) * _png(config, name)
        case RECONSTRUCT.name:
            data = config.autoencoders[name].dataset
            return count(job.jobs, data, "validation") * _png(config, data)
        case GENERATE.name:
            return shard.images * _png(config, config.dataset_of(config.samples[name.partition(" ")[0]]))
        case DUMP_CODES.name:
            model = config.autoencoders[name]
            height, width, channels = model.code_size
            return count(job.jobs, model.dataset, "train") * height * width * channels * FLOAT32
        case EXTRACT_FEATURES.name:
            return (shard.images if shard.images < UNKNOWN else _split_size(shard, count)) * WIDEST * FLOAT32
    return 0


def _split_size(shard: Shard, count: Count) -> int:
    """The images of the split whose features are extracted by a single shard, since the plan has no count of them."""
    section, _, named = shard.job.entry.partition(".")
    jobs, (name, split, *_) = shard.job.jobs, named.split()
    if section == "datasets":
        return count(jobs, name, split)
    return count(jobs, jobs.config.autoencoders[name].dataset, "validation")


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
