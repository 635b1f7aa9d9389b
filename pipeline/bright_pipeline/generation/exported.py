"""The weights in a folder of `bright export`: written from a run's files, and read without running any of its code."""

import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import parse_settings, read_json
from bright_pipeline.engine.atomic import atomic_path, write_json
from bright_pipeline.engine.checksums import check
from bright_pipeline.generation.released import check_sums
from bright_pipeline.models.checkpoints import load_generator
from bright_pipeline.models.rescaling import Rescaling
from bright_pipeline.settings.dataset import Dataset
from bright_pipeline.settings.weights import EXPORTED

UNET = "unet."  # prefix of a generator's UNet
SETTINGS = "settings.json"
CODES = "codes.npz"  # of validation images, as `bright encode` writes them
PREPARATION = ("crop", "filter")  # keys of a dataset in it
STEPS = 50  # of DDIM, where the run has no sample set of the model


def write_weights(
    folder: Path, files: dict[str, Path], families: Iterable[str] = (), steps: int = STEPS, half: bool = False
) -> None:
    """Copy weights files, by model type, and save a UNet and its scheduler in the layout that diffusers loads.

    rescaling.json says how its samples become codes or images. steps: of sampling, for other programs. half: weights
    of 16 bits.
    """
    from diffusers import DDPMScheduler, UNet2DModel

    from bright_pipeline.models.diffusion import PREDICTION_TYPES, load_diffusion, schedule_arguments

    for model_type, file in files.items():
        check(file)
        with atomic_path(folder / EXPORTED[model_type]) as temporary:
            if half:
                with safe_open(file, framework="pt") as opened:
                    metadata = opened.metadata()
                named = load_file(file).items()
                halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in named}
                save_file(halves, temporary, metadata=metadata)
            else:
                shutil.copyfile(file, temporary)
    model: Any = None
    if "diffusion" in files:
        model = load_diffusion(files["diffusion"], torch.device("cpu"))
        rescaling, (height, width, channels) = model.rescaling, model.code_size
        shape = (channels, height, width)
    elif "generator" in files:
        model = load_generator(files["generator"], torch.device("cpu"), families)
        rescaling, shape = Rescaling(bounds=(-1.0, 1.0)), model.shape
    if not isinstance(unet := getattr(model, "unet", None), UNet2DModel):
        return
    if "generator" in files:
        tensors = load_file(files["generator"])
        weights = {name.removeprefix(UNET): tensor for name, tensor in tensors.items() if name.startswith(UNET)}
        with atomic_path(folder / EXPORTED["diffusion"]) as temporary:
            save_file(weights, temporary, metadata={"format": "pt"})
    unet.save_config(folder / "unet")
    # diffusers clips clean codes at one bound for all channels, or not at all.
    bounds, shift, scale = rescaling.bounds, rescaling.shift, rescaling.scale
    bound = (bounds[1] - shift[0]) * scale[0] if bounds is not None and len(scale) == 1 else None
    clip = {"clip_sample": bound is not None, "clip_sample_range": bound or 1.0}
    kind = PREDICTION_TYPES[model.settings.prediction]
    DDPMScheduler(**schedule_arguments(model.settings), prediction_type=kind, **clip).save_config(folder / "scheduler")
    facts = asdict(rescaling) | {"prediction_type": kind, "shape": list(shape), "steps": steps}
    write_json(folder / "rescaling.json", facts)


def exported_files(folder: Path) -> dict[str, Path]:
    """The weights in a folder, by model type; InputError without any, or where the folder's SHA256SUMS differs."""
    files = {model_type: folder / file for model_type, file in EXPORTED.items() if (folder / file).is_file()}
    check_sums(folder, [path for path in (*files.values(), folder / SETTINGS, folder / CODES) if path.is_file()])
    if "generator" in files:
        files.pop("diffusion", None)  # the generator's own UNet, for diffusers
    if not files or files.keys() == {"diffusion"}:
        raise InputError(f"{folder}: not a folder of `bright export`: no {EXPORTED['autoencoder']} and no generator")
    return files


def preparation(resolution: int, folder: Path | None = None) -> Dataset:
    """How pictures become images of this size: by the crop and filter in an exported folder, else by the defaults."""
    path = (folder or Path()) / SETTINGS
    settings = read_json(path, str(path)) if folder is not None and path.is_file() else {}
    stated = settings.get("dataset", {}) if isinstance(settings, dict) else {}
    chosen = {key: stated[key] for key in PREPARATION if key in stated} if isinstance(stated, dict) else {}
    without_images = {"source": {"kind": "embedded"}, "split": {"validation": 1}, "resolution": resolution}
    return parse_settings(Dataset, without_images | chosen, f"{path}: dataset")
