"""Trained models in a Python session or a notebook: encode, decode, sample (docs/python.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import DEMO, PACKAGE
from bright_pipeline.config.root import read_config
from bright_pipeline.data.archive import ImageArchive, to_model, to_uint8
from bright_pipeline.data.decode import BadImage, decode, square_pixels, to_channels
from bright_pipeline.data.pictures import contact_sheet
from bright_pipeline.generation.code_files import read_codes
from bright_pipeline.generation.exported import CODES, exported_files, preparation
from bright_pipeline.generation.released import fetch_model
from bright_pipeline.generation.sampling import Draw, decode_finite, sample
from bright_pipeline.models.autoencoder import ImageAutoencoder
from bright_pipeline.models.checkpoints import load_autoencoder as load_network
from bright_pipeline.models.checkpoints import load_generator as load_generating_network
from bright_pipeline.models.generator import Generator
from bright_pipeline.settings.dataset import Dataset
from bright_pipeline.settings.diffusion import Sampler
from bright_pipeline.settings.weights import EXPORTED
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.generation import diffusion

PACKAGED_MODEL = PACKAGE / "trained" / "bright-fashion-mnist"  # the demo's model, a folder of `bright export`
MICRO_BATCH = 8  # samples that the networks see at once, whatever the count: image i depends on (seed, i) alone
if TYPE_CHECKING:  # a decoder needs no diffusers
    from bright_pipeline.models.diffusion import TrainedDiffusion

Picture = Image.Image | Path | str | np.ndarray


@dataclass(frozen=True, repr=False)
class ImageModel:
    """A trained autoencoder, with the trained diffusion model on its codes if there is one."""

    autoencoder: ImageAutoencoder
    diffusion: "TrainedDiffusion | None" = None
    dataset: Dataset | None = None  # how pictures become images: crop and filter
    examples: Tensor | None = None  # key codes (N, C_z, H_z, W_z) of validation images, from an exported folder

    @property
    def device(self) -> torch.device:
        """Of the autoencoder: the first GPU, else the CPU."""
        return next(self.autoencoder.parameters()).device

    def __repr__(self) -> str:
        size = f"{self.autoencoder.resolution} x {self.autoencoder.resolution} x {self.autoencoder.channels}"
        name, code = type(self.autoencoder).__name__, self.autoencoder.settings.code_size
        return f"ImageModel({name}, images {size}, codes {code}{', samples' if self.diffusion else ''}, {self.device})"

    @torch.no_grad()
    def encode(self, images: Sequence[Picture] | Tensor, prepare: bool = False) -> Tensor:
        """Key codes (N, C_z, H_z, W_z) in [0, 1] of images.

        images: PIL images, paths of image files, uint8 arrays (R, R) or (R, R, C), or one uint8 tensor (N, C, R, R).
        They must have the model's resolution R; colours become the model's channels.

        prepare: crop and resize images of any size as the training images (`crop` and `filter` of their dataset). A
        weights file has no dataset: the largest square in the middle is resized by Lanczos' filter. Where training
        images were padded (`crop: pad`), a larger picture is first shrunk to fit.
        """
        rows = list(images) if isinstance(images, Tensor) else [self.pixels(image, prepare) for image in images]
        shape = (self.autoencoder.channels, self.autoencoder.resolution, self.autoencoder.resolution)
        for row in rows:
            if row.dtype != torch.uint8 or tuple(row.shape) != shape:
                line = f"images: must be uint8 of shape {shape}, not {row.dtype} of {tuple(row.shape)}"
                raise InputError(f"{line}; prepare=True crops and resizes pictures")
        return self.autoencoder.encode(to_model(torch.stack(rows)).to(self.device)).cpu()

    @torch.no_grad()
    def decode(self, codes: Tensor) -> list[Image.Image]:
        """Images of key codes (N, C_z, H_z, W_z) in [0, 1]."""
        height, width, channels = self.autoencoder.settings.code_size
        if tuple(codes.shape[1:]) != (channels, height, width):
            raise InputError(f"codes: must have shape (N, {channels}, {height}, {width}), not {tuple(codes.shape)}")
        return _pictures(to_uint8(decode_finite(self.autoencoder, codes.to(self.device))))

    def sample(self, count: int, seed: int = 0, steps: int = 50) -> list[Image.Image]:
        """New images from the diffusion model by DDIM; image i depends on (seed, i) alone."""
        return _sampled(partial(self._draw, seed=seed, steps=steps), self.autoencoder, count)

    def sample_codes(self, count: int, seed: int = 0, steps: int = 50) -> Tensor:
        """Key codes (count, C_z, H_z, W_z) in [0, 1] from the diffusion model."""
        return self._draw(list(range(count)), seed, steps).cpu()

    def _draw(self, indices: list[int], seed: int, steps: int) -> Tensor:
        if self.diffusion is None:
            raise InputError("sample: there is no trained diffusion model on these codes; train one, or pull it")
        return self.diffusion.sample(indices, seed, Sampler(kind="ddim", steps=steps))

    def pixels(self, image: Picture, prepare: bool) -> Tensor:
        """One picture as uint8 (C, R, R) with the model's channels; prepare: as in `encode`."""
        channels = self.autoencoder.channels
        try:
            if isinstance(image, str | Path):
                picture = decode(Path(image).read_bytes(), channels, str(image))
            else:
                opened = Image.fromarray(image.squeeze()) if isinstance(image, np.ndarray) else image
                picture = to_channels(ImageOps.exif_transpose(opened), channels)
            if not prepare:
                return _tensor(picture)
            dataset = self.dataset or preparation(self.autoencoder.resolution)
            resolution, method = dataset.resolution, Image.Resampling[dataset.filter.upper()]
            if dataset.crop == "pad" and max(picture.size) > resolution:
                picture = ImageOps.contain(picture, (resolution, resolution), method)
            return torch.from_numpy(square_pixels(picture, dataset)).permute(2, 0, 1)
        except (OSError, BadImage) as error:
            raise InputError(f"{image}: {error}") from None


