"""What is checked: one model of each family, with data that is noise; as large as the paper's, or as the demo's."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from pipeline.base.paths import CONFIG, NETWORKS
from pipeline.config.root import Config, read_config
from pipeline.families import generator_family, load
from pipeline.models.checkpoints import make_autoencoder
from pipeline.models.metric_networks.manifest import PERCEPTUAL_NETWORKS, network_path
from pipeline.settings.fields import Section
from pipeline.training.autoencoder import AutoencoderTask
from pipeline.training.batches import StepOrder, TrainingCodes
from pipeline.training.diffusion import DiffusionTask
from pipeline.training.task import TrainingTask


@dataclass(frozen=True)
class Sizes:
    """How large things are."""

    config: Config
    batch: int | None
    """Of training steps; None: each model's own."""
    decoded: tuple[int, ...]
    """Batches that are decoded."""
    rounds: int
    """Of timings that take turns."""
    retrieved: int
    """Images whose features are retrieved."""
    sampled: int
    """Images that are sampled, in SAMPLING_STEPS steps."""


SAMPLING_STEPS = 10


def sizes(on_gpu: bool) -> Sizes:
    """The paper's on a GPU, the demo's on a CPU."""
    if on_gpu:
        return Sizes(read_config(CONFIG / "paper.yaml"), None, (1, 8, 64), 7, 8, 4)
    return Sizes(read_config(CONFIG / "demo-all.yaml"), 4, (1, 8), 3, 2, 2)


class RandomImages:
    """Noise in place of a training split."""

    def __init__(self, resolution: int, channels: int, count: int):
        self.resolution, self.channels, self.shape = resolution, channels, (channels, resolution, resolution)
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(256, (count, *self.shape), generator=generator, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]

    def batches(self, order: StepOrder) -> Iterator[Tensor]:
        """uint8 batches (local batch, C, R, R)."""
        return (self.images[rows] for rows in order)


def families(config: Config) -> dict[str, tuple[str, Section]]:
    """The first entry of each family: its name to (sort, settings); latent diffusion is one of them."""
    found: dict[str, tuple[str, Section]] = {}
    for autoencoder in config.autoencoders.values():
        found.setdefault(autoencoder.family, ("autoencoder", autoencoder))
    for diffusion in config.diffusions.values():
        found.setdefault("latent diffusion", ("diffusion", diffusion))
    for generator in config.generators.values():
        found.setdefault(generator.family, ("generator", generator))
    return found


def changed(settings: Any, batch: int | None, **execution: Any) -> Any:
    """Settings with another batch, and how they run."""
    training = settings.training if batch is None else settings.training.model_copy(update={"batch": batch})
    how = settings.execution.model_copy(update=execution)
    return settings.model_copy(update={"training": training, "execution": how})


def make_task(config: Config, sort: str, settings: Any, accelerator: Accelerator) -> TrainingTask:
    """The training of an entry, on noise; without the perceptual loss where its network is not here."""
    if sort == "diffusion" or (sort == "generator" and generator_family(settings.family).reads == "codes"):
        data: Any = _codes(config, settings, accelerator.device)
        make = DiffusionTask if sort == "diffusion" else load(generator_family(settings.family).task)
        return make(settings, data, 0, accelerator)
    size = config.datasets[settings.dataset]
    images: Any = RandomImages(size.resolution, size.channels, settings.training.batch)
    if sort == "generator":
        return load(generator_family(settings.family).task)(settings, images, 0, accelerator)
    network = PERCEPTUAL_NETWORKS.get(settings.losses.perceptual.network)
    weights = None if network is None else network_path(network, NETWORKS)
    if weights is None or not weights.exists():
        weights, settings = None, without_perceptual(settings)
    # From the first step on, as after the images that a config waits for.
    return AutoencoderTask(with_adversary(settings), images, weights, 0, accelerator)


def without_perceptual(settings: Any) -> Any:
    """Settings without a perceptual loss."""
    perceptual = settings.losses.perceptual.model_copy(update={"network": "none"})
    return settings.model_copy(update={"losses": settings.losses.model_copy(update={"perceptual": perceptual})})


def with_adversary(settings: Any) -> Any:
    """Settings whose adversary, if any, joins at once."""
    at_once = {"start_images": 0, "critic_only_images": 0}
    adversarial = settings.losses.adversarial.model_copy(update=at_once)
    return settings.model_copy(update={"losses": settings.losses.model_copy(update={"adversarial": adversarial})})


def _codes(config: Config, settings: Any, device: torch.device) -> TrainingCodes:
    """Random codes of an untrained autoencoder."""
    model = config.autoencoders[settings.autoencoder]
    size = config.datasets[model.dataset]
    torch.manual_seed(0)
    decoder = make_autoencoder(model, size.resolution, size.channels).to(device).eval()
    height, width, channels = model.code_size
    shape = (settings.training.batch, channels, height, width)
    return TrainingCodes(torch.rand(shape, generator=torch.Generator().manual_seed(0)), decoder)
