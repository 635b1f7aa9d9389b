"""The models of the GPU check: the first entry of each family, as large as the paper's, on a CPU as the demo's."""

from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState

from pipeline.base.paths import CONFIG, NETWORKS
from pipeline.config.root import read_config
from pipeline.estimation import costs
from pipeline.models.checkpoints import pick_device
from pipeline.models.metric_networks.manifest import PERCEPTUAL_NETWORKS, network_path
from pipeline.settings.autoencoder import AutoencoderSettings
from pipeline.training.loop import make_accelerator
from pipeline.training.task import TrainingTask

ON_GPU = torch.cuda.is_available()
DEVICE = pick_device()
CONFIGURATION = read_config(CONFIG / ("paper.yaml" if ON_GPU else "demo-all.yaml"))
ENTRIES = (*CONFIGURATION.autoencoders.values(), *CONFIGURATION.diffusions.values(), *CONFIGURATION.generators.values())
FAMILIES: dict[str, Any] = {getattr(one, "family", "latent diffusion"): one for one in reversed(ENTRIES)}


def changed(settings: Any, **changes: dict[str, Any]) -> Any:
    """Settings with changed keys, section by section."""
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=keys) for name, keys in changes.items()}
    )


def make_task(settings: Any, work: Path) -> TrainingTask:
    """The training of an entry on noise, with its adversary from the first step on.

    Without the perceptual loss where the file of its network is missing.
    """
    AcceleratorState._reset_state(True)  # accelerate keeps one precision for a process
    weights = None
    if isinstance(settings, AutoencoderSettings):
        network = PERCEPTUAL_NETWORKS.get(settings.losses.perceptual.network)
        path = None if network is None else network_path(network, NETWORKS)
        weights = path if path is not None and path.exists() else None
        perceptual = settings.losses.perceptual if weights else without_perceptual(settings)
        adversarial = settings.losses.adversarial.model_copy(update={"start_images": 0, "critic_only_images": 0})
        settings = changed(settings, losses={"perceptual": perceptual, "adversarial": adversarial})
    return costs.make_task(CONFIGURATION, settings, weights, make_accelerator(settings.execution, work))


def without_perceptual(settings: Any) -> Any:
    """A perceptual loss that is switched off."""
    return settings.losses.perceptual.model_copy(update={"network": "none"})


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The norm of the difference, relative to the second tensor."""
    return float((one - other).double().norm() / other.double().norm().clamp_min(1e-30))
