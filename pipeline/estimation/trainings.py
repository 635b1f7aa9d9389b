"""The operations of whole trainings: those of a step, as often as the config has it."""

from typing import Any

from pipeline.config.families import parse_autoencoder, parse_generator
from pipeline.config.root import Config
from pipeline.estimation.devices import CPU, DEVICES, Device, Work
from pipeline.settings.autoencoder import AutoencoderSettings
from pipeline.settings.diffusion import Denoising, Diffusion
from pipeline.settings.fields import CodeSize
from pipeline.stages.common import Job


def training_cost(config: Config, job: Job, device: Device) -> tuple[float | None, int]:
    """Seconds that a training takes on a device, None where its operations are not counted; and its GPUs."""
    settings = _settings(job.settings)
    execution = settings.execution
    device = device if execution.gpus else DEVICES[CPU]
    workers = execution.processes if device.is_gpu else execution.processes * execution.cpu_threads
    work = _work(config, settings)
    seconds = None if work is None else device.seconds(work, execution.precision) / workers
    return seconds, execution.processes if device.is_gpu else 0


def _settings(settings: dict[str, Any]) -> Any:
    """Of the model that a training's job trains."""
    if "diffusion" in settings:
        return Diffusion.model_validate(settings["diffusion"])
    if "generator" in settings:
        return parse_generator(settings["generator"], "generator")
    return parse_autoencoder(settings["autoencoder"], "autoencoder")


def _work(config: Config, settings: Any) -> Work | None:
    """All operations; how often a generator that does not denoise runs its networks is its own affair."""
    from pipeline.estimation.operations import unet_training  # with torch, which a plan of records alone can do without

    if isinstance(settings, AutoencoderSettings):
        return _autoencoder_work(config, settings)
    if not isinstance(settings, Denoising):
        return None
    model: Any = settings  # on the codes of an autoencoder, or on the images of a dataset
    if model.autoencoder is not None:
        size = config.autoencoders[model.autoencoder].code_size
    else:
        dataset = config.datasets[model.dataset]
        size = CodeSize(dataset.resolution, dataset.resolution, dataset.channels)
    return unet_training(model.unet, size) * (model.training.steps * model.training.batch)


def _autoencoder_work(config: Config, settings: AutoencoderSettings) -> Work:
    """Images before the adversarial loss, those that train the critic alone, and the rest."""
    from pipeline.estimation.operations import Phase, autoencoder_training

    dataset, images = config.datasets[settings.dataset], settings.training.images
    adversarial = settings.losses.adversarial
    off = images if adversarial.kind == "none" else min(adversarial.start_images, images)
    critic_only = min(adversarial.critic_only_images, images - off)
    phases: dict[Phase, int] = {"off": off, "critic only": critic_only, "on": images - off - critic_only}
    steps = [
        autoencoder_training(settings, dataset.resolution, dataset.channels, phase) * count
        for phase, count in phases.items()
        if count
    ]
    return sum(steps, Work())
