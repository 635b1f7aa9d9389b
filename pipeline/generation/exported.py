"""The weights in a folder of `bright export`: written from a run's files, and read without running any of its code."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

from pipeline.base.atomic import atomic_path
from pipeline.base.checksums import check
from pipeline.base.errors import InputError
from pipeline.models.checkpoints import load_generator
from pipeline.models.diffusion import PREDICTION_TYPES, load_diffusion, schedule_arguments
from pipeline.settings.diffusion import Denoising
from pipeline.settings.weights import EXPORTED

UNET = "unet."  # prefix of a generator's UNet


def write_weights(folder: Path, files: dict[str, Path], families: Iterable[str] = ()) -> None:
    """Copy weights files, by model type, and save a UNet and its scheduler in the layout that diffusers loads."""
    for model_type, file in files.items():
        check(file)
        (folder / EXPORTED[model_type]).parent.mkdir(exist_ok=True)
        with atomic_path(folder / EXPORTED[model_type]) as temporary:
            shutil.copyfile(file, temporary)
    cpu = torch.device("cpu")
    if "diffusion" in files:
        trained = load_diffusion(files["diffusion"], cpu)
        bounds, shift, scale = trained.rescaling.bounds, trained.rescaling.shift, trained.rescaling.scale
        # diffusers clips clean codes at one bound for all channels, or not at all.
        bound = (bounds[1] - shift[0]) * scale[0] if bounds is not None and len(scale) == 1 else None
        _write_configs(folder, trained.unet, trained.settings, bound)
    elif "generator" in files:
        model = load_generator(files["generator"], cpu, families)
        if isinstance(unet := getattr(model, "unet", None), UNet2DModel):
            tensors = load_file(files["generator"])
            own = {name.removeprefix(UNET): tensor for name, tensor in tensors.items() if name.startswith(UNET)}
            (folder / "unet").mkdir()
            with atomic_path(folder / EXPORTED["diffusion"]) as temporary:
                save_file(own, temporary, metadata={"format": "pt"})
            _write_configs(folder, unet, model.settings, 1.0)


def _write_configs(folder: Path, unet: UNet2DModel, settings: Denoising, bound: float | None) -> None:
    """diffusers' configs of the network and of its noise schedule; `bound`: of clean codes on the diffusion's scale."""
    unet.save_config(folder / "unet")
    clip = {"clip_sample": bound is not None, "clip_sample_range": bound or 1.0}
    kind = PREDICTION_TYPES[settings.prediction]
    DDPMScheduler(**schedule_arguments(settings), prediction_type=kind, **clip).save_config(folder / "scheduler")


def is_exported(folder: Path) -> bool:
    """Whether a folder has weights where `bright export` writes them."""
    return any((folder / file).is_file() for file in EXPORTED.values())


def exported_files(folder: Path) -> dict[str, Path]:
    """The weights in a folder, by model type; InputError without any."""
    files = {model_type: folder / file for model_type, file in EXPORTED.items() if (folder / file).is_file()}
    if "generator" in files:
        files.pop("diffusion", None)  # the generator's own UNet, for diffusers
    if not files or files.keys() == {"diffusion"}:
        raise InputError(f"{folder}: not a folder of `bright export`: no {EXPORTED['autoencoder']} and no generator")
    return files