@dataclass(frozen=True)
class ImageGenerator:
    """A trained generator, with the autoencoder that decodes its codes; None if it makes images."""

    generator: Generator
    autoencoder: ImageAutoencoder | None = None

    def sample(self, count: int, seed: int = 0, steps: int = 50) -> list[Image.Image]:
        """New images, by DDIM if the family denoises; image i depends on (seed, i) alone."""
        draw = partial(self.generator.sample, seed=seed, sampler=Sampler(kind="ddim", steps=steps))
        return _sampled(draw, self.autoencoder, count)


def load_autoencoder(
    name: str | Path | None = None,
    config: str | Path | None = None,
    families: Sequence[str] = (),
    device: torch.device | str | None = None,
) -> ImageModel:
    """A trained autoencoder: its name in a config, its weights file, a folder of `bright export`, or its https address.

    Without a name it is `main` of the config, and without both the demo's `main-stage`, which is in the package. A name
    without a config is one of config/demo.yaml.

    By name it comes with the first trained diffusion model that the config has on it; from a folder with the one in the
    folder. InputError if the config has no such name, if the model is not trained, or if a checksum differs.

    An address is that of a release's zip: `fetch_model` in `generation/released.py` verifies and caches it.
    families: model families of other packages that a file may name; those of the config may always run.
    device: such as "cpu" or "mps"; by default the first CUDA GPU, else the CPU.
    """
    chosen = None if device is None else torch.device(device)
    name, config = _local(name, config), config or DEMO
    if Path(name).suffix == ".safetensors":
        return ImageModel(load_network(Path(name), chosen, families))
    if any((Path(name) / file).is_file() for file in EXPORTED.values()):
        files = exported_files(Path(name))
        if "autoencoder" not in files:
            raise InputError(f"{name}: holds a generator alone: load_generator({str(name)!r})")
        denoiser = _denoiser(files["diffusion"], chosen) if "diffusion" in files else None
        network = load_network(files["autoencoder"], chosen, families)
        examples = read_codes(Path(name) / CODES)[0] if (Path(name) / CODES).exists() else None
        return ImageModel(network, denoiser, preparation(network.resolution, Path(name)), examples)
    jobs = Jobs(read_config(Path(config)))
    if str(name) not in jobs.config.autoencoders:
        names = ", ".join(jobs.config.autoencoders)
        others = "or give a .safetensors file, a folder or an https address"
        raise InputError(f"autoencoder {str(name)!r}: not in {config}, which has {names}; {others}")
    weights = Path(jobs(autoencoder, str(name)).path("autoencoder.safetensors"))
    if not weights.exists():
        raise InputError(f"autoencoder {str(name)!r}: not trained yet ({weights}): run snakemake, or dvc pull")
    trained = [job for key in jobs.config.diffusions_on(str(name)) if (job := jobs(diffusion, key)).complete]
    denoiser = _denoiser(Path(trained[0].path("diffusion.safetensors")), chosen) if trained else None
    entry = jobs.config.autoencoders[str(name)]
    network = load_network(weights, chosen, [*families, entry.family])
    return ImageModel(network, denoiser, jobs.config.datasets[entry.dataset])


