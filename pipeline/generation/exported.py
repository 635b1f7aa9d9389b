"""The weights of a folder of `bright export`: written from a run's files, and read without running anything of it."""

import shutil
from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

from pipeline.base.atomic import atomic_path
from pipeline.base.checksums import check
from pipeline.base.errors import InputError
from pipeline.families import family_file
from pipeline.models.checkpoints import AutoencoderFacts, GeneratorFacts, load_generator, load_model
from pipeline.models.diffusion import PREDICTION_TYPES, load_diffusion, schedule_arguments
from pipeline.models.rescaling import Rescaling
from pipeline.settings.diffusion import Denoising
from pipeline.settings.weights import EXPORTED

UNET = "unet."  # begins the names of a generator's UNet


def write_weights(folder: Path, files: dict[str, Path]) -> None:
    """Copy weights files, by what they are of, and lay a UNet and its scheduler where diffusers looks for them."""
    for sort, file in files.items():
        check(file)
        (folder / EXPORTED[sort]).parent.mkdir(exist_ok=True)
        with atomic_path(folder / EXPORTED[sort]) as temporary:
            shutil.copyfile(file, temporary)
    cpu = torch.device("cpu")
    if "diffusion" in files:
        trained = load_diffusion(files["diffusion"], cpu)
        _write_configs(folder, trained.unet, trained.settings, _bound(trained.rescaling))
    elif "generator" in files:
        model = load_generator(files["generator"], cpu)
        if isinstance(unet := getattr(model, "unet", None), UNet2DModel):
            tensors = load_file(files["generator"])
            own = {name.removeprefix(UNET): tensor for name, tensor in tensors.items() if name.startswith(UNET)}
            (folder / "unet").mkdir()
            with atomic_path(folder / EXPORTED["diffusion"]) as temporary:
                save_file(own, temporary, metadata={"format": "pt"})
            _write_configs(folder, unet, model.settings, 1.0)


def _bound(rescaling: Rescaling) -> float | None:
    """Where clean codes are clipped on the diffusion's scale; None where that differs by channel, or is nowhere."""
    if rescaling.bounds is None or len(rescaling.scale) > 1:
        return None
    return (rescaling.bounds[1] - rescaling.shift[0]) * rescaling.scale[0]


def _write_configs(folder: Path, unet: UNet2DModel, settings: Denoising, bound: float | None) -> None:
    """diffusers' own descriptions of the network and of the schedule that it was trained on."""
    unet.save_config(folder / "unet")
    clip = {"clip_sample": bound is not None, "clip_sample_range": bound or 1.0}
    scheduler = DDPMScheduler(
        **schedule_arguments(settings), prediction_type=PREDICTION_TYPES[settings.prediction], **clip
    )
    scheduler.save_config(folder / "scheduler")


def is_exported(folder: Path) -> bool:
    """Whether a folder has weights where `bright export` puts them."""
    return any((folder / file).is_file() for file in EXPORTED.values())


def exported_files(folder: Path) -> dict[str, Path]:
    """The weights in a folder, by what they are of; InputError where there are none, or where it brings code along."""
    files = {sort: folder / file for sort, file in EXPORTED.items() if (folder / file).is_file()}
    if "generator" in files:
        files.pop("diffusion", None)  # the generator's own UNet, for diffusers
    if not files or files.keys() == {"diffusion"}:
        raise InputError(f"{folder}: no folder of `bright export`: neither {EXPORTED['autoencoder']} nor generator")
    for sort, facts in (("autoencoder", AutoencoderFacts), ("generator", GeneratorFacts)):
        if sort in files:
            family = getattr(load_model(files[sort], sort, facts)[0], sort).get("family", "")
            source = family_file(family) if "." in str(family) else None
            if source is not None and source.resolve().is_relative_to(folder.resolve()):
                raise InputError(f"{files[sort]}: its family {family} lies in that folder, and nothing there is run")
    return files
