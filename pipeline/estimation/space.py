"""The disk that the missing results of a plan will take: images, codes, features, models, and states of trainings.

Bounds from above: a run that fits by them fits. What is left out (tables, figures, summaries) is small beside them.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from pipeline.config.root import Config
from pipeline.families import parse_autoencoder, parse_generator
from pipeline.models.checkpoints import make_autoencoder, make_generator
from pipeline.models.diffusion import build_unet
from pipeline.models.discriminator import make_discriminator
from pipeline.plan.shards import Shard
from pipeline.settings.diffusion import Diffusion
from pipeline.stages.autoencoders import DUMP_CODES, RECONSTRUCT, TRAIN_AUTOENCODER
from pipeline.stages.common import Jobs
from pipeline.stages.datasets import PREPARE_DATASET, UNKNOWN
from pipeline.stages.evaluation import EXTRACT_FEATURES
from pipeline.stages.generation import GENERATE, TRAIN_DIFFUSION, TRAIN_GENERATOR

NUMBER = 4  # bytes: codes, features and weights are of 32 bits
PNG = 0.75  # of the raw bytes; photographs take .5 to .7
WIDEST = 4096  # numbers of a feature, VGG16's
# In a state a network has its weights and Adam's two moments; what is averaged has its average too. While a state is
# written the last one is still there.
OF_MODEL, OF_CRITIC, STATES = 4, 3, 2

Count = Callable[[Jobs, str, str], int]
"""Images of a dataset's split: of a config's jobs, the dataset's name and the split."""


def space_needed(shards: Iterable[Shard], count: Count) -> dict[str, int]:
    """Bytes that these shards will write at most, by their stages."""
    found: dict[str, int] = {}
    for shard in shards:
        stage = shard.job.stage.name
        found[stage] = found.get(stage, 0) + _bytes(shard, count)
    return {stage: size for stage, size in found.items() if size}


def _bytes(shard: Shard, count: Count) -> int:
    job = shard.job
    config, name = job.jobs.config, job.entry.partition(".")[2]
    match job.stage.name:
        case PREPARE_DATASET.name:
            return (count(job.jobs, name, "train") + count(job.jobs, name, "validation")) * _image(config, name)
        case RECONSTRUCT.name:
            data = config.autoencoders[name].dataset
            return count(job.jobs, data, "validation") * _image(config, data)
        case GENERATE.name:
            return shard.images * _image(config, config.dataset_of(config.samples[name.partition(" ")[0]]))
        case DUMP_CODES.name:
            model = config.autoencoders[name]
            height, width, channels = model.code_size
            return count(job.jobs, model.dataset, "train") * height * width * channels * NUMBER
        case EXTRACT_FEATURES.name:
            return (shard.images if shard.images < UNKNOWN else _read(shard, count)) * WIDEST * NUMBER
        case TRAIN_AUTOENCODER.name | TRAIN_DIFFUSION.name | TRAIN_GENERATOR.name:
            model_size, critic_size = parameters(config, job.settings)
            return NUMBER * (model_size + STATES * (OF_MODEL * model_size + OF_CRITIC * critic_size))
    return 0


def _read(shard: Shard, count: Count) -> int:
    """Images of the split whose features are taken, where the plan has no count of them: one range has them all."""
    section, _, named = shard.job.entry.partition(".")
    jobs, (name, which, *_) = shard.job.jobs, named.split()
    if section == "datasets":
        return count(jobs, name, which)
    return count(jobs, jobs.config.autoencoders[name].dataset, "validation")


def _image(config: Config, name: str) -> int:
    images = config.datasets[name]
    return int(images.resolution**2 * images.channels * PNG)


def parameters(config: Config, settings: dict[str, Any]) -> tuple[int, int]:
    """Numbers in the model that a training's job trains, and in the critic beside it; nothing is allocated."""
    with torch.device("meta"):
        if "diffusion" in settings:
            diffusion = Diffusion.model_validate(settings["diffusion"])
            return _size(build_unet(diffusion.unet, config.autoencoders[diffusion.autoencoder].code_size)), 0
        if "generator" in settings:
            generator = parse_generator(settings["generator"], "generator")
            shape, critic = _shape(config, generator), getattr(generator, "discriminator", None)
            beside = 0 if critic is None else _size(make_discriminator(critic, shape[1], shape[0]))
            return _size(make_generator(generator, shape)), beside
        model = parse_autoencoder(settings["autoencoder"], "autoencoder")
        images = config.datasets[model.dataset]
        size = images.resolution, images.channels
        adversarial = model.losses.adversarial.kind != "none"
        beside = _size(make_discriminator(model.discriminator, *size)) if adversarial else 0
        return _size(make_autoencoder(model, *size)), beside


def _shape(config: Config, generator: Any) -> tuple[int, int, int]:
    if generator.dataset is not None:
        images = config.datasets[generator.dataset]
        return images.channels, images.resolution, images.resolution
    height, width, channels = config.autoencoders[generator.autoencoder].code_size
    return channels, height, width


def _size(model: nn.Module) -> int:
    return sum(tensor.numel() for tensor in model.state_dict().values())