def load_generator(
    name: str | Path, families: Sequence[str] = (), device: torch.device | str | None = None
) -> ImageGenerator:
    """A trained generator: its weights file, an exported folder, or an address; arguments as for `load_autoencoder`."""
    chosen = None if device is None else torch.device(device)
    name = _local(name)
    if Path(name).is_dir():
        files = exported_files(Path(name))
        if "generator" not in files:
            raise InputError(f"{name}: holds an autoencoder: load_autoencoder({str(name)!r})")
        decoder = load_network(files["autoencoder"], chosen, families) if "autoencoder" in files else None
        return ImageGenerator(load_generating_network(files["generator"], chosen, families), decoder)
    return ImageGenerator(load_generating_network(Path(name), chosen, families))


def validation_images(name: str, count: int, config: str | Path = DEMO) -> list[Image.Image]:
    """The first validation images of the dataset that an autoencoder of a config is trained on."""
    jobs = Jobs(read_config(Path(config)))
    archive = ImageArchive(jobs(dataset, jobs.config.autoencoders[name].dataset).path("validation.zip"))
    return [Image.fromarray(archive.read(index).squeeze()) for index in range(min(count, len(archive)))]


def side_by_side(*rows: Sequence[Image.Image]) -> Image.Image:
    """Rows of images as one picture, small ones enlarged."""
    sheets = [torch.stack([_tensor(image) for image in row]) for row in rows]
    return contact_sheet([to_model(sheet) for sheet in sheets])


def _local(name: str | Path | None, config: str | Path | None = None) -> str | Path:
    """The folder of a model that is named by an address, or by nothing; any other name as it is."""
    if name is None:
        return PACKAGED_MODEL if config is None else "main"
    return fetch_model(name) if isinstance(name, str) and "://" in name else name


def _denoiser(weights: Path, device: torch.device | None) -> "TrainedDiffusion":
    from bright_pipeline.models.diffusion import load_diffusion

    return load_diffusion(weights, device)


def _sampled(draw: Draw, decoder: ImageAutoencoder | None, count: int) -> list[Image.Image]:
    batches = sample(draw, decoder, range(count), MICRO_BATCH)
    return [picture for batch in batches for picture in _pictures(batch)]


def _pictures(images: Tensor) -> list[Image.Image]:
    """PIL images of uint8 images (N, C, R, R)."""
    return [Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy()) for image in images.cpu()]


def _tensor(picture: Image.Image) -> Tensor:
    """A picture as uint8 (C, R, R)."""
    return torch.from_numpy(np.atleast_3d(np.asarray(picture)).copy()).permute(2, 0, 1)
